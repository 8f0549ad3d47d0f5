package conformance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// blob is every message's type: the service needs no generated code.
type blob = wrapperspb.BytesValue

// echoServer is a gRPC service written out by hand.
type echoServer struct {
	held     chan struct{} // Hold reports its entry here
	release  chan struct{} // closed: Hold returns
	canceled chan error    // why Hold's or Flood's context ended
}

func newEchoServer() *echoServer {
	return &echoServer{
		held:     make(chan struct{}, 1000),
		release:  make(chan struct{}),
		canceled: make(chan error, 1000),
	}
}

const (
	methodUnary   = "/quoit.Echo/Unary"
	methodHold    = "/quoit.Echo/Hold"
	methodCollect = "/quoit.Echo/Collect"
	methodExpand  = "/quoit.Echo/Expand"
	methodFlood   = "/quoit.Echo/Flood"
	methodChat    = "/quoit.Echo/Chat"
)

var (
	clientStream = &grpc.StreamDesc{ClientStreams: true}
	serverStream = &grpc.StreamDesc{ServerStreams: true}
	bidiStream   = &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
)

var echoService = grpc.ServiceDesc{
	ServiceName: "quoit.Echo",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{
		{MethodName: "Unary", Handler: unary((*echoServer).unary)},
		{MethodName: "Hold", Handler: unary((*echoServer).hold)},
	},
	Streams: []grpc.StreamDesc{
		{StreamName: "Collect", Handler: stream((*echoServer).collect), ClientStreams: true},
		{StreamName: "Expand", Handler: stream((*echoServer).expand), ServerStreams: true},
		{StreamName: "Flood", Handler: stream((*echoServer).flood), ServerStreams: true},
		{StreamName: "Chat", Handler: stream((*echoServer).chat), ClientStreams: true, ServerStreams: true},
	},
}

func unary(f func(*echoServer, context.Context, *blob) (*blob, error)) grpc.MethodHandler {
	return func(srv any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		in := new(blob)
		if err := dec(in); err != nil {
			return nil, err
		}
		return f(srv.(*echoServer), ctx, in)
	}
}

func stream(f func(*echoServer, grpc.ServerStream) error) grpc.StreamHandler {
	return func(srv any, s grpc.ServerStream) error { return f(srv.(*echoServer), s) }
}

// answer is what the server makes of a message: its hash, and itself.
func answer(in []byte) []byte {
	sum := sha256.Sum256(in)
	return append(sum[:], in...)
}

func checkAnswer(sent, got []byte) error {
	if want := answer(sent); !bytes.Equal(got, want) {
		return fmt.Errorf("sent %d bytes, the answer has %d and should have %d, or they differ", len(sent), len(got), len(want))
	}
	return nil
}

func (*echoServer) unary(_ context.Context, in *blob) (*blob, error) {
	return wrapperspb.Bytes(answer(in.Value)), nil
}

// hold answers when the server releases it.
func (s *echoServer) hold(ctx context.Context, in *blob) (*blob, error) {
	s.held <- struct{}{}
	select {
	case <-s.release:
		return wrapperspb.Bytes(answer(in.Value)), nil
	case <-ctx.Done():
		s.canceled <- ctx.Err()
		return nil, ctx.Err()
	}
}

// collect answers a whole stream with one hash.
func (*echoServer) collect(s grpc.ServerStream) error {
	h := sha256.New()
	for {
		in := new(blob)
		switch err := s.RecvMsg(in); err {
		case nil:
			h.Write(in.Value)
		case io.EOF:
			return s.SendMsg(wrapperspb.Bytes(h.Sum(nil)))
		default:
			return err
		}
	}
}

// expand answers one message of n bytes with n messages, of 0 to n-1 bytes.
func (*echoServer) expand(s grpc.ServerStream) error {
	in := new(blob)
	if err := s.RecvMsg(in); err != nil {
		return err
	}
	for i := range in.Value {
		if err := s.SendMsg(wrapperspb.Bytes(in.Value[:i])); err != nil {
			return err
		}
	}
	return nil
}

// flood sends until the client stops it.
func (s *echoServer) flood(ss grpc.ServerStream) error {
	if err := ss.RecvMsg(new(emptypb.Empty)); err != nil {
		return err
	}
	out := wrapperspb.Bytes(payload(1, 64<<10))
	for {
		if err := ss.SendMsg(out); err != nil {
			s.canceled <- ss.Context().Err()
			return err
		}
	}
}

func (*echoServer) chat(s grpc.ServerStream) error {
	for {
		in := new(blob)
		switch err := s.RecvMsg(in); err {
		case nil:
			if err := s.SendMsg(wrapperspb.Bytes(answer(in.Value))); err != nil {
				return err
			}
		case io.EOF:
			return nil
		default:
			return err
		}
	}
}
