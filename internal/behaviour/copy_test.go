//go:build linux

package behaviour

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var errBroken = errors.New("broken")

// failing reads or writes n bytes and fails then.
type failing struct {
	n   int
	err error
}

func (f *failing) Read(b []byte) (int, error) {
	if f.n == 0 {
		return 0, f.err
	}
	n := copy(b, strings.Repeat("f", f.n))
	f.n -= n
	return n, nil
}

func (f *failing) Write(b []byte) (int, error) {
	n := min(len(b), f.n)
	f.n -= n
	if n < len(b) {
		return n, f.err
	}
	return n, nil
}

// dataWithError returns its data and an error from one Read.
type dataWithError struct {
	data string
	err  error
}

func (d dataWithError) Read(b []byte) (int, error) { return copy(b, d.data), d.err }

// oddWriter returns n and err whatever it is given.
type oddWriter struct {
	n   int
	err error
}

func (w oddWriter) Write([]byte) (int, error) { return w.n, w.err }

// file returns a file of n bytes, positioned at offset.
func (s *scene) file(n int, offset int64) *os.File {
	path := filepath.Join(s.dir, "file")
	s.must(os.WriteFile(path, pattern(n), 0o600))
	f, err := os.Open(path)
	s.must(err)
	s.closeLater(f)
	_, err = f.Seek(offset, io.SeekStart)
	s.must(err)
	return f
}

// otherPair returns a connected pair of package net's, unrelated to the conn.
func (s *scene) otherPair(network string) (a, b net.Conn) {
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(s.dir, fmt.Sprint("other", len(s.cleanups)))
	}
	ln, err := net.Listen(network, address)
	s.must(err)
	defer ln.Close()
	a, err = net.Dial(network, ln.Addr().String())
	s.must(err)
	s.closeLater(a)
	b, err = ln.Accept()
	s.must(err)
	s.closeLater(b)
	return a, b
}

// copyIn copies from r into the conn and records what both ends say.
func (s *scene) copyIn(label string, r io.Reader) {
	got := s.start(func() string { return s.drain(s.peer) })
	n, err := io.Copy(s.conn, r)
	s.rec(label, "%d %s", n, s.describe(err))
	s.write(label+" Write after", "!")
	s.must(s.stream().CloseWrite())
	got.result(label + " peer")
}

func TestBehaviourCopyFile(t *testing.T) {
	cases := []struct {
		name string
		f    func(s *scene)
	}{
		{"whole", func(s *scene) { s.copyIn("file", s.file(300_000, 0)) }},
		{"offset", func(s *scene) {
			f := s.file(300_000, 1234)
			s.copyIn("file", f)
			at, err := f.Seek(0, io.SeekCurrent)
			s.rec("offset", "%d %s", at, s.describe(err))
		}},
		{"limited", func(s *scene) {
			f := s.file(300_000, 1234)
			lr := &io.LimitedReader{R: f, N: 100_001}
			s.copyIn("file", lr)
			at, err := f.Seek(0, io.SeekCurrent)
			s.rec("offset", "%d left=%d %s", at, lr.N, s.describe(err))
		}},
		{"limited beyond the end", func(s *scene) {
			lr := &io.LimitedReader{R: s.file(5000, 0), N: 100_001}
			s.copyIn("file", lr)
			s.rec("left", "%d", lr.N)
		}},
		{"limited to nothing", func(s *scene) { s.copyIn("file", io.LimitReader(s.file(5000, 0), 0)) }},
		{"empty", func(s *scene) { s.copyIn("file", s.file(0, 0)) }},
		{"at its end", func(s *scene) { s.copyIn("file", s.file(100, 100)) }},
		{"beyond its end", func(s *scene) { s.copyIn("file", s.file(100, 200)) }},
		{"after a Write", func(s *scene) { s.write("head", "header: "); s.copyIn("file", s.file(100_000, 0)) }},
		{"pipe", func(s *scene) {
			r, w, err := os.Pipe()
			s.must(err)
			s.closeLater(r)
			go func() { w.WriteString("through a pipe"); w.Close() }()
			s.copyIn("pipe", r)
		}},
		{"device", func(s *scene) {
			f, err := os.Open("/dev/zero")
			s.must(err)
			s.closeLater(f)
			s.copyIn("device", io.LimitReader(f, 70_000))
		}},
		{"directory", func(s *scene) {
			f, err := os.Open(s.dir)
			s.must(err)
			s.closeLater(f)
			s.copyIn("directory", f)
		}},
		{"closed", func(s *scene) { f := s.file(100, 0); f.Close(); s.copyIn("closed", f) }},
		{"write only", func(s *scene) {
			f, err := os.Create(filepath.Join(s.dir, "w"))
			s.must(err)
			s.closeLater(f)
			s.copyIn("write only", f)
		}},
	}
	for _, v := range cases {
		t.Run(v.name, func(t *testing.T) { compareConns(t, "tcp4 unix", v.f) })
	}
}

