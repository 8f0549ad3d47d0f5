package pitfalls

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// TestSoak runs pairs of conns, hundreds at a time, with several goroutines
// on each end that do whatever comes to their mind. Each direction carries a
// stream whose bytes tell their position: what arrives must be a prefix of
// what was sent, and all of it where the sender ended by CloseWrite.
//
// QUOIT_SOAK is the duration, QUOIT_SOAK_SEED the seed of an earlier run.
func TestSoak(t *testing.T) {
	d, seed := 3*time.Second, rand.Uint64()
	if s := os.Getenv("QUOIT_SOAK"); s != "" {
		var err error
		if d, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	if s := os.Getenv("QUOIT_SOAK_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 0, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %#x", seed)
	testenv.Watch(t, d+4*testenv.Bound)
	s := &soak{t: t, seed: seed, files: soakFiles(t, 4)}
	s.listen()
	defer s.close()
	end := time.Now().Add(d)
	var wg sync.WaitGroup
	for range soakWorkers {
		wg.Go(func() {
			for time.Now().Before(end) && !t.Failed() {
				s.pair(s.pairs.Add(1))
			}
		})
	}
	wg.Go(func() {
		for time.Now().Before(end) {
			runtime.GC()
			testenv.Pace(20 * time.Millisecond)
		}
	})
	wg.Wait()
	t.Logf("%d pairs, %d MB", s.pairs.Load(), s.bytes.Load()>>20)
}

const (
	soakWorkers = 150
	soakMax     = 512 << 10 // length of the longest stream
	soakTail    = 40        // operations of each end that a failure shows
)

// soak is one run.
type soak struct {
	t     *testing.T
	seed  uint64
	files []string // each holds the stream of its index
	links []*soakLink
	pairs atomic.Uint64
	bytes atomic.Int64
	done  sync.WaitGroup // accepting goroutines
}

// soakFiles writes streams to files, for sendfile.
func soakFiles(t *testing.T, n int) []string {
	dir := t.TempDir()
	var names []string
	for i := range n {
		b := make([]byte, soakMax)
		testenv.Fill(b, uint64(i), 0)
		names = append(names, filepath.Join(dir, strconv.Itoa(i)))
		if err := os.WriteFile(names[i], b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// soakLink is a listener with the way to dial it.
type soakLink struct {
	name    string
	network string
	ln      net.Listener
	dial    testenv.Transport
	mu      sync.Mutex
	waiting map[uint64]chan net.Conn // by number of the pair
}

// listen makes the links: ours to net's, net's to ours, ours to ours, on the
// default engine and on one that is short of everything.
func (s *soak) listen() {
	tiny, err := quoit.New(&quoit.Config{Entries: 16})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { tiny.Close() })
	small := testenv.Transport{Name: "tiny", Listen: tiny.Listen, Dial: tiny.Dialer().DialContext}
	dir := s.t.TempDir()
	for _, network := range []string{"tcp", "unix"} {
		for _, l := range []struct{ listen, dial testenv.Transport }{
			{enginetest.Quoit, testenv.Net}, {testenv.Net, enginetest.Quoit}, {enginetest.Quoit, enginetest.Quoit},
			{small, testenv.Net}, {testenv.Net, small}, {small, enginetest.Quoit},
		} {
			name := fmt.Sprintf("%s from %s to %s", network, l.dial.Name, l.listen.Name)
			addr := "127.0.0.1:0"
			if network == "unix" {
				addr = filepath.Join(dir, strconv.Itoa(len(s.links)))
			}
			ln, err := l.listen.Listen(network, addr)
			if err != nil {
				s.t.Fatal(err)
			}
			link := &soakLink{name: name, network: network, ln: ln, dial: l.dial, waiting: map[uint64]chan net.Conn{}}
			s.links = append(s.links, link)
			s.done.Go(func() { link.accept(s) })
		}
	}
}

func (s *soak) close() {
	for _, l := range s.links {
		if err := l.ln.Close(); err != nil {
			s.t.Error(err)
		}
	}
	s.done.Wait()
}

// accept hands each conn to the pair whose number it opens with.
func (l *soakLink) accept(s *soak) {
	for {
		c, err := l.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.t.Errorf("%s: accept: %v", l.name, err)
			return
		}
		s.done.Go(func() {
			var b [8]byte
			c.SetReadDeadline(time.Now().Add(testenv.Bound))
			_, err := io.ReadFull(c, b[:])
			l.mu.Lock()
			ch := l.waiting[binary.LittleEndian.Uint64(b[:])]
			l.mu.Unlock()
			if err != nil || ch == nil {
				s.t.Errorf("%s: conn opens with % x, %v", l.name, b, err)
				c.Close()
				return
			}
			c.SetReadDeadline(time.Time{})
			ch <- c
		})
	}
}

// connect makes the conns of a pair.
func (l *soakLink) connect(id uint64) (dialed, accepted net.Conn, err error) {
	ch := make(chan net.Conn, 1)
	l.mu.Lock()
	l.waiting[id] = ch
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.waiting, id)
		l.mu.Unlock()
	}()
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Bound)
	defer cancel()
	dialed, err = l.dial.Dial(ctx, l.network, l.ln.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	if _, err := dialed.Write(binary.LittleEndian.AppendUint64(nil, id)); err != nil {
		dialed.Close()
		return nil, nil, err
	}
	select {
	case accepted = <-ch:
		return dialed, accepted, nil
	case <-ctx.Done():
		dialed.Close()
		return nil, nil, errors.New("the server did not get it")
	}
}

