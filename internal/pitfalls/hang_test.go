//go:build linux

package pitfalls

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
)

// An engine that waits in a raw system call keeps its P, and the collector
// waits for it for ever.
func TestPitfall15CollectorWhileIdle(t *testing.T) {
	pfEach(t, quoit.Config{}, func(t *testing.T, server, client testenv.Transport) {
		ln := pfListen(t, server)
		s, c := pfPair(t, server, client)
		accepting := testenv.Go(func() error { _, err := ln.Accept(); return err })
		reading := testenv.Go(func() error { return pfExpect(s, 15, 1) })
		testenv.Wait(t, testenv.Go(func() error {
			for range 20 {
				runtime.GC()
				testenv.Pace(time.Millisecond) // let the engine go back to its wait
			}
			debug.FreeOSMemory()
			return nil
		}), "garbage collection beside an idle engine")
		testenv.Wait(t, testenv.Go(func() error { return errors.Join(pfSend(c, 15, 1), c.Close()) }), "write")
		testenv.Wait(t, reading, "read")
		ln.Close()
		if err := testenv.Recv(t, accepting, "Accept"); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

// pfStress is how long the tests that hunt for rare orders of events run.
func pfStress(t *testing.T) time.Duration {
	t.Helper()
	if s := os.Getenv("QUOIT_STRESS"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	return 2 * time.Second
}

// pfProcs sets GOMAXPROCS for the test.
func pfProcs(t *testing.T, n int) {
	t.Helper()
	old := runtime.GOMAXPROCS(n)
	t.Cleanup(func() { runtime.GOMAXPROCS(old) })
}

// pfPingPong exchanges a byte until stop says so, and returns the number of
// rounds. It yields at random before each step.
func pfPingPong(s, c pfStream, stop func(i int) bool) (int, error) {
	yield := func() {
		for range rand.IntN(4) {
			runtime.Gosched()
		}
	}
	echo := testenv.Go(func() error {
		b := make([]byte, 1)
		for {
			yield()
			if _, err := s.Read(b); err == io.EOF {
				return nil
			} else if err != nil {
				return fmt.Errorf("echo: %w", err)
			}
			yield()
			if _, err := s.Write(b); err != nil {
				return fmt.Errorf("echo: %w", err)
			}
		}
	})
	b := make([]byte, 1)
	i := 0
	for ; !stop(i); i++ {
		b[0] = byte(i)
		if _, err := c.Write(b); err != nil {
			return i, err
		}
		yield()
		if n, err := c.Read(b); err != nil || n != 1 || b[0] != byte(i) {
			return i, fmt.Errorf("round %d: %d, %#x, %w", i, n, b[0], err)
		}
	}
	return i, errors.Join(c.CloseWrite(), <-echo)
}

// A wake-up lost between the engine's last look at its queues and its wait
// leaves both ends waiting: with a single conn nothing else wakes them.
func TestPitfall17LostWakeup(t *testing.T) {
	each := pfStress(t) / 9
	for _, procs := range []int{1, 2, 4} {
		t.Run(fmt.Sprintf("procs=%d", procs), func(t *testing.T) {
			pfEach(t, quoit.Config{}, func(t *testing.T, server, client testenv.Transport) {
				testenv.Watch(t, each+testenv.Bound)
				pfProcs(t, procs)
				s, c := pfPair(t, server, client)
				end := time.Now().Add(each)
				var touched time.Time
				n, err := pfPingPong(s, c, func(i int) bool {
					now := time.Now()
					if now.Sub(touched) > time.Second { // a hang is one of a round
						touched = now
						s.SetDeadline(now.Add(testenv.Bound))
						c.SetDeadline(now.Add(testenv.Bound))
					}
					return i > 0 && now.After(end)
				})
				if err != nil {
					t.Errorf("after %d rounds: %v", n, err)
				}
			})
		})
	}
}

// A conn whose bytes nobody reads must not keep the engine from serving the
// others.
func TestPitfall18StalledFlooder(t *testing.T) {
	for _, cfg := range []quoit.Config{{}, pfTiny} {
		t.Run(fmt.Sprintf("entries=%d", cfg.Entries), func(t *testing.T) {
			pfEach(t, cfg, func(t *testing.T, server, client testenv.Transport) {
				_, flooder := pfPair(t, server, client)
				flooding := testenv.Go(func() error { return pfSend(flooder, 18, 1<<40) })
				var wg sync.WaitGroup
				for i := range 100 {
					s, c := pfPair(t, server, client)
					wg.Go(func() {
						if n, err := pfPingPong(s, c, func(i int) bool { return i == 30 }); err != nil {
							t.Errorf("conn %d, after %d rounds: %v", i, n, err)
						}
					})
				}
				wg.Wait()
				select {
				case err := <-flooding:
					t.Errorf("nothing held the flooder back: %v", err)
				default:
				}
				flooder.Close()
				if err := testenv.Recv(t, flooding, "flooder"); !errors.Is(err, net.ErrClosed) {
					t.Errorf("flooder: %v", err)
				}
			})
		})
	}
}

// With a receive armed, close(2) alone sends no FIN and ends no Read.
func TestPitfall20CloseWithParkedRead(t *testing.T) {
	pfEach(t, quoit.Config{}, func(t *testing.T, server, client testenv.Transport) {
		for range 100 {
			s, c := pfPair(t, server, client)
			reading := testenv.Go(func() error { _, err := s.Read(make([]byte, 1)); return err })
			for range rand.IntN(3) {
				runtime.Gosched()
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("peer: %d, %v", n, err)
			}
			if err := testenv.Recv(t, reading, "parked Read"); !errors.Is(err, net.ErrClosed) {
				t.Errorf("parked Read: %v", err)
			}
		}
	})
}

// Close shuts the socket down so that what is in flight ends. A Read or Write
// that begins at that moment must not take the shutdown for the peer's doing:
// neither EOF nor EPIPE, but net.ErrClosed.
func TestPitfall20CloseRaces(t *testing.T) {
	rounds := 300
	if testing.Short() || runtime.GOMAXPROCS(0) == 1 { // a yield there is a time slice of the writer
		rounds = 50
	}
	pfEach(t, quoit.Config{}, func(t *testing.T, server, client testenv.Transport) {
		end := time.Now().Add(testenv.Bound / 2) // fewer rounds on a slow machine
		for i := 0; i < rounds && time.Now().Before(end); i++ {
			s, c := pfPair(t, server, client)
			var started sync.WaitGroup
			started.Add(2)
			reading := testenv.Go(func() error {
				started.Done()
				for {
					if _, err := s.Read(make([]byte, 1)); err != nil {
						return err
					}
				}
			})
			writing := testenv.Go(func() error {
				started.Done()
				for {
					if _, err := s.Write([]byte("x")); err != nil {
						return err
					}
				}
			})
			flooding := testenv.Go(func() error { return pfSend(c, 20, 20_000) }) // so that Reads come and go
			draining := testenv.Go(func() error { _, err := io.Copy(io.Discard, c); return err })
			started.Wait()
			for range rand.IntN(20) {
				runtime.Gosched()
			}
			s.Close()
			for what, done := range map[string]<-chan error{"Read": reading, "Write": writing} {
				if err := testenv.Recv(t, done, what); !errors.Is(err, net.ErrClosed) {
					t.Fatalf("%s beside Close: %v", what, err)
				}
			}
			testenv.Recv(t, flooding, "peer's write") // may be reset
			testenv.Recv(t, draining, "peer's read")
			c.Close()
		}
	})
}

// A deadline in the past must wake a parked Read, and cost no byte: net/http
// ends its background read so on every request.
func TestPitfall21PastDeadline(t *testing.T) {
	pfEach(t, quoit.Config{}, func(t *testing.T, server, client testenv.Transport) {
		s, c := pfPair(t, server, client)
		b := make([]byte, 8)
		for i := range 500 {
			s.SetReadDeadline(time.Time{})
			reading := testenv.Go(func() error { _, err := s.Read(b); return err })
			for range rand.IntN(4) {
				runtime.Gosched()
			}
			s.SetReadDeadline(time.Unix(1, 0))
			if err := testenv.Recv(t, reading, "parked Read"); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("round %d: %v", i, err)
			}
			b[0] = byte(i)
			if _, err := c.Write(b[:1]); err != nil {
				t.Fatal(err)
			}
			s.SetReadDeadline(time.Now().Add(testenv.Bound))
			if n, err := s.Read(b); n != 1 || b[0] != byte(i) {
				t.Fatalf("round %d: %d, %#x, %v", i, n, b[0], err)
			}
		}
	})
}

// A signal ends the engine's wait with EINTR: what was to be submitted must
// be counted anew, or requests are lost or sent twice.
func TestPitfall22SignalStorm(t *testing.T) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, unix.SIGUSR1, unix.SIGURG)
	defer signal.Stop(ch)
	stop := make(chan bool)
	storm := testenv.Go(func() error {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return nil
			case <-ch:
			default:
			}
			if err := unix.Kill(os.Getpid(), []unix.Signal{unix.SIGUSR1, unix.SIGURG}[i%2]); err != nil {
				return err
			}
			testenv.Pace(50 * time.Microsecond)
		}
	})
	total, rounds := int64(4<<20), 2000
	if testing.Short() {
		total, rounds = 1<<20, 500
	}
	pfEach(t, quoit.Config{}, func(t *testing.T, server, client testenv.Transport) {
		var wg sync.WaitGroup
		for i := range uint64(4) {
			s, c := pfPair(t, server, client)
			wg.Go(func() {
				if err := errors.Join(pfSendPieces(s, i, total), s.CloseWrite()); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() {
				if err := pfExpect(c, i, total); err != nil {
					t.Error(err)
				}
			})
		}
		s, c := pfPair(t, server, client)
		if n, err := pfPingPong(s, c, func(i int) bool { return i == rounds }); err != nil {
			t.Errorf("after %d rounds: %v", n, err)
		}
		wg.Wait()
	})
	close(stop)
	testenv.Wait(t, storm, "signals")
}

