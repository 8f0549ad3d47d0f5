package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

var (
	past  = time.Unix(1, 0)
	never time.Time
)

// descriptors makes conns of files.
func descriptors(dir string) {
	for _, network := range []string{"tcp", "unix"} {
		addr := "127.0.0.1:0"
		if network == "unix" {
			addr = filepath.Join(dir, "files")
		}
		c, s := pair(network, addr)
		f, err := c.(interface{ File() (*os.File, error) }).File()
		check(err)
		again, err := net.FileConn(f)
		check(err)
		want(again)
		trace("FileConn", fmt.Sprintf("%T", again), again.RemoteAddr())
		check(f.Close())
		check(c.Close())
		_, err = again.Write([]byte("by copy"))
		check(err)
		b := make([]byte, 10)
		n, err := s.Read(b)
		trace("by copy", b[:n], err)
		check(again.Close())
		check(s.Close())
	}
	f, err := os.Create(filepath.Join(dir, "no-socket"))
	check(err)
	_, err = net.FileConn(f)
	trace("FileConn of file", err)
	_, err = net.FileListener(f)
	trace("FileListener of file", err)
	check(f.Close())
}

func dials(dir string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	addr := ln.Addr().(*net.TCPAddr)
	c, err := net.DialTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, addr)
	check(err)
	want(c)
	check(c.Close())
	called := ""
	d := net.Dialer{Timeout: 10 * time.Second, ControlContext: func(_ context.Context, network, address string, c syscall.RawConn) error {
		called = network
		return nil
	}}
	cc, err := d.DialContext(context.Background(), "tcp", addr.String())
	check(err)
	want(cc)
	trace("dial control", called, fmt.Sprintf("%T", cc))
	check(cc.Close())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = d.DialContext(ctx, "tcp", addr.String())
	trace("cancelled", err, errors.Is(err, context.Canceled))
	d = net.Dialer{Deadline: past}
	_, err = d.Dial("tcp", addr.String())
	trace("late", err, errors.Is(err, context.DeadlineExceeded))
	check(ln.Close())
	ul, err := net.Listen("unix", filepath.Join(dir, "dial"))
	check(err)
	u, err := net.DialUnix("unix", nil, ul.Addr().(*net.UnixAddr))
	check(err)
	want(u)
	check(u.Close())
	check(ul.Close())
}

// others are networks that are package net's alone.
func others(dir string) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	check(err)
	u, err := net.Dial("udp", pc.LocalAddr().String())
	check(err)
	trace("udp", served(u))
	_, err = u.Write([]byte("datagram"))
	check(err)
	b := make([]byte, 20)
	n, _, err := pc.ReadFrom(b)
	trace("datagram", b[:n], err)
	check(u.Close())
	check(pc.Close())
	ln, err := net.Listen("unixpacket", filepath.Join(dir, "packet"))
	check(err)
	c, err := net.Dial("unixpacket", ln.Addr().String())
	check(err)
	s, err := ln.Accept()
	check(err)
	trace("unixpacket", served(ln), served(c), served(s), s.LocalAddr().Network())
	_, err = c.Write([]byte("packet"))
	check(err)
	n, err = s.Read(b)
	trace("packet", b[:n], err)
	check(c.Close())
	check(s.Close())
	check(ln.Close())
}

// layers is what stands on conns: TLS, net/http, a hijacked conn.
func layers() {
	cert := certificate()
	c, s := tcpPair()
	go func() {
		ts := tls.Server(s, &tls.Config{Certificates: []tls.Certificate{cert}})
		io.Copy(ts, ts)
		check(ts.Close())
	}()
	tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	_, err := tc.Write([]byte("secret"))
	check(err)
	b := make([]byte, 10)
	n, err := tc.Read(b)
	trace("tls", b[:n], err, fmt.Sprintf("%T", tc.NetConn()))
	check(tc.Close())

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "answer") })
	mux.HandleFunc("/hijack", func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := w.(http.Hijacker).Hijack()
		check(err)
		defer c.Close()
		_, ok := c.(*net.TCPConn)
		fmt.Fprintf(rw, "hijacked %v\n", ok)
		check(rw.Flush())
	})
	srv := &http.Server{Handler: mux}
	go srv.Serve(ln)
	for i := 0; i < 3; i++ {
		res, err := http.Get("http://" + ln.Addr().String())
		check(err)
		body, err := io.ReadAll(res.Body)
		check(err)
		check(res.Body.Close())
		trace("http", res.StatusCode, body)
	}
	cc, err := net.Dial("tcp", ln.Addr().String())
	check(err)
	fmt.Fprint(cc, "GET /hijack HTTP/1.1\r\nHost: x\r\n\r\n")
	line, err := bufio.NewReader(cc).ReadString('\n')
	trace("hijack", line, err)
	check(cc.Close())
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	trace("shutdown", srv.Shutdown(ctx))
}

func certificate() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	t := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	check(err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
