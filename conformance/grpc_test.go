package conformance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/quoit-go/quoit/internal/testenv"
)

const maxMessage = 16 << 20

// grpcPair is a server and how to reach it.
type grpcPair struct {
	*echoServer
	server *grpc.Server
	ln     *signalListener
	client testenv.Transport
	creds  credentials.TransportCredentials
}

// signalListener tells when it has been closed.
type signalListener struct {
	net.Listener
	once   sync.Once
	closed chan struct{}
}

func (ln *signalListener) Close() error {
	err := ln.Listener.Close()
	ln.once.Do(func() { close(ln.closed) })
	return err
}

type grpcCase struct {
	name           string
	network        string
	server, client testenv.Transport
	tls            bool
}

var grpcCases = []grpcCase{
	{"tcp", "tcp", quoitStack, quoitStack, false},
	{"unix", "unix", quoitStack, quoitStack, false},
	{"tls", "tcp", quoitStack, quoitStack, true},
	{"server only", "tcp", quoitStack, testenv.Net, false},
	{"client only", "tcp", testenv.Net, quoitStack, false},
}

func eachGRPC(t *testing.T, f func(t *testing.T, p *grpcPair)) {
	for _, tt := range grpcCases {
		t.Run(tt.name, func(t *testing.T) { f(t, startGRPC(t, tt)) })
	}
}

