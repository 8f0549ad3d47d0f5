//go:build linux

package behaviour

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// dstState waits for dst to be in a TCP state.
func (w *way) dstState(state uint8) {
	if _, ok := w.dst.LocalAddr().(*net.TCPAddr); !ok {
		return
	}
	w.until("TCP state", func() (in bool) {
		w.control(w.dst, func(fd int) {
			info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
			in = err == nil && info.State == state
		})
		return in
	})
}

// reset closes c with a reset, where its network has that.
func (w *way) reset(c net.Conn) {
	if l, ok := c.(interface{ SetLinger(int) error }); ok {
		w.must(l.SetLinger(0))
	}
	w.must(c.Close())
}

// send sends data, which nobody is to wait for.
func (w *way) send(data string) {
	_, err := io.WriteString(w.from, data)
	w.must(err)
}

// forwardResets are for TestBehaviourForwardReset.
var forwardResets = []struct {
	name string
	f    func(w *way)
}{
	{"src", func(w *way) {
		w.begin()
		w.message([]byte("before"))
		w.reset(w.from)
		w.copy.result("copy")
		w.start(func() (int64, error) { return io.Copy(w.dst, w.src) })
		w.copy.result("again")
		w.far()
	}},
	{"src before", func(w *way) {
		w.reset(w.from)
		w.awaitState(unix.BPF_TCP_CLOSE)
		w.start(func() (int64, error) { return io.Copy(w.dst, w.src) })
		w.copy.result("copy")
		w.start(func() (int64, error) { return io.Copy(w.dst, w.src) })
		w.copy.result("again")
		w.far()
	}},
	{"src behind data", func(w *way) {
		w.send("data that waits")
		w.arrived(w.from)
		w.reset(w.from)
		w.awaitState(unix.BPF_TCP_CLOSE)
		w.start(func() (int64, error) { return io.Copy(w.dst, w.src) })
		w.copy.result("copy")
		w.start(func() (int64, error) { return io.Copy(w.dst, w.src) })
		w.copy.result("again")
		w.far()
	}},
	{"src with answers unread", func(w *way) {
		w.begin()
		_, err := w.src.Write([]byte("answer"))
		w.must(err)
		w.until("there", func() (there bool) {
			w.control(w.from, func(fd int) { n, _ := unix.IoctlGetInt(fd, unix.SIOCINQ); there = n == 6 })
			return there
		})
		w.finish()
	}},
	{"dst", func(w *way) {
		w.begin()
		w.reset(w.to)
		w.dstState(unix.BPF_TCP_CLOSE)
		w.copy.blocked("copy")
		w.send("message")
		w.copy.result("copy")
		w.send("message")
		w.start(func() (int64, error) { return io.Copy(w.dst, w.src) })
		w.copy.result("again")
		n, err := w.dst.Write([]byte("x"))
		w.rec("Write", "%d %s", n, w.describe(err))
	}},
	{"dst at its end", func(w *way) {
		w.begin()
		w.must(w.to.Close())
		w.dstState(unix.BPF_TCP_CLOSE_WAIT)
		w.copy.blocked("copy")
		w.send("one")
		w.dstState(unix.BPF_TCP_CLOSE)
		w.send("two")
		w.copy.result("copy")
		w.send("three")
		w.start(func() (int64, error) { return io.Copy(w.dst, w.src) })
		w.copy.result("again")
	}},
	{"dst before", func(w *way) {
		w.reset(w.to)
		w.dstState(unix.BPF_TCP_CLOSE)
		w.start(func() (int64, error) { return io.Copy(w.dst, w.src) })
		w.copy.blocked("copy")
		w.send("one")
		w.copy.result("copy")
	}},
	{"dst CloseWrite", func(w *way) {
		w.begin()
		w.err("CloseWrite", w.dst.(streamConn).CloseWrite())
		w.copy.blocked("copy")
		w.send("one")
		w.copy.result("copy")
		w.far()
	}},
	{"dst CloseWrite, src ends", func(w *way) {
		w.begin()
		w.err("CloseWrite", w.dst.(streamConn).CloseWrite())
		w.finish()
	}},
}

// The peers end their conns.
func TestBehaviourForwardReset(t *testing.T) {
	for _, v := range forwardResets {
		t.Run(v.name, func(t *testing.T) { compareWays(t, endWays, v.f) })
	}
}

