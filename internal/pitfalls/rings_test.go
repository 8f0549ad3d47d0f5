//go:build linux

package pitfalls

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// rgServe echoes on a listener until the test ends.
func rgServe(t *testing.T, ln net.Listener) {
	t.Helper()
	var conns sync.WaitGroup
	served := testenv.Go(func() error {
		for {
			c, err := ln.Accept()
			if err != nil {
				conns.Wait()
				return nil
			}
			conns.Go(func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		testenv.Wait(t, served, "the server's end")
	})
}

// rgTouch sends a byte on a new conn and waits for its echo.
func rgTouch(t *testing.T, addr string) net.Conn {
	t.Helper()
	c := pfDial(t, testenv.Net, addr)
	if _, err := c.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return c
}

func rgConns(e *quoit.Engine) (conns []int) {
	for _, r := range e.Stats().Rings {
		conns = append(conns, r.Conns)
	}
	return conns
}

// One listener hands its conns to the ring with the fewest, whether they come
// one by one or together, stay or go.
func TestRingsHandOver(t *testing.T) {
	enginetest.NeedRing(t)
	e := enginetest.New(t, quoit.Config{Rings: 4, Entries: 64})
	ln := pfListen(t, enginetest.On(e))
	rgServe(t, ln)
	addr := ln.Addr().String()

	const long, short = 1000, 200
	burst := 10000
	if testing.Short() {
		burst = 2000
	}
	conns := make([]net.Conn, long)
	for i := range conns {
		conns[i] = rgTouch(t, addr)
	}
	if got := rgConns(e); slices.Max(got) != long/4 || slices.Min(got) != long/4 {
		t.Errorf("%d conns, one after the other: %v", long, got)
	}
	for i, c := range conns { // those of one ring go
		if i%4 == 0 {
			c.Close()
		}
	}
	testenv.Poll(t, "the end of every fourth conn", func() bool { return e.Stats().Conns == long-long/4 })
	for i := range conns {
		if i%4 == 0 {
			conns[i] = rgTouch(t, addr)
		}
	}
	if got := rgConns(e); slices.Max(got)-slices.Min(got) > 1 {
		t.Errorf("after the gaps were filled: %v", got)
	}

	gone := func() bool { return e.Stats().Conns == long }
	before := rgAccepted(e)
	for range short { // each gone before the next
		rgTouch(t, addr).Close()
		testenv.Poll(t, "the end of a short conn", gone)
	}
	for i, n := range rgAccepted(e) {
		if n-before[i] != short/4 {
			t.Errorf("%d of %d short conns went to ring %d", n-before[i], short, i)
		}
	}
	before = rgAccepted(e)
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range burst / 8 {
				rgTouch(t, addr).Close()
			}
		})
	}
	clients.Wait()
	for i, n := range rgAccepted(e) { // a ring that is late to end conns gets fewer
		if n-before[i] < burst/8 || n-before[i] > burst/2 {
			t.Errorf("%d of %d conns went to ring %d", n-before[i], burst, i)
		}
	}
	testenv.Poll(t, "the end of the burst", gone)
	if got := rgConns(e); slices.Max(got)-slices.Min(got) > 1 {
		t.Errorf("after the burst: %v", got)
	}
}

func rgAccepted(e *quoit.Engine) (accepted []int) {
	for _, r := range e.Stats().Rings {
		accepted = append(accepted, int(r.Accepted))
	}
	return accepted
}

