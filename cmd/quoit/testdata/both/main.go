// Command both uses quoit, and package net as quoit build has changed it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"syscall"

	"github.com/quoit-go/quoit"
)

func check(err error) {
	if err != nil {
		log.Output(2, err.Error())
		os.Exit(1)
	}
}

// serve has ln accept one conn, and dial it.
func serve(name string, ln net.Listener, dial func(network, address string) (net.Conn, error)) {
	c, err := dial(ln.Addr().Network(), ln.Addr().String())
	check(err)
	s, err := ln.Accept()
	check(err)
	fmt.Printf("%s: %T %T %T\n", name, ln, c, s)
	_, err = c.Write([]byte("through"))
	check(err)
	b := make([]byte, 7)
	_, err = io.ReadFull(s, b)
	check(err)
	file(s)
	file(c)
	check(s.Close())
	check(c.Close())
	check(ln.Close())
}

type filer interface{ File() (*os.File, error) }

// file makes conns of c's file.
func file(c net.Conn) {
	f, err := c.(filer).File()
	check(err)
	defer f.Close()
	ours, err := quoit.FileConn(f)
	check(err)
	theirs, err := net.FileConn(f)
	check(err)
	fmt.Printf("FileConn: %T %T\n", ours, theirs)
	check(ours.Close())
	check(theirs.Close())
}

func main() {
	ln, err := quoit.Listen("tcp", "127.0.0.1:0")
	check(err)
	serve("quoit", ln, quoit.Dial)
	ln, err = net.Listen("tcp", "127.0.0.1:0")
	check(err)
	serve("net", ln, net.Dial)
	ln, err = net.Listen("tcp", "127.0.0.1:0")
	check(err)
	serve("mixed", ln, quoit.Dial)

	ln, err = net.Listen("tcp", "127.0.0.1:0")
	check(err)
	taken, err := quoit.NewListener(ln)
	check(err)
	serve("NewListener", taken, net.Dial)

	ln, err = net.Listen("tcp", "127.0.0.1:0")
	check(err)
	f, err := ln.(filer).File()
	check(err)
	again, err := quoit.FileListener(f)
	check(err)
	check(f.Close())
	check(ln.Close())
	serve("FileListener", again, net.Dial)

	e, err := quoit.New(nil)
	check(err)
	ln, err = e.Listen("tcp", "127.0.0.1:0")
	check(err)
	serve("another engine", ln, e.Dialer().Dial)
	lc := quoit.ListenConfig{Engine: e, Steering: quoit.SteerByHash()}
	ln, err = lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	check(err)
	serve("steered", ln, net.Dial)
	check(e.Close())
	refused()
}

// refused has the reasons of quoit, in package net's words.
func refused() {
	lc := net.ListenConfig{Control: func(string, string, syscall.RawConn) error { return nil }}
	ln, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	check(err)
	f, err := ln.(filer).File()
	check(err)
	defer f.Close()
	check(quoit.Default().Close())
	_, err = net.Listen("tcp", "127.0.0.1:0")
	closed("Listen", err)
	_, err = net.FileListener(f)
	closed("FileListener", err)
	other, err := quoit.New(nil)
	check(err)
	defer other.Close()
	ol, err := other.Listen("tcp", "127.0.0.1:0")
	check(err)
	_, err = net.Dial("tcp", ol.Addr().String())
	closed("Dial", err)
}

func closed(call string, err error) {
	oe, ok := err.(*net.OpError)
	fmt.Println(call, "closed:", ok && oe.Err == quoit.ErrEngineClosed, errors.Is(err, quoit.ErrEngineClosed))
}
