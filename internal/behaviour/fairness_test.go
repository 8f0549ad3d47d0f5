//go:build linux

package behaviour

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// A server of many conns that all ask all the time answers each of them about
// as often: whoever is left behind by Go's scheduler, or by the engine, waits
// while the others go round and round.
//
// The server is a process of its own, with the GOMAXPROCS of the case: net or
// an engine of one ring. The test is its only client, one thread on an epoll
// set, which itself serves in the order of arrival.
//
// QUOIT_FAIRNESS=all has all the cases, in some ten minutes, in place of the
// few that are known for what they find.

const (
	fairServerEnv = "QUOIT_FAIRNESS_SERVER" // what the child is to be: server, work
	fairAnswers   = 60                      // of a conn in a window, on average at the least; the worst of 20 is chance
	fairWindow    = time.Second             // at the least
	fairBytes     = 16
)

// fairCase is one server under one load.
type fairCase struct {
	gear  string // net, or an engine's
	procs int
	conns int
	work  int // hashes of 4 KB for each answer, some microseconds each
}

func (c fairCase) String() string {
	return fmt.Sprintf("%s/procs=%d/conns=%d/work=%d", c.gear, c.procs, c.conns, c.work)
}

func fairCases() (cases []fairCase) {
	if os.Getenv("QUOIT_FAIRNESS") != "all" {
		return []fairCase{
			{"ring", 1, 1024, 2}, {"ring", 2, 256, 2}, {"ring", 4, 64, 0},
			{"auto", 1, 1024, 2}, {"poll", 1, 256, 0},
		}
	}
	for _, gear := range []string{"ring", "auto", "poll"} {
		for _, procs := range []int{1, 2, 4} {
			for _, conns := range []int{64, 256, 1024, 4096} {
				for _, work := range []int{0, 2} {
					cases = append(cases, fairCase{gear, procs, conns, work})
				}
			}
		}
	}
	return cases
}

// In each window the conn with the fewest answers has at least half as many as
// the median. net fails that itself where Go's scheduler does; there quoit has
// to be no worse than net was beside it.
func TestFairness(t *testing.T) {
	enginetest.NeedRing(t)
	windows := 1
	if os.Getenv("QUOIT_FAIRNESS") == "all" {
		windows = 3
	}
	for _, c := range fairCases() {
		if !slices.Contains(enginetest.Gears("ring", "auto", "poll"), c.gear) {
			continue
		}
		if testing.Short() {
			c.conns /= 8
		}
		t.Run(c.String(), func(t *testing.T) {
			share := fairShare(t, c, windows)
			if share >= 0.5 {
				return
			}
			c.gear = "net"
			if base := fairShare(t, c, windows); base >= 0.5 || share < base {
				t.Errorf("the worst served conn got %.2f of the median, with net %.2f", share, base)
			}
		})
	}
}

// fairShare is what the worst served conn got of the median conn's answers, in
// the worst of the windows.
func fairShare(t *testing.T, c fairCase, windows int) float64 {
	t.Helper()
	fairFiles(t, c.conns)
	addr, stop := fairServer(t, c)
	defer stop()
	l := &fairLoad{answers: make([]int, c.conns)}
	defer l.close()
	l.open(t, addr)
	for start := time.Now(); time.Since(start) < fairWarmUp(c) || slices.Min(l.answers) == 0; {
		if time.Since(start) > testenv.Bound {
			t.Fatal("a conn without any answer")
		}
		l.step(t)
	}
	worst := 1.0
	for range windows {
		clear(l.answers)
		l.total = 0
		for start := time.Now(); time.Since(start) < fairWindow || l.total < fairAnswers*c.conns; {
			l.step(t)
		}
		slices.Sort(l.answers)
		least, median := l.answers[0], l.answers[c.conns/2]
		share := float64(least) / float64(max(median, 1))
		t.Logf("%v: %d answers, the least %d, the median %d, the most %d, share %.2f",
			c, l.total, least, median, l.answers[c.conns-1], share)
		worst = min(worst, share)
	}
	return worst
}

// fairWarmUp is until a GearAuto has compared its gears.
func fairWarmUp(c fairCase) time.Duration {
	if c.gear == "auto" {
		return 1500 * time.Millisecond
	}
	return 200 * time.Millisecond
}

