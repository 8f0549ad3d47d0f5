//go:build linux

package pitfalls

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// pfForwarded are two conns of an engine, and package net's at their other ends:
// what from sends is copied to to.
type pfForwarded struct {
	from, src, dst, to pfStream
	copied             <-chan error
}

func pfForward(t *testing.T, e *quoit.Engine) *pfForwarded {
	t.Helper()
	var f pfForwarded
	f.src, f.from = pfPair(t, enginetest.On(e), testenv.Net)
	f.to, f.dst = pfPair(t, testenv.Net, enginetest.On(e))
	f.copied = testenv.Go(func() error {
		_, err := io.Copy(f.dst, f.src)
		return errors.Join(err, f.dst.CloseWrite())
	})
	return &f
}

// answers wants messages to arrive in time.
func (f *pfForwarded) answers(t *testing.T) {
	t.Helper()
	b := make([]byte, 100)
	for range 500 {
		start := time.Now()
		if _, err := f.from.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(f.to, b); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d > 2*time.Second {
			t.Fatalf("a message took %v", d)
		}
	}
}

// buffers sets those of all conns.
func (f *pfForwarded) buffers(t *testing.T, n int) {
	t.Helper()
	for _, c := range []pfStream{f.from, f.src, f.dst, f.to} {
		if err := errors.Join(c.SetReadBuffer(n), c.SetWriteBuffer(n)); err != nil {
			t.Fatal(err)
		}
	}
}

// While a large transfer waits in the netpoller for each of its parts, the ring's thread
// is not woken for them, too: seen to cost half of a transfer's CPU time.
func TestForwardBulkWakesNobody(t *testing.T) {
	const parts, part = 200, 128 << 10
	e := enginetest.New(t, quoit.Config{Gear: quoit.GearRing, Require: true})
	enginetest.NeedRing(t)
	testenv.Watch(t, 2*testenv.Bound)
	f := pfForward(t, e)
	b := make([]byte, part)
	before := e.Stats().Completions
	for range parts {
		sent := testenv.Go(func() error { _, err := f.from.Write(make([]byte, part)); return err })
		if _, err := io.ReadFull(f.to, b); err != nil {
			t.Fatal(err)
		}
		testenv.Wait(t, sent, "Write")
		runtime.Gosched()
	}
	if n := e.Stats().Completions - before; n > parts/4 {
		t.Errorf("%d completions for %d parts", n, parts)
	}
}