// Dialed conns are spread, too.
func TestRingsDial(t *testing.T) {
	enginetest.NeedRing(t)
	ln := pfListen(t, testenv.Net)
	rgServe(t, ln)
	e := enginetest.New(t, quoit.Config{Rings: 3, Entries: 64})
	for range 30 {
		c, err := e.Dialer().Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if got := rgConns(e); !slices.Equal(got, []int{10, 10, 10}) {
		t.Errorf("30 dialed conns: %v", got)
	}
}

// Dialed conns that are closed before the next come to all rings, too.
func TestRingsDialShort(t *testing.T) {
	enginetest.NeedRing(t)
	ln := pfListen(t, testenv.Net)
	rgServe(t, ln)
	e := enginetest.New(t, quoit.Config{Rings: 4, Entries: 64})
	for range 40 {
		c, err := e.Dialer().Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	for i, r := range e.Stats().Rings {
		if r.Adopted < 5 {
			t.Errorf("%d of 40 conns came to ring %d", r.Adopted, i)
		}
	}
}

// rgCPUs are those that the calling thread may run on.
func rgCPUs(t *testing.T) (cpus []int) {
	t.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	for i := range 1024 {
		if set.IsSet(i) {
			cpus = append(cpus, i)
		}
	}
	return cpus
}

func TestRingsAffinity(t *testing.T) {
	enginetest.NeedRing(t)
	cpus := rgCPUs(t)
	before := rgPinned(t, cpus[0])
	e := enginetest.New(t, quoit.Config{Affinity: cpus[:1], Rings: 2, Entries: 64})
	for i, r := range e.Stats().Rings {
		if r.CPU != cpus[0] {
			t.Errorf("ring %d is on CPU %d, want %d", i, r.CPU, cpus[0])
		}
	}
	if len(cpus) > 1 {
		if n := rgPinned(t, cpus[0]); n < before+2 {
			t.Errorf("%d threads may run on CPU %d only, want 2 more than %d", n, cpus[0], before)
		}
		e.Close()
		testenv.Poll(t, "no thread is pinned", func() bool { return rgPinned(t, cpus[0]) == before })
	}
	for _, bad := range []int{-1, 1024, slices.Max(cpus) + 1} {
		_, err := quoit.New(&quoit.Config{Affinity: []int{bad}})
		ce, ok := errors.AsType[*quoit.ConfigError](err)
		if !ok || ce.Field != "Affinity" || ce.Value != bad {
			t.Errorf("CPU %d: %v", bad, err)
		}
		if bad == slices.Max(cpus)+1 && bad < 1024 && !errors.Is(err, syscall.EINVAL) {
			t.Errorf("CPU %d: %v, want the kernel's word", bad, err)
		}
	}
}

// rgPinned counts the threads that may run on one CPU only.
func rgPinned(t *testing.T, cpu int) (n int) {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		status, err := os.ReadFile("/proc/self/task/" + task.Name() + "/status")
		if err != nil {
			continue // it has ended
		}
		_, list, _ := strings.Cut(string(status), "Cpus_allowed_list:\t")
		if list, _, _ = strings.Cut(list, "\n"); list == strconv.Itoa(cpu) {
			n++
		}
	}
	return n
}

// rgSteering records what it is told.
type rgSteering struct {
	fail     error
	mu       sync.Mutex
	sockets  []int
	load     map[int]uint32
	accepted map[int]int
	drained  atomic.Int64
	detached int
}

func (s *rgSteering) Attach(sockets, cpus []int) error {
	s.sockets, s.load, s.accepted = slices.Clone(sockets), map[int]uint32{}, map[int]int{}
	if len(cpus) != len(sockets) {
		return errors.New("as many CPUs as sockets, please")
	}
	return s.fail
}

func (s *rgSteering) Load(ring int, conns uint32) {
	s.mu.Lock()
	s.load[ring] = conns
	s.mu.Unlock()
}

func (s *rgSteering) Accepted(ring int) {
	s.mu.Lock()
	s.accepted[ring]++
	s.mu.Unlock()
}

func (s *rgSteering) Detach() {
	s.mu.Lock()
	s.detached++
	s.mu.Unlock()
}

func (s *rgSteering) Drained(int)                     { s.drained.Add(1) }
func (s *rgSteering) Hold(int, bool)                  {}
func (s *rgSteering) Decisions(dst []uint64) []uint64 { return append(dst, 7, 7, 7) }
func (s *rgSteering) String() string                  { return "recorded" }

// A Steering hears of every conn, and a conn's ring is that of the socket it
// came to.
func TestSteeringContract(t *testing.T) {
	enginetest.NeedRing(t)
	e := enginetest.New(t, quoit.Config{Rings: 3, Entries: 64})
	s := &rgSteering{}
	lc := quoit.ListenConfig{Engine: e, Steering: s}
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	rgServe(t, ln)
	const n = 60
	conns := make([]net.Conn, n)
	for i := range conns {
		conns[i] = rgTouch(t, ln.Addr().String())
	}
	sum := 0
	for i, c := range rgConns(e) {
		s.mu.Lock()
		if c != int(s.load[i]) || c != s.accepted[i] || c == 0 {
			t.Errorf("ring %d has %d conns, was reported %d, accepted %d", i, c, s.load[i], s.accepted[i])
		}
		s.mu.Unlock()
		sum += c
	}
	if sum != n {
		t.Errorf("%d conns of %d", sum, n)
	}
	testenv.Poll(t, "drained sockets", func() bool { return s.drained.Load() >= 3 })
	st := e.Stats().Steering
	if len(st) != 1 || st[0].Policy != "recorded" || len(st[0].Decisions) != 3 || st[0].Addr != ln.Addr() || st[0].Err != nil {
		t.Errorf("Stats say %+v", st)
	}
	for _, c := range conns {
		c.Close()
	}
	testenv.Poll(t, "no load", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.load[0]+s.load[1]+s.load[2] == 0
	})
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
	if s.mu.Lock(); s.detached != 1 {
		t.Errorf("detached %d times", s.detached)
	}
	s.mu.Unlock()
	if st := e.Stats(); len(st.Steering) != 0 || st.Listeners != 0 {
		t.Errorf("after Close: %+v", st)
	}
	if c, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		c.Close()
		t.Error("a socket of the group still listens")
	}
}

