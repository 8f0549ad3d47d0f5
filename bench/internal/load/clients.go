package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/quoit-go/quoit/bench/internal/hist"
	"github.com/quoit-go/quoit/bench/internal/httpresp"
	"github.com/quoit-go/quoit/bench/internal/serve"
	"github.com/quoit-go/quoit/bench/internal/workload"
)

// client makes one request at a time.
type client struct {
	do    func(context.Context) error
	lat   hist.Hist
	units uint64
}

// runClients makes the load with a goroutine for each request in flight.
func runClients(spec Spec) (*Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), spec.Warmup+spec.Length+30*time.Second)
	defer cancel()
	clients, closeAll, err := dialClients(ctx, spec)
	defer closeAll()
	if err != nil {
		return nil, err
	}
	w, err := newWindow(spec)
	if err != nil {
		return nil, err
	}
	defer w.close()
	var measuring, over atomic.Bool
	var wg sync.WaitGroup
	failed := make(chan error, len(clients))
	for _, c := range clients {
		wg.Go(func() {
			for !over.Load() {
				t := time.Now()
				if err := c.do(ctx); err != nil {
					if !over.Load() {
						failed <- err
					}
					return
				}
				if measuring.Load() {
					c.lat.Record(time.Since(t))
					c.units++
				}
			}
		})
	}
	fail := func(err error) (*Result, error) {
		over.Store(true)
		cancel()
		wg.Wait()
		return nil, err
	}
	if err := sleep(spec.Warmup, failed); err != nil {
		return fail(err)
	}
	if err := w.begin(); err != nil {
		return fail(err)
	}
	measuring.Store(true)
	if err := sleep(spec.Length, failed); err != nil {
		return fail(err)
	}
	measuring.Store(false)
	r, err := w.finish(new(hist.Hist), 1, 0)
	over.Store(true)
	time.AfterFunc(2*time.Second, cancel) // for clients whose answer never comes
	wg.Wait()
	if err != nil {
		return nil, err
	}
	return r, r.add(clients)
}

// sleep lasts d, or until something fails.
func sleep(d time.Duration, failed <-chan error) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case err := <-failed:
		return fmt.Errorf("load: %w", err)
	}
}

func (r *Result) add(clients []*client) error {
	r.Units = 0
	for _, c := range clients {
		r.Latency.Merge(&c.lat)
		r.Units += c.units
		if c.units == 0 {
			r.Starved++
		}
	}
	if r.Units == 0 {
		return errNothing
	}
	return nil
}

// dialClients connects one conn after the other.
func dialClients(ctx context.Context, spec Spec) (clients []*client, closeAll func(), err error) {
	var closers []io.Closer
	closeAll = func() {
		for _, c := range slices.Backward(closers) {
			c.Close()
		}
	}
	dial := map[string]func(context.Context, Spec) ([]*client, io.Closer, error){
		workload.LoadHTTPS:      dialTLS,
		workload.LoadH2:         dialH2,
		workload.LoadGRPCUnary:  dialGRPC,
		workload.LoadGRPCStream: dialGRPC,
	}[spec.Workload.Load]
	for range spec.Workload.Conns {
		cs, closer, err := dial(ctx, spec)
		if err != nil {
			return nil, closeAll, fmt.Errorf("load: %w", err)
		}
		clients, closers = append(clients, cs...), append(closers, closer)
	}
	return clients, closeAll, nil
}

func dialTLS(ctx context.Context, spec Spec) ([]*client, io.Closer, error) {
	d := tls.Dialer{Config: &tls.Config{
		InsecureSkipVerify: true, // the server made its certificate a moment ago
		NextProtos:         []string{"http/1.1"},
	}}
	c, err := d.DialContext(ctx, "tcp", spec.Addr)
	if err != nil {
		return nil, nil, err
	}
	if err := c.SetDeadline(time.Now().Add(spec.Warmup + spec.Length + 20*time.Second)); err != nil {
		return nil, nil, err
	}
	request := get(spec.Workload.Path, "")
	body, n := httpresp.Exactly(workload.Hello)
	check, buf := httpresp.New(body, n, false), make([]byte, 4096)
	return []*client{{do: func(context.Context) error {
		if _, err := c.Write(request); err != nil {
			return err
		}
		for {
			n, err := c.Read(buf)
			if err != nil {
				return err
			}
			if done, _, err := check.Feed(buf[:n]); done > 0 || err != nil {
				return err
			}
		}
	}}}, c, nil
}

type closerFunc func()

func (f closerFunc) Close() error { f(); return nil }

func dialH2(ctx context.Context, spec Spec) ([]*client, io.Closer, error) {
	t := &nethttp.Transport{Protocols: new(nethttp.Protocols)}
	t.Protocols.SetUnencryptedHTTP2(true)
	url := "http://" + spec.Addr + spec.Workload.Path
	do := func(ctx context.Context) error {
		req, err := nethttp.NewRequestWithContext(ctx, nethttp.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := t.RoundTrip(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err == nil && (resp.StatusCode != nethttp.StatusOK || resp.ProtoMajor != 2 || string(b) != workload.Hello) {
			err = fmt.Errorf("%s %s: %.60q", resp.Proto, resp.Status, b)
		}
		return err
	}
	if err := do(ctx); err != nil { // makes the one conn that all streams share
		return nil, nil, err
	}
	clients := make([]*client, spec.Workload.Depth)
	for i := range clients {
		clients[i] = &client{do: do}
	}
	return clients, closerFunc(t.CloseIdleConnections), nil
}

func dialGRPC(ctx context.Context, spec Spec) ([]*client, io.Closer, error) {
	var d net.Dialer
	cc, err := grpc.NewClient("passthrough:///"+spec.Addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return d.DialContext(ctx, "tcp", addr)
		}))
	if err != nil {
		return nil, nil, err
	}
	clients := make([]*client, spec.Workload.Depth)
	for i := range clients {
		in := &serve.Message{Value: workload.Pattern(int64(i), spec.Workload.Size)}
		c := &client{do: func(ctx context.Context) error {
			out := new(serve.Message)
			return same(in, out, cc.Invoke(ctx, serve.MethodUnary, in, out))
		}}
		if spec.Workload.Load == workload.LoadGRPCStream {
			s, err := cc.NewStream(ctx, &serve.ChatDesc, serve.MethodStream)
			if err != nil {
				cc.Close()
				return nil, nil, err
			}
			c.do = func(context.Context) error {
				if err := s.SendMsg(in); err != nil {
					return err
				}
				out := new(serve.Message)
				return same(in, out, s.RecvMsg(out))
			}
		}
		clients[i] = c
	}
	return clients, cc, nil
}

func same(in, out *serve.Message, err error) error {
	if err == nil && !bytes.Equal(in.Value, out.Value) {
		err = errors.New("the echo differs")
	}
	return err
}
