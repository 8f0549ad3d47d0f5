package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

func listeners(dir string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	want(ln)
	tl := ln.(*net.TCPListener)
	trace("listener", fmt.Sprintf("%T", ln), ln.Addr().Network(), ln.Addr())
	check(tl.SetDeadline(time.Now().Add(-time.Second)))
	_, err = tl.Accept()
	trace("accept past deadline", err)
	_, err = tl.AcceptTCP()
	trace("accept tcp past deadline", err)
	check(tl.SetDeadline(time.Time{}))
	rc, err := tl.SyscallConn()
	check(err)
	typ := 0
	check(rc.Control(func(fd uintptr) { typ, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN) }))
	trace("listener control", typ, err)
	trace("listener raw read", rc.Read(func(uintptr) bool { return true }))
	f, err := tl.File()
	check(err)
	trace("listener file", f.Name())
	again, err := net.FileListener(f)
	check(err)
	want(again)
	trace("file listener", fmt.Sprintf("%T", again), again.Addr().String() == ln.Addr().String())
	c, err := net.Dial("tcp", ln.Addr().String())
	check(err)
	s, err := again.Accept()
	check(err)
	want(s)
	check(s.Close())
	check(c.Close())
	check(again.Close())
	check(f.Close())
	accepted := make(chan error)
	go func() {
		_, err := ln.Accept()
		accepted <- err
	}()
	check(ln.Close())
	trace("accept of closed", <-accepted)
	trace("second close", ln.Close())
	_, err = tl.File()
	trace("file of closed", err)
	trace("deadline of closed", tl.SetDeadline(time.Now()))

	called := ""
	lc := net.ListenConfig{KeepAlive: 77 * time.Second, Control: func(network, address string, c syscall.RawConn) error {
		called = network + " " + address
		return nil
	}}
	ln, err = lc.Listen(context.Background(), "tcp4", "127.0.0.1:0")
	check(err)
	want(ln)
	trace("control", called)
	c, err = net.Dial("tcp4", ln.Addr().String())
	check(err)
	s, err = ln.Accept()
	check(err)
	trace("keep-alive", option(s, syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE), option(s, syscall.IPPROTO_TCP, syscall.TCP_NODELAY))
	_, err = s.(*net.TCPConn).SyscallConn()
	check(err)
	check(s.Close())
	_, err = s.Read(nil)
	trace("network of tcp4", err)
	check(c.Close())
	check(ln.Close())
	var none context.Context // an address that is none of a name does without
	bare, err := new(net.ListenConfig).Listen(none, "tcp4", "127.0.0.1:0")
	trace("without a context", err)
	check(bare.Close())
	lc.Control = func(string, string, syscall.RawConn) error { return errors.New("refused by control") }
	_, err = lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	trace("control fails", err)

	file := filepath.Join(dir, "unlink")
	for _, unlink := range []bool{true, false} {
		ul, err := net.ListenUnix("unix", &net.UnixAddr{Name: file, Net: "unix"})
		check(err)
		want(ul)
		ul.SetUnlinkOnClose(unlink)
		check(ul.Close())
		_, err = os.Stat(file)
		trace("unlinked", unlink, err != nil)
	}
	tl, err = net.ListenTCP("tcp", nil)
	check(err)
	want(tl)
	trace("all addresses", tl.Addr())
	check(tl.Close())
}

func option(c any, level, name int) (v int) {
	rc, err := c.(syscall.Conn).SyscallConn()
	check(err)
	check(rc.Control(func(fd uintptr) { v, err = syscall.GetsockoptInt(int(fd), level, name) }))
	check(err)
	return v
}

func conns() {
	c, s := tcpPair()
	trace("conn", c.LocalAddr().Network(), c.RemoteAddr(), s.LocalAddr().String() == c.RemoteAddr().String(), s.RemoteAddr().String() == c.LocalAddr().String())
	_, err := c.Write([]byte("hello"))
	check(err)
	b := make([]byte, 10)
	n, err := s.Read(b)
	trace("read", b[:n], err)
	check(s.SetReadDeadline(time.Now().Add(-time.Second)))
	n, err = s.Read(b)
	trace("read past deadline", n, err)
	check(s.SetReadDeadline(time.Time{}))
	check(s.SetWriteDeadline(time.Now().Add(-time.Second)))
	n, err = s.Write(b)
	trace("write past deadline", n, err)
	check(s.SetDeadline(time.Time{}))
	check(c.CloseWrite())
	n, err = s.Read(b)
	trace("end", n, err, err == io.EOF)
	_, err = s.Write([]byte("still"))
	check(err)
	n, err = c.Read(b)
	trace("half closed", b[:n], err)
	_, err = c.Write(b)
	trace("write after CloseWrite", err, errors.Is(err, syscall.EPIPE))
	check(c.CloseRead())
	n, err = c.Read(b)
	trace("read after CloseRead", n, err)
	check(c.Close())
	check(s.Close())
}

func options() {
	c, s := tcpPair()
	trace("SetNoDelay", c.SetNoDelay(false), option(c, syscall.IPPROTO_TCP, syscall.TCP_NODELAY))
	trace("SetKeepAlive", c.SetKeepAlive(false), option(c, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE))
	trace("SetKeepAlivePeriod", c.SetKeepAlivePeriod(time.Minute), option(c, syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE))
	trace("SetReadBuffer", c.SetReadBuffer(50000), option(c, syscall.SOL_SOCKET, syscall.SO_RCVBUF))
	trace("SetWriteBuffer", c.SetWriteBuffer(50000), option(c, syscall.SOL_SOCKET, syscall.SO_SNDBUF))
	mp, err := s.MultipathTCP()
	trace("MultipathTCP", mp, err)
	trace("SetLinger", s.SetLinger(0))
	check(s.Close())
	_, err = c.Read(make([]byte, 1))
	trace("reset by linger", err, errors.Is(err, syscall.ECONNRESET))
	trace("SetLinger of closed", s.SetLinger(0))
	trace("SetNoDelay of closed", s.SetNoDelay(true))
	check(c.Close())
}

func raw() {
	c, s := tcpPair()
	rc, err := c.SyscallConn()
	check(err)
	n := 0
	check(rc.Write(func(fd uintptr) bool {
		n, err = syscall.Write(int(fd), []byte("raw"))
		return err != syscall.EAGAIN
	}))
	trace("raw write", n, err)
	rs, err := s.SyscallConn()
	check(err)
	b := make([]byte, 10)
	check(rs.Read(func(fd uintptr) bool {
		n, err = syscall.Read(int(fd), b)
		return err != syscall.EAGAIN
	}))
	trace("raw read", b[:n], err)
	check(s.SetReadDeadline(time.Now().Add(-time.Second)))
	trace("raw read past deadline", rs.Read(func(uintptr) bool { return false }))
	check(c.Close())
	trace("raw of closed", rc.Control(func(uintptr) {}))
	check(s.Close())
}

func ends() {
	c, s := tcpPair()
	read := make(chan error)
	go func() {
		_, err := s.Read(make([]byte, 1))
		read <- err
	}()
	check(s.Close())
	trace("read of closed", <-read)
	trace("second close of conn", s.Close())
	_, err := s.Write([]byte("x"))
	trace("write of closed", err)
	trace("CloseWrite of closed", s.CloseWrite())
	trace("deadline of closed conn", s.SetDeadline(time.Now()), s.SetReadDeadline(time.Now()), s.SetWriteDeadline(time.Now()))
	trace("address of closed", s.LocalAddr(), s.RemoteAddr())
	_, err = s.File()
	trace("file of closed conn", err)
	check(c.Close())
}
