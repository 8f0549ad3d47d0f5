//go:build linux

package behaviour

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// way is what bytes take that io.Copy forwards: from -> src -> dst -> to. src is
// the scene's conn, from its peer.
type way struct {
	*scene
	from, src, dst, to net.Conn
	warmup             *warmup
	copy               *call
	passed             int64 // bytes that came, for message and pass
	moved              int64 // what the copy returned
}

// ways are the kinds of conns that a copy goes between. One with an exclamation
// mark is package net's.
var ways = []struct {
	name     string
	src, dst string // networks
	engine   string // the gear of dst's own engine, if it has one
}{
	{"tcp_tcp", "tcp4", "tcp4", ""},
	{"tcp_unix", "tcp4", "unix", ""},
	{"unix_tcp", "unix", "tcp4", ""},
	{"unix_unix", "unix", "unix", ""},
	{"tcp_nettcp", "tcp4", "tcp4!", ""},
	{"tcp_netunix", "tcp4", "unix!", ""},
	{"unix_nettcp", "unix", "tcp4!", ""},
	{"nettcp_tcp", "tcp4!", "tcp4", ""},
	{"netunix_tcp", "unix!", "tcp4", ""},
	{"tcp_pollengine", "tcp4", "tcp4", "poll"},
	{"tcp_ringengine", "tcp4", "tcp4", "ring"},
}

const (
	allWays = "tcp_tcp tcp_unix unix_tcp unix_unix tcp_nettcp tcp_netunix unix_nettcp nettcp_tcp netunix_tcp tcp_pollengine tcp_ringengine"
	endWays = "tcp_tcp tcp_unix unix_tcp unix_unix tcp_nettcp tcp_netunix nettcp_tcp netunix_tcp tcp_pollengine tcp_ringengine" // as unix_nettcp is a copy by Read and Write, with their errors
	tcpWays = "tcp_tcp tcp_nettcp nettcp_tcp tcp_pollengine tcp_ringengine"

	// A gear or several rings that the environment asks for make a difference to conns
	// of quoit on both sides.
	forcedWays = "tcp_tcp unix_tcp tcp_nettcp"
)

type warmup struct {
	name     string
	src, dst string // sides
	f        func(w *way)
}

// warmups are what was forwarded before: after small messages the engine relays,
// after a large transfer the caller splices, until it is calm.
var warmups = []warmup{
	{"fresh", "server", "client", func(*way) {}},
	{"small", "client", "server", func(w *way) { w.messages(25, 100) }},
	{"large", "server", "client", func(w *way) { w.pass(pattern(1 << 20)) }},
	{"calm", "client", "server", func(w *way) { w.pass(pattern(1 << 20)); w.messages(40, 50) }},
}

// compareWays runs f for each of the named ways, after each warm-up, and compares
// what package net and quoit leave of it. f has to begin the copy.
func compareWays(t *testing.T, names string, f func(w *way)) {
	t.Helper()
	compareWarm(t, names, warmups, f)
}

// compareWarm is compareWays after some of the warm-ups.
func compareWarm(t *testing.T, names string, warmups []warmup, f func(w *way)) {
	t.Helper()
	for _, v := range ways {
		if !named(v.name, names) || enginetest.Forced() && !named(v.name, forcedWays) {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			dst := quoitImpl
			if v.engine != "" {
				dst = gearImpl(t, v.engine)
			}
			run := func(src, dst *impl) []string {
				return runScene(t, src, "", "", func(s *scene) {
					for i := range warmups {
						warm := &warmups[i]
						s.rec("warm-up", "%s", warm.name)
						w := &way{scene: s, warmup: warm}
						w.dst, w.to = s.pairOf(dst, v.dst, warm.dst)
						for w.src == nil || sameEnd(w.src, w.dst) {
							w.src, w.from = s.pairOf(src, v.src, warm.src)
						}
						s.conn, s.peer = w.src, w.from
						f(w)
						s.nameAnew()
					}
				})
			}
			var want, got []string
			var wg sync.WaitGroup
			wg.Go(func() { want = run(netImpl, netImpl) })
			wg.Go(func() { got = run(quoitImpl, dst) })
			wg.Wait()
			compareTraces(t, want, got)
		})
	}
}

// named reports whether name is one of names, which have spaces between them.
func named(name, names string) bool { return slices.Contains(strings.Fields(names), name) }

// sameEnd reports whether an address of a is one of b's, whose ports may be the
// same when their peers are not.
func sameEnd(a, b net.Conn) bool {
	for _, x := range []net.Addr{a.LocalAddr(), a.RemoteAddr()} {
		if len(x.String()) > 2 && (sameAddr(x, b.LocalAddr()) || sameAddr(x, b.RemoteAddr())) {
			return true
		}
	}
	return false
}