// How an end finishes.
const (
	soakClean = iota // whole stream, CloseWrite, the other's EOF, Close
	soakClose        // Close at some time
	soakAbort        // Close with SO_LINGER 0
)

// soakEnd is one end of a pair.
type soakEnd struct {
	s       *soak
	name    string
	c       net.Conn
	seeds   [3]uint64 // of what its goroutines do
	in, out uint64    // the streams
	total   int64     // length of out
	due     int64     // length of in
	file    string    // holds out, may be empty
	finish  int
	clean   bool          // both ends finish cleanly
	alone   bool          // the other end does, this one does not
	stop    chan struct{} // ends the meddling
	got     int64

	mu    sync.Mutex
	tail  [soakTail]soakOp
	ops   int
	fails []string
}

type soakOp struct {
	who, what string
	arg, n    int64
	err       error
}

// log notes an operation.
func (e *soakEnd) log(who, what string, arg, n int64, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tail[e.ops%soakTail] = soakOp{who, what, arg, n, err}
	e.ops++
}

func (e *soakEnd) failf(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fails = append(e.fails, fmt.Sprintf(format, args...))
}

// report describes the end's last operations.
func (e *soakEnd) report() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%s %T, sends %d bytes, got %d, finish %d: %q\n", e.name, e.c, e.total, e.got, e.finish, e.fails)
	for i := max(0, e.ops-soakTail); i < e.ops; i++ {
		op := e.tail[i%soakTail]
		fmt.Fprintf(&b, "\t%d %s %s %d: %d, %v\n", i, op.who, op.what, op.arg, op.n, op.err)
	}
	return b.String()
}

// pair runs a pair from dial to Close and checks it.
func (s *soak) pair(id uint64) {
	rng := rand.New(rand.NewPCG(s.seed, id))
	link := s.links[rng.IntN(len(s.links))]
	dialed, accepted, err := link.connect(id)
	if err != nil {
		s.t.Errorf("pair %d, %s: %v", id, link.name, err)
		return
	}
	a := &soakEnd{name: "dialed", c: dialed, in: 2*id + 1000, out: 2*id + 1001}
	b := &soakEnd{name: "accepted", c: accepted, in: a.out, out: a.in}
	for _, e := range []*soakEnd{a, b} {
		e.s, e.stop = s, make(chan struct{})
		e.seeds = [3]uint64{rng.Uint64(), rng.Uint64(), rng.Uint64()}
		e.total = rng.Int64N(1 << (4 + rng.IntN(16)))
		if rng.IntN(4) == 0 {
			e.finish = 1 + rng.IntN(2)
		}
	}
	a.clean = a.finish == soakClean && b.finish == soakClean
	b.clean = a.clean
	a.due, b.due = b.total, a.total
	a.alone, b.alone = !a.clean && b.finish == soakClean, !a.clean && a.finish == soakClean
	if rng.IntN(4) == 0 {
		i := rng.IntN(len(s.files))
		a.file, a.out, b.in = s.files[i], uint64(i), uint64(i)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var wg sync.WaitGroup
		wg.Go(a.run)
		wg.Go(b.run)
		wg.Wait()
	}()
	select {
	case <-done:
	case <-time.After(testenv.Bound):
		a.failf("hangs")
		s.fail(id, link, a, b)
		s.t.Logf("%s", testenv.Stacks())
		a.c.Close()
		b.c.Close()
		return
	}
	if a.clean && (a.got != b.total || b.got != a.total) {
		a.failf("bytes are missing")
	}
	if len(a.fails)+len(b.fails) > 0 {
		s.fail(id, link, a, b)
	}
	s.bytes.Add(a.got + b.got)
}

