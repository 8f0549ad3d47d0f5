package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// copies moves bytes between conns and files.
func copies(dir string) {
	text := bytes.Repeat([]byte("0123456789"), 100_000)
	name := filepath.Join(dir, "file")
	check(os.WriteFile(name, text, 0o600))
	moved := func(step string, move func(c *net.TCPConn) (int64, error)) {
		c, s := tcpPair()
		got := make(chan []byte)
		go func() {
			b, err := io.ReadAll(s)
			check(err)
			got <- b
		}()
		n, err := move(c)
		check(c.CloseWrite())
		b := <-got
		trace(step, n, err, bytes.Equal(b, text), len(b))
		check(c.Close())
		check(s.Close())
	}
	source := func() *net.TCPConn {
		c, s := tcpPair()
		go func() {
			_, err := c.Write(text)
			check(err)
			check(c.Close())
		}()
		return s
	}
	file := func() *os.File {
		f, err := os.Open(name)
		check(err)
		return f
	}
	moved("file to conn", func(c *net.TCPConn) (int64, error) { return io.Copy(c, file()) })
	moved("conn from file", func(c *net.TCPConn) (int64, error) { return c.ReadFrom(file()) })
	moved("part of file", func(c *net.TCPConn) (int64, error) {
		lr := &io.LimitedReader{R: file(), N: 12345}
		n, err := c.ReadFrom(lr)
		trace("limit left", lr.N)
		return n, err
	})
	moved("conn to conn", func(c *net.TCPConn) (int64, error) { return io.Copy(c, source()) })
	moved("conn from conn", func(c *net.TCPConn) (int64, error) { return c.ReadFrom(source()) })
	moved("conn writes to conn", func(c *net.TCPConn) (int64, error) { return source().WriteTo(c) })
	moved("part of conn", func(c *net.TCPConn) (int64, error) {
		lr := &io.LimitedReader{R: source(), N: 12345}
		n, err := c.ReadFrom(lr)
		trace("limit left", lr.N)
		return n, err
	})
	moved("nothing of conn", func(c *net.TCPConn) (int64, error) { return c.ReadFrom(io.LimitReader(source(), 0)) })
	moved("reader", func(c *net.TCPConn) (int64, error) { return c.ReadFrom(bytes.NewReader(text)) })
	moved("failing reader", func(c *net.TCPConn) (int64, error) { return c.ReadFrom(failing{}) })
	intoFile := func(step string, move func(f *os.File) (int64, error)) {
		f, err := os.Create(filepath.Join(dir, "out"))
		check(err)
		n, err := move(f)
		check(f.Close())
		b, rerr := os.ReadFile(f.Name())
		check(rerr)
		trace(step, n, err, bytes.Equal(b, text))
	}
	intoFile("conn to file", func(f *os.File) (int64, error) { return io.Copy(f, source()) })
	intoFile("file from conn", func(f *os.File) (int64, error) { return f.ReadFrom(source()) })
	intoFile("file from part", func(f *os.File) (int64, error) { return f.ReadFrom(io.LimitReader(source(), 100)) })
	late := func(move func(f *os.File, c *net.TCPConn) (int64, error)) (int64, error) {
		f, err := os.Create(filepath.Join(dir, "late"))
		check(err)
		defer f.Close()
		c, s := tcpPair()
		defer s.Close()
		defer c.Close()
		check(c.SetReadDeadline(past))
		return move(f, c)
	}
	n, err := late(func(f *os.File, c *net.TCPConn) (int64, error) { return f.ReadFrom(c) })
	trace("file from conn past deadline", n, err)
	n, err = late(func(f *os.File, c *net.TCPConn) (int64, error) { return io.Copy(f, c) })
	trace("conn to file past deadline", n, err)
	var w strings.Builder
	n, err = source().WriteTo(&w)
	trace("conn to writer", n, err, w.Len())
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("failing") }

