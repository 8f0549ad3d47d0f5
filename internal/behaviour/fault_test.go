//go:build linux

package behaviour

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// faults are kinds of memory that the kernel cannot reach. The first good bytes
// of it, whole pages or none, are as usual.
var faults = []struct {
	name string
	make func(s *scene, good, all int) []byte
}{
	{"cut file", func(s *scene, good, all int) []byte {
		f, err := os.Create(filepath.Join(s.dir, "mapped"))
		s.must(err)
		defer f.Close()
		s.must(f.Truncate(int64(all)))
		m, err := unix.Mmap(int(f.Fd()), 0, all, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		s.must(err)
		s.later(func() { unix.Munmap(m) })
		copy(m[:good], pattern(good))
		s.must(f.Truncate(int64(good)))
		return m
	}},
	{"no access", func(s *scene, good, all int) []byte {
		m, err := unix.Mmap(-1, 0, all, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		s.must(err)
		s.later(func() { unix.Munmap(m) })
		copy(m[:good], pattern(good))
		s.must(unix.Mprotect(m[good:], unix.PROT_NONE))
		return m
	}},
}

const page = 4096 << 4 // on every architecture whole pages

// eachFault runs f, which would end the process if a fault were the program's
// own, with each kind of memory.
func eachFault(t *testing.T, f func(s *scene, memory func(good, all int) []byte)) {
	gearsInTurn(t, "tcp4 unix", func(s *scene) {
		for _, fault := range faults {
			s.rec(fault.name, "")
			s.conn, s.peer = s.pair()
			s.must(s.peer.SetDeadline(distant()))
			f(s, func(good, all int) []byte { return fault.make(s, good, all) })
			s.conn.Close()
			s.peer.Close()
		}
	})
}

// TestBehaviourFaultRead: a Read into such memory returns EFAULT, takes nothing
// that it does not return, and the conn lives on.
func TestBehaviourFaultRead(t *testing.T) {
	eachFault(t, func(s *scene, memory func(good, all int) []byte) {
		bad := memory(0, page)
		readBad := func() string {
			n, err := s.conn.Read(bad[:100])
			return fmt.Sprintf("%d %s", n, s.describe(err))
		}
		s.peerWrite("hello")
		s.rec("bytes are there", "%s", readBad())
		s.rec("again", "%s", readBad())
		s.read("then", 8)
		c := s.start(readBad)
		c.blocked("parked")
		s.peerWrite("later")
		c.result("parked")
		s.read("then", 2)
		s.rec("the rest", "%s", readBad())
		s.read("then", 8)
		s.must(s.conn.SetReadDeadline(soon()))
		s.rec("no bytes, a deadline", "%s", readBad())
		s.must(s.conn.SetReadDeadline(noDeadline))
		c = s.start(func() string { return s.doRead(8) })
		c.blocked("parked")
		s.peerWrite("fine")
		c.result("parked")

		// Partly good: what is returned, and what is left, are all that was sent.
		half := memory(page, 2*page)
		sent := pattern(page + 1000)
		c = s.start(func() string { return s.describe(writeWhole(s.peer, string(sent))) })
		var got []byte
		for first := true; len(got) < len(sent); first = false {
			b := make([]byte, 2*page)
			if first {
				b = half
			}
			n, err := s.conn.Read(b)
			if n > page && first {
				s.rec("too much", "%d", n)
				n = page
			}
			got = append(got, b[:max(n, 0)]...)
			if err != nil && (!first || s.cause(err) != "EFAULT") {
				s.err("Read", err)
				break
			}
		}
		c.result("peer's Write")
		s.rec("partly good", "%t", bytes.Equal(got, sent))
		s.peerFin(false)
		s.rec("at the end", "%s", readBad())
		s.write("Write", "still open")
		s.peerExpect("peer", 10)
	})
}

// TestBehaviourFaultWrite: a Write from such memory sends what it says that it
// sent, and the conn lives on.
func TestBehaviourFaultWrite(t *testing.T) {
	eachFault(t, func(s *scene, memory func(good, all int) []byte) {
		if s.network == "tcp4" {
			s.busy(64)
		}
		stop := s.reader()
		bad := memory(0, page)
		s.still() // the Read is parked
		tryBad := func() {
			n, err := s.conn.Write(bad[:100])
			if n != 0 || s.cause(err) != "EFAULT" {
				s.rec("Write", "%d %s", n, s.describe(err))
			}
		}
		tries := 100
		if testing.Short() {
			tries /= 5
		}
		for i := range 100 * tries { // for long enough that it falls into a turn of the engine's
			if tryBad(); i%100 == 0 {
				runtime.Gosched()
			}
		}
		for range tries { // among others that are in a batch
			s.must(writeWhole(s.peer, "q"))
			s.must(writeWhole(s.conn, "A"))
			tryBad()
			s.must(writeWhole(s.conn, "B"))
			s.must(readWhole(s.peer, "AB"))
		}
		n, err := s.conn.Write(bad)
		s.rec("large", "%d %s", n, s.describe(err))
		s.must(writeWhole(s.conn, "C"))
		s.must(readWhole(s.peer, "C"))

		half := memory(page, 2*page)
		for _, from := range []int{0, page - 50} {
			for _, send := range []struct {
				name string
				do   func() (int64, error)
			}{
				{"Write", func() (int64, error) { n, err := s.conn.Write(half[from:]); return int64(n), err }},
				{"small", func() (int64, error) { n, err := s.conn.Write(half[page-50 : page+50]); return int64(n), err }},
				{"io.Copy", func() (int64, error) { return io.Copy(s.conn, bytes.NewReader(half[from:])) }},
				{"net.Buffers", func() (int64, error) {
					b := net.Buffers{[]byte("first"), half[from:], []byte("last")}
					return b.WriteTo(s.conn)
				}},
			} {
				n, err := send.do()
				s.rec("partly good "+send.name, "some=%t %s", n <= page+5, s.cause(err))
				s.must(writeWhole(s.conn, "END"))
				got := make([]byte, n+3)
				_, err = io.ReadFull(s.peer, got)
				s.must(err)
				want := half[from : from+max(0, int(n))%(page+1)]
				switch send.name {
				case "net.Buffers":
					want = append([]byte("first"), half[from:page]...)[:n]
				case "small":
					want = half[page-50:][:n]
				}
				s.rec("the peer got that", "%t", string(got) == string(want)+"END")
			}
		}
		s.must(s.stream().CloseWrite())
		s.peerDrain("peer")
		stop()
	})
}

// TestBehaviourFaultMsg is the same for what unix conns have besides.
func TestBehaviourFaultMsg(t *testing.T) {
	gearsInTurn(t, "unix", func(s *scene) {
		for _, fault := range faults {
			s.conn, s.peer = s.pair()
			bad := fault.make(s, 0, page)
			n, _, err := s.msgs().WriteMsgUnix(bad[:100], nil, nil)
			s.rec("WriteMsgUnix", "%d %s", n, s.describe(err))
			s.peerWrite("hello")
			n, _, _, _, err = s.msgs().ReadMsgUnix(bad[:100], nil)
			s.rec("ReadMsgUnix", "%d %s", n, s.describe(err))
			s.write("Write", "good")
			s.peerExpect("peer", 4)
		}
	})
}