// forwardDeadlines are for TestBehaviourForwardDeadline.
var forwardDeadlines = []struct {
	name string
	f    func(w *way)
}{
	{"src before", func(w *way) {
		w.must(w.src.SetReadDeadline(pastDeadline))
		w.peerWrite("data that waits")
		w.start(func() (int64, error) { return io.Copy(w.dst, w.src) })
		w.copy.result("copy")
		w.must(w.src.SetReadDeadline(noDeadline))
		w.start(func() (int64, error) { return io.Copy(w.dst, w.src) })
		w.comes([]byte("data that waits"))
		w.warmup.f(w)
		w.must(w.from.Close())
		w.copy.result("cleared")
		w.far()
	}},
	{"src past", func(w *way) {
		w.begin()
		w.must(w.src.SetReadDeadline(pastDeadline))
		w.copy.result("copy")
		w.peerWrite("data that waits")
		w.start(func() (int64, error) { return io.Copy(w.dst, w.src) })
		w.copy.result("again")
		w.must(w.src.SetReadDeadline(noDeadline))
		w.start(func() (int64, error) { return io.Copy(w.dst, w.src) })
		w.comes([]byte("data that waits"))
		w.messages(20, 10)
		w.must(w.from.Close())
		w.copy.result("cleared")
		w.far()
	}},
	{"src fires", func(w *way) {
		w.begin()
		w.must(w.src.SetReadDeadline(soon()))
		w.copy.result("copy")
		w.must(w.src.SetReadDeadline(time.Now().Add(2 * stillWindow)))
		w.start(func() (int64, error) { return io.Copy(w.dst, w.src) })
		w.copy.result("again")
		w.far()
	}},
	{"src moves", func(w *way) {
		w.must(w.src.SetReadDeadline(distant()))
		w.begin()
		w.must(w.src.SetReadDeadline(time.Now().Add(behaviourLimit / 2)))
		w.message([]byte("one"))
		w.must(w.src.SetReadDeadline(noDeadline))
		w.message([]byte("two"))
		w.must(w.src.SetReadDeadline(distant()))
		w.message([]byte("three"))
		w.copy.blocked("copy")
		w.must(w.src.SetReadDeadline(soon()))
		w.copy.result("copy")
		w.far()
	}},
	{"write deadline of src, read deadline of dst", func(w *way) {
		w.begin()
		w.must(w.src.SetWriteDeadline(pastDeadline))
		w.must(w.dst.SetReadDeadline(pastDeadline))
		w.message([]byte("one"))
		w.copy.blocked("copy")
		w.finish()
	}},
	{"dst past", func(w *way) {
		w.begin()
		w.must(w.dst.SetWriteDeadline(pastDeadline))
		w.copy.blocked("copy")
		w.send("one")
		w.copy.result("copy")
		w.must(w.dst.SetWriteDeadline(noDeadline))
		w.start(func() (int64, error) { return io.Copy(w.dst, w.src) })
		w.message([]byte("two"))
		w.must(w.from.Close())
		w.copy.result("cleared")
		w.far()
	}},
	{"dst past, src ends", func(w *way) {
		w.begin()
		w.must(w.dst.SetWriteDeadline(pastDeadline))
		w.finish()
	}},
	{"dst passes", func(w *way) {
		w.begin()
		w.must(w.dst.SetWriteDeadline(soon()))
		w.still()
		w.copy.blocked("copy")
		w.send("one")
		w.copy.result("copy")
		w.far()
	}},
	{"dst cleared", func(w *way) {
		w.begin()
		w.must(w.dst.SetWriteDeadline(pastDeadline))
		w.copy.blocked("copy")
		w.must(w.dst.SetWriteDeadline(distant()))
		w.message([]byte("one"))
		w.finish()
	}},
}

// Deadlines end the copy, and nothing else.
func TestBehaviourForwardDeadline(t *testing.T) {
	for _, v := range forwardDeadlines {
		t.Run(v.name, func(t *testing.T) { compareWays(t, endWays, v.f) })
	}
}

