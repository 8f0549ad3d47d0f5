// Command grpc serves gRPC over quoit: the health service, whose Watch is a stream,
// and reflection, by which grpcurl finds it.
//
//	go run -C examples/libraries ./grpc
//	grpcurl -plaintext localhost:50051 grpc.health.v1.Health/Check
//	grpcurl -plaintext localhost:50051 grpc.health.v1.Health/Watch
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/quoit-go/quoit"
)

func main() {
	addr := flag.String("addr", "localhost:50051", "`address` to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	lc := quoit.ListenConfig{UserTimeout: timeout}
	ln, err := lc.Listen(ctx, "tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("serving %s over %s", ln.Addr(), quoit.Default().Stats().Transport)
	srv := newServer()
	context.AfterFunc(ctx, srv.Stop)
	if err := srv.Serve(ln); err != nil {
		log.Fatal(err)
	}
}

// timeout is also how long a client may take nothing. On package net's conns grpc-go
// has the kernel end those that take longer, by TCP_USER_TIMEOUT; on others
// ListenConfig.UserTimeout does.
const timeout = 20 * time.Second

func newServer() *grpc.Server {
	srv := grpc.NewServer(grpc.KeepaliveParams(keepalive.ServerParameters{
		// A client that has said nothing for a minute is asked whether it is there, and
		// gone if it does not answer in time.
		Time:    time.Minute,
		Timeout: timeout,
	}))
	healthpb.RegisterHealthServer(srv, health.NewServer())
	reflection.Register(srv)
	return srv
}