// More completions at once than the queue holds: those that overflow must
// come later, and each multishot that it ended must be armed again.
func TestPitfall23CompletionOverflow(t *testing.T) {
	pfEach(t, pfTiny, func(t *testing.T, server, client testenv.Transport) {
		type pair struct{ s, c pfStream }
		var pairs []pair
		for range 200 {
			s, c := pfPair(t, server, client)
			pairs = append(pairs, pair{s, c})
		}
		b := make([]byte, 10)
		for round := range 5 {
			for _, p := range pairs { // nobody reads yet
				testenv.Fill(b, uint64(round), 0)
				if _, err := p.c.Write(b); err != nil {
					t.Fatal(err)
				}
			}
			for i, p := range pairs {
				if _, err := io.ReadFull(p.s, b); err != nil || testenv.Diff(b, uint64(round), 0) >= 0 {
					t.Fatalf("round %d, conn %d: %v", round, i, err)
				}
			}
		}
		for _, p := range pairs {
			p.c.Close()
		}
		for i, p := range pairs {
			if n, err := p.s.Read(b); n != 0 || err != io.EOF {
				t.Errorf("conn %d at the end: %d, %v", i, n, err)
			}
		}
	})
}

// Goroutines that the engine has readied wait on its P: if it then blocks
// with them, they run when somebody notices, or never.
func TestPitfall24BusyProcessors(t *testing.T) {
	for _, procs := range []int{1, 2} {
		t.Run(fmt.Sprintf("procs=%d", procs), func(t *testing.T) {
			pfEach(t, quoit.Config{}, func(t *testing.T, server, client testenv.Transport) {
				pfProcs(t, procs)
				var stop atomic.Bool
				hog := testenv.Go(func() error {
					for n := 0; !stop.Load(); n++ {
					}
					return nil
				})
				s, c := pfPair(t, server, client)
				n, err := pfPingPong(s, c, func(i int) bool { return i == 10 })
				if err != nil {
					t.Errorf("after %d rounds: %v", n, err)
				}
				stop.Store(true)
				testenv.Wait(t, hog, "hog")
			})
		})
	}
}