// forwardCloses are for TestBehaviourForwardClose.
var forwardCloses = []struct {
	name string
	f    func(w *way)
}{
	{"src", func(w *way) {
		w.begin()
		w.err("Close", w.src.Close())
		w.copy.result("copy")
		w.start(func() (int64, error) { return io.Copy(w.dst, w.src) })
		w.copy.result("again")
		w.far()
		w.rec("near end", "%s", w.nearEnd())
	}},
	{"src, with a reset", func(w *way) {
		w.begin()
		w.reset(w.src)
		w.copy.result("copy")
		w.far()
		w.rec("near end", "%s", w.nearEnd())
	}},
	{"dst", func(w *way) {
		w.begin()
		w.far()
		w.copy.blocked("copy")
		w.send("one")
		w.copy.result("copy")
		w.start(func() (int64, error) { return io.Copy(w.dst, w.src) })
		w.copy.blocked("again")
		w.send("two")
		w.copy.result("again")
	}},
	{"dst, with a reset", func(w *way) {
		w.begin()
		w.reset(w.dst)
		_, err := drain(w.to)
		w.rec("far end", "%s", w.peerGot(nil, err))
		w.copy.blocked("copy")
		w.send("one")
		w.copy.result("copy")
	}},
	{"dst, then src", func(w *way) {
		w.begin()
		w.far()
		w.copy.blocked("copy")
		w.err("Close", w.src.Close())
		w.copy.result("copy")
	}},
	{"dst, src ends", func(w *way) {
		w.begin()
		w.far()
		w.must(w.from.Close())
		w.copy.result("copy")
	}},
	{"dst, deadline of src", func(w *way) {
		w.begin()
		w.far()
		w.must(w.src.SetReadDeadline(soon()))
		w.copy.result("copy")
	}},
}

// Other goroutines close the conns of a copy that waits.
func TestBehaviourForwardClose(t *testing.T) {
	for _, v := range forwardCloses {
		t.Run(v.name, func(t *testing.T) { compareWays(t, endWays, v.f) })
	}
}

// nearEnd is what from gets of a src that was closed.
func (w *way) nearEnd() string {
	data, err := drain(w.from)
	return w.peerGot(data, err)
}

// full is a copy that waits for dst to have room.
type full struct {
	*way
	filling int           // bytes that were written to dst before
	data    []byte        // that from sends
	sent    chan struct{} // closed when from has sent them, or cannot
	ended   bool          // the copy
	torn    bool          // what is in dst may not arrive
}

// forwardFulls are for TestBehaviourForwardFull.
var forwardFulls = []struct {
	name string
	f    func(f *full)
}{
	{"read on", func(f *full) {}},
	{"dst deadline", func(f *full) {
		f.must(f.dst.SetWriteDeadline(soon()))
		f.ends()
	}},
	{"dst deadline past", func(f *full) {
		f.must(f.dst.SetWriteDeadline(pastDeadline))
		f.ends()
	}},
	{"dst deadline moves", func(f *full) {
		f.must(f.dst.SetWriteDeadline(distant()))
		f.must(f.dst.SetWriteDeadline(noDeadline))
		f.copy.blocked("copy")
	}},
	{"src deadline", func(f *full) {
		f.must(f.src.SetReadDeadline(pastDeadline))
	}},
	{"src deadline passes", func(f *full) {
		f.must(f.src.SetReadDeadline(soon()))
		f.still()
	}},
	{"Close of src", func(f *full) {
		f.closes(f.src)
	}},
	{"Close of dst", func(f *full) {
		f.closes(f.dst)
		f.ends()
	}},
	{"Close of both", func(f *full) {
		f.closes(f.src)
		f.closes(f.dst)
		f.ends()
	}},
	{"reset by Close of src", func(f *full) {
		f.reset(f.src)
	}},
	{"reset by Close of dst", func(f *full) {
		f.reset(f.dst)
		f.torn = true
		f.ends()
	}},
	{"reset by the far end", func(f *full) {
		f.reset(f.to)
		f.torn = true
		f.ends()
	}},
	{"CloseWrite of dst", func(f *full) {
		if _, unix := f.dst.LocalAddr().(*net.UnixAddr); unix {
			return // nobody who waits hears of it
		}
		f.err("CloseWrite", f.dst.(streamConn).CloseWrite())
		f.ends()
	}},
	{"Read of src", func(f *full) { // the copy is not in its way
		c := f.scene.start(func() string {
			n, err := f.src.Read(make([]byte, 1))
			return fmt.Sprintf("%d %s", n, f.describe(err))
		})
		c.result("Read")
		f.torn = true
	}},
}

