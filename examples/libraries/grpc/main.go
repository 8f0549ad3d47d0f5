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
	ln, err := quoit.Listen("tcp", *addr)
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

func newServer() *grpc.Server {
	srv := grpc.NewServer(grpc.KeepaliveParams(keepalive.ServerParameters{
		// A client that has said nothing for a minute is asked whether it is there, and
		// gone if it does not answer in 20 seconds. On package net's conns grpc-go has
		// the kernel end those, too, that take nothing: TCP_USER_TIMEOUT.
		Time:    time.Minute,
		Timeout: 20 * time.Second,
	}))
	healthpb.RegisterHealthServer(srv, health.NewServer())
	reflection.Register(srv)
	return srv
}
