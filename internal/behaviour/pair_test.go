//go:build linux

package behaviour

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quoit-go/quoit/internal/testenv"
	"golang.org/x/sys/unix"
)

// anyAddress returns an address of the scene's network to listen on.
func (s *scene) anyAddress() string {
	switch s.network {
	case "tcp", "tcp4":
		return "127.0.0.1:0"
	case "tcp6":
		return "[::1]:0"
	}
	s.sockets++
	return filepath.Join(s.dir, fmt.Sprint("s", s.sockets))
}

// freeAddress is one that stays free for the test once nobody listens on it.
func (s *scene) freeAddress() string {
	address := s.anyAddress()
	if host, _, err := net.SplitHostPort(address); err == nil {
		return testenv.Free(s.t, host)
	}
	return address
}

// listenFree is listen on a free address.
func (s *scene) listenFree() net.Listener {
	return s.listenAt(s.impl, net.ListenConfig{}, s.freeAddress())
}

// listenNet listens with package net.
func (s *scene) listenNet() net.Listener { return s.listenOn(netImpl) }

// listen listens with the implementation under test.
func (s *scene) listen() net.Listener { return s.listenOn(s.impl) }

func (s *scene) listenOn(im *impl) net.Listener {
	return s.listenWith(im, net.ListenConfig{})
}

func (s *scene) listenWith(im *impl, lc net.ListenConfig) net.Listener {
	return s.listenAt(im, lc, s.anyAddress())
}

func (s *scene) listenAt(im *impl, lc net.ListenConfig, address string) net.Listener {
	ln, err := im.listen(context.Background(), lc, s.network, address)
	s.must(err)
	s.closeLater(ln)
	s.name(ln.Addr().String(), "$LISTENER")
	return ln
}

// pair returns a conn under test and the plain conn at its other end.
func (s *scene) pair() (conn, peer net.Conn) {
	return s.pairWith(net.ListenConfig{}, net.Dialer{})
}

func (s *scene) pairWith(lc net.ListenConfig, d net.Dialer) (conn, peer net.Conn) {
	var err error
	if s.side == "client" {
		ln := s.listenNet()
		conn, err = s.impl.dial(context.Background(), d, s.network, ln.Addr().String())
		s.must(err)
		s.closeLater(conn)
		peer, err = ln.Accept()
		s.must(err)
		s.closeLater(peer)
		ln.Close()
	} else {
		ln := s.listenWith(s.impl, lc)
		peer, err = net.Dial(s.network, ln.Addr().String())
		s.must(err)
		s.closeLater(peer)
		conn, err = ln.Accept()
		s.must(err)
		s.closeLater(conn)
		ln.Close()
	}
	if s.network != "unix" {
		s.name(conn.LocalAddr().String(), "$LOCAL")
		s.name(conn.RemoteAddr().String(), "$REMOTE")
	}
	return conn, peer
}

// call is an operation that runs in a goroutine of its own.
type call struct {
	s    *scene
	id   string // how its goroutine's stack begins
	done chan string
}

// start runs f, whose result goes into the trace when asked for. It returns
// when f is about to begin.
func (s *scene) start(f func() string) *call {
	c := &call{s: s, done: make(chan string, 1)}
	began := make(chan string)
	go func() {
		b := make([]byte, 64)
		id, _, _ := strings.Cut(string(b[:runtime.Stack(b, false)]), "[")
		began <- id
		c.done <- f()
	}()
	c.id = <-began
	return c
}

// asleep waits until the call waits for the peer, and so has its half of the
// conn to itself.
func (c *call) asleep() {
	c.s.t.Helper()
	buf := make([]byte, 1<<20)
	c.s.until("asleep", func() bool {
		_, state, _ := strings.Cut(string(buf[:runtime.Stack(buf, true)]), "\n"+c.id+"[")
		return strings.HasPrefix(state, "IO wait") || strings.HasPrefix(state, "chan receive")
	})
}