// Where Attach fails nothing stays open.
func TestSteeringRefused(t *testing.T) {
	enginetest.NeedRing(t)
	e := enginetest.New(t, quoit.Config{Rings: 3, Entries: 64})
	refused := errors.New("no")
	s := &rgSteering{fail: refused}
	lc := quoit.ListenConfig{Engine: e, Steering: s}
	before := len(testenv.FDs())
	_, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	oe, ok := errors.AsType[*net.OpError](err)
	if !ok || oe.Op != "listen" || !errors.Is(err, refused) {
		t.Errorf("error %v", err)
	}
	// Others may still be closing what earlier tests opened.
	testenv.Poll(t, fmt.Sprintf("%d descriptors as before", before), func() bool { return len(testenv.FDs()) <= before })
	if st := e.Stats().Steering; len(st) != 0 {
		t.Errorf("Stats say %+v", st)
	}
	_, err = lc.Listen(t.Context(), "unix", "@quoit-test-steering")
	if _, ok := errors.AsType[*quoit.UnsupportedError](err); !ok {
		t.Errorf("unix: %v", err)
	}
	_, err = lc.Listen(t.Context(), "tcp", "256.0.0.1:0")
	if err == nil {
		t.Error("listened on no address")
	}
}

// The ways that need no privilege, and what they promise.
func TestSteeringPlain(t *testing.T) {
	enginetest.NeedRing(t)
	for _, tt := range []struct {
		name  string
		s     quoit.Steering
		rings int // that a client pinned to one CPU reaches
	}{
		{"hash", quoit.SteerByHash(), 3},
		{"random", quoit.SteerAtRandom(), 3},
		{"CPU", quoit.SteerByCPU(), 1},
		{"incoming CPU", quoit.SteerByIncomingCPU(), 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := enginetest.New(t, quoit.Config{Rings: 3, Entries: 64})
			lc := quoit.ListenConfig{Engine: e, Steering: tt.s}
			ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			rgServe(t, ln)
			rgPinnedDials(t, ln.Addr().String(), 60)
			used := 0
			for _, n := range rgConns(e) {
				if n > 0 {
					used++
				}
			}
			if used != tt.rings {
				t.Errorf("a client on one CPU reached %v", rgConns(e))
			}
		})
	}
}

