package main

import (
	"errors"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func errorTexts(dir string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	addr := ln.Addr().String()
	_, err = net.Listen("tcp", addr)
	trace("in use", err, errors.Is(err, syscall.EADDRINUSE))
	check(ln.Close())
	_, err = net.Dial("tcp", addr)
	trace("refused", err, errors.Is(err, syscall.ECONNREFUSED))
	_, err = net.Dial("unix", filepath.Join(dir, "nobody"))
	trace("no file", err)
	_, err = net.Listen("unix", filepath.Join(dir, strings.Repeat("x", 200)))
	trace("long name", strings.Contains(err.Error(), "invalid argument"))
	_, err = net.Dial("what", addr)
	trace("unknown network", err)
	_, err = net.Listen("tcp", "127.0.0.1:99999")
	trace("bad port", err)
	_, err = net.ListenUnix("unix", nil)
	trace("no address", err)
	_, err = net.DialTCP("tcp", nil, nil)
	trace("dial no address", err)
}

// zero has no sockets: package net returns EINVAL.
func zero() {
	var c net.TCPConn
	_, err := c.Read(nil)
	trace("zero read", err)
	_, err = c.Write(nil)
	trace("zero write", err)
	_, err = c.ReadFrom(strings.NewReader("x"))
	trace("zero ReadFrom", err)
	_, err = c.SyscallConn()
	trace("zero SyscallConn", err)
	trace("zero close", c.Close(), c.CloseRead(), c.SetDeadline(time.Time{}), c.SetLinger(0))
	trace("zero addresses", c.LocalAddr(), c.RemoteAddr())
	var l net.TCPListener
	_, err = l.Accept()
	trace("zero accept", err)
	_, err = l.File()
	trace("zero listener file", err)
	trace("zero listener", l.Close(), l.SetDeadline(time.Time{}))
	var u net.UnixConn
	_, _, err = u.ReadFromUnix(nil)
	trace("zero unix", err, u.CloseWrite())
	_, _, err = u.WriteMsgUnix(nil, nil, nil)
	trace("zero unix message", err)
	var ul *net.UnixListener
	_, err = ul.AcceptUnix()
	trace("nil unix listener", err, ul.Close())
	defer func() { trace("zero file", recover() != nil) }()
	_, err = c.File()
	trace("zero conn file", err)
}