// blocked gives the call time to return, and records that it has not.
func (c *call) blocked(label string) {
	select {
	case r := <-c.done:
		c.s.rec(label, "returned: %s", r)
		c.done <- r
	case <-time.After(stillWindow):
		c.s.rec(label, "blocked")
	}
}

// stillWindow is how long something has to stay as it is to count as staying.
const stillWindow = 15 * time.Millisecond

// still lets a window pass in which nothing should happen.
func (s *scene) still() { <-time.After(stillWindow) }

// result waits for the call and records what it returned.
func (c *call) result(label string) { c.s.rec(label, "%s", c.wait()) }

func (c *call) wait() string {
	select {
	case r := <-c.done:
		return r
	case <-time.After(behaviourLimit / 4):
		return "STILL BLOCKED"
	}
}

// until polls for a condition that must come about.
func (s *scene) until(what string, cond func() bool) {
	s.t.Helper()
	for end := time.Now().Add(behaviourLimit / 4); !cond(); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(end) {
			s.fatal("never: ", what)
		}
	}
}

// castagnoli is what processors have an instruction for, emulated ones too.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// brief shows data, or its length and checksum if it is long.
func brief(b []byte) string {
	if len(b) <= 40 {
		return fmt.Sprintf("%q", b)
	}
	return fmt.Sprintf("%d bytes %08x", len(b), crc32.Checksum(b, castagnoli))
}

func (s *scene) transferred(n int, b []byte, err error) string {
	if n < 0 || n > len(b) {
		return fmt.Sprintf("n=%d of %d?! %s", n, len(b), s.describe(err))
	}
	return fmt.Sprintf("%d %s %s", n, brief(b[:n]), s.describe(err))
}

// doRead is one Read of the conn under test, as a trace line.
func (s *scene) doRead(size int) string {
	b := make([]byte, size)
	n, err := s.conn.Read(b)
	return s.transferred(n, b, err)
}

func (s *scene) read(label string, size int) { s.rec(label, "%s", s.doRead(size)) }

func (s *scene) readFull(label string, size int) {
	b := make([]byte, size)
	n, err := io.ReadFull(s.conn, b)
	s.rec(label, "%s", s.transferred(n, b, err))
}

// readAll reads to an error, which is recorded even if it is io.EOF.
func (s *scene) readAll(label string) { s.rec(label, "%s", s.drain(s.conn)) }

func (s *scene) drain(c net.Conn) string {
	data, err := drain(c)
	return fmt.Sprintf("%s then %s", brief(data), s.describe(err))
}

func drain(r io.Reader) ([]byte, error) {
	const most = 64 << 10
	var data []byte
	for {
		if cap(data)-len(data) < most {
			data = slices.Grow(data, cap(data)+most) // append would copy it more often
		}
		n, err := r.Read(data[len(data):][:most])
		data = data[:len(data)+n]
		if err != nil {
			return data, err
		}
	}
}

func (s *scene) doWrite(b []byte) string {
	n, err := s.conn.Write(b)
	return fmt.Sprintf("%d %s", n, s.describe(err))
}

func (s *scene) write(label, data string) { s.rec(label, "%s", s.doWrite([]byte(data))) }

// peerWrite sends from the peer and waits until the bytes have arrived.
func (s *scene) peerWrite(data string) {
	_, err := io.WriteString(s.peer, data)
	s.must(err)
	s.peerArrived()
}

// peerArrived waits until all that the peer wrote has been acknowledged.
func (s *scene) peerArrived() { s.arrived(s.peer) }

func (s *scene) arrived(c net.Conn) {
	if s.network == "unix" {
		return // write(2) puts it into the other's queue
	}
	s.until("bytes acknowledged", func() bool {
		n := -1
		s.control(c, func(fd int) { n, _ = unix.IoctlGetInt(fd, unix.SIOCOUTQ) })
		return n == 0
	})
}

