// Command plainhttp is an HTTP server that knows nothing of quoit: it uses package
// net, asserts its types, and imports nothing else. Built by quoit build it has
// its sockets on io_uring, and the assertions hold:
//
//	go run ./cmd/quoit build -o /tmp/plainhttp ./examples/plainhttp
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	flag.Parse()
	if err := serve(*addr); err != nil {
		log.Fatal(err)
	}
}

// serve serves until an interrupt.
func serve(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		return fmt.Errorf("net.Listen returned a %T", ln)
	}
	srv := &http.Server{
		Handler:     http.HandlerFunc(hello),
		ConnContext: withConn,
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	shut := make(chan error, 1)
	go func() {
		<-ctx.Done()
		bounded, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		shut <- srv.Shutdown(bounded)
	}()
	log.Printf("listening on http://%s", tcp.Addr())
	if err := srv.Serve(tcp); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-shut
}

type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// hello answers with the type of the conn that the request came by. It needs that
// to be a *net.TCPConn, as many programs do, for a call that only it has.
func hello(w http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(connKey{}).(net.Conn)
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		http.Error(w, fmt.Sprintf("the conn is a %T", c), http.StatusInternalServerError)
		return
	}
	if err := tcp.SetNoDelay(true); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "Hello from a %T\n", c)
}
