//go:build linux

package steering

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// reset counts the conns that nobody serves, and fails the test for an error
// other than a reset.
func reset(t *testing.T, addr netip.AddrPort, n int, settle func()) (resets int) {
	t.Helper()
	conns := keep(t, addr, n)
	settle()
	for _, c := range conns {
		switch _, err := greeting(c); {
		case err == nil:
		case errors.Is(err, unix.ECONNRESET):
			resets++
		default:
			t.Error(err)
		}
		c.Close()
	}
	return resets
}

// What waits at a socket that closes goes to the others, unless migration is
// off.
func TestCloseWithQueue(t *testing.T) {
	needBPF(t)
	const queued = 10
	for _, p := range []Policy{RoundRobin, BySource, LeastLoaded, ByCPU} {
		for _, off := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v/NoMigration=%v", p, off), func(t *testing.T) {
				g := newGroup(t, loopback, 4)
				s := g.attach(&Config{Policy: RoundRobin, NoMigration: off}, nil)
				g.serve(1, 2, 3)
				resets := reset(t, g.addr, 4*queued, func() {
					if err := s.SetPolicy(p); err != nil {
						t.Error(err)
					}
					g.close(0)
				})
				moved := s.Migrated(nil)
				want := 0
				if off {
					want = queued
				}
				if resets != want || int(sum(moved)) != queued-want || moved[0] != 0 {
					t.Errorf("%d conns reset, want %d; moved %v", resets, want, moved)
				}
			})
		}
	}
}

// Rings close one after the other under load; nobody notices. Almost: the
// kernel resets a connection whose handshake another CPU ends at that moment,
// having seen the socket listen still.
func TestCloseUnderLoad(t *testing.T) {
	needBPF(t)
	unlucky := runtime.NumCPU() - 1
	for p := range Policy(len(policyNames)) {
		t.Run(p.String(), func(t *testing.T) {
			g := newGroup(t, loopback, 4)
			s := g.attach(&Config{Policy: p}, nil)
			g.serve()
			stop := traffic(g.addr, 8)
			more := func() {
				seen := sum(s.Decisions(nil))
				until(t, "more conns", func() bool { return sum(s.Decisions(nil)) >= seen+100 })
			}
			for _, ring := range []int{2, 0, 3} {
				more()
				g.close(ring)
			}
			more()
			n, errs := stop()
			for _, err := range errs {
				if !errors.Is(err, unix.ECONNRESET) {
					t.Errorf("of %d visits: %v", n, err)
				}
			}
			if len(errs) > unlucky {
				t.Errorf("%d of %d visits failed: %v", len(errs), n, errors.Join(errs...))
			}
			if n := s.Unsteered(); n != 0 {
				t.Errorf("%d left to the hash", n)
			}
		})
	}
}

// serverEnv makes TestServer serve in another process.
const serverEnv = "QUOIT_STEERING_SERVER"

// TestServer is the server of TestRestart: it listens at the address in
// serverEnv and obeys commands, one a line. Each is answered with a line.
func TestServer(t *testing.T) {
	at := os.Getenv(serverEnv)
	if at == "" {
		t.Skip("runs as a process of TestRestart")
	}
	at, migrate := strings.CutSuffix(at, " migrate")
	g := newGroup(t, at, 3)
	g.attach(&Config{NoMigration: !migrate}, nil)
	fmt.Println("listens", g.addr)
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		switch in.Text() {
		case "serve":
			g.serve()
		case "close":
			for i := range g.rings {
				g.close(i)
			}
			g.conns.Wait() // of what was accepted
		}
		fmt.Println("done")
	}
}

// server is a process of TestServer.
type server struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Scanner
	cmd *exec.Cmd
}

func startServer(t *testing.T, addr string, migrate bool) (*server, netip.AddrPort) {
	t.Helper()
	if migrate {
		addr += " migrate"
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestServer$")
	cmd.Env = append(os.Environ(), serverEnv+"="+addr, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, in: in, out: bufio.NewScanner(out), cmd: cmd}
	t.Cleanup(func() { s.stop() })
	at, ok := strings.CutPrefix(s.line(), "listens ")
	if !ok {
		t.Fatalf("the server says %q", at)
	}
	return s, netip.MustParseAddrPort(at)
}

func (s *server) line() string {
	s.t.Helper()
	if !s.out.Scan() {
		s.t.Fatalf("the server has gone: %v", s.out.Err())
	}
	return s.out.Text()
}

func (s *server) do(command string) {
	s.t.Helper()
	s.send(command)
	s.done()
}

func (s *server) send(command string) {
	s.t.Helper()
	if _, err := io.WriteString(s.in, command+"\n"); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) done() {
	s.t.Helper()
	if got := s.line(); got != "done" {
		s.t.Fatalf("the server says %q", got)
	}
}

// stop ends the process, once.
func (s *server) stop() {
	if s.cmd == nil {
		return
	}
	s.in.Close()
	for s.out.Scan() {
		s.t.Log(s.out.Text())
	}
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("the server: %v", err)
	}
	s.cmd = nil
}

// A new process takes over from an old one under load. Conns that the old one
// had accepted stay.
func TestRestart(t *testing.T) {
	needBPF(t)
	before, addr := startServer(t, loopback, true)
	before.do("serve")
	accepted := keep(t, addr, 20)
	for _, c := range accepted {
		if _, err := greeting(c); err != nil {
			t.Fatal(err)
		}
	}
	stop := traffic(addr, 4)
	after, _ := startServer(t, addr.String(), true)
	waiting := keep(t, addr, 20) // all new conns are the new process's, which does not serve yet
	after.do("serve")
	before.send("close") // done when its conns end
	for _, c := range accepted {
		if err := c.CloseWrite(); err != nil {
			t.Errorf("a conn that was accepted: %v", err)
		}
		if _, err := greeting(c); err != io.EOF {
			t.Errorf("a conn that was accepted does not end as it should: %v", err)
		}
	}
	before.done()
	before.stop()
	for _, c := range waiting {
		if _, err := greeting(c); err != nil {
			t.Errorf("a conn that waited: %v", err)
		}
		c.Close()
	}
	if n, errs := stop(); len(errs) > 0 {
		t.Errorf("of %d visits: %v", n, errors.Join(errs...))
	}
}

// An old process that has not accepted what waits at its sockets ends.
func TestRestartWithQueue(t *testing.T) {
	needBPF(t)
	for _, migrate := range []bool{true, false} {
		t.Run(fmt.Sprintf("migrate=%v", migrate), func(t *testing.T) {
			const queued = 30
			before, addr := startServer(t, loopback, true)
			var after *server
			var stop func() (int, []error)
			resets := reset(t, addr, queued, func() {
				after, _ = startServer(t, addr.String(), migrate)
				after.do("serve")
				stop = traffic(addr, 4)
				before.stop() // its sockets close as it ends
			})
			if n, errs := stop(); len(errs) > 0 {
				t.Errorf("of %d visits: %v", n, errors.Join(errs...))
			}
			want := 0
			if !migrate {
				want = queued
			}
			if resets != want {
				t.Errorf("%d conns reset, want %d", resets, want)
			}
		})
	}
}
