//go:build linux

package pitfalls

import (
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

// A receiver that does not read stops its sender, holds up nobody else's messages,
// and gets everything when it reads on. What is in flight the kernel has, and the
// engine no more than one turn's for each.
func TestForwardStalled(t *testing.T) {
	const pairs, size = 200, 4 << 20
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
		for _, c := range []pfStream{f.from, f.src, f.dst, f.to} {
			if err := errors.Join(c.SetReadBuffer(16<<10), c.SetWriteBuffer(16<<10)); err != nil {
				t.Fatal(err)
			}
		}
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
	if n := total.Load(); n > pairs*2<<20 {
		t.Errorf("%d pairs took %d bytes that nobody reads", pairs, n)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / pairs; each > 96<<10 {
		t.Errorf("a stalled pair holds %d bytes of heap", each)
	}
	b := make([]byte, 100)
	for range 500 {
		start := time.Now()
		if _, err := works.from.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(works.to, b); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d > 2*time.Second {
			t.Fatalf("a message took %v", d)
		}
	}
	const readOn = 3
	for i, f := range stalled[:readOn] {
		for _, c := range []pfStream{f.from, f.src, f.dst, f.to} {
			if err := errors.Join(c.SetReadBuffer(1<<20), c.SetWriteBuffer(1<<20)); err != nil {
				t.Fatal(err)
			}
		}
		n, err := io.Copy(io.Discard, f.to)
		if n != size || err != nil {
			t.Errorf("%d bytes of %d came, %v", n, size, err)
		}
		testenv.Wait(t, sent[i], "the sender")
		testenv.Wait(t, f.copied, "the copy")
	}
	for i, f := range stalled[readOn:] {
		f.src.Close()
		f.dst.Close()
		f.from.Close()
		if err := <-f.copied; err == nil {
			t.Error("a copy whose conns were closed has no error")
		}
		if err := <-sent[readOn+i]; err == nil {
			t.Error("a sender was not stopped")
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
			const mark = 0xff // that no forwarded byte is
			var wg sync.WaitGroup
			wrote := 0
			wg.Go(func() {
				b := []byte{mark, mark, mark, mark, mark, mark, mark}
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
			got, marks := 0, 0
			read := testenv.Go(func() error {
				b := make([]byte, 64<<10)
				for {
					n, err := f.to.Read(b)
					for _, c := range b[:n] {
						if c == mark {
							marks++
						} else if marks%7 != 0 {
							return errors.New("a Write was torn")
						} else if int(c) != got%251 {
							return errors.New("a forwarded byte was lost, or doubled")
						} else {
							got++
						}
					}
					if err == io.EOF {
						return nil
					} else if err != nil {
						return err
					}
				}
			})
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
