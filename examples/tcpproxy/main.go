// Command tcpproxy forwards TCP connections to another server, with quoit's conns
// on both sides.
//
//	go run ./examples/httpserver &
//	go run ./examples/tcpproxy -to localhost:8080
//	curl http://localhost:8082/
//
// io.Copy between two of quoit's conns needs no goroutine to run for a small
// message: the ring's thread forwards it. A wrapper around one of them has no
// part in that.
package main

import (
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"sync"
	"time"

	"github.com/quoit-go/quoit"
)

func main() {
	addr := flag.String("addr", "localhost:8082", "`address` to listen on")
	to := flag.String("to", "localhost:8080", "`address` to forward to")
	flag.Parse()
	ln, err := quoit.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("%s goes to %s over %s", ln.Addr(), *to, quoit.Default().Stats().Transport)
	log.Fatal(serve(ln, *to))
}

// serve forwards what ln accepts until ln is closed, and then waits until the
// last conn has ended.
func serve(ln net.Listener, to string) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		client, err := ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // no descriptors left, for example: conns that end bring some
			log.Print(err)
			time.Sleep(100 * time.Millisecond)
		default:
			conns.Go(func() {
				if err := forward(client.(conn), to); err != nil {
					log.Printf("%s: %v", client.RemoteAddr(), err)
				}
			})
		}
	}
}

// conn is a *quoit.Conn, or a *net.TCPConn where package net serves.
type conn interface {
	net.Conn
	CloseWrite() error
}

// forward connects client to the server at to, until both have ended what they
// send, or one of them fails.
func forward(client conn, to string) error {
	defer client.Close()
	c, err := quoit.DialTimeout("tcp", to, 10*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	server := c.(conn)
	up := make(chan error, 1)
	go func() { up <- pipe(server, client) }()
	return errors.Join(pipe(client, server), <-up)
}

// pipe copies src to dst, its end included: what is a request's end for some
// protocols must not end the answer. An error ends both directions.
func pipe(dst, src conn) error {
	_, err := io.Copy(dst, src)
	if err == nil {
		err = dst.CloseWrite()
	}
	if err != nil {
		src.Close()
		dst.Close()
	}
	return err
}
