//go:build linux

package pitfalls

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// Rings are charged to RLIMIT_MEMLOCK, except root's: with the 64 KB of many
// systems Listen must work, on a smaller ring or by package net.
func TestPitfall26SmallLimits(t *testing.T) {
	for _, uid := range []int{os.Getuid(), 65534} {
		for _, memlock := range []string{"65536", "0"} {
			t.Run(fmt.Sprintf("uid=%d/memlock=%s", uid, memlock), func(t *testing.T) {
				testenv.Watch(t, 2*testenv.Bound)
				cmd, stderr := pfChild(t, "limits", memlock, "1024")
				if uid != os.Getuid() {
					if os.Getuid() != 0 {
						t.Skip("only root can become another user")
					}
					cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
				}
				out, err := cmd.Output()
				if err != nil {
					t.Errorf("%v\n%s", err, stderr)
				}
				t.Logf("%s", out)
			})
		}
	}
}

// pfChildLimits lowers RLIMIT_MEMLOCK and RLIMIT_NOFILE and serves.
func pfChildLimits(args []string) error {
	for i, resource := range []int{unix.RLIMIT_MEMLOCK, unix.RLIMIT_NOFILE} {
		n, err := strconv.ParseUint(args[i], 10, 64)
		if err != nil {
			return err
		}
		if err := pfLimit(resource, n); err != nil {
			return err
		}
	}
	for range 3 { // one after the other, then beside the default engine
		e, err := quoit.New(nil)
		if err != nil {
			return err
		}
		if err := errors.Join(pfTraffic(e), e.Close()); err != nil {
			return err
		}
	}
	e, err := quoit.New(nil)
	if err != nil {
		return err
	}
	for _, e := range []*quoit.Engine{quoit.Default(), e} {
		s := e.Stats()
		fmt.Printf("served by %s, reason: %v\n", s.Transport, s.Reason)
		if (s.Transport == "net") != (s.Reason != nil) {
			return fmt.Errorf("transport %q, reason %w", s.Transport, s.Reason)
		}
		if err := pfTraffic(e); err != nil {
			return err
		}
	}
	return e.Close()
}

// pfTraffic runs an echo over conns whose both ends are e's.
func pfTraffic(e *quoit.Engine) error {
	ln, err := e.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer ln.Close()
	return pfExchange(enginetest.On(e), ln)
}

