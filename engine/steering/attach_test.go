//go:build linux

package steering

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// What listeners call.
var _ interface {
	Attach(sockets, cpus []int) error
	Load(ring int, conns uint32)
	Accepted(ring int)
	Drained(ring int)
	Hold(ring int, held bool)
	Decisions(dst []uint64) []uint64
	Detach()
	String() string
} = (*Steering)(nil)

func TestSocketErrors(t *testing.T) {
	good := newGroup(t, loopback, 1)
	open := func(family, kind, proto int, reuse bool, listens bool) int {
		fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, proto)
		if err != nil {
			t.Logf("socket: %v", err)
			return -1
		}
		t.Cleanup(func() { unix.Close(fd) })
		if reuse {
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		}
		if listens {
			err = errors.Join(err, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 1))
		}
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	tests := []struct {
		name   string
		fd     int
		reason string
	}{
		{"none", -1, "cannot be examined"},
		{"MPTCP", open(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP, true, true), "is not plain TCP"},
		{"UDP", open(unix.AF_INET, unix.SOCK_DGRAM, 0, true, false), "is not plain TCP"},
		{"not listening", open(unix.AF_INET, unix.SOCK_STREAM, 0, true, false), "does not listen"},
		{"no SO_REUSEPORT", open(unix.AF_INET, unix.SOCK_STREAM, 0, false, true), "lacks SO_REUSEPORT"},
		{"elsewhere", open(unix.AF_INET, unix.SOCK_STREAM, 0, true, true), "has another address than that of ring 0"},
	}
	for _, f := range []Fallback{NoFallback, FallbackHash} {
		s, err := New(&Config{Fallback: f})
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range tests {
			if tt.fd < 0 && tt.name != "none" {
				continue
			}
			var se *SocketError
			err := s.Attach(append(good.fds(), tt.fd), nil)
			if !errors.As(err, &se) || se.Ring != 1 || se.Reason != tt.reason || errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("%s: %v", tt.name, err)
			}
		}
	}
}

// unprivilegedEnv makes TestUnprivilegedChild run; its value is for it to
// check who it is.
const unprivilegedEnv = "QUOIT_STEERING_UNPRIVILEGED"

func TestUnprivileged(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("cannot become another user: not root")
	}
	for _, caps := range [][]uintptr{nil, {unix.CAP_BPF}} {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestUnprivilegedChild$", "-test.v")
		cmd.Dir = "/"
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", unprivilegedEnv, len(caps)), "GORACE=atexit_sleep_ms=0")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Credential:  &syscall.Credential{Uid: 65534, Gid: 65534},
			AmbientCaps: caps,
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("with %d capabilities: %v\n%s", len(caps), err, out)
		}
	}
}

func TestUnprivilegedChild(t *testing.T) {
	capable := os.Getenv(unprivilegedEnv)
	switch {
	case capable != "" && os.Getuid() != 65534:
		t.Fatalf("user %d", os.Getuid())
	case capable == "" && mayBPF(t):
		t.Skip("runs as a process of TestUnprivileged")
	}
	g := newGroup(t, loopback, 3)
	s, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Attach(g.fds(), nil)
	if capable == "1" { // CAP_BPF alone is enough for everything
		if err != nil {
			t.Fatal(err)
		}
		g.serve()
		for p := range Policy(len(policyNames)) {
			if err := s.SetPolicy(p); err != nil {
				t.Error(err)
			}
			g.visits(20)
		}
		if n := sum(s.Decisions(nil)); n != 20*uint64(len(policyNames)) || s.Unsteered() != 0 {
			t.Errorf("%d decisions, %d left to the hash", n, s.Unsteered())
		}
		s.Detach()
		return
	}
	var ue *UnsupportedError
	if !errors.As(err, &ue) || ue.Capability != "CAP_BPF" || !errors.Is(err, errors.ErrUnsupported) || !errors.Is(err, unix.EPERM) {
		t.Errorf("no capability: %v", err)
	}
	t.Log(err)
	for _, f := range []Fallback{FallbackByCPU, FallbackAtRandom, FallbackHash} {
		t.Run(f.String(), func(t *testing.T) { testFallback(t, f) })
	}
}

