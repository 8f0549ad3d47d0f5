package conformance

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/quoit-go/quoit/internal/testenv"
)

// The other end of these conns is bare frames, so that the pings show.

// nextPing returns the next ping's payload, skipping other frames.
func nextPing(fr *http2.Framer) ([8]byte, error) {
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			return [8]byte{}, err
		}
		switch f := f.(type) {
		case *http2.PingFrame:
			if !f.IsAck() {
				return f.Data, nil
			}
		case *http2.SettingsFrame:
			if !f.IsAck() {
				if err := fr.WriteSettingsAck(); err != nil {
					return [8]byte{}, err
				}
			}
		}
	}
}

// answerPings answers n pings, leaves the next one without an answer and
// wants the conn closed for that.
func answerPings(t *testing.T, c net.Conn, fr *http2.Framer, n int) {
	t.Helper()
	c.SetDeadline(time.Now().Add(testenv.Bound))
	for i := range n + 1 {
		data, err := nextPing(fr)
		if err != nil {
			t.Fatalf("ping %d: %v", i, err)
		}
		if i == n {
			break
		}
		if err := fr.WritePing(true, data); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	for err == nil {
		_, err = nextPing(fr)
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		t.Errorf("the silent conn was not closed: %v", err)
	}
}

func TestGRPCServerKeepalive(t *testing.T) {
	for _, tt := range grpcCases {
		if tt.tls {
			continue // bare frames
		}
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := startGRPC(t, tt, grpc.KeepaliveParams(keepalive.ServerParameters{
				Time:    time.Second,     // the least that gRPC allows
				Timeout: 5 * time.Second, // answers on a slow machine come in time
			}))
			c, err := p.client.Dial(callContext(t), p.ln.Addr().Network(), p.ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
				t.Fatal(err)
			}
			fr := http2.NewFramer(c, c)
			if err := fr.WriteSettings(); err != nil {
				t.Fatal(err)
			}
			answerPings(t, c, fr, 2)
		})
	}
}

func TestGRPCClientKeepalive(t *testing.T) {
	t.Parallel()
	p := &grpcPair{ln: &signalListener{Listener: newListener(t, quoitStack, "tcp")}, client: quoitStack, creds: insecure.NewCredentials()}
	cc := p.connect(t, grpc.WithKeepaliveParams(keepalive.ClientParameters{
		Time: 10 * time.Second, Timeout: time.Second, // the least that gRPC allows
		PermitWithoutStream: true,
	}))
	cc.Connect()
	c, err := p.ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	onRing(t, c)
	if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
		t.Fatal(err)
	}
	fr := http2.NewFramer(c, c)
	if err := fr.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	answerPings(t, c, fr, 0)
}
