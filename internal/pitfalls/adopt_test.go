//go:build linux

package pitfalls

import (
	"errors"
	"io"
	"net"
	"os"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// pfRingEngine is an engine in GearRing.
func pfRingEngine(t *testing.T) *quoit.Engine {
	t.Helper()
	enginetest.NeedRing(t)
	return enginetest.New(t, quoit.Config{Gear: quoit.GearRing, Require: true})
}

// pfParkedRead starts a Read and returns when it waits on the ring: in the
// netpoller it would be in the state IO wait.
func pfParkedRead(t *testing.T, c net.Conn) <-chan error {
	t.Helper()
	done := testenv.Go(func() error {
		_, err := c.Read(make([]byte, 1))
		return err
	})
	buf := make([]byte, 1<<20)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(g, "pitfalls.pfParkedRead.func") && strings.Contains(g, "[chan receive") {
				return done
			}
		}
		if time.Now().After(end) {
			t.Fatal("the Read does not park")
		}
	}
}

// A listener that cannot be taken over is closed, not waited for.
func TestAdoptListenerClosedEngine(t *testing.T) {
	e := pfRingEngine(t)
	e.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := e.NewListener(ln)
		done <- err
	}()
	select {
	case err := <-done:
		if !errors.Is(err, quoit.ErrEngineClosed) {
			t.Errorf("got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("hangs")
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is open: %v", err)
	}
}

// Closing a FileConn leaves the socket to whoever else holds it.
func TestFileConnLeavesSocket(t *testing.T) {
	e := pfRingEngine(t)
	a, b := testenv.TCPPair(t)
	f, err := a.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	q, err := e.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	read := pfParkedRead(t, q)
	q.Close()
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Errorf("parked Read: %v", err)
	}
	if _, err := a.Write([]byte("x")); err != nil {
		t.Errorf("the other holder's Write: %v", err)
	}
	if _, err := io.ReadFull(b, make([]byte, 1)); err != nil {
		t.Errorf("peer: %v", err)
	}
}

// A reset that a Control hook asked for is not preceded by a FIN.
func TestDialerControlLinger(t *testing.T) {
	e := pfRingEngine(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	d := quoit.Dialer{Engine: e, Control: func(_, _ string, rc syscall.RawConn) error {
		return rc.Control(func(fd uintptr) {
			l := syscall.Linger{Onoff: 1}
			if err := syscall.SetsockoptLinger(int(fd), syscall.SOL_SOCKET, syscall.SO_LINGER, &l); err != nil {
				t.Error(err)
			}
		})
	}}
	q, err := d.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	read := pfParkedRead(t, q)
	q.Close()
	<-read
	if _, err := p.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("peer: %v, want a reset", err)
	}
}

// The memory of a closed engine goes back to the system.
func TestEngineCloseUnmaps(t *testing.T) {
	mapped := func() int {
		b, err := os.ReadFile("/proc/self/smaps")
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, flags := range regexp.MustCompile(`(?m)^VmFlags:.*$`).FindAllString(string(b), -1) {
			if strings.Contains(flags, " dc") { // MADV_DONTFORK, which only the ring's memory has
				n++
			}
		}
		return n
	}
	pfRingEngine(t).Close()
	before := mapped()
	for range 5 {
		pfRingEngine(t).Close()
	}
	if after := mapped(); after > before {
		t.Errorf("%d mappings, %d after five more engines", before, after)
	}
}