// Something happens while dst is full. The copy relays, or has spliced before.
func TestBehaviourForwardFull(t *testing.T) {
	names := "tcp_tcp unix_tcp tcp_ringengine"
	if testing.Short() {
		names = "tcp_tcp"
	}
	for _, v := range forwardFulls {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel() // for they mostly wait
			for _, stream := range []bool{false, true} {
				t.Run(map[bool]string{false: "message", true: "stream"}[stream], func(t *testing.T) {
					t.Parallel()
					warm := []warmup{warmups[0], warmups[2]}
					compareWarm(t, names, warm, func(w *way) {
						f := &full{way: w}
						// The kernel would make more room by and by.
						f.must(f.to.(streamConn).SetReadBuffer(64 << 10))
						if stream {
							f.stream()
						} else {
							f.message()
						}
						v.f(f)
						f.check()
					})
				})
			}
		})
	}
}

// message has a message on its way to a full dst. After no warm-up the engine meets
// that, for the Writes that fill dst interrupt it.
func (f *full) message() {
	filled := f.warmup.name == "fresh"
	if !filled {
		f.begin()
	}
	f.filling = f.fill()
	if filled {
		f.way.start(func() (int64, error) { return io.Copy(f.dst, f.src) })
	}
	all := pattern(4 << 20)
	// Until two stay there, and not all: the copy has something that does not fit.
	for stay := 0; stay < 2 || f.unread(f.src) == len(f.data); stay++ {
		n, was := len(f.data), f.unread(f.src)
		f.data = all[:n+4096]
		_, err := f.from.Write(f.data[n:])
		f.must(err)
		f.still()
		f.still()
		if f.unread(f.src) < was+4096 {
			stay = -1
		}
	}
	// More than the room that the kernel may make yet, or the copy waits for src once more.
	n := len(f.data)
	f.data = all[:n+48<<10]
	_, err := f.from.Write(f.data[n:])
	f.must(err)
	f.sent = make(chan struct{})
	close(f.sent)
}

// fill writes to dst what it and the far end hold.
func (f *full) fill() (total int) {
	f.must(f.dst.(streamConn).SetWriteBuffer(64 << 10))
	for still := 0; still < 2 || f.room(); still++ {
		f.must(f.dst.SetWriteDeadline(time.Now().Add(2 * stillWindow)))
		n, err := f.dst.Write(pattern(16 << 20))
		if err == nil {
			f.fatal("16 MB fitted into a socket")
		}
		if total += n; n > 0 {
			still = 0
		}
	}
	f.must(f.dst.SetWriteDeadline(noDeadline))
	return total
}

// room reports whether dst takes anything in the next moments.
func (f *full) room() (room bool) {
	f.control(f.dst, func(fd int) {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		n, err := unix.Poll(poll, int(stillWindow/time.Millisecond))
		for err == unix.EINTR {
			n, err = unix.Poll(poll, int(stillWindow/time.Millisecond))
		}
		room = n > 0 || err != nil
	})
	return room
}

// stream has more on its way than all buffers hold.
func (f *full) stream() {
	f.begin()
	f.must(f.dst.(streamConn).SetWriteBuffer(256 << 10))
	f.must(f.from.(streamConn).SetWriteBuffer(256 << 10))
	f.data = pattern(16 << 20)
	f.sends()
	last := -1
	f.until("full", func() bool {
		f.still()
		was := last
		last = f.unread(f.src)
		return last > 0 && last == was && f.unread(f.to) > 0
	})
}

// sends has from send the data.
func (f *full) sends() {
	f.sent = make(chan struct{})
	go func() {
		defer close(f.sent)
		f.from.Write(f.data)
	}()
}

// unread is how much has come to c that nobody has read.
func (w *way) unread(c net.Conn) (n int) {
	w.control(c, func(fd int) { n, _ = unix.IoctlGetInt(fd, unix.SIOCINQ) })
	return n
}

// ends waits for the copy's end, of which the count depends on buffers.
func (f *full) ends() {
	_, err, _ := strings.Cut(f.copy.wait(), " ")
	f.rec("copy", "%s", err)
	f.ended = true
}

// closes wants Close to return at once.
func (f *full) closes(c net.Conn) {
	f.scene.start(func() string { return f.describe(c.Close()) }).result("Close")
}

// check has the far end read all, and records whether the copy has it right.
func (f *full) check() {
	var came []byte
	far := f.scene.start(func() string { came, _ = drain(f.to); return "" })
	if !f.ended {
		go func() { <-f.sent; f.from.Close() }()
		f.ends()
	}
	f.src.Close()
	f.dst.Close()
	<-f.sent
	far.wait()
	if f.torn {
		return
	}
	came = came[min(f.filling, len(came)):]
	f.rec("far end", "in order=%t, as counted=%t", bytes.HasPrefix(f.data, came), f.moved == f.passed+int64(len(came)))
}