// A receiver that does not read stops its sender, holds up nobody else's messages,
// and gets everything when it reads on. What is in flight the kernel has, and the
// engine no more than one turn's for each.
func TestForwardStalled(t *testing.T) {
	const size = 1 << 20
	pairs := 200
	if testing.Short() {
		pairs = 50
	}
	e := enginetest.New(t, quoit.Config{Require: true})
	enginetest.NeedRing(t)
	testenv.Watch(t, 2*testenv.Bound)
	works := pfForward(t, e)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var stalled []*pfForwarded
	var sent []<-chan error
	var total atomic.Int64
	chunk := make([]byte, 64<<10)
	for range pairs {
		f := pfForward(t, e)
		f.buffers(t, 16<<10)
		stalled = append(stalled, f)
		sent = append(sent, testenv.Go(func() error {
			for n := 0; n < size; {
				m, err := f.from.Write(chunk)
				n += m
				total.Add(int64(m))
				if err != nil {
					return err
				}
			}
			return f.from.CloseWrite()
		}))
	}
	testenv.Poll(t, "all senders stopped", func() bool {
		was := total.Load()
		testenv.Pace(100 * time.Millisecond)
		return was > 0 && total.Load() == was
	})
	if n := total.Load(); n > int64(pairs)*size/2 {
		t.Errorf("%d pairs took %d bytes that nobody reads", pairs, n)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / int64(pairs); each > 96<<10 {
		t.Errorf("a stalled pair holds %d bytes of heap", each)
	}
	works.answers(t)
	// The last ones read on: a kernel whose packets found no room tries again after
	// twice as long each time.
	left := pairs - 3
	pfReadOn(t, stalled[left:], sent[left:], size)
	for i, f := range stalled[:left] {
		f.src.Close()
		f.dst.Close()
		f.from.Close()
		if err := <-f.copied; err == nil {
			t.Error("a copy whose conns were closed has no error")
		}
		if err := <-sent[i]; err == nil {
			t.Error("a sender was not stopped")
		}
	}
}

// pfReadOn has receivers read on, all together, up to the ends that their senders make.
func pfReadOn(t *testing.T, stalled []*pfForwarded, sent []<-chan error, size int64) {
	t.Helper()
	var reading sync.WaitGroup
	for _, f := range stalled {
		f.buffers(t, 1<<20)
		reading.Go(func() {
			n, err := io.Copy(io.Discard, f.to)
			if n != size || err != nil {
				t.Errorf("%d bytes of %d came, %v", n, size, err)
			}
		})
	}
	reading.Wait()
	for i, f := range stalled {
		testenv.Wait(t, sent[i], "the sender")
		testenv.Wait(t, f.copied, "the copy")
	}
}

// pfMark is what no forwarded byte is.
const pfMark = 0xff

// pfMarked counts what is forwarded to to, and what is written: 7 marks at a time.
func pfMarked(to io.Reader) (got, marks int, err error) {
	b := make([]byte, 64<<10)
	for {
		n, err := to.Read(b)
		for _, c := range b[:n] {
			switch {
			case c == pfMark:
				marks++
			case marks%7 != 0:
				return got, marks, errors.New("a Write was torn")
			case int(c) != got%251:
				return got, marks, errors.New("a forwarded byte was lost, or doubled")
			default:
				got++
			}
		}
		if err == io.EOF {
			return got, marks, nil
		} else if err != nil {
			return got, marks, err
		}
	}
}

// A relay that is interrupted all the time loses nothing, and what others write is
// whole.
func TestForwardInterrupted(t *testing.T) {
	for _, procs := range []int{1, 2, 4} {
		t.Run(string(rune('0'+procs)), func(t *testing.T) {
			testenv.Watch(t, 2*testenv.Bound)
			enginetest.NeedRing(t)
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			f := pfForward(t, enginetest.New(t, quoit.Config{Require: true}))
			end := time.Now().Add(2 * time.Second)
			var wg sync.WaitGroup
			wrote := 0
			wg.Go(func() {
				b := bytes.Repeat([]byte{pfMark}, 7)
				for time.Now().Before(end) {
					if _, err := f.dst.Write(b); err != nil {
						t.Error(err)
						return
					}
					wrote += len(b)
					testenv.Pace(100 * time.Microsecond)
				}
			})
			wg.Go(func() {
				for time.Now().Before(end) {
					if err := errors.Join(f.src.SetReadDeadline(time.Now().Add(time.Minute)), f.dst.SetWriteDeadline(time.Now().Add(time.Minute))); err != nil {
						t.Error(err)
					}
					testenv.Pace(50 * time.Microsecond)
				}
			})
			sent := 0
			wg.Go(func() {
				b := make([]byte, 100<<10)
				for time.Now().Before(end) {
					n := 1 + rand.IntN(500)
					if rand.IntN(100) == 0 {
						n = len(b)
					}
					for i := range n {
						b[i] = byte((sent + i) % 251)
					}
					if _, err := f.from.Write(b[:n]); err != nil {
						t.Error(err)
						return
					}
					sent += n
					if rand.IntN(2) == 0 {
						testenv.Pace(100 * time.Microsecond)
					}
				}
			})
			var got, marks int
			read := testenv.Go(func() (err error) { got, marks, err = pfMarked(f.to); return err })
			wg.Wait()
			if err := f.from.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			testenv.Wait(t, f.copied, "the copy")
			testenv.Wait(t, read, "the far end")
			if got != sent || marks != wrote {
				t.Errorf("%d bytes of %d were forwarded, %d of %d written", got, sent, marks, wrote)
			}
		})
	}
}