// nameAnew has the names hold for what was recorded: ports come back.
func (s *scene) nameAnew() {
	lines := s.trace()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines, s.names = lines, nil
	s.names = append(s.names, s.dir, "$DIR")
}

// pairOf is pair for an implementation and a network of its own.
func (s *scene) pairOf(im *impl, network, side string) (conn, peer net.Conn) {
	was := s.impl
	defer func() { s.impl = was }()
	s.impl, s.side = im, side
	if s.network = strings.TrimSuffix(network, "!"); s.network != network {
		s.impl = netImpl
	}
	return s.pair()
}

// begin starts the copy, has the warm-up pass, and returns when the copy waits.
func (w *way) begin() {
	w.start(func() (int64, error) { return io.Copy(w.dst, w.src) })
	w.warmup.f(w)
	w.copy.asleep()
}

// start has f forward.
func (w *way) start(f func() (int64, error)) {
	w.copy = w.scene.start(func() string {
		n, err := f()
		w.moved = n
		return fmt.Sprintf("%d %s", n, w.describe(err))
	})
}

// message sends data, and waits for its other end.
func (w *way) message(data []byte) {
	w.t.Helper()
	_, err := w.from.Write(data)
	w.must(err)
	w.comes(data)
}

func (w *way) messages(n, size int) {
	for i := range n {
		w.message(bytes.Repeat([]byte{byte(i)}, size+i))
	}
}

// comes wants data to come next.
func (w *way) comes(data []byte) {
	w.t.Helper()
	b := make([]byte, len(data))
	n, err := io.ReadFull(w.to, b)
	if err != nil || !bytes.Equal(b, data) {
		w.fatal("came: ", brief(b[:n]), err, ", not ", brief(data))
	}
	w.passed += int64(n)
}

// pass sends what does not fit between.
func (w *way) pass(data []byte) {
	w.t.Helper()
	sent := make(chan error, 1)
	go func() { _, err := w.from.Write(data); sent <- err }()
	w.comes(data)
	w.must(<-sent)
}

// finish ends the stream, and records how the copy ends and what arrives.
func (w *way) finish() {
	w.must(w.from.Close())
	w.copy.result("copy")
	w.far()
}

// far records all that is still to come, once dst is closed.
func (w *way) far() {
	w.must(w.dst.Close())
	data, err := drain(w.to)
	w.rec("far end", "%s", w.peerGot(data, err))
}

// Messages of several sizes, one after the other, to the end of the stream.
func TestBehaviourForwardMessages(t *testing.T) {
	compareWays(t, allWays, func(w *way) {
		w.begin()
		for _, size := range []int{1, 2, 63, 1000, 4096, 1, 4096} {
			w.message(pattern(size))
		}
		w.finish()
	})
}

// Two copies, one in each direction: requests and answers.
func TestBehaviourForwardAnswers(t *testing.T) {
	compareWays(t, allWays, func(w *way) {
		w.begin()
		back := w.scene.start(func() string {
			n, err := io.Copy(w.src, w.dst)
			return fmt.Sprintf("%d %s", n, w.describe(err))
		})
		for i := range 50 {
			w.message(pattern(1 + i*i%4096))
			answer := pattern(1 + i*97%4096)
			_, err := w.to.Write(answer)
			w.must(err)
			b := make([]byte, len(answer))
			_, err = io.ReadFull(w.from, b)
			w.must(err)
			if !bytes.Equal(b, answer) {
				w.fatal("another answer")
			}
		}
		w.must(w.from.(streamConn).CloseWrite())
		w.copy.result("there")
		w.must(w.to.(streamConn).CloseWrite())
		back.result("back")
		w.far()
	})
}

// Small messages and large transfers by turns.
func TestBehaviourForwardMixture(t *testing.T) {
	compareWays(t, allWays, func(w *way) {
		w.begin()
		for range 3 {
			w.pass(pattern(700_001))
			w.messages(40, 10)
			for i := range 30 { // in a row
				w.pass(pattern(3000 * i))
			}
		}
		w.must(w.from.(streamConn).CloseWrite())
		w.copy.result("copy")
		w.far()
	})
}

// Many small messages that nobody waits for.
func TestBehaviourForwardPipeline(t *testing.T) {
	compareWays(t, allWays, func(w *way) {
		w.begin()
		all := pattern(100_000)
		go func() {
			for b := all; len(b) > 0; {
				n := min(len(b), 1+len(b)%97)
				w.from.Write(b[:n])
				b = b[n:]
			}
			w.from.Close()
		}()
		w.comes(all)
		w.copy.result("copy")
		w.far()
	})
}

// All has come, and the end, before the copy begins.
func TestBehaviourForwardEndThatWaits(t *testing.T) {
	compareWays(t, allWays, func(w *way) {
		w.peerWrite("all of it")
		w.peerFin(false)
		w.start(func() (int64, error) { return io.Copy(w.dst, w.src) })
		w.copy.result("copy")
		w.start(func() (int64, error) { return io.Copy(w.dst, w.src) })
		w.copy.result("again")
		w.far()
	})
}

