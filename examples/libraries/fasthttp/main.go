// Command fasthttp serves HTTP by fasthttp over quoit.
//
//	go run -C examples/libraries ./fasthttp
//	curl http://localhost:8080/some/path
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/quoit-go/quoit"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "`address` to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ln, err := quoit.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("serving http://%s over %s", ln.Addr(), quoit.Default().Stats().Transport)
	if err := serve(ctx, ln); err != nil {
		log.Fatal(err)
	}
}

// serve serves until ctx ends, and lets requests finish then.
func serve(ctx context.Context, ln net.Listener) error {
	srv := &fasthttp.Server{
		Handler: func(ctx *fasthttp.RequestCtx) {
			fmt.Fprintf(ctx, "you asked for %s\n", ctx.Path())
		},
		ReadTimeout:     time.Minute,
		IdleTimeout:     2 * time.Minute,
		CloseOnShutdown: true, // clients are told not to use the conn again
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := srv.ShutdownWithContext(ctx); err != nil {
		return err
	}
	return <-served
}