// pfExchange has conns to ln carry a stream each way.
func pfExchange(tr testenv.Transport, ln net.Listener) error {
	var wg sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		c, s, err := pfBothEnds(tr, ln)
		if err != nil {
			return err
		}
		wg.Go(func() {
			const size = 100_000
			send := func(c net.Conn) <-chan error {
				return testenv.Go(func() error { return errors.Join(pfSend(c, 26, size), c.(pfStream).CloseWrite()) })
			}
			there, back := send(c), send(s)
			got := testenv.Go(func() error { return pfExpect(c, 26, size) })
			errs[i] = errors.Join(pfExpect(s, 26, size), <-got, <-there, <-back, c.Close(), s.Close())
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// pfBothEnds dials, and accepts it.
func pfBothEnds(tr testenv.Transport, ln net.Listener) (c, s net.Conn, err error) {
	if c, err = tr.Dial(context.Background(), "tcp", ln.Addr().String()); err != nil {
		return nil, nil, err
	}
	if s, err = ln.Accept(); err != nil {
		return nil, nil, errors.Join(err, c.Close())
	}
	return c, s, nil
}

// Go's poller and a ring have descriptors of their own. Where the limit leaves
// room for package net only, it serves: the ring's do not come first, since
// without its own the runtime ends the process.
func TestPitfall26FewDescriptors(t *testing.T) {
	testenv.Watch(t, 4*testenv.Bound)
	for n := 8; n <= 64; n++ {
		if n > 16 && n%8 > 1 && n != 31 {
			continue
		}
		serves := func(transport string) error {
			cmd, stderr := pfChild(t, "descriptors", transport, strconv.Itoa(n))
			out, err := cmd.Output()
			t.Logf("%d descriptors, %s: %v: %s", n, transport, err, out)
			if err != nil {
				err = fmt.Errorf("%w: %.300s", err, stderr)
			}
			return err
		}
		if err := serves("net"); err != nil {
			if n >= 16 {
				t.Errorf("%d descriptors, package net: %v", n, err)
			}
			continue // it shows what there is room for
		}
		for _, transport := range []string{"default", "engine", "require"} {
			if err := serves(transport); err != nil {
				t.Errorf("%d descriptors, %s: %v", n, transport, err)
			}
		}
	}
}

// pfChildDescriptors lowers RLIMIT_NOFILE (args[1]) and has one conn to itself.
func pfChildDescriptors(args []string) error {
	limit, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	if err := pfLimit(unix.RLIMIT_NOFILE, uint64(limit)); err != nil {
		return err
	}
	listen, dial := quoit.Listen, quoit.Dial
	switch args[0] {
	case "net":
		listen, dial = net.Listen, net.Dial
	case "engine", "require":
		e, err := quoit.New(&quoit.Config{Require: args[0] == "require"})
		if limit < 32 && args[0] == "require" {
			return pfNoRoom(err)
		}
		if err != nil {
			return err
		}
		listen, dial = e.Listen, e.Dialer().Dial
		defer e.Close()
	}
	ln, err := listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer ln.Close()
	c, err := dial("tcp", ln.Addr().String())
	if err != nil {
		return err
	}
	s, err := ln.Accept()
	if err != nil {
		return err
	}
	const size = 100_000
	sent := testenv.Go(func() error { return errors.Join(pfSend(c, 26, size), c.(pfStream).CloseWrite()) })
	if err := errors.Join(pfExpect(s, 26, size), <-sent, c.Close(), s.Close()); err != nil || args[0] == "net" {
		return err
	}
	st := quoit.Default().Stats()
	fmt.Print(st.Transport)
	if limit < 32 {
		return errors.Join(pfNoRoom(st.Reason), pfNoRoom(quoit.Probe().Err))
	}
	if (st.Transport == "io_uring") != quoit.Probe().IOUring {
		return fmt.Errorf("served by %s: %w", st.Transport, st.Reason)
	}
	return nil
}

// pfNoRoom wants err to say that descriptors are too few, or what stands in the
// way of the ring on this architecture at any limit.
func pfNoRoom(err error) error {
	ue, ok := errors.AsType[*quoit.UnsupportedError](err)
	switch {
	case ok && strings.Contains(ue.Feature, "RLIMIT_NOFILE") && errors.Is(err, unix.EMFILE):
		return nil
	case ok && strings.HasSuffix(ue.Feature, "linux/"+runtime.GOARCH):
		return nil
	}
	return fmt.Errorf("the reason is %w", err)
}

// The limit may be large and nearly used up. New then fails or not, but the
// process lives, and serves when there are descriptors again.
func TestPitfall26DescriptorsUsed(t *testing.T) {
	testenv.Watch(t, 2*testenv.Bound)
	for free := range 9 {
		t.Logf("%d free: %s", free, pfRun(t, "descriptors-used", strconv.Itoa(free)))
	}
}

// pfChildDescriptorsUsed leaves only args[0] descriptors to New.
func pfChildDescriptorsUsed(args []string) error {
	free, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	if err := pfLimit(unix.RLIMIT_NOFILE, 64); err != nil {
		return err
	}
	var used []int // not by package os, which would open Go's poller
	for {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == unix.EMFILE {
			break
		}
		if err != nil {
			return err
		}
		used = append(used, fd)
	}
	for i, fd := range used {
		if i < free {
			unix.Close(fd)
		}
	}
	e, err := quoit.New(nil)
	if err != nil {
		return err
	}
	for _, fd := range used[free:] {
		unix.Close(fd)
	}
	s := e.Stats()
	fmt.Printf("served by %s, reason: %v", s.Transport, s.Reason)
	if (s.Transport == "net") != (s.Reason != nil) || free == 0 && s.Transport != "net" {
		return fmt.Errorf("transport %q, reason %w", s.Transport, s.Reason)
	}
	return errors.Join(pfTraffic(e), e.Close())
}

// Containers refuse io_uring's calls by EPERM or ENOSYS: all of them, or some
// only. Package net serves then, and everybody says why. A ring that only needs
// the others does without io_uring_register.
func TestPitfall26Seccomp(t *testing.T) {
	for _, call := range []struct {
		name string
		nr   []uint32
	}{
		{"io_uring_setup", []uint32{unix.SYS_IO_URING_SETUP}},
		{"io_uring_enter", []uint32{unix.SYS_IO_URING_ENTER}},
		{"io_uring_register", []uint32{unix.SYS_IO_URING_REGISTER}},
	} {
		for _, errno := range []syscall.Errno{unix.EPERM, unix.ENOSYS} {
			t.Run(fmt.Sprintf("%s/%s", call.name, unix.ErrnoName(errno)), func(t *testing.T) {
				testenv.Watch(t, 2*testenv.Bound)
				if call.name != "io_uring_setup" {
					enginetest.NeedRing(t) // or the reason is another
				}
				args := []string{"seccomp", fmt.Sprint(int(errno))}
				for _, nr := range call.nr {
					args = append(args, fmt.Sprint(nr))
				}
				t.Log(pfRun(t, args...))
			})
		}
	}
}

// pfChildSeccomp refuses system calls (args[1:]) with an errno (args[0]).
func pfChildSeccomp(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	errno := syscall.Errno(n)
	var calls []uint32
	for _, s := range args[1:] {
		nr, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			return err
		}
		calls = append(calls, uint32(nr))
	}
	if err := testenv.Refuse(errno, calls...); err != nil {
		return err
	}
	if args[1] == fmt.Sprint(unix.SYS_IO_URING_REGISTER) {
		_, err := quoit.New(&quoit.Config{Require: true})
		return errors.Join(err, pfTraffic(quoit.Default()))
	}
	return pfRefused(errno)
}

// pfRefused wants package net to serve since io_uring_setup or io_uring_enter gives
// errno, and everybody to say so.
func pfRefused(errno syscall.Errno) error {
	ln, err := quoit.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if _, ok := ln.(*net.TCPListener); !ok {
		return fmt.Errorf("listener is a %T", ln)
	}
	ln.Close()
	s := quoit.Default().Stats()
	fmt.Printf("served by %s, reason: %v\n", s.Transport, s.Reason)
	if s.Transport != "net" || !errors.Is(s.Reason, errno) {
		return fmt.Errorf("stats: %s, reason %w", s.Transport, s.Reason)
	}
	if p := quoit.Probe(); p.IOUring || !errors.Is(p.Err, errno) {
		return fmt.Errorf("probe: %v, %w", p.IOUring, p.Err)
	}
	e, err := quoit.New(&quoit.Config{Require: true})
	var ue *quoit.UnsupportedError
	if e != nil || !errors.As(err, &ue) || !errors.Is(err, errors.ErrUnsupported) || !errors.Is(err, errno) {
		return fmt.Errorf("with Require: %v, %w", e, err)
	}
	if slices.ContainsFunc(testenv.FDs(), func(f string) bool { return strings.Contains(f, "io_uring") }) {
		return fmt.Errorf("a ring is left behind: %q", testenv.FDs())
	}
	return pfTraffic(quoit.Default())
}

// A filter may come while rings run, as a process narrows what it may do: io_uring_enter
// is refused then, and conns go on without the ring, those that wait on it too.
func TestPitfall26SeccompLater(t *testing.T) {
	enginetest.NeedRing(t)
	for _, errno := range []syscall.Errno{unix.EPERM, unix.ENOSYS} {
		for _, server := range pfServers[1:] {
			t.Run(unix.ErrnoName(errno)+"/"+server, func(t *testing.T) {
				testenv.Watch(t, 2*testenv.Bound)
				t.Log(pfRun(t, "seccomp-later", fmt.Sprint(int(errno)), server))
			})
		}
	}
}

// pfChildSeccompLater has conns before the filter.
func pfChildSeccompLater(args []string) error {
	errno, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	tr, err := pfServe(args[1])
	if err != nil {
		return err
	}
	ln, err := tr.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var clients, servers []net.Conn
	for range 8 {
		c, err := tr.Dial(context.Background(), "tcp", ln.Addr().String())
		if err != nil {
			return err
		}
		s, err := ln.Accept()
		if err != nil {
			return err
		}
		clients, servers = append(clients, c), append(servers, s)
	}
	var ended []<-chan error
	for i, s := range servers { // parked in Read as the filter comes
		ended = append(ended, testenv.Go(func() error { return pfExpect(s, uint64(i), 100_000) }))
	}
	talk := func(from, to int64) error {
		for i, c := range clients {
			r := testenv.StreamReader{Seed: uint64(i), Off: from}
			if _, err := io.Copy(struct{ io.Writer }{c}, io.LimitReader(&r, to-from)); err != nil {
				return fmt.Errorf("conn %d: %w", i, err)
			}
		}
		return nil
	}
	if err := talk(0, 1000); err != nil {
		return err
	}
	if err := testenv.Refuse(syscall.Errno(errno), unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER); err != nil {
		return err
	}
	if err := talk(1000, 100_000); err != nil {
		return err
	}
	for i, c := range clients {
		if err := errors.Join(c.(pfStream).CloseWrite(), <-ended[i], c.Close(), servers[i].Close()); err != nil {
			return fmt.Errorf("conn %d: %w", i, err)
		}
	}
	return errors.Join(pfExchange(tr.Transport, ln), ln.Close())
}

// A filter may end the process for a call of io_uring's, which no trial can find out.
// QUOIT=off makes none.
func TestPitfall26SeccompKills(t *testing.T) {
	for name, action := range map[string]uint32{"process": unix.SECCOMP_RET_KILL_PROCESS, "thread": unix.SECCOMP_RET_KILL_THREAD, "trap": unix.SECCOMP_RET_TRAP} {
		t.Run(name, func(t *testing.T) {
			testenv.Watch(t, 2*testenv.Bound)
			cmd, stderr := pfChild(t, "seccomp-kills", fmt.Sprint(action))
			cmd.Env = append(cmd.Env, "QUOIT=off")
			if out, err := cmd.Output(); err != nil {
				t.Errorf("%v, %s\n%s", err, out, stderr)
			}
		})
	}
}

func pfChildSeccompKills(args []string) error {
	action, err := strconv.ParseUint(args[0], 10, 32)
	if err != nil {
		return err
	}
	kill := uint32(action)
	err = testenv.Filter(map[uint32]uint32{unix.SYS_IO_URING_SETUP: kill, unix.SYS_IO_URING_ENTER: kill, unix.SYS_IO_URING_REGISTER: kill}, unix.SECCOMP_RET_ALLOW)
	if err != nil {
		return err
	}
	e, err := quoit.New(nil)
	if err != nil {
		return err
	}
	if s := e.Stats(); s.Transport != "net" {
		return fmt.Errorf("served by %s", s.Transport)
	}
	if s := quoit.Probe(); s.IOUring || s.Kernel == "" || !strings.Contains(fmt.Sprint(s.Err), "QUOIT=off") {
		return fmt.Errorf("Probe: %+v", s)
	}
	return errors.Join(pfTraffic(e), pfTraffic(quoit.Default()), e.Close())
}