// TestBehaviourCopyFileErrors compares causes only where io.Copy lets
// os.File.WriteTo have a go first: it knows package net's own conns and calls
// sendfile itself, so that the error is an *fs.PathError. ReadFrom is exact.
func TestBehaviourCopyFileErrors(t *testing.T) {
	both := func(s *scene, label string, size int) {
		n, err := io.Copy(s.conn, s.file(size, 0))
		s.rec(label+" copy", "%d %s", n, s.cause(err))
		if s.network != "unix" {
			n, err = s.tcp().ReadFrom(s.file(size, 0))
			s.rec(label+" ReadFrom", "%d %s", n, s.describe(err))
		}
	}
	compareConns(t, "tcp4 unix", func(s *scene) { // blocked, then past its deadline
		s.smallBuffers()
		f := s.file(2<<20, 0)
		n, err := s.cutShort(func() (int64, error) {
			_, err := f.Seek(0, io.SeekStart) // a copy that sent nothing may have read
			s.must(err)
			return io.Copy(s.conn, f)
		})
		s.rec("copy", "some=%t %s", n < 2<<20, s.cause(err))
		s.must(s.conn.SetWriteDeadline(pastDeadline))
		both(s, "past", 1000)
		s.must(s.stream().CloseWrite())
		b, err := drain(s.peer)
		s.rec("peer", "exactly=%t %v", bytes.Equal(b, pattern(2 << 20)[:n]), err)
	})
	compareConns(t, "tcp4 unix", func(s *scene) {
		s.must(s.stream().CloseWrite())
		both(s, "write closed", 1000)
	})
	compareConns(t, "tcp4 unix", func(s *scene) {
		s.must(s.conn.Close())
		both(s, "closed", 1000)
	})
	compareConns(t, "tcp4", func(s *scene) {
		s.peerReset()
		both(s, "reset", 1000)
		both(s, "reset again", 1000)
	})
	compareConns(t, "tcp4", func(s *scene) {
		s.peerReset()
		n, err := s.tcp().ReadFrom(s.file(1000, 0))
		s.rec("reset", "%d %s", n, s.describe(err))
	})
}

func TestBehaviourCopyReader(t *testing.T) {
	cases := []struct {
		name string
		r    func() io.Reader
	}{
		{"strings", func() io.Reader { return strings.NewReader("hello") }},
		{"no WriterTo", func() io.Reader { return readSizes{bytes.NewReader(pattern(200_000)), 1777} }},
		{"buffer", func() io.Reader { return bytes.NewBuffer(pattern(200_000)) }},
		{"limited", func() io.Reader { return io.LimitReader(bytes.NewReader(pattern(200_000)), 70_000) }},
		{"fails", func() io.Reader { return &failing{3, errBroken} }},
		{"fails at once", func() io.Reader { return &failing{0, errBroken} }},
		{"fails with data", func() io.Reader { return dataWithError{"data", errBroken} }},
		{"fails by closing", func() io.Reader { return &failing{3, net.ErrClosed} }},
		{"fails with a timeout", func() io.Reader { return &failing{3, os.ErrDeadlineExceeded} }},
		{"fails with OpError", func() io.Reader { return &failing{3, &net.OpError{Op: "x", Net: "y", Err: errBroken}} }},
		{"ends with data", func() io.Reader { return dataWithError{"data", io.EOF} }},
		{"ends early", func() io.Reader { return &failing{3, io.ErrUnexpectedEOF} }},
	}
	for _, v := range cases {
		t.Run(v.name, func(t *testing.T) {
			compareConns(t, "tcp4 unix", func(s *scene) { s.copyIn("copy", v.r()) })
			compareConns(t, "tcp6", func(s *scene) {
				n, err := s.tcp().ReadFrom(v.r())
				s.rec("ReadFrom", "%d %s", n, s.describe(err))
			})
		})
	}
}

