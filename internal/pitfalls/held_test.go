//go:build linux

package pitfalls

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

const (
	heldConns  = 1000
	heldUnread = 16 << 10 // bytes that each peer sends and nobody reads

	// heldMore is what a conn may take beyond package net's in the process's memory,
	// in bytes: docs/rings.md says 0.7 KB, and memory is counted in pages.
	heldMore = 3 << 10
)

// held is what the conns of a server hold, in bytes each.
type held struct {
	waiting, unread int64 // of the process's memory
	socket          int64 // of the kernel's, for what is unread
}

// What has come and is not read waits in the socket, whoever serves, and a conn that
// waits holds no buffer, on any kernel.
func TestAttackHeld(t *testing.T) {
	var plain held
	for _, server := range pfServers {
		passed := t.Run(server, func(t *testing.T) {
			if server != "net" {
				enginetest.NeedRing(t)
			}
			testenv.Watch(t, 4*testenv.Bound)
			h := measureHeld(t, server)
			t.Logf("%d conns: %d bytes each while they wait, %d with %d unread, for which the socket takes %d",
				heldConns, h.waiting, h.unread, heldUnread, h.socket)
			if server == "net" {
				plain = h
				return
			}
			if plain == (held{}) {
				t.Skip("run it with net, which this is compared with")
			}
			if (h.waiting > plain.waiting+heldMore || h.unread > plain.unread+heldMore) && !testenv.Race {
				t.Errorf("package net has %d, and %d", plain.waiting, plain.unread)
			}
			if h.socket > plain.socket*5/4 { // it depends on how the kernel cuts the bytes
				t.Errorf("package net's sockets take %d", plain.socket)
			}
		})
		if !passed {
			break // net's are what the others are compared with
		}
	}
}

// measureHeld has a server wait for peers, and then leave unread what they send.
func measureHeld(t *testing.T, server string) (h held) {
	a := startQuestioned(t, "held", server)
	before := a.ask("memory")
	var conns []*net.TCPConn
	for range heldConns {
		c := a.open("a")
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil { // the answer to that
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	h.waiting = (a.ask("memory") - before) / heldConns
	for _, c := range conns {
		if _, err := c.Write(make([]byte, 1+heldUnread)); err != nil { // one is read
			t.Fatal(err)
		}
	}
	testenv.Poll(t, "all that was sent, in the sockets", func() bool { return a.ask("unread") == heldConns*heldUnread })
	h.unread = (a.ask("memory") - before) / heldConns
	h.socket = a.ask("sockets") / heldConns
	return h
}

// pfChildHeld answers a byte, waits for another, and reads no more.
func pfChildHeld(args []string) error {
	ln, err := pfServeOn(args[0])
	if err != nil {
		return err
	}
	forever := make(chan struct{})
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				panic(err)
			}
			go func() {
				b := make([]byte, 1)
				for range 2 {
					if _, err := c.Read(b); err != nil {
						return
					}
					if _, err := c.Write(b); err != nil {
						return
					}
				}
				<-forever
				c.Close()
			}()
		}
	}()
	for s := bufio.NewScanner(os.Stdin); s.Scan(); {
		var n int64
		var err error
		switch s.Text() {
		case "memory":
			debug.FreeOSMemory()
			n, err = residentMemory()
		case "unread":
			n, err = sumSockets(func(fd int) (int, error) { return unix.IoctlGetInt(fd, unix.TIOCINQ) })
		case "sockets": // the first word is what the queue for receiving takes
			n, err = sumSockets(func(fd int) (int, error) { return unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MEMINFO) })
		}
		if err != nil {
			return err
		}
		fmt.Println(n)
	}
	return nil
}

// sumSockets adds up what f says of each connected TCP socket of the process.
func sumSockets(f func(fd int) (int, error)) (sum int64, err error) {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0, err
	}
	for _, e := range fds {
		var fd int
		if _, err := fmt.Sscan(e.Name(), &fd); err != nil {
			return 0, err
		}
		if _, err := unix.Getpeername(fd); err != nil {
			continue
		}
		n, err := f(fd)
		if err != nil {
			return 0, err
		}
		sum += int64(n)
	}
	return sum, nil
}