func startGRPC(t *testing.T, tt grpcCase, opts ...grpc.ServerOption) *grpcPair {
	t.Helper()
	p := &grpcPair{
		echoServer: newEchoServer(),
		ln:         &signalListener{Listener: newListener(t, tt.server, tt.network), closed: make(chan struct{})},
		client:     tt.client,
		creds:      insecure.NewCredentials(),
	}
	if tt.tls {
		server, client := tlsConfigs()
		opts = append(opts, grpc.Creds(credentials.NewTLS(server)))
		p.creds = credentials.NewTLS(client)
	}
	p.server = grpc.NewServer(append(opts, grpc.MaxRecvMsgSize(maxMessage))...)
	p.server.RegisterService(&echoService, p.echoServer)
	served := make(chan error, 1)
	go func() { served <- p.server.Serve(p.ln) }()
	t.Cleanup(func() {
		p.server.Stop()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return p
}

func (p *grpcPair) connect(t *testing.T, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///localhost", append(opts,
		grpc.WithTransportCredentials(p.creds),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			c, err := p.client.Dial(ctx, p.ln.Addr().Network(), p.ln.Addr().String())
			if err == nil && p.client.Name == quoitStack.Name {
				onRing(t, c)
			}
			return c, err
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cc
}

func callUnary(ctx context.Context, cc *grpc.ClientConn, msg []byte) error {
	out := new(blob)
	if err := cc.Invoke(ctx, methodUnary, wrapperspb.Bytes(msg), out); err != nil {
		return err
	}
	return checkAnswer(msg, out.Value)
}

func TestGRPCUnary(t *testing.T) {
	eachGRPC(t, func(t *testing.T, p *grpcPair) {
		cc := p.connect(t)
		for i, size := range []int{0, 1, 100, 16 << 10, 1<<16 + 1, 4 << 20} {
			if err := callUnary(callContext(t), cc, payload(uint64(i), size)); err != nil {
				t.Errorf("%d bytes: %v", size, err)
			}
		}
	})
}

func openStream(t *testing.T, cc *grpc.ClientConn, desc *grpc.StreamDesc, method string) grpc.ClientStream {
	t.Helper()
	s, err := cc.NewStream(callContext(t), desc, method)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestGRPCClientStream(t *testing.T) {
	eachGRPC(t, func(t *testing.T, p *grpcPair) {
		s := openStream(t, p.connect(t), clientStream, methodCollect)
		h := sha256.New()
		for i := range 200 {
			msg := payload(uint64(i), i*97)
			h.Write(msg)
			if err := s.SendMsg(wrapperspb.Bytes(msg)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		out := new(blob)
		if err := s.RecvMsg(out); err != nil || !bytes.Equal(out.Value, h.Sum(nil)) {
			t.Errorf("got %x, %v", out.Value, err)
		}
	})
}

func TestGRPCServerStream(t *testing.T) {
	eachGRPC(t, func(t *testing.T, p *grpcPair) {
		s := openStream(t, p.connect(t), serverStream, methodExpand)
		msg := payload(7, 1500)
		if err := s.SendMsg(wrapperspb.Bytes(msg)); err != nil {
			t.Fatal(err)
		}
		s.CloseSend()
		for i := range msg {
			out := new(blob)
			if err := s.RecvMsg(out); err != nil || !bytes.Equal(out.Value, msg[:i]) {
				t.Fatalf("message %d: %d bytes, %v", i, len(out.Value), err)
			}
		}
		if err := s.RecvMsg(new(blob)); err != io.EOF {
			t.Errorf("after the last: %v", err)
		}
	})
}

func TestGRPCBidiStream(t *testing.T) {
	eachGRPC(t, func(t *testing.T, p *grpcPair) {
		s := openStream(t, p.connect(t), bidiStream, methodChat)
		if err := chat(s, 0, 50, 32<<10); err != nil { // one at a time
			t.Fatal(err)
		}
		sent := make(chan error, 1)
		go func() { // then both directions at full speed
			for i := range 50 {
				if err := s.SendMsg(wrapperspb.Bytes(payload(uint64(i), 200<<10))); err != nil {
					sent <- err
					return
				}
			}
			sent <- s.CloseSend()
		}()
		for i := range 50 {
			out := new(blob)
			if err := s.RecvMsg(out); err != nil {
				t.Fatal(err)
			}
			if err := checkAnswer(payload(uint64(i), 200<<10), out.Value); err != nil {
				t.Fatalf("message %d: %v", i, err)
			}
		}
		if err := testenv.Recv(t, sent, "end of sending"); err != nil {
			t.Error(err)
		}
		if err := s.RecvMsg(new(blob)); err != io.EOF {
			t.Errorf("after the last: %v", err)
		}
	})
}

// chat sends n messages of up to max bytes and checks each answer.
func chat(s grpc.ClientStream, seed uint64, n, max int) error {
	for i := range n {
		msg := payload(seed+uint64(i), (i*7919+int(seed))%max)
		if err := s.SendMsg(wrapperspb.Bytes(msg)); err != nil {
			return err
		}
		out := new(blob)
		if err := s.RecvMsg(out); err != nil {
			return err
		}
		if err := checkAnswer(msg, out.Value); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
	}
	return nil
}

func TestGRPCCancel(t *testing.T) {
	eachGRPC(t, func(t *testing.T, p *grpcPair) {
		cc := p.connect(t)
		t.Run("unary", func(t *testing.T) {
			ctx, cancel := context.WithCancel(callContext(t))
			done := make(chan error, 1)
			go func() { done <- cc.Invoke(ctx, methodHold, wrapperspb.Bytes(nil), new(blob)) }()
			testenv.Recv(t, p.held, "entry of the call")
			cancel()
			if err := testenv.Recv(t, done, "end of the call"); status.Code(err) != codes.Canceled {
				t.Errorf("client: %v", err)
			}
			if err := testenv.Recv(t, p.canceled, "end on the server"); err != context.Canceled {
				t.Errorf("server: %v", err)
			}
		})
		t.Run("deadline", func(t *testing.T) {
			ctx, cancel := context.WithTimeout(callContext(t), 50*time.Millisecond)
			defer cancel()
			err := cc.Invoke(ctx, methodHold, wrapperspb.Bytes(nil), new(blob))
			if status.Code(err) != codes.DeadlineExceeded {
				t.Errorf("client: %v", err)
			}
		})
		t.Run("flood", func(t *testing.T) {
			ctx, cancel := context.WithCancel(callContext(t))
			defer cancel()
			s, err := cc.NewStream(ctx, serverStream, methodFlood)
			if err != nil {
				t.Fatal(err)
			}
			s.SendMsg(new(emptypb.Empty))
			s.CloseSend()
			for range 3 {
				if err := s.RecvMsg(new(blob)); err != nil {
					t.Fatal(err)
				}
			}
			cancel()
			var err2 error
			for err2 == nil { // what had arrived may still be there
				err2 = s.RecvMsg(new(blob))
			}
			if status.Code(err2) != codes.Canceled {
				t.Errorf("client: %v", err2)
			}
			for { // the deadline subtest may have left its own reason
				if err := testenv.Recv(t, p.canceled, "end on the server"); err == context.Canceled {
					break
				}
			}
		})
		if err := callUnary(callContext(t), cc, payload(1, 1000)); err != nil {
			t.Errorf("after all that: %v", err)
		}
	})
}

func TestGRPCGracefulStop(t *testing.T) {
	eachGRPC(t, func(t *testing.T, p *grpcPair) {
		const calls = 20
		cc := p.connect(t)
		results := make(chan error, calls)
		for i := range calls {
			go func() {
				msg, out := payload(uint64(i), 10_000+i), new(blob)
				err := cc.Invoke(callContext(t), methodHold, wrapperspb.Bytes(msg), out)
				if err == nil {
					err = checkAnswer(msg, out.Value)
				}
				results <- err
			}()
		}
		s := openStream(t, cc, bidiStream, methodChat)
		if err := chat(s, 1, 1, 100); err != nil {
			t.Fatal(err)
		}
		for range calls {
			testenv.Recv(t, p.held, "entry of a call")
		}

		stopped := make(chan struct{})
		go func() {
			p.server.GracefulStop()
			close(stopped)
		}()
		testenv.Recv(t, p.ln.closed, "close of the listener")
		if c, err := p.client.Dial(callContext(t), p.ln.Addr().Network(), p.ln.Addr().String()); err == nil {
			c.Close()
			t.Error("the address still accepts")
		}
		if err := chat(s, 2, 10, 20_000); err != nil {
			t.Errorf("stream in flight: %v", err)
		}
		select {
		case <-stopped:
			t.Error("GracefulStop did not wait")
		default:
		}
		close(p.release)
		for range calls {
			if err := testenv.Recv(t, results, "end of a call"); err != nil {
				t.Errorf("call in flight: %v", err)
			}
		}
		s.CloseSend()
		if err := s.RecvMsg(new(blob)); err != io.EOF {
			t.Errorf("stream's end: %v", err)
		}
		testenv.Recv(t, stopped, "GracefulStop")
		if err := callUnary(callContext(t), cc, nil); status.Code(err) != codes.Unavailable {
			t.Errorf("call after the stop: %v", err)
		}
	})
}

// A hard stop fails calls at once, on both sides.
func TestGRPCStop(t *testing.T) {
	eachGRPC(t, func(t *testing.T, p *grpcPair) {
		cc := p.connect(t)
		done := make(chan error, 1)
		go func() { done <- cc.Invoke(callContext(t), methodHold, wrapperspb.Bytes(nil), new(blob)) }()
		testenv.Recv(t, p.held, "entry of the call")
		p.server.Stop()
		if err := testenv.Recv(t, done, "end of the call"); status.Code(err) != codes.Unavailable {
			t.Errorf("client: %v", err)
		}
		if err := testenv.Recv(t, p.canceled, "end on the server"); !errors.Is(err, context.Canceled) {
			t.Errorf("server: %v", err)
		}
	})
}

func TestGRPCConcurrent(t *testing.T) {
	eachGRPC(t, func(t *testing.T, p *grpcPair) {
		const calls, conns = 200, 8
		var ccs [conns]*grpc.ClientConn
		for i := range ccs {
			ccs[i] = p.connect(t)
		}
		var wg sync.WaitGroup
		for i := range calls {
			wg.Go(func() {
				cc := ccs[i%conns]
				for j := range 5 {
					if err := callUnary(callContext(t), cc, payload(uint64(i), (i*j*331)%50_000)); err != nil {
						t.Errorf("call %d.%d: %v", i, j, err)
						return
					}
				}
				s, err := cc.NewStream(callContext(t), bidiStream, methodChat)
				if err == nil {
					err = chat(s, uint64(i), 5, 20_000)
				}
				if err == nil {
					err = s.CloseSend()
				}
				if err == nil {
					if err = s.RecvMsg(new(blob)); err == io.EOF {
						err = nil
					}
				}
				if err != nil {
					t.Errorf("stream %d: %v", i, err)
				}
			})
		}
		wg.Wait()
	})
}