// taker is a Writer with a ReadFrom, which looks at what it is handed.
type taker struct {
	s   *scene
	r   func(r io.Reader) (int64, error)
	saw []string
}

func (w *taker) Write(b []byte) (int, error) { w.saw = append(w.saw, "Write"); return len(b), nil }

func (w *taker) ReadFrom(r io.Reader) (int64, error) {
	_, writerTo := r.(io.WriterTo)
	_, conn := r.(net.Conn)
	_, stream := r.(streamConn)
	w.saw = append(w.saw, fmt.Sprintf("ReadFrom WriterTo=%t Conn=%t stream=%t", writerTo, conn, stream))
	return w.r(r)
}

// giver is a Reader with a WriteTo, which looks at what it is handed.
type giver struct{ saw string }

func (*giver) Read([]byte) (int, error) { return 0, errBroken }

func (g *giver) WriteTo(w io.Writer) (int64, error) {
	_, readerFrom := w.(io.ReaderFrom)
	_, conn := w.(net.Conn)
	_, stream := w.(streamConn)
	g.saw = fmt.Sprintf("WriteTo ReaderFrom=%t Conn=%t stream=%t", readerFrom, conn, stream)
	n, err := io.WriteString(w, "given")
	return int64(n), err
}

// TestBehaviourCopyAsked: io.Copy and the conn's own methods ask a Writer for its ReadFrom,
// and a Reader for its WriteTo, and what those return is told as it is.
func TestBehaviourCopyAsked(t *testing.T) {
	ways := []struct {
		name string
		r    func(r io.Reader) (int64, error)
	}{
		{"all", func(r io.Reader) (int64, error) { return io.Copy(io.Discard, r) }},
		{"some", func(r io.Reader) (int64, error) { return io.CopyN(io.Discard, r, 5) }},
		{"nothing", func(io.Reader) (int64, error) { return 0, errBroken }},
		{"EOF", func(io.Reader) (int64, error) { return 3, io.EOF }},
		{"closes", func(r io.Reader) (int64, error) { return 1, r.(io.Closer).Close() }},
	}
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			compareConns(t, "tcp4 unix", func(s *scene) {
				s.peerWrite("hello, world")
				s.must(s.peer.(streamConn).CloseWrite())
				w := &taker{s: s, r: way.r}
				n, err := io.Copy(w, s.conn)
				s.rec("copy", "%d %s", n, s.describe(err))
				s.rec("saw", "%v", w.saw)
			})
		})
	}
	compareConns(t, "tcp4", func(s *scene) { // a Read that fails in it
		s.must(s.conn.SetReadDeadline(soon()))
		w := &taker{s: s, r: ways[0].r}
		n, err := io.Copy(w, s.conn)
		s.rec("copy", "%d %s", n, s.describe(err))
		s.rec("saw", "%v", w.saw)
	})
	compareConns(t, "tcp4 unix", func(s *scene) {
		g := new(giver)
		s.copyIn("giver", g)
		s.rec("saw", "%s", g.saw)
		if s.network != "unix" {
			n, err := s.peer.Write(nil)
			s.rec("peer", "%d %v", n, err)
		}
	})
	compareConns(t, "tcp4", func(s *scene) { // through one that hands it on to a conn
		dst, far := s.otherPair("tcp")
		got := s.start(func() string { return s.drain(far) })
		go func() { s.peer.Write(pattern(300_000)); s.peer.Close() }()
		w := &taker{s: s, r: func(r io.Reader) (int64, error) { return dst.(io.ReaderFrom).ReadFrom(r) }}
		n, err := io.Copy(w, s.conn)
		s.rec("copy", "%d %s", n, s.describe(err))
		s.must(dst.(streamConn).CloseWrite())
		got.result("far")
	})
}