func (s *soak) fail(id uint64, link *soakLink, a, b *soakEnd) {
	s.t.Errorf("seed %#x, pair %d, %s:\n%s%s", s.seed, id, link.name, a.report(), b.report())
}

// run has a writer, a reader and a meddler at work until the end is finished.
func (e *soakEnd) run() {
	var work, meddling sync.WaitGroup
	work.Go(func() { e.write(rand.New(rand.NewPCG(e.seeds[0], 0))) })
	work.Go(func() { e.read(rand.New(rand.NewPCG(e.seeds[1], 0))) })
	meddling.Go(func() { e.meddle(rand.New(rand.NewPCG(e.seeds[2], 0))) })
	work.Wait()
	close(e.stop)
	meddling.Wait()
	err := e.c.Close()
	if e.finish == soakClean {
		e.closed(err)
	} else if !errors.Is(err, net.ErrClosed) {
		e.failf("second Close: %v", err)
	}
}

// closed checks what the first Close has returned: the peer's reset, if quoit
// lost to it what Write had taken, and nothing else.
func (e *soakEnd) closed(err error) {
	_, ours := e.c.(*quoit.Conn)
	if err != nil && (!ours || e.clean || e.alone || !errors.Is(err, syscall.ECONNRESET)) {
		e.failf("Close: %v", err)
	}
}

// over reports whether err ends a direction, and complains if it should not.
func (e *soakEnd) over(who string, err error) bool {
	switch {
	case err == nil:
		return false
	case errors.Is(err, os.ErrDeadlineExceeded):
		return false
	case e.clean:
		e.failf("%s: %v", who, err)
	case errors.Is(err, net.ErrClosed) && e.finish != soakClean:
	case !e.alone && (errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)):
	default:
		e.failf("%s: %v", who, err)
	}
	return true
}

// write sends the stream by all means there are.
func (e *soakEnd) write(rng *rand.Rand) {
	buf := make([]byte, 1<<16)
	var file *os.File
	if e.file != "" {
		var err error
		if file, err = os.Open(e.file); err != nil {
			e.failf("%v", err)
			return
		}
		defer file.Close()
	}
	for off := int64(0); off < e.total; {
		var n int64
		var err error
		size := min(e.total-off, 1+rng.Int64N(1<<rng.IntN(17)))
		what := "write"
		switch rng.IntN(8) {
		case 0:
			what = "copy"
			var src io.Reader = &testenv.StreamReader{Seed: e.out, Off: off}
			if file != nil {
				what, src = "sendfile", file
				if _, err := file.Seek(off, io.SeekStart); err != nil {
					e.failf("%v", err)
				}
			}
			n, err = io.Copy(e.c, io.LimitReader(src, size))
		case 1:
			d := rng.IntN(5) - 1
			what, size = "write deadline ms", int64(d)
			err = e.c.SetWriteDeadline(time.Now().Add(time.Duration(d) * time.Millisecond))
		default:
			var m int
			testenv.Fill(buf[:size], e.out, off)
			m, err = e.c.Write(buf[:size])
			n = int64(m)
			testenv.Fill(buf[:size], ^e.out, 0) // Write must not need it any more
		}
		off += n
		e.log("writer", what, size, n, err)
		if e.over("writer", err) {
			return
		}
		if err != nil {
			e.c.SetWriteDeadline(time.Time{})
		} else if n != size && what != "write deadline ms" {
			e.failf("%s of %d: %d without an error", what, size, n)
		}
	}
	if e.finish == soakClean {
		err := e.c.(interface{ CloseWrite() error }).CloseWrite()
		e.log("writer", "CloseWrite", 0, 0, err)
		if e.clean && err != nil {
			e.failf("CloseWrite: %v", err)
		}
	}
}