func testFallback(t *testing.T, f Fallback) {
	const visits = 60
	g := newGroup(t, loopback, 3)
	s := g.attach(&Config{Fallback: f}, nil)
	g.serve()
	if got := s.String(); got != f.String() {
		t.Errorf("in force: %s", got)
	}
	var ue *UnsupportedError
	if err := s.Err(); !errors.As(err, &ue) || ue.Capability != "CAP_BPF" {
		t.Errorf("because of %v", err)
	}
	if err := s.SetPolicy(RoundRobin); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("SetPolicy: %v", err)
	}
	if err := s.SetWeight(0, 1); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("SetWeight: %v", err)
	}
	s.Load(0, 1)
	s.Hold(0, true)
	counts := g.visits(visits)
	for ring, n := range s.Decisions(nil) {
		if int(n) != counts[ring] {
			t.Errorf("ring %d: %d decisions, %d conns", ring, n, counts[ring])
		}
		if counts[ring] == 0 && f != FallbackByCPU { // by chance once in 10^10
			t.Errorf("%v", counts)
		}
	}
	if f == FallbackByCPU {
		for cpu := range 2 {
			var may unix.CPUSet
			if err := unix.SchedGetaffinity(0, &may); err != nil {
				t.Fatal(err)
			}
			if !may.IsSet(cpu) {
				continue
			}
			for _, r := range visitsFrom(t, cpu, g.addr, 20) {
				if r != cpu%3 {
					t.Errorf("CPU %d's came to ring %d", cpu, r)
				}
			}
		}
	}
	s.Detach()
	if got := s.Decisions(nil); len(got) != 3 || s.String() != f.String() {
		t.Errorf("after Detach: %v, %s", got, s)
	}
}

// net's listeners are MPTCP ones unless told otherwise.
func TestNetListeners(t *testing.T) {
	needBPF(t)
	var fds []int
	addr := loopback
	for range 3 {
		lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
			var err error
			return errors.Join(c.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
			}), err)
		}}
		lc.SetMultipathTCP(false)
		ln, err := lc.Listen(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		addr = ln.Addr().String()
		rc, err := ln.(*net.TCPListener).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := rc.Control(func(fd uintptr) { fds = append(fds, int(fd)) }); err != nil {
			t.Fatal(err)
		}
	}
	s, err := New(&Config{Policy: RoundRobin})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Attach(fds, nil); err != nil {
		t.Fatal(err)
	}
	defer s.Detach()
	keep(t, netip.MustParseAddrPort(addr), 9)
	if got := s.Decisions(nil); !slices.Equal(got, []uint64{3, 3, 3}) {
		t.Errorf("%v", got)
	}
}

func TestOlderThan(t *testing.T) {
	for _, tt := range []struct {
		release string
		older   bool
	}{
		{"5.13.19", true}, {"5.14.0-rc1", false}, {"5.4.0-150-generic", true}, {"4.19.0", true},
		{"5.15.0", false}, {"6.1.0-9-amd64", false}, {"", false}, {"Linux", false},
	} {
		if got := olderThan(tt.release, 5, 14); got != tt.older {
			t.Errorf("%q: %v", tt.release, got)
		}
	}
}

// The program is the same with NoMigration, and needs the same kernel.
func TestUnsupported(t *testing.T) {
	for _, tt := range []struct {
		err              error
		release          string
		need, capability string
	}{
		{unix.EINVAL, "5.12.0", "5.14", ""}, {unix.EINVAL, "5.13.19", "5.14", ""}, {unix.EINVAL, "5.14.0", "", ""},
		{unix.EPERM, "5.13.19", "", "CAP_BPF"},
	} {
		ue, ok := errors.AsType[*UnsupportedError](unsupported(tt.err, tt.release))
		if !ok || ue.MinKernel != tt.need || ue.Capability != tt.capability || !errors.Is(ue, tt.err) {
			t.Errorf("%v on %s: %+v", tt.err, tt.release, ue)
		}
	}
}
