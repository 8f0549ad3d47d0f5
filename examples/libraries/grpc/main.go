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
	"net"
	"os"
	"os/signal"
	"runtime"
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
	ln, err := listen(ctx, *addr, 20*time.Second)
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

// listen has the kernel end conns whose client takes nothing for as long as limit.
// grpc-go asks for that itself, with Timeout below, but on a *net.TCPConn only.
func listen(ctx context.Context, addr string, limit time.Duration) (net.Listener, error) {
	var lc quoit.ListenConfig
	if runtime.GOOS == "linux" { // others refuse it
		lc.UserTimeout = limit
	}
	return lc.Listen(ctx, "tcp", addr)
}

func newServer() *grpc.Server {
	srv := grpc.NewServer(grpc.KeepaliveParams(keepalive.ServerParameters{
		Time:    time.Minute, // idle for so long: ask the client whether it is there
		Timeout: 20 * time.Second,
	}))
	healthpb.RegisterHealthServer(srv, health.NewServer())
	reflection.Register(srv)
	return srv
}
