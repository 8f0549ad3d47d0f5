package conformance

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"github.com/quoit-go/quoit/internal/testenv"
)

const maxFrame = 32 << 20

// wsPair is a WebSocket server that echoes, and how to reach it.
type wsPair struct {
	url    string
	client *http.Client
	ended  chan error // how each of the server's conns ended
}

func eachWebSocket(t *testing.T, f func(t *testing.T, p *wsPair)) {
	serverTLS, clientTLS := tlsConfigs()
	for _, tt := range []struct {
		name, network string
		tls           bool
	}{{"tcp", "tcp", false}, {"unix", "unix", false}, {"TLS", "tcp", true}} {
		t.Run(tt.name, func(t *testing.T) {
			p := &wsPair{url: "ws://localhost/", ended: make(chan error, 100)}
			var config *tls.Config
			if tt.tls {
				config, p.url = serverTLS.Clone(), "wss://localhost/"
			}
			tr := newTransport(t, serveHTTP(t, tt.network, config, p))
			tr.TLSClientConfig = clientTLS.Clone()
			p.client = &http.Client{Transport: tr}
			f(t, p)
		})
	}
}

func (p *wsPair) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionContextTakeover})
	if err != nil {
		p.ended <- err
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(maxFrame)
	p.ended <- wsEcho(r.Context(), c)
}

// wsEcho answers messages until one says "close" or the peer ends it.
func wsEcho(ctx context.Context, c *websocket.Conn) error {
	for {
		typ, msg, err := c.Read(ctx)
		if err != nil {
			return err
		}
		if string(msg) == "close" {
			return c.Close(websocket.StatusGoingAway, "as you wish")
		}
		if err := c.Write(ctx, typ, msg); err != nil {
			return err
		}
	}
}

func (p *wsPair) dial(t *testing.T, opts websocket.DialOptions) *websocket.Conn {
	t.Helper()
	opts.HTTPClient = p.client
	c, _, err := websocket.Dial(callContext(t), p.url, &opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseNow() })
	c.SetReadLimit(maxFrame)
	return c
}

func wsRoundTrip(ctx context.Context, c *websocket.Conn, typ websocket.MessageType, msg []byte) error {
	wrote := make(chan error, 1)
	go func() { wrote <- c.Write(ctx, typ, msg) }()
	gotType, got, err := c.Read(ctx)
	if err = errors.Join(err, <-wrote); err != nil {
		return err
	}
	if gotType != typ || !bytes.Equal(got, msg) {
		return errors.New("the echo differs from the message")
	}
	return nil
}

func TestWebSocketEcho(t *testing.T) {
	eachWebSocket(t, func(t *testing.T, p *wsPair) {
		c := p.dial(t, websocket.DialOptions{})
		for i, size := range []int{0, 1, 125, 126, 65535, 65536, 1 << 20, 16 << 20} {
			if err := wsRoundTrip(callContext(t), c, websocket.MessageBinary, payload(uint64(i), size)); err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
		}
		if err := wsRoundTrip(callContext(t), c, websocket.MessageText, []byte("ümlaut")); err != nil {
			t.Error(err)
		}
	})
}

func TestWebSocketCompressed(t *testing.T) {
	eachWebSocket(t, func(t *testing.T, p *wsPair) {
		c := p.dial(t, websocket.DialOptions{CompressionMode: websocket.CompressionContextTakeover})
		for _, n := range []int{1, 1000, 100_000} {
			if err := wsRoundTrip(callContext(t), c, websocket.MessageText, bytes.Repeat([]byte("quoit "), n)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestWebSocketPing(t *testing.T) {
	eachWebSocket(t, func(t *testing.T, p *wsPair) {
		c := p.dial(t, websocket.DialOptions{})
		ctx := c.CloseRead(callContext(t)) // reads pongs
		for range 20 {
			if err := c.Ping(ctx); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestWebSocketClose(t *testing.T) {
	eachWebSocket(t, func(t *testing.T, p *wsPair) {
		t.Run("client", func(t *testing.T) {
			c := p.dial(t, websocket.DialOptions{})
			if err := c.Close(websocket.StatusNormalClosure, "done"); err != nil {
				t.Errorf("close handshake: %v", err)
			}
			err := testenv.Recv(t, p.ended, "end on the server")
			if ce, ok := errors.AsType[websocket.CloseError](err); !ok || ce.Code != websocket.StatusNormalClosure || ce.Reason != "done" {
				t.Errorf("server: %v", err)
			}
		})
		t.Run("server", func(t *testing.T) {
			c := p.dial(t, websocket.DialOptions{})
			if err := c.Write(callContext(t), websocket.MessageText, []byte("close")); err != nil {
				t.Fatal(err)
			}
			_, _, err := c.Read(callContext(t))
			if ce, ok := errors.AsType[websocket.CloseError](err); !ok || ce.Code != websocket.StatusGoingAway || ce.Reason != "as you wish" {
				t.Errorf("client: %v", err)
			}
			if err := testenv.Recv(t, p.ended, "end on the server"); err != nil {
				t.Errorf("close handshake: %v", err)
			}
		})
		t.Run("abrupt", func(t *testing.T) {
			c := p.dial(t, websocket.DialOptions{})
			c.CloseNow()
			err := testenv.Recv(t, p.ended, "end on the server")
			if ce, ok := errors.AsType[websocket.CloseError](err); ok || err == nil {
				t.Errorf("server: %v, as if there had been a handshake: %v", err, ce)
			}
		})
		t.Run("canceled read", func(t *testing.T) {
			c := p.dial(t, websocket.DialOptions{})
			ctx, cancel := context.WithCancel(t.Context())
			read := make(chan error, 1)
			go func() {
				_, _, err := c.Read(ctx)
				read <- err
			}()
			cancel()
			if err := testenv.Recv(t, read, "canceled Read"); !errors.Is(err, context.Canceled) {
				t.Errorf("client: %v", err)
			}
			c.CloseNow() // a Read that had not begun leaves the conn open
			testenv.Recv(t, p.ended, "end on the server")
		})
	})
}

func TestWebSocketConcurrent(t *testing.T) {
	eachWebSocket(t, func(t *testing.T, p *wsPair) {
		var wg sync.WaitGroup
		for i := range 50 {
			c := p.dial(t, websocket.DialOptions{})
			wg.Go(func() {
				for j := range 20 {
					msg := payload(uint64(i*1000+j), (i*j*613)%40_000)
					if err := wsRoundTrip(callContext(t), c, websocket.MessageBinary, msg); err != nil {
						t.Errorf("conn %d, message %d: %v", i, j, err)
						return
					}
				}
				if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
					t.Errorf("conn %d: %v", i, err)
				}
			})
		}
		wg.Wait()
	})
}