// fairFiles skips a case that RLIMIT_NOFILE has no room for.
func fairFiles(t *testing.T, conns int) {
	t.Helper()
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		t.Fatal(err)
	}
	if need := uint64(conns + 100); lim.Cur < need {
		t.Skipf("RLIMIT_NOFILE is %d, %d are needed", lim.Cur, need)
	}
}

// fairLoad is the client. All its conns have a question under way.
type fairLoad struct {
	ep      int
	conns   []int
	fds     []int // all that close closes
	answers []int // by conn
	total   int
	events  [64]unix.EpollEvent
	buf     [2 * fairBytes]byte
}

func (l *fairLoad) open(t *testing.T, addr string) {
	t.Helper()
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	if l.ep, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	l.fds = append(l.fds, l.ep)
	for i := range l.answers {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		l.fds = append(l.fds, fd)
		l.conns = append(l.conns, fd)
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
			t.Fatal(err)
		}
		ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}
		if err := unix.EpollCtl(l.ep, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
			t.Fatal(err)
		}
		l.ask(t, i)
	}
}

func (l *fairLoad) close() {
	for _, fd := range l.fds {
		unix.Close(fd)
	}
}

func (l *fairLoad) ask(t *testing.T, conn int) {
	if n, err := unix.Write(l.conns[conn], l.buf[:fairBytes]); n != fairBytes {
		t.Fatalf("conn %d: wrote %d, %v", conn, n, err)
	}
}

// step takes the answers that there are, or the next, and asks again.
func (l *fairLoad) step(t *testing.T) {
	n, err := unix.EpollWait(l.ep, l.events[:], int(testenv.Bound.Milliseconds()))
	if n == 0 || err != nil && err != unix.EINTR {
		t.Fatalf("no answer: %d, %v", n, err)
	}
	for _, ev := range l.events[:max(n, 0)] {
		conn := int(ev.Fd)
		if n, err := unix.Read(l.conns[conn], l.buf[:]); n != fairBytes {
			t.Fatalf("conn %d: read %d, %v", conn, n, err)
		}
		l.answers[conn]++
		l.total++
		l.ask(t, conn)
	}
}

// fairServer starts the server of a case and returns its address, and what
// ends it.
func fairServer(t *testing.T, c fairCase) (addr string, stop func()) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "QUOIT_TEST_GEAR=", "QUOIT_TEST_RINGS=", "GORACE=atexit_sleep_ms=0",
		fmt.Sprintf("GOMAXPROCS=%d", c.procs), fmt.Sprintf("%s=%s %d", fairServerEnv, c.gear, c.work))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server: %v", err)
		}
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		stop()
		t.Fatalf("the server: %v", err)
	}
	return strings.TrimSpace(line), stop
}

// The server runs before the tests' main function, whose checks are not for it.
func init() {
	args := strings.Fields(os.Getenv(fairServerEnv))
	if len(args) == 0 {
		return
	}
	// Not on this goroutine: it is bound to its thread until init is over.
	if err := <-testenv.Go(func() error { return fairServe(args[0], args[1]) }); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// fairServe is the server's life, until its standard input ends.
func fairServe(gear, work string) error {
	hashes, err := strconv.Atoi(work)
	if err != nil {
		return err
	}
	ln, err := fairListen(gear)
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go fairEcho(c, hashes)
		}
	}()
	fmt.Println(ln.Addr())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func fairListen(gear string) (net.Listener, error) {
	cfg := quoit.Config{Require: true, Rings: 1}
	switch gear {
	case "net":
		return net.Listen("tcp", "127.0.0.1:0")
	case "ring":
		cfg.Gear = quoit.GearRing
	case "poll":
		cfg.Gear = quoit.GearPoll
	case "auto":
		cfg.Gear = quoit.GearAuto
	default:
		return nil, fmt.Errorf("gear %q", gear)
	}
	e, err := quoit.New(&cfg)
	if err != nil {
		return nil, err
	}
	return e.Listen("tcp", "127.0.0.1:0")
}

func fairEcho(c net.Conn, hashes int) {
	defer c.Close()
	var page [4096]byte
	b := make([]byte, fairBytes)
	for {
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
		for range hashes {
			sum := sha256.Sum256(page[:])
			copy(page[:], sum[:])
		}
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}