// CloseRead of dst changes nothing, that of src ends the copy.
func TestBehaviourForwardCloseRead(t *testing.T) {
	compareWays(t, allWays, func(w *way) {
		w.begin()
		w.err("CloseRead of dst", w.dst.(streamConn).CloseRead())
		w.copy.blocked("copy")
		w.message([]byte("still"))
		w.err("CloseRead of src", w.src.(streamConn).CloseRead())
		w.copy.result("copy")
		w.far()
	})
}

// More than all buffers hold.
func TestBehaviourForwardLarge(t *testing.T) {
	compareWays(t, "tcp_tcp unix_tcp tcp_unix tcp_nettcp nettcp_tcp tcp_ringengine", func(w *way) {
		w.begin()
		w.pass(pattern(5 << 20))
		w.finish()
	})
}

// What io.Copy calls, called directly.
func TestBehaviourForwardMethods(t *testing.T) {
	t.Run("ReadFrom", func(t *testing.T) {
		compareWays(t, "tcp_tcp unix_tcp nettcp_tcp netunix_tcp tcp_ringengine", func(w *way) {
			w.start(func() (int64, error) { return w.dst.(io.ReaderFrom).ReadFrom(w.src) })
			w.warmup.f(w)
			w.messages(3, 10)
			w.must(w.from.Close())
			w.copy.result("ReadFrom")
			w.start(func() (int64, error) { return w.dst.(io.ReaderFrom).ReadFrom(w.src) })
			w.copy.result("at the end")
			w.must(w.src.Close())
			w.start(func() (int64, error) { return w.dst.(io.ReaderFrom).ReadFrom(w.src) })
			w.copy.result("closed src")
			w.far()
			w.start(func() (int64, error) { return w.dst.(io.ReaderFrom).ReadFrom(w.src) })
			w.copy.result("both closed")
		})
	})
	t.Run("WriteTo", func(t *testing.T) {
		compareWays(t, "tcp_tcp tcp_unix tcp_nettcp tcp_netunix tcp_ringengine", func(w *way) {
			w.start(func() (int64, error) { return w.src.(io.WriterTo).WriteTo(w.dst) })
			w.warmup.f(w)
			w.messages(3, 10)
			w.must(w.from.Close())
			w.copy.result("WriteTo")
			w.far()
			w.start(func() (int64, error) { return w.src.(io.WriterTo).WriteTo(w.dst) })
			w.copy.result("closed dst")
			w.must(w.src.Close())
			w.start(func() (int64, error) { return w.src.(io.WriterTo).WriteTo(w.dst) })
			w.copy.result("both closed")
		})
	})
}

// A copy of so many bytes takes not one too much.
func TestBehaviourForwardLimited(t *testing.T) {
	t.Run("CopyN", func(t *testing.T) {
		compareWays(t, allWays, func(w *way) {
			for i, n := range []int64{1, 5, 4096, 70_000, 1 << 20} {
				w.start(func() (int64, error) { return io.CopyN(w.dst, w.src, n) })
				w.copy.asleep()
				data := pattern(int(n) + i)
				sent := make(chan error, 1)
				go func() { _, err := w.from.Write(data); sent <- err }()
				w.comes(data[:n])
				w.copy.result("CopyN")
				w.must(<-sent)
				w.readFull("not taken", i)
			}
			w.peerWrite("four")
			w.peerFin(false)
			w.start(func() (int64, error) { return io.CopyN(w.dst, w.src, 5) })
			w.copy.result("beyond the end")
			w.far()
		})
	})
	t.Run("LimitedReader", func(t *testing.T) {
		compareWays(t, allWays, func(w *way) {
			lr := &io.LimitedReader{R: w.src, N: 10}
			w.start(func() (int64, error) { return io.Copy(w.dst, lr) })
			w.message([]byte("123"))
			w.message([]byte("456"))
			w.peerWrite("7890+123")
			w.copy.result("copy")
			w.rec("N", "%d", lr.N)
			w.comes([]byte("7890"))
			w.readFull("not taken", 4)
			lr.N = 100
			w.start(func() (int64, error) { return io.Copy(w.dst, lr) })
			w.message([]byte("123"))
			w.must(w.src.SetReadDeadline(pastDeadline))
			w.copy.result("deadline")
			w.rec("N", "%d", lr.N)
			w.must(w.src.SetReadDeadline(noDeadline))
			w.start(func() (int64, error) { return io.Copy(w.dst, lr) })
			w.message([]byte("4567"))
			w.must(w.from.Close())
			w.copy.result("end")
			w.rec("N", "%d", lr.N)
			w.far()
		})
	})
	t.Run("no limit", func(t *testing.T) {
		compareWays(t, tcpWays, func(w *way) {
			lr := &io.LimitedReader{R: w.src, N: 1<<63 - 1}
			w.start(func() (int64, error) { return io.Copy(w.dst, lr) })
			w.warmup.f(w)
			w.messages(20, 10)
			w.must(w.from.Close())
			w.copy.result("copy")
			w.rec("N", "%d", lr.N)
			w.far()
		})
	})
}

