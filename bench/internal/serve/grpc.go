package serve

import (
	"context"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Message is what the gRPC service echoes: it needs no generated code.
type Message = wrapperspb.BytesValue

// Methods of the gRPC service.
const (
	MethodUnary  = "/quoit.Bench/Unary"
	MethodStream = "/quoit.Bench/Stream"
)

// ChatDesc describes MethodStream.
var ChatDesc = grpc.StreamDesc{
	StreamName: "Stream", ClientStreams: true, ServerStreams: true, Handler: chat,
}

var service = grpc.ServiceDesc{
	ServiceName: "quoit.Bench",
	HandlerType: (*any)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Unary", Handler: call}},
	Streams:     []grpc.StreamDesc{ChatDesc},
}

func call(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	in := new(Message)
	return in, decode(in)
}

func chat(_ any, s grpc.ServerStream) error {
	for {
		in := new(Message)
		switch err := s.RecvMsg(in); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		if err := s.SendMsg(in); err != nil {
			return err
		}
	}
}

func serveGRPC(ln net.Listener) error {
	srv := grpc.NewServer()
	srv.RegisterService(&service, nil)
	return srv.Serve(ln)
}
