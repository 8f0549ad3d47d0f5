package conformance

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/quoit-go/quoit/internal/testenv"
)

// startFasthttp serves over quoit until the test ends.
func startFasthttp(t *testing.T, network string, h fasthttp.RequestHandler) (*fasthttp.Server, net.Addr) {
	t.Helper()
	srv := &fasthttp.Server{
		Handler: h, MaxRequestBodySize: 64 << 20,
		Logger: log.New(t.Output(), "", 0), CloseOnShutdown: true,
	}
	ln := newListener(t, quoitStack, network)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() {
		if err := srv.ShutdownWithContext(callContext(t)); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := testenv.Recv(t, served, "end of Serve"); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return srv, ln.Addr()
}

func fasthttpHash(ctx *fasthttp.RequestCtx) {
	sum := sha256.Sum256(ctx.PostBody())
	ctx.Response.Header.Set("X-Sum", hex.EncodeToString(sum[:]))
	n := ctx.QueryArgs().GetUintOrZero("n")
	ctx.SetBody(payload(uint64(n), n))
}

// A fasthttp server with net/http's client on quoit.
func TestFasthttpServer(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			_, addr := startFasthttp(t, network, fasthttpHash)
			tr := newTransport(t, addr)
			client := &http.Client{Transport: tr, Timeout: testenv.Bound}
			var wg sync.WaitGroup
			for i := range 64 {
				wg.Go(func() {
					for j := range 10 {
						checkHash(t, client, "http://localhost", 1, (i*j*7919)%100_000, (i*j*104729)%100_000)
					}
				})
			}
			wg.Wait()
			checkHash(t, client, "http://localhost", 1, 16<<20, 16<<20)
			tr.CloseIdleConnections()
		})
	}
}

// fasthttp's own client on quoit.
func TestFasthttpClient(t *testing.T) {
	_, addr := startFasthttp(t, "tcp", fasthttpHash)
	client := &fasthttp.HostClient{
		Addr: addr.String(), ReadTimeout: testenv.Bound, WriteTimeout: testenv.Bound, MaxConns: 64,
		Dial: func(address string) (net.Conn, error) {
			c, err := quoitStack.Dial(callContext(t), "tcp", address)
			if err == nil {
				onRing(t, c)
			}
			return c, err
		},
	}
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
			defer fasthttp.ReleaseRequest(req)
			defer fasthttp.ReleaseResponse(resp)
			for j := range 20 {
				up, down := (i*j*613)%60_000, (i*j*331)%60_000
				req.SetRequestURI(fmt.Sprintf("http://%s/?n=%d", addr, down))
				req.Header.SetMethod("POST")
				body := payload(uint64(up), up)
				req.SetBody(body)
				if err := client.Do(req, resp); err != nil {
					t.Errorf("client %d, request %d: %v", i, j, err)
					return
				}
				sum := sha256.Sum256(body)
				if string(resp.Header.Peek("X-Sum")) != hex.EncodeToString(sum[:]) ||
					!bytes.Equal(resp.Body(), payload(uint64(down), down)) {
					t.Errorf("client %d, request %d: bodies differ", i, j)
				}
			}
		})
	}
	wg.Wait()
}

func TestFasthttpPipelined(t *testing.T) {
	_, addr := startFasthttp(t, "tcp", func(ctx *fasthttp.RequestCtx) { ctx.SetBody(ctx.Path()) })
	c, err := quoitStack.Dial(callContext(t), "tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	onRing(t, c)
	c.SetDeadline(time.Now().Add(testenv.Bound))
	const requests = 1000
	wrote := make(chan error, 1)
	go func() {
		var b strings.Builder
		for i := range requests {
			fmt.Fprintf(&b, "GET /%d HTTP/1.1\r\nHost: x\r\n\r\n", i)
		}
		_, err := io.WriteString(c, b.String())
		wrote <- err
	}()
	br := bufio.NewReader(c)
	for i := range requests {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatalf("response %d: %v", i, err)
		}
		body, err := io.ReadAll(resp.Body)
		if want := fmt.Sprintf("/%d", i); err != nil || string(body) != want {
			t.Fatalf("response %d: %q, %v", i, body, err)
		}
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}

// Shutdown lets the request in flight finish and then frees the address.
func TestFasthttpShutdown(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	srv, addr := startFasthttp(t, "tcp", func(ctx *fasthttp.RequestCtx) {
		close(entered)
		<-release
		ctx.SetBodyString("done")
	})
	client := &http.Client{Transport: newTransport(t, addr), Timeout: testenv.Bound}
	got := make(chan string, 1)
	go func() {
		resp, err := client.Get("http://localhost/")
		if err != nil {
			got <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		got <- string(body)
	}()
	testenv.Recv(t, entered, "entry of the request")
	down := make(chan error, 1)
	go func() { down <- srv.ShutdownWithContext(callContext(t)) }()
	close(release)
	if s := testenv.Recv(t, got, "response"); s != "done" {
		t.Errorf("request in flight: %q", s)
	}
	if err := testenv.Recv(t, down, "Shutdown"); err != nil {
		t.Error(err)
	}
	if c, err := quoitStack.Dial(callContext(t), "tcp", addr.String()); err == nil {
		c.Close()
		t.Error("the address still accepts")
	}
}