// rgPinnedDials opens conns from a thread that stays on one CPU, where
// loopback handles what it sends.
func rgPinnedDials(t *testing.T, addr string, n int) {
	t.Helper()
	raddr, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	dials := func() error {
		sa := &unix.SockaddrInet4{Port: raddr.Port, Addr: [4]byte{127, 0, 0, 1}}
		for range n {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			t.Cleanup(func() { unix.Close(fd) })
			if err := unix.Connect(fd, sa); err != nil {
				return err
			}
			if _, err := unix.Write(fd, []byte{1}); err != nil {
				return err
			}
			if _, err := unix.Read(fd, make([]byte, 1)); err != nil {
				return err
			}
		}
		return nil
	}
	testenv.Wait(t, testenv.Go(func() error { return testenv.OnCPU(0, dials) }), "pinned dials")
}

// A group's Accept obeys deadlines and Close like that of one socket, and takes
// from all of its sockets, whoever calls it.
func TestSteeringAccept(t *testing.T) {
	enginetest.NeedRing(t)
	e := enginetest.New(t, quoit.Config{Rings: 4, Entries: 64})
	lc := quoit.ListenConfig{Engine: e, Steering: quoit.SteerByHash()}
	ln, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	l := ln.(*quoit.Listener)
	if err := l.SetDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Accept past its deadline: %v", err)
	}
	if err := l.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	const accepters, n = 4, 200
	var got atomic.Int64
	var group sync.WaitGroup
	for range accepters {
		group.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					if !errors.Is(err, net.ErrClosed) {
						t.Errorf("Accept: %v", err)
					}
					return
				}
				got.Add(1)
				c.Close()
			}
		})
	}
	for range n {
		pfDial(t, testenv.Net, ln.Addr().String())
	}
	testenv.Poll(t, "all conns accepted", func() bool { return got.Load() == n })
	ln.Close()
	group.Wait()
	if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a second Close: %v", err)
	}
}

// Closing the engine ends every Accept as closing its listener does, whichever
// ring the next conn would have gone to.
func TestRingsClose(t *testing.T) {
	enginetest.NeedRing(t)
	for range 20 {
		e := enginetest.New(t, quoit.Config{Rings: 3, Entries: 64})
		var group sync.WaitGroup
		stop := make(chan struct{})
		for range 3 {
			ln := pfListen(t, enginetest.On(e))
			group.Go(func() {
				for {
					c, err := ln.Accept()
					if err != nil {
						if !errors.Is(err, net.ErrClosed) {
							t.Errorf("Accept: %v", err)
						}
						return
					}
					defer c.Close()
				}
			})
			group.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if c, err := net.Dial("tcp", ln.Addr().String()); err == nil {
						c.Close()
					}
				}
			})
		}
		testenv.Poll(t, "conns", func() bool { return e.Stats().Accepted > 30 })
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		close(stop)
		group.Wait()
	}
}

// A copy of one of a group's sockets is set to blocking mode, as for a child: the others' conns
// are accepted all the same, and Close ends an Accept.
func TestRingsBlockingSocket(t *testing.T) {
	testenv.Watch(t, 2*testenv.Bound)
	e := enginetest.New(t, quoit.Config{Rings: 4})
	lc := quoit.ListenConfig{Engine: e, Steering: quoit.SteerByHash()}
	ln, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	f, err := ln.(*quoit.Listener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.Fd() // sets the mode
	for range 64 {
		c := testenv.Dial(t, ln.Addr().String())
		s, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		c.Close()
	}
	done := testenv.Go(func() error { _, err := ln.Accept(); return err })
	time.Sleep(20 * time.Millisecond) // it mostly waits by then, and need not
	ln.Close()
	if err := testenv.Recv(t, done, "Accept"); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}
