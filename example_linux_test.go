//go:build linux

package quoit_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit"
)

// A gRPC server has the kernel end a conn whose peer is gone, or reads nothing,
// once it has waited for 20 seconds to get rid of its bytes. It does so by
// TCP_USER_TIMEOUT, which grpc-go sets on a *net.TCPConn only: on any other conn
// it does without, and says nothing. UserTimeout sets the option on the listening
// socket instead, and accepted conns inherit it. A client that uses
// keepalive.ClientParameters has [Dialer].UserTimeout.
func ExampleListenConfig_userTimeout() {
	lc := quoit.ListenConfig{UserTimeout: 20 * time.Second} // as keepalive.ServerParameters.Timeout
	ln, err := lc.Listen(context.Background(), "tcp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	go func() { // in the place of grpc.Server.Serve(ln)
		c, err := net.Dial("tcp", ln.Addr().String())
		if err == nil {
			defer c.Close()
			_, _ = c.Read(make([]byte, 1)) // until the other end is closed
		}
	}()
	c, err := ln.Accept()
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	rc, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		log.Fatal(err)
	}
	err = rc.Control(func(fd uintptr) {
		ms, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
		fmt.Println(time.Duration(ms)*time.Millisecond, err)
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: 20s <nil>
}

// The listening socket that systemd passes to a service is descriptor 3.
func ExampleFileListener() {
	f := passedSocket()              // os.NewFile(3, "listener")
	ln, err := quoit.FileListener(f) // was net.FileListener
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	f.Close() // ln has a copy
	fmt.Println(ln.Addr().Network())
	// Output: tcp
}

// passedSocket returns a listening socket, as another process might.
func passedSocket() *os.File {
	ln, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		log.Fatal(err)
	}
	return f
}

// An answer in parts leaves by one system call. ReadFrom does so on conns of package
// net, too, and WriteTo only there.
func ExampleConn_ReadFrom() {
	server := echo()
	defer server.Close()
	c, err := quoit.Dial("tcp", server.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	answer := net.Buffers{[]byte("header, "), []byte("body\n")}
	n, err := c.(io.ReaderFrom).ReadFrom(&answer) // was answer.WriteTo(c)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, len(answer))
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		log.Fatal(err)
	}
	got, err := io.ReadAll(c)
	fmt.Printf("%s%v\n", got, err)
	// Output:
	// 13 0
	// header, body
	// <nil>
}

// echo listens and sends back what comes.
func echo() net.Listener {
	ln, err := quoit.Listen("tcp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(c, c)
			c.Close()
		}
	}()
	return ln
}

func ExampleFileConn() {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		log.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	c, err := quoit.FileConn(ours) // was net.FileConn
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ours.Close() // c has a copy

	fmt.Fprint(theirs, "hello")
	theirs.Close()
	message, err := io.ReadAll(c)
	fmt.Printf("%s, %v\n", message, err)
	// Output: hello, <nil>
}