// control runs f on c's descriptor.
func (s *scene) control(c any, f func(fd int)) {
	s.t.Helper()
	rc, err := c.(syscall.Conn).SyscallConn()
	s.must(err)
	s.must(rc.Control(func(fd uintptr) { f(int(fd)) }))
}

// peerExpect records what the peer reads: n bytes or less and an error.
func (s *scene) peerExpect(label string, n int) {
	b := make([]byte, n)
	s.must(s.peer.SetReadDeadline(time.Now().Add(behaviourLimit / 4)))
	n, err := io.ReadFull(s.peer, b)
	s.rec(label, "%s", s.peerGot(b[:n], err))
}

// peerDrain records what the peer reads up to an error.
func (s *scene) peerDrain(label string) {
	s.must(s.peer.SetReadDeadline(time.Now().Add(behaviourLimit / 4)))
	data, err := drain(s.peer)
	s.rec(label, "%s", s.peerGot(data, err))
}

func (s *scene) peerGot(data []byte, err error) string {
	if oe, ok := err.(*net.OpError); ok {
		err = oe.Err // the peer's addresses are of no interest
	}
	return fmt.Sprintf("%s then %v", brief(data), err)
}

// peerReset makes the peer send a reset and waits for its arrival.
func (s *scene) peerReset() {
	if t, ok := s.peer.(*net.TCPConn); ok {
		s.must(t.SetLinger(0))
	}
	s.must(s.peer.Close())
	s.awaitState(unix.BPF_TCP_CLOSE)
}

// peerFin closes the peer's write side, or all of it, and waits for the FIN.
func (s *scene) peerFin(all bool) {
	if all {
		s.must(s.peer.Close())
	} else {
		s.must(s.peer.(interface{ CloseWrite() error }).CloseWrite())
	}
	s.awaitState(unix.BPF_TCP_CLOSE_WAIT)
}

// awaitState waits for the conn under test to be in a TCP state.
func (s *scene) awaitState(state uint8) {
	if s.network == "unix" {
		return
	}
	s.until("TCP state", func() bool {
		var got uint8
		s.control(s.conn, func(fd int) {
			if info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
				got = info.State
			}
		})
		return got == state
	})
}

// smallBuffers makes the way from the conn to the peer hold less than a
// megabyte. The peer's buffer is left alone: a small one drains slowly.
func (s *scene) smallBuffers() {
	s.must(s.conn.(interface{ SetWriteBuffer(int) error }).SetWriteBuffer(4096))
}

// cutShort repeats op with a short write deadline until it got something
// done before that.
func (s *scene) cutShort(op func() (int64, error)) (n int64, err error) {
	for n == 0 {
		s.must(s.conn.SetWriteDeadline(soon()))
		n, err = op()
	}
	return n, err
}

// pattern returns n bytes in which every position differs from its neighbours', to be read
// only.
func pattern(n int) []byte {
	patterned.Lock()
	defer patterned.Unlock()
	for i := len(patterned.b); i < n; i++ {
		patterned.b = append(patterned.b, byte(i^i>>8^i>>16))
	}
	return patterned.b[:n:n]
}

// patterned is what pattern has made so far: under the race detector that takes longer
// than sending it.
var patterned struct {
	sync.Mutex
	b []byte
}

// inChild re-runs the calling test in a process of its own and reports what
// it said. It returns true in the child, where the test is to go on.
func inChild(t *testing.T) bool {
	t.Helper()
	const env = "QUOIT_BEHAVIOUR_CHILD"
	if os.Getenv(env) == t.Name() {
		return true
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$", "-test.v", "-test.timeout=4m")
	cmd.Env = append(os.Environ(), env+"="+t.Name())
	out, err := cmd.CombinedOutput()
	if err != nil || os.Getenv("QUOIT_TRACE") != "" {
		t.Logf("child: %v\n%s", err, out)
	}
	if err != nil {
		t.Fail()
	}
	return false
}