// read takes what comes by all means there are, and checks it.
func (e *soakEnd) read(rng *rand.Rand) {
	buf := make([]byte, 1<<16)
	sink := testenv.Sink{Seed: e.in}
	defer func() { e.mu.Lock(); e.got = sink.Off; e.mu.Unlock() }()
	for {
		size := 1 + rng.Int64N(1<<rng.IntN(17))
		before := sink.Off
		var err error
		what := "read"
		switch rng.IntN(12) {
		case 0:
			what = "copy"
			if _, err = io.Copy(&sink, e.c); err == nil {
				err = io.EOF
			}
		case 1:
			what = "copy some"
			_, err = io.Copy(&sink, io.LimitReader(e.c, size))
		case 2:
			what = "read nothing"
			_, err = e.c.Read(nil)
		case 3:
			d := rng.IntN(5) - 1
			what, size = "read deadline ms", int64(d)
			err = e.c.SetReadDeadline(time.Now().Add(time.Duration(d) * time.Millisecond))
		case 4:
			what = "pause"
			testenv.Pace(time.Duration(rng.IntN(500)) * time.Microsecond)
		default:
			var n int
			n, err = e.c.Read(buf[:size])
			if _, serr := sink.Write(buf[:n]); serr != nil {
				err = serr
			}
		}
		e.log("reader", what, size, sink.Off-before, err)
		switch {
		case errors.Is(err, testenv.ErrWrongByte):
			e.failf("reader: %v", err)
			return
		case err == io.EOF:
			if e.alone && sink.Off != e.due { // our own Close is no EOF
				e.failf("reader: EOF after %d bytes of %d", sink.Off, e.due)
			}
			return
		case e.over("reader", err):
			return
		case err != nil:
			e.c.SetReadDeadline(time.Time{})
		}
	}
}

// meddle disturbs the others, and ends the conn if that is the plan.
func (e *soakEnd) meddle(rng *rand.Rand) {
	for i := rng.IntN(60); i > 0; i-- {
		select {
		case <-e.stop:
			i = 0
		case <-time.After(time.Duration(rng.IntN(1000)) * time.Microsecond):
			what, err := e.touch(rng)
			e.log("meddler", what, 0, 0, err)
		}
	}
	e.c.SetDeadline(time.Time{})
	if e.finish == soakClean {
		return
	}
	if l, ok := e.c.(interface{ SetLinger(int) error }); ok && e.finish == soakAbort {
		l.SetLinger(0)
	}
	err := e.c.Close()
	e.log("meddler", "Close", 0, 0, err)
	e.closed(err)
}

// touch calls a method of the conn that moves no data. Errors are the
// caller's to judge: the conn may be closed.
func (e *soakEnd) touch(rng *rand.Rand) (string, error) {
	soon := time.Now().Add(time.Duration(rng.IntN(3000)-500) * time.Microsecond)
	switch rng.IntN(12) {
	case 0:
		return "SetDeadline past", e.c.SetDeadline(time.Unix(1, 0))
	case 1:
		return "SetDeadline soon", e.c.SetDeadline(soon)
	case 2:
		return "SetReadDeadline soon", e.c.SetReadDeadline(soon)
	case 3:
		return "SetWriteDeadline soon", e.c.SetWriteDeadline(soon)
	case 4:
		return "SetDeadline far", e.c.SetDeadline(time.Now().Add(time.Hour))
	case 5:
		_, err := e.c.Write(nil)
		return "Write nothing", err
	case 6:
		if c, ok := e.c.(interface{ SetNoDelay(bool) error }); ok {
			return "SetNoDelay", c.SetNoDelay(rng.IntN(2) == 0)
		}
	case 7:
		if c, ok := e.c.(interface{ SetWriteBuffer(int) error }); ok {
			return "SetWriteBuffer", c.SetWriteBuffer(4096 << rng.IntN(8))
		}
	case 8:
		if c, ok := e.c.(syscall.Conn); ok {
			raw, err := c.SyscallConn()
			if err == nil {
				err = raw.Control(func(uintptr) {})
			}
			return "Control", err
		}
	case 9:
		if c, ok := e.c.(interface{ File() (*os.File, error) }); ok && runtime.GOOS != "windows" {
			f, err := c.File()
			if err == nil {
				err = f.Close()
			}
			return "File", err
		}
	case 10:
		if c, ok := e.c.(interface{ SetReadBuffer(int) error }); ok {
			return "SetReadBuffer", c.SetReadBuffer(16384 << rng.IntN(6))
		}
	}
	runtime.Gosched()
	return fmt.Sprintf("%v -> %v", e.c.LocalAddr(), e.c.RemoteAddr()), nil
}