// TestBehaviourCopyFromConn sends on what another conn receives.
func TestBehaviourCopyFromConn(t *testing.T) {
	for _, from := range []string{"tcp", "unix"} {
		t.Run(from, func(t *testing.T) {
			compareConns(t, "tcp4 unix", func(s *scene) {
				src, far := s.otherPair(from)
				go func() { far.Write(pattern(300_000)); far.Close() }()
				s.copyIn("conn", src)
			})
			compareConns(t, "tcp4 unix", func(s *scene) {
				src, far := s.otherPair(from)
				_, err := far.Write(pattern(5000))
				s.must(err)
				lr := &io.LimitedReader{R: src, N: 4000}
				s.copyIn("limited", lr)
				s.rec("left", "%d", lr.N)
				s.must(readWhole(src, string(pattern(5000)[4000:])))
			})
			compareConns(t, "tcp4 unix", func(s *scene) { // the source times out
				src, far := s.otherPair(from)
				_, err := io.WriteString(far, "some")
				s.must(err)
				c := s.start(func() string {
					n, err := io.Copy(s.conn, src)
					return fmt.Sprintf("%d is timeout=%t", n, errors.Is(err, os.ErrDeadlineExceeded))
				})
				s.peerExpect("peer", 4)
				c.blocked("copy")
				s.must(src.SetReadDeadline(pastDeadline))
				c.result("copy")
				s.write("Write after", "!")
				s.peerExpect("peer after", 1)
			})
		})
	}
}

// TestBehaviourCopyBetween proxies between two conns of one implementation.
func TestBehaviourCopyBetween(t *testing.T) {
	compareConns(t, "tcp4 unix", func(s *scene) {
		conn2, peer2 := s.pair()
		in := s.start(func() string {
			n, err := io.Copy(conn2, s.conn)
			s.must(conn2.(streamConn).CloseWrite())
			return fmt.Sprintf("%d %s", n, s.describe(err))
		})
		out := s.start(func() string {
			n, err := io.Copy(s.conn, conn2)
			s.must(s.stream().CloseWrite())
			return fmt.Sprintf("%d %s", n, s.describe(err))
		})
		got := s.start(func() string { return s.drain(peer2) })
		got2 := s.start(func() string { return s.drain(s.peer) })
		_, err := s.peer.Write(pattern(400_000))
		s.must(err)
		_, err = peer2.Write(pattern(300_000))
		s.must(err)
		s.must(s.peer.(streamConn).CloseWrite())
		s.must(peer2.(streamConn).CloseWrite())
		in.result("in")
		out.result("out")
		got.result("far end")
		got2.result("near end")
	})
	compareConns(t, "tcp4 unix", func(s *scene) { // data that arrived before
		conn2, peer2 := s.pair()
		s.peerWrite("0123456789")
		s.readFull("part", 4)
		s.peerFin(false)
		n, err := io.Copy(conn2, s.conn)
		s.rec("copy", "%d %s", n, s.describe(err))
		s.must(conn2.Close())
		s.rec("far end", "%s", s.drain(peer2))
	})
}

// TestBehaviourCopyOut copies what the conn receives into writers.
func TestBehaviourCopyOut(t *testing.T) {
	cases := []struct {
		name string
		w    func(s *scene) io.Writer
	}{
		{"buffer", func(*scene) io.Writer { return new(bytes.Buffer) }},
		{"plain writer", func(*scene) io.Writer { return struct{ io.Writer }{new(bytes.Buffer)} }},
		{"discard", func(*scene) io.Writer { return io.Discard }},
		{"fails at once", func(*scene) io.Writer { return &failing{0, errBroken} }},
		{"fails in the middle", func(*scene) io.Writer { return &failing{5, errBroken} }},
		{"fails with EOF", func(*scene) io.Writer { return &failing{5, io.EOF} }},
		{"short", func(*scene) io.Writer { return oddWriter{3, nil} }},
		{"too much", func(*scene) io.Writer { return oddWriter{1000, nil} }},
		{"negative", func(*scene) io.Writer { return oddWriter{-1, nil} }},
		{"negative and fails", func(*scene) io.Writer { return oddWriter{-1, errBroken} }},
		{"file", func(s *scene) io.Writer {
			f, err := os.Create(filepath.Join(s.dir, "out"))
			s.must(err)
			s.closeLater(f)
			return f
		}},
	}
	for _, v := range cases {
		t.Run(v.name, func(t *testing.T) {
			compareConns(t, "tcp4 unix", func(s *scene) {
				s.peerWrite("hello, world")
				s.readFull("part", 2)
				s.peerFin(false)
				w := v.w(s)
				n, err := io.Copy(w, s.conn)
				s.rec("copy", "%d %s", n, s.describe(err))
				switch w := w.(type) {
				case *bytes.Buffer:
					s.rec("got", "%q", w)
				case *os.File:
					b, err := os.ReadFile(w.Name())
					s.rec("got", "%q %v", b, err)
				}
			})
		})
	}
	compareConns(t, "tcp4 tcp6 unix", func(s *scene) { // much, while it arrives
		go func() {
			for b := pattern(1 << 20); len(b) > 0; b = b[1<<14:] {
				s.peer.Write(b[:1<<14])
			}
			s.peer.Close()
		}()
		var buf bytes.Buffer
		n, err := io.Copy(&buf, s.conn)
		s.rec("copy", "%d %s %s", n, s.describe(err), brief(buf.Bytes()))
	})
	compareConns(t, "tcp4", func(s *scene) { // a reset ends it
		s.peerWrite("before")
		s.peerReset()
		var buf bytes.Buffer
		n, err := io.Copy(&buf, s.conn)
		s.rec("copy", "%d %q %s", n, &buf, s.describe(err))
		n, err = io.Copy(&buf, s.conn)
		s.rec("again", "%d %q %s", n, &buf, s.describe(err))
	})
}

