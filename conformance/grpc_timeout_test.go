//go:build linux

package conformance

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
)

// A client that reads nothing is gone when TCP_USER_TIMEOUT has passed, which
// grpc-go itself sets on package net's conns only.
func TestGRPCUserTimeout(t *testing.T) {
	t.Parallel()
	lc := quoit.ListenConfig{Engine: engine, UserTimeout: time.Second}
	server := quoitStack
	server.Listen = func(network, address string) (net.Listener, error) {
		return lc.Listen(t.Context(), network, address)
	}
	p := startGRPC(t, grpcCase{"", "tcp", server, testenv.Net, false})
	c, err := p.client.Dial(callContext(t), p.ln.Addr().Network(), p.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := askForFlood(c); err != nil {
		t.Fatal(err)
	}
	testenv.Recv(t, p.canceled, "the end of the conn")
}

// askForFlood begins a call of Flood, with room for more than sockets hold.
func askForFlood(c net.Conn) error {
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		return err
	}
	fr := http2.NewFramer(c, c)
	if err := fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30}); err != nil {
		return err
	}
	if err := fr.WriteWindowUpdate(0, 1<<30); err != nil {
		return err
	}
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", methodFlood}, {":authority", "localhost"},
		{"content-type", "application/grpc"}, {"te", "trailers"},
	} {
		if err := enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			return err
		}
	}
	if err := fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true}); err != nil {
		return err
	}
	return fr.WriteData(1, true, make([]byte, 5)) // an empty message
}