// buffers writes several slices at once.
func buffers(dir string) {
	for _, network := range []string{"tcp", "unix"} {
		addr := "127.0.0.1:0"
		if network == "unix" {
			addr = filepath.Join(dir, "buffers")
		}
		c, s := pair(network, addr)
		v := net.Buffers{[]byte("one"), nil, []byte("two"), []byte("three")}
		keep := v
		n, err := v.WriteTo(c)
		trace("buffers", n, err, len(v), keep[0] == nil, keep[3] == nil)
		b := make([]byte, 20)
		k, err := io.ReadFull(s, b[:n])
		trace("buffers read", b[:k], err)
		v = net.Buffers{[]byte("four")}
		k64, err := io.Copy(c, &v)
		trace("buffers copied", k64, err)
		check(c.Close())
		v = net.Buffers{[]byte("one"), []byte("two")}
		n, err = v.WriteTo(c)
		trace("buffers to closed", n, err, len(v))
		check(s.Close())
	}
	c, s := tcpPair()
	check(c.CloseWrite())
	v := net.Buffers{[]byte("one"), []byte("two")}
	n, err := v.WriteTo(c)
	trace("buffers to half closed", n, err, len(v), errors.Is(err, syscall.EPIPE))
	check(c.Close())
	check(s.Close())
}

func unixConns(dir string) {
	cc, ss := pair("unix", filepath.Join(dir, "unix"))
	c, s := cc.(*net.UnixConn), ss.(*net.UnixConn)
	trace("unix", c.LocalAddr(), c.RemoteAddr(), s.LocalAddr(), s.RemoteAddr())
	r, w, err := os.Pipe()
	check(err)
	n, oobn, err := c.WriteMsgUnix([]byte("file"), syscall.UnixRights(int(w.Fd())), nil)
	trace("WriteMsgUnix", n, oobn, err)
	b, oob := make([]byte, 10), make([]byte, 100)
	n, oobn, flags, addr, err := s.ReadMsgUnix(b, oob)
	trace("ReadMsgUnix", b[:n], oobn, flags&^syscall.MSG_CMSG_CLOEXEC, addr, err)
	messages, err := syscall.ParseSocketControlMessage(oob[:oobn])
	check(err)
	fds, err := syscall.ParseUnixRights(&messages[0])
	check(err)
	passed := os.NewFile(uintptr(fds[0]), "passed")
	_, err = passed.WriteString("through")
	check(err)
	n, err = r.Read(b)
	trace("passed file", b[:n], err)
	check(passed.Close())
	check(r.Close())
	check(w.Close())
	_, err = c.Write([]byte("more"))
	check(err)
	n, from, err := s.ReadFromUnix(b)
	trace("ReadFromUnix", b[:n], from, err)
	n, err = c.WriteToUnix(b, &net.UnixAddr{Name: "x", Net: "unix"})
	trace("WriteToUnix of dialed", n, err)
	n, err = s.WriteToUnix(b, &net.UnixAddr{Name: "x", Net: "unix"})
	trace("WriteToUnix of accepted", n, err)
	n, err = s.WriteTo(b, &net.TCPAddr{})
	trace("WriteTo other", n, err)
	check(s.SetReadDeadline(past))
	n, _, err = s.ReadFromUnix(b)
	trace("ReadFromUnix past deadline", n, err)
	check(s.SetReadDeadline(time.Now().Add(20 * time.Millisecond)))
	n, _, err = s.ReadFromUnix(b)
	trace("ReadFromUnix until deadline", n, err)
	_, _, _, _, err = s.ReadMsgUnix(b, oob)
	trace("ReadMsgUnix past deadline", err)
	check(s.SetReadDeadline(never))
	check(c.CloseWrite())
	n, from, err = s.ReadFromUnix(b)
	trace("ReadFromUnix at end", n, from, err)
	n, err = s.Read(b)
	trace("read at end", n, err)
	f, err := s.File()
	check(err)
	trace("unix file", fmt.Sprintf("%T", f))
	check(f.Close())
	check(c.Close())
	check(s.Close())
	_, _, err = s.ReadFrom(b)
	trace("ReadFrom of closed", err)
}