// TestBehaviourCopyToConn sends the conn's data to conns of package net's.
func TestBehaviourCopyToConn(t *testing.T) {
	for _, to := range []string{"tcp", "unix"} {
		t.Run(to, func(t *testing.T) {
			compareConns(t, "tcp4 unix", func(s *scene) {
				dst, far := s.otherPair(to)
				got := s.start(func() string { return s.drain(far) })
				s.peerWrite("head ")
				s.read("head", 2)
				go func() { s.peer.Write(pattern(300_000)); s.peer.Close() }()
				n, err := io.Copy(dst, s.conn)
				s.rec("copy", "%d %s", n, s.describe(err))
				s.must(dst.Close())
				got.result("far end")
			})
			compareConns(t, "tcp4 unix", func(s *scene) {
				dst, far := s.otherPair(to)
				s.peerWrite("0123456789")
				lr := &io.LimitedReader{R: s.conn, N: 6}
				n, err := io.Copy(dst, lr)
				s.rec("limited", "%d left=%d %s", n, lr.N, s.describe(err))
				s.must(dst.Close())
				s.rec("far end", "%s", s.drain(far))
				s.read("rest", 8)
			})
		})
	}
}

// TestBehaviourBuffers sends net.Buffers.
func TestBehaviourBuffers(t *testing.T) {
	many := func() net.Buffers {
		var v net.Buffers
		for i := range 1500 { // more than one writev takes
			v = append(v, bytes.Repeat([]byte{byte(i)}, i%50))
		}
		return v
	}
	cases := []struct {
		name string
		v    net.Buffers
	}{
		{"none", nil},
		{"empty ones", net.Buffers{nil, {}, nil}},
		{"some", net.Buffers{[]byte("a"), nil, []byte("bc"), []byte(strings.Repeat("d", 100_000))}},
		{"many", many()},
	}
	for _, v := range cases {
		t.Run(v.name, func(t *testing.T) {
			compareConns(t, "tcp4 unix", func(s *scene) {
				got := s.start(func() string { return s.drain(s.peer) })
				b := append(net.Buffers(nil), v.v...)
				n, err := b.WriteTo(s.conn)
				s.rec("WriteTo", "%d left=%d %s", n, len(b), s.describe(err))
				s.must(s.stream().CloseWrite())
				got.result("peer")
			})
		})
	}
	compareConns(t, "tcp4 unix", func(s *scene) { // a timeout
		s.smallBuffers()
		b := net.Buffers{pattern(1 << 10), pattern(2 << 20), pattern(2 << 20)}
		n, err := s.cutShort(func() (int64, error) { return b.WriteTo(s.conn) })
		s.rec("WriteTo", "some=%t left=%d timeout=%t", n < 4<<20, len(b), errors.Is(err, os.ErrDeadlineExceeded))
		left := 0
		for _, p := range b {
			left += len(p)
		}
		s.rec("counts", "%t", n+int64(left) == 4<<20+1<<10)
		s.must(s.stream().CloseWrite())
		got, err := drain(s.peer)
		s.rec("peer", "exactly=%t %v", int64(len(got)) == n, err)
	})
}