// RawConn.Control of either conn between messages.
func TestBehaviourForwardSharedSyscallConn(t *testing.T) {
	compareWays(t, allWays, func(w *way) {
		w.begin()
		for _, c := range []net.Conn{w.src, w.dst} {
			w.control(c, func(int) {})
			w.message([]byte("after Control"))
			w.copy.blocked("copy")
		}
		w.messages(20, 10)
		w.finish()
	})
}

// File of either conn between messages.
func TestBehaviourForwardSharedFile(t *testing.T) {
	compareWays(t, allWays, func(w *way) {
		w.begin()
		for _, c := range []net.Conn{w.src, w.dst} {
			f := w.fileOf(c)
			w.message([]byte("after File"))
			w.copy.blocked("copy")
			w.must(f.Close())
			w.message([]byte("after its Close"))
		}
		w.pass(pattern(1 << 20))
		w.messages(20, 10)
		w.finish()
	})
}

// RawConn.Write of dst between messages.
func TestBehaviourForwardSharedRawConnWrite(t *testing.T) {
	compareWays(t, allWays, func(w *way) {
		w.begin()
		rc, err := w.dst.(streamConn).SyscallConn()
		w.must(err)
		for range 3 {
			w.message([]byte("forwarded"))
			w.rec("Write", "%s", w.rawWrite(rc, []byte("raw"), true))
			w.comes([]byte("raw"))
		}
		w.message([]byte("forwarded"))
		w.finish()
	})
}

// Write of dst between messages.
func TestBehaviourForwardSharedWrite(t *testing.T) {
	compareWays(t, allWays, func(w *way) {
		w.begin()
		for i := range 60 {
			w.message([]byte("forwarded"))
			if i%3 == 0 {
				_, err := w.dst.Write([]byte("written"))
				w.must(err)
				w.comes([]byte("written"))
			}
		}
		w.finish()
	})
}

// Read of dst and Write of src meanwhile.
func TestBehaviourForwardSharedReadOfDstWriteOfSrc(t *testing.T) {
	compareWays(t, allWays, func(w *way) {
		w.begin()
		b := make([]byte, 6)
		for range 20 {
			_, err := w.src.Write([]byte("answer"))
			w.must(err)
			_, err = io.ReadFull(w.from, b)
			w.must(err)
			w.message([]byte("forwarded"))
			_, err = w.to.Write([]byte("answer"))
			w.must(err)
			_, err = io.ReadFull(w.dst, b)
			w.must(err)
		}
		w.finish()
	})
}

// Another Read of src: a message goes to either, and whole.
func TestBehaviourForwardSharedReadOfSrc(t *testing.T) {
	compareWays(t, allWays, func(w *way) {
		w.begin()
		var came atomic.Int64
		far := make(chan error, 1)
		go func() {
			b := make([]byte, 1000)
			for {
				n, err := w.to.Read(b)
				came.Add(int64(n))
				if err != nil {
					far <- err
					return
				}
			}
		}()
		sent := 0
		for range 5 {
			read := w.scene.start(func() string { return w.doRead(8) })
			for len(read.done) == 0 {
				_, err := w.from.Write([]byte("four"))
				w.must(err)
				sent += 4
				w.until("taken", func() bool { return int(came.Load()) == sent || len(read.done) > 0 })
			}
			read.result("Read")
			sent -= 4
		}
		w.must(w.from.Close())
		w.copy.wait()
		w.must(w.dst.Close())
		w.err("far end", <-far)
		w.rec("lost", "%d", sent-int(came.Load()))
	})
}

// Two copies to one dst.
func TestBehaviourForwardSharedTwoCopies(t *testing.T) {
	compareWays(t, allWays, func(w *way) {
		w.begin()
		src2, from2 := w.pairOf(w.impl, w.network, w.side)
		w2 := &way{scene: w.scene, from: from2, src: src2, dst: w.dst, to: w.to, warmup: w.warmup}
		w2.begin()
		for i := range 40 {
			w.message([]byte("one"))
			if i%3 > 0 {
				w2.message([]byte("two"))
			}
		}
		w.pass(pattern(1 << 20))
		w2.pass(pattern(1 << 20))
		w.message([]byte("one"))
		w2.must(w2.from.Close())
		w2.copy.result("second copy")
		w.message([]byte("one"))
		w.finish()
	})
}
