package main

import (
	"context"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

// server is the program's, with a stream that does not end.
type server struct {
	addr  string
	ended chan error // why a call of /test/Flood did end
}

func start(t *testing.T, limit time.Duration) *server {
	t.Helper()
	ln, err := listen(t.Context(), "127.0.0.1:0", limit)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{addr: ln.Addr().String(), ended: make(chan error, 100)}
	srv := newServer()
	srv.RegisterService(&grpc.ServiceDesc{
		ServiceName: "test", HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{StreamName: "Flood", ServerStreams: true, Handler: s.flood}},
	}, s)
	served := testenv.Go(func() error { return srv.Serve(ln) })
	t.Cleanup(func() {
		srv.Stop()
		testenv.Wait(t, served, "the server's end")
	})
	return s
}

func (s *server) flood(_ any, stream grpc.ServerStream) error {
	msg := wrapperspb.Bytes(make([]byte, 100_000))
	for {
		if err := stream.SendMsg(msg); err != nil {
			s.ended <- err
			return err
		}
	}
}

// dial connects through package net. The conn's window has room for more than
// sockets hold.
func (s *server) dial(t *testing.T, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	c, err := grpc.NewClient(s.addr, append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithInitialWindowSize(1<<30), grpc.WithInitialConnWindowSize(1<<30))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func check(t *testing.T, c *grpc.ClientConn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Bound)
	defer cancel()
	resp, err := healthpb.NewHealthClient(c).Check(ctx, &healthpb.HealthCheckRequest{})
	if err != nil || resp.Status != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("got %v, %v", resp, err)
	}
}

func TestServe(t *testing.T) {
	enginetest.Counts(t, 8, 0)
	s := start(t, time.Minute)
	var wg sync.WaitGroup
	for range 8 {
		c := s.dial(t)
		wg.Go(func() {
			for range 20 {
				check(t, c)
			}
			watch, err := healthpb.NewHealthClient(c).Watch(t.Context(), &healthpb.HealthCheckRequest{})
			if err != nil {
				t.Error(err)
				return
			}
			if resp, err := watch.Recv(); err != nil || resp.Status != healthpb.HealthCheckResponse_SERVING {
				t.Errorf("got %v, %v", resp, err)
			}
		})
	}
	wg.Wait()
}

// stallConn is a conn that nobody reads any more from some time on.
type stallConn struct {
	net.Conn
	stalled atomic.Bool
	closed  chan struct{}
	close   func()
}

func (c *stallConn) Read(b []byte) (int, error) {
	if c.stalled.Load() {
		<-c.closed
		return 0, net.ErrClosed
	}
	return c.Conn.Read(b)
}

func (c *stallConn) Close() error {
	c.close()
	return c.Conn.Close()
}

// floodOf opens streams on one conn, which stalls when all of them flow.
func (s *server) floodOf(t *testing.T, streams int) *stallConn {
	t.Helper()
	conns := make(chan *stallConn, 1)
	c := s.dial(t, grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		closed := make(chan struct{})
		sc := &stallConn{Conn: c, closed: closed, close: sync.OnceFunc(func() { close(closed) })}
		select {
		case conns <- sc:
			return sc, nil
		default: // the client would connect anew
			c.Close()
			return nil, net.ErrClosed
		}
	}))
	for range streams {
		desc := &grpc.StreamDesc{StreamName: "Flood", ServerStreams: true}
		stream, err := c.NewStream(t.Context(), desc, "/test/Flood", grpc.MaxCallRecvMsgSize(1<<20))
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if err := stream.RecvMsg(new(wrapperspb.BytesValue)); err != nil {
			t.Fatal(err)
		}
	}
	sc := testenv.Recv(t, conns, "the dial")
	sc.stalled.Store(true)
	return sc
}

// A client that opens streams and then takes nothing is gone when the limit has
// passed. Until then others are served.
func TestStalledClient(t *testing.T) {
	const streams = 5
	s := start(t, time.Second)
	s.floodOf(t, streams)
	check(t, s.dial(t))
	for range streams {
		testenv.Recv(t, s.ended, "the end of a stream")
	}
	check(t, s.dial(t))
}

// A client that vanishes ends its streams.
func TestLostClient(t *testing.T) {
	const streams = 5
	s := start(t, time.Minute)
	s.floodOf(t, streams).Conn.Close()
	for range streams {
		testenv.Recv(t, s.ended, "the end of a stream")
	}
}
