//go:build linux

package main

import (
	"net"
	"syscall"
	"testing"
	"time"
)

// Accepted conns have what the listening socket was given.
func TestUserTimeout(t *testing.T) {
	for _, transport := range []string{"net", "quoit"} {
		t.Run(transport, func(t *testing.T) {
			ln, _, err := listen(options{addr: "localhost:0", transport: transport, userTimeout: 7 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			c, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			s, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			rc, err := s.(syscall.Conn).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			var ms int
			cerr := rc.Control(func(fd uintptr) {
				ms, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout)
			})
			if ms != 7000 || err != nil || cerr != nil {
				t.Errorf("%d ms, %v, %v", ms, err, cerr)
			}
		})
	}
}
