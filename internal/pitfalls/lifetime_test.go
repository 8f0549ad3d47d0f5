//go:build linux

package pitfalls

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"runtime"
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

// Engines that come and go leave nothing behind: no descriptor, mapping, thread,
// locked page or socket, also those whose conns were open, and whose rings had failed.
func TestLifetimeEngines(t *testing.T) {
	enginetest.NeedRing(t)
	engines := 200
	switch {
	case pfLong():
		engines = 1000
	case testing.Short():
		engines = 50
	}
	users := map[string]*syscall.SysProcAttr{"": nil}
	if os.Getuid() == 0 {
		users = map[string]*syscall.SysProcAttr{
			"root":   {Cloneflags: unix.CLONE_NEWNET},                           // whose sockets can be counted
			"nobody": {Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}, // whose rings are charged
		}
	}
	for name, attr := range users {
		t.Run(name, func(t *testing.T) {
			testenv.Watch(t, 4*testenv.Bound)
			cmd, stderr := pfChild(t, "lifetime", strconv.Itoa(engines))
			cmd.SysProcAttr = attr
			out, err := cmd.Output()
			if err != nil {
				t.Errorf("%v\n%s", err, stderr)
			}
			t.Logf("%s", out)
		})
	}
}

// pfChildLifetime has engines live and die, and counts what it has after half of them
// and in the end.
func pfChildLifetime(args []string) error {
	engines, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	if os.Getuid() == 0 {
		if err := pfUp("lo"); err != nil {
			return err
		}
	}
	live := func(n int) error {
		for i := range n {
			if err := pfLife(i); err != nil {
				return fmt.Errorf("engine %d: %w", i, err)
			}
		}
		return nil
	}
	if err := live(20); err != nil { // what the runtime makes once
		return err
	}
	most, err := pfHoldings()
	if err != nil {
		return err
	}
	fmt.Println("at first:", most)
	for half := range 2 {
		if err := live(engines / 2); err != nil {
			return err
		}
		var now map[string]int
		ok := testenv.Eventually(func() bool { // a killed ring, and a conn's end, take the kernel a moment
			runtime.GC()
			now, err = pfHoldings()
			return err != nil || !pfMore(now, most, half)
		})
		if err != nil {
			return err
		}
		fmt.Printf("after %d: %v\n", (half+1)*(engines/2), now)
		if !ok {
			return fmt.Errorf("more than before: %v, now %v", most, now)
		}
		most = now
	}
	return nil
}

// pfMore reports whether there is more of anything now. The runtime may start threads
// for a load, and map memory, in the first half: but not one for each engine, and
// hardly any in the second half.
func pfMore(now, before map[string]int, half int) bool {
	slack := map[string]int{"threads": 16, "maps": 40}
	for what, n := range now {
		if n > before[what]+slack[what]/(half+1) {
			return true
		}
	}
	return false
}

// pfLife is an engine's: one without conns, one with some, one whose rings fail.
func pfLife(i int) error {
	var e *quoit.Engine
	var err error
	testenv.Eventually(func() bool { // the kernel gives back late what it charges to RLIMIT_MEMLOCK
		e, err = quoit.New(&quoit.Config{Rings: 1 + i%3, Gear: quoit.Gear(i % 2), Require: true})
		return !errors.Is(err, unix.ENOMEM)
	})
	if err != nil {
		return err
	}
	if i%4 == 0 {
		return e.Close()
	}
	ln, err := e.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var parked sync.WaitGroup
	for range 4 {
		for range 2 {
			c, err := e.Dialer().Dial("tcp", ln.Addr().String())
			if err != nil {
				return err
			}
			if _, err := c.Write([]byte("x")); err != nil {
				return err
			}
			s, err := ln.Accept()
			if err != nil {
				return err
			}
			parked.Go(func() { // until the engine closes
				for b := make([]byte, 1); err == nil; {
					_, err = s.Read(b)
				}
			})
		}
	}
	if i%4 == 3 {
		enginetest.Break(e)
		if i%8 == 3 && !testenv.Eventually(func() bool { return e.Stats().RingsLost > 0 }) {
			return errors.New("no ring failed")
		}
	}
	err = e.Close()
	parked.Wait()
	return err
}

// pfHoldings counts what the process has.
func pfHoldings() (map[string]int, error) {
	n := map[string]int{"descriptors": len(testenv.FDs())}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return nil, err
	}
	n["maps"] = strings.Count(string(maps), "\n")
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(status)) {
		for key, what := range map[string]string{"Threads:": "threads", "VmLck:": "locked KB", "VmPin:": "pinned KB"} {
			if rest, ok := strings.CutPrefix(line, key); ok {
				if n[what], err = strconv.Atoi(strings.Fields(rest)[0]); err != nil {
					return nil, err
				}
			}
		}
	}
	if os.Getuid() != 0 {
		return n, nil // others have the namespace, too
	}
	f, err := os.Open("/proc/self/net/sockstat")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var inuse, orphans int
		if _, err := fmt.Sscanf(s.Text(), "TCP: inuse %d orphan %d", &inuse, &orphans); err == nil {
			n["sockets"], n["orphans"] = inuse, orphans
		}
	}
	return n, nil
}

// pfUp sets an interface up in a new network namespace, the thread's.
func pfUp(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP)
	return os.NewSyscallError("ioctl", unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req))
}

// The collector runs at each of its chances while conns carry data: what the kernel
// was told of must not move nor go.
func TestLifetimeCollector(t *testing.T) {
	if testing.Short() {
		t.Skip("those tests once more, slowly")
	}
	testenv.Watch(t, 4*testenv.Bound)
	cmd, stderr := testenv.Command(t, "GOGC=1", "QUOIT_SOAK=2s")
	cmd.Args = append(cmd.Args, "-test.short", "-test.run=^(TestPitfall0[1235].*|TestForwardInterrupted|TestSoak)$")
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), "PASS") {
		t.Errorf("%v\n%s\n%s", err, out, stderr)
	}
}
