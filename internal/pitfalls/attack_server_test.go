//go:build linux

package pitfalls

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
)

// pfChildAttacked does what the first byte of a conn says, and what a fault says, if it
// is to have one.
func pfChildAttacked(args []string) error {
	ln, err := pfServeOn(args[0])
	if err != nil {
		return err
	}
	fault := func(c pfStream, _ bool) pfStream { return c }
	if len(args) > 1 {
		fault = pfFaults[args[1]]
	}
	var conns atomic.Int64
	go func() {
		for accepted := 0; ; {
			c, err := ln.Accept()
			if errors.Is(err, unix.EMFILE) {
				testenv.Pace(5 * time.Millisecond) // as http.Server
				continue
			}
			if err != nil {
				panic(err)
			}
			conns.Add(1)
			accepted++
			attacks := accepted > attackHealthy
			go func() {
				defer conns.Add(-1)
				defer c.Close()
				attackedServe(fault(c.(pfStream), attacks))
			}()
		}
	}()
	return attackedAnswer(conns.Load)
}

// attackedAnswer answers the questions of the test, until it has no more.
func attackedAnswer(conns func() int64) error {
	var self ownProcess
	var err error
	if self.status, err = os.Open("/proc/self/status"); err != nil {
		return err
	}
	if self.descriptors, err = os.Open("/proc/self/fd"); err != nil {
		return err
	}
	for s := bufio.NewScanner(os.Stdin); s.Scan(); {
		var err error
		switch what, n, _ := strings.Cut(s.Text(), " "); what {
		case "left":
			var open []int
			open, err = self.open()
			fmt.Println(conns(), runtime.NumGoroutine(), len(open))
		case "cost":
			err = self.cost()
		case "limit":
			err = self.limit(n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ownProcess is what /proc has of this process, open before there are no descriptors.
type ownProcess struct{ status, descriptors *os.File }

// open returns the descriptors.
func (p ownProcess) open() (fds []int, err error) {
	if _, err := p.descriptors.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	names, err := p.descriptors.Readdirnames(-1)
	for _, name := range names {
		fd, err := strconv.Atoi(name)
		if err != nil {
			return nil, err
		}
		fds = append(fds, fd)
	}
	return fds, err
}

// cost prints what the process holds, what its sockets do, in bytes, and the time of
// processors that it has used, in nanoseconds.
func (p ownProcess) cost() error {
	used := pfCPU()
	debug.FreeOSMemory()
	held, err := p.resident()
	if err != nil {
		return err
	}
	queued, err := p.queued()
	if err != nil {
		return err
	}
	fmt.Println(held, queued, used.Nanoseconds())
	return nil
}

// limit leaves n descriptors more than are open, or with 0 as many as may be.
func (p ownProcess) limit(n string) error {
	more, err := strconv.Atoi(n)
	if err != nil {
		return err
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Cur = limit.Max; more > 0 {
		open, err := p.open()
		if err != nil {
			return err
		}
		limit.Cur = uint64(len(open) + more)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	fmt.Println(limit.Cur)
	return nil
}

func attackedServe(c pfStream) {
	// So that what is the kernel's can be compared.
	c.SetReadBuffer(attackWindow)
	c.SetWriteBuffer(attackWindow)
	b := make([]byte, 4096)
	if _, err := io.ReadFull(c, b[:1]); err != nil {
		return
	}
	write := func() {
		for {
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	}
	discard := func() { io.CopyBuffer(io.Discard, struct{ io.Reader }{c}, b) }
	switch b[0] {
	case 'e': // echoes
		io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{c}, b)
	case 'w': // writes
		write()
	case 'd': // reads all there is
		discard()
	case 'b': // both at once
		go write()
		io.Copy(io.Discard, struct{ io.Reader }{c})
	case 'h': // closes its half, and reads all there is
		c.CloseWrite()
		discard()
	case 's': // reads slowly
		for {
			testenv.Pace(10 * time.Millisecond)
			if _, err := c.Read(b); err != nil {
				return
			}
		}
	case 'n': // neither; its end comes with a deadline
		for {
			c.SetWriteDeadline(time.Now().Add(testenv.Bound))
			if _, err := c.Write([]byte("x")); err != nil {
				return
			}
			testenv.Pace(50 * time.Millisecond)
		}
	case 'l': // reads a line
		for {
			n, err := c.Read(b)
			if err != nil || strings.Contains(string(b[:n]), "\n") {
				return
			}
		}
	}
}

// resident is RssAnon, in bytes.
func (p ownProcess) resident() (n int64, err error) {
	if _, err := p.status.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	status, err := io.ReadAll(p.status)
	if err != nil {
		return 0, err
	}
	return residentIn(string(status))
}

// residentMemory is the process's RssAnon, in bytes.
func residentMemory() (n int64, err error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	return residentIn(string(status))
}

func residentIn(status string) (n int64, err error) {
	_, rest, ok := strings.Cut(status, "RssAnon:")
	if !ok {
		return 0, errors.New("no RssAnon")
	}
	_, err = fmt.Sscan(rest, &n)
	return n << 10, err
}

// queued is what the kernel holds in the sockets, in bytes, its own structures
// included: /proc/net/sockstat has only the sum of the machine.
func (p ownProcess) queued() (n int64, err error) {
	open, err := p.open()
	for _, fd := range open {
		// Eight words, of which these two of enum sk_meminfo_vars are wanted.
		const rmemAlloc, wmemQueued = 0, 5
		if words, err := unix.GetsockoptICMPv6Filter(fd, unix.SOL_SOCKET, unix.SO_MEMINFO); err == nil {
			n += int64(words.Data[rmemAlloc]) + int64(words.Data[wmemQueued])
		}
	}
	return n, err
}
