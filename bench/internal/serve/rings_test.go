package serve

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/quoit-go/quoit/bench/internal/workload"
)

// listen makes the stack that the Spec asks for, and listens on it.
func listen(s Spec) (net.Listener, Ready, error) {
	st, err := s.stack()
	if err != nil {
		return nil, Ready{}, err
	}
	return s.listen(st)
}

// listenOn returns an echo server's address and its Ready.
func listenOn(t *testing.T, variant string) Ready {
	t.Helper()
	s := Spec{Kind: workload.ServeEcho, Transport: "quoit", Variant: variant}
	ln, ready, err := listen(s)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	if ready.Fallback != "" {
		t.Skip(ready.Fallback)
	}
	go acceptEach(echo)(ln)
	return ready
}

// exchange sends a byte and waits for it.
func exchange(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := c.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

func TestRings(t *testing.T) {
	variants := []string{"2rings", "poll+3rings"}
	for _, s := range steerings {
		variants = append(variants, "ring+2rings+"+s.name)
	}
	for _, v := range variants {
		t.Run(v, func(t *testing.T) {
			ready := listenOn(t, v)
			w, err := WatchRings(ready.Rings)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			const before, after = 3, 5
			var conns []net.Conn
			for i := range before + after {
				if i == before {
					if err := w.Begin(); err != nil {
						t.Fatal(err)
					}
					if _, err := w.r.Peek(1); err != nil { // the answer is there
						t.Fatal(err)
					}
				}
				c, err := net.Dial("tcp", ready.Addr)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				exchange(t, c)
				conns = append(conns, c)
			}
			rings, err := w.End()
			if err != nil {
				t.Fatal(err)
			}
			var all Ring
			for _, r := range rings {
				all.Conns, all.Accepted, all.Work = all.Conns+r.Conns, all.Accepted+r.Accepted, all.Work+r.Work
			}
			if want := int(v[strings.Index(v, "rings")-1] - '0'); len(rings) != want {
				t.Errorf("%d rings, want %d", len(rings), want)
			}
			if all.Conns != len(conns) || all.Accepted != after || all.Work == 0 {
				t.Errorf("%+v", rings)
			}
		})
	}
}

func TestOneRingTellsNothing(t *testing.T) {
	if ready := listenOn(t, "1ring"); ready.Rings != "" {
		t.Errorf("one ring is told about at %s", ready.Rings)
	}
	w, err := WatchRings("")
	if w != nil || err != nil {
		t.Fatalf("%v, %v", w, err)
	}
	if err := w.Begin(); err != nil {
		t.Error(err)
	}
	if rings, err := w.End(); rings != nil || err != nil {
		t.Errorf("%v, %v", rings, err)
	}
	w.Close()
}

func TestRingsOfNobody(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		c, err := ln.Accept()
		if err == nil {
			io.ReadFull(c, make([]byte, 1))
			c.Close()
		}
	}()
	w, err := WatchRings(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.End(); err == nil {
		t.Error("a server that closes has rings")
	}
	ln.Close()
	if _, err := WatchRings(ln.Addr().String()); err == nil {
		t.Error("nobody listens, and there is a watch")
	}
}
