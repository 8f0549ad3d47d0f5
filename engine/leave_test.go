//go:build linux

package engine

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/internal/gear"
)

// until waits for f.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !f(); time.Sleep(10 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("not in a minute: %s", what)
		}
	}
}

// TestLeavePoller follows a conn from the netpoller to the ring and back.
func TestLeavePoller(t *testing.T) {
	for _, known := range []bool{false, true} {
		e := smallEngine(t, gear.Auto, 0)
		e.gear.Hold() // nobody else shifts
		client, c := servedPair(t, e)
		if known {
			try(t, c.RawControl(func(uintptr) {}))
		}
		read := make(chan error)
		go func() {
			for {
				_, err := c.Read(make([]byte, 1))
				read <- err
				if err != nil {
					return
				}
			}
		}()
		next := func() {
			t.Helper()
			_, err := unix.Write(client, []byte("x"))
			try(t, err)
			try(t, <-read)
		}
		state := func() (fd int, polled, armed bool) {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.fd, c.poller() != nil, c.poll.isArmed()
		}
		until(t, "in the netpoller", func() bool { _, polled, _ := state(); return polled })
		next()
		first, _, _ := state()
		left := 0
		for try := 0; left < 3 && try < 100; try++ {
			e.gear.Shift(true)
			next() // of the Read in the netpoller
			until(t, "armed", func() bool { _, _, armed := state(); return armed })
			fd, polled, _ := state()
			if polled != (fd == first) {
				t.Errorf("descriptor %d, %d before; in the netpoller: %v", fd, first, polled)
			}
			if !polled { // else the engine's thread may not have let go since last time
				left++
			}
			next()
			e.gear.Shift(false)
			next()
			until(t, "in the netpoller again", func() bool { _, polled, armed := state(); return polled && !armed })
			next()
			first, _, _ = state()
		}
		if known != (left == 0) || !known && left < 3 {
			t.Errorf("number known is %v: left %d times", known, left)
		}
		try(t, c.Close())
		<-read
	}
}

// TestLeavePollerRace has conns come and go between netpoller and ring while
// others use their descriptors, and yet others take every number that gets
// free.
func TestLeavePollerRace(t *testing.T) {
	e := smallEngine(t, gear.Auto, 0)
	end := time.Now().Add(time.Second)
	over := func() bool { return time.Now().After(end) }
	var wg sync.WaitGroup
	var left atomic.Int64
	for range 8 {
		client, c := servedPair(t, e)
		wg.Go(func() { // the peer
			for i := byte(0); !over() && exchange(t, client, i); i++ {
				if rand.IntN(10) == 0 {
					time.Sleep(50 * time.Microsecond)
				}
			}
			_ = unix.Shutdown(client, unix.SHUT_WR)
		})
		wg.Go(func() { // the echo
			b, numbers := make([]byte, 64), map[int]bool{}
			for {
				n, err := c.Read(b)
				if err != nil {
					left.Add(int64(len(numbers) - 1))
					return
				}
				if _, err := c.Write(b[:n]); err != nil {
					t.Error(err)
					return
				}
				numbers[c.fd] = true // the reader's to change
			}
		})
		wg.Go(func() { // somebody else at the descriptor
			first := inode(t, c)
			for !over() {
				if got := inode(t, c); got != first {
					t.Errorf("the descriptor is of inode %d, was of %d", got, first)
				}
				_ = c.SetDeadlines(time.Now().Add(time.Minute), true, true)
				if rand.IntN(2) == 0 {
					time.Sleep(20 * time.Microsecond)
				}
			}
		})
	}
	wg.Go(func() {
		for !over() {
			e.gear.Shift(rand.IntN(2) == 0)
			time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
		}
	})
	wg.Go(func() {
		for !over() {
			var p [2]int
			try(t, unix.Pipe2(p[:], unix.O_CLOEXEC))
			runtime.Gosched()
			try(t, unix.Close(p[0]))
			try(t, unix.Close(p[1]))
		}
	})
	wg.Wait()
	if left.Load() == 0 {
		t.Error("no descriptor ever changed")
	}
}

func inode(t *testing.T, c *Conn) (n uint64) {
	try(t, c.Control(func(fd uintptr) {
		var st unix.Stat_t
		try(t, unix.Fstat(int(fd), &st))
		n = st.Ino
	}))
	return n
}

// exchange sends a hundred bytes, all i, and reports whether they come back.
func exchange(t *testing.T, fd int, i byte) bool {
	sent := bytes.Repeat([]byte{i}, 100)
	if _, err := unix.Write(fd, sent); err != nil {
		t.Error(err)
		return false
	}
	got := make([]byte, len(sent))
	for n := 0; n < len(got); {
		k, err := unix.Read(fd, got[n:])
		if err == unix.EAGAIN {
			runtime.Gosched()
			continue
		}
		if k <= 0 {
			t.Errorf("%d, %v", k, err)
			return false
		}
		n += k
	}
	if !bytes.Equal(got, sent) {
		t.Errorf("%d came back as %v", i, got)
	}
	return true
}
