package load

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/bench/internal/httpresp"
	"github.com/quoit-go/quoit/bench/internal/serve"
	"github.com/quoit-go/quoit/bench/internal/workload"
)

// cast makes the conns of the workload, still without sockets.
func (g *generator) cast() ([]*conn, error) {
	w := g.spec.Workload
	var conns []*conn
	add := func(s script) *conn {
		c := &conn{fd: -1, script: s, starter: len(conns)}
		conns = append(conns, c)
		return c
	}
	if w.Load == workload.LoadBroadcast {
		b := &broadcast{subscribers: w.Conns, msg: make([]byte, w.Size)}
		add(&trigger{broadcast: b}).quiet = true
	}
	for i := range w.Busy {
		if w.Load == workload.LoadFlush {
			add(newFlush(g.spec.Seed, w.Conns+i, 1)).quiet = true
		} else {
			add(newHTTP(w.Path, workload.Hello, 1)).quiet = true
		}
	}
	busy := busyConns(w.Conns, g.spec.Seed)
	for i := range w.Conns {
		switch w.Load {
		case workload.LoadHTTP:
			add(newHTTP(w.Path, workload.Hello, w.Depth))
		case workload.LoadClose:
			add(newClosing(w.Path, workload.Hello))
		case workload.LoadMix:
			if i%workload.MixEvery == 0 {
				add(newHTTP(workload.PathCPU, workload.Compute(), 1)).quiet = true
			} else {
				add(newHTTP(w.Path, workload.Hello, 1))
			}
		case workload.LoadSkew, workload.LoadSkewClose:
			switch {
			case busy[i]:
				add(newHTTP(w.Path, workload.Hello, 1)).quiet = w.Conns > 1
			case w.Load == workload.LoadSkew:
				g.pace(add(newHTTP(w.Path, workload.Hello, 1)))
			default:
				g.pace(add(newClosing(w.Path, workload.Hello)))
			}
		case workload.LoadBurst, workload.LoadBurstLater:
			g.arrive(add(newHTTP(w.Path, workload.Hello, 1)), w.Load == workload.LoadBurstLater)
		case workload.LoadEcho:
			add(newEcho(i, w.Size))
		case workload.LoadFlush:
			add(newFlush(g.spec.Seed, i, w.Computing))
		case workload.LoadTunnel:
			add(&tunnel{echo: newEcho(i, w.Size), path: w.Path})
		case workload.LoadDownload:
			add(newDownload(w.Path)).perUnit = true
		case workload.LoadAnswer:
			add(&answer{}).perUnit = true
		case workload.LoadUpload:
			add(newUpload(w.Path)).perUnit = true
		case workload.LoadBroadcast:
			b := conns[0].script.(*trigger).broadcast
			add(&subscriber{broadcast: b}).starter = 0
		default:
			return nil, fmt.Errorf("load: unknown kind %q", w.Load)
		}
	}
	return conns, nil
}

func get(path, headers string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: bench\r\n" + headers + "\r\n")
}

// plain is the script of a conn that should not end and says all at once.
type plain struct{}

func (plain) more() []byte { return nil }
func (plain) sent(int) int { return 0 }
func (plain) eof() error   { return io.ErrUnexpectedEOF }

// http asks depth times at once and then waits for all responses.
type http struct {
	plain
	requests    []byte
	depth, left int
	check       *httpresp.Checker
}

func newHTTP(path, want string, depth int) *http {
	body, n := httpresp.Exactly(want)
	return &http{
		requests: bytes.Repeat(get(path, ""), depth),
		depth:    depth,
		check:    httpresp.New(body, n, false),
	}
}

func (h *http) next() []byte {
	h.left = h.depth
	return h.requests
}

func (h *http) feed(p []byte) (int, bool, error) {
	n, _, err := h.check.Feed(p)
	h.left -= n
	if err == nil && h.left < 0 {
		err = errors.New("more responses than requests")
	}
	return n, h.left == 0 && n > 0, err
}

// closing asks once for each conn.
type closing struct {
	plain
	request  []byte
	answered bool
	check    *httpresp.Checker
}

func newClosing(path, want string) *closing {
	body, n := httpresp.Exactly(want)
	return &closing{request: get(path, "Connection: close\r\n"), check: httpresp.New(body, n, true)}
}

func (c *closing) next() []byte {
	c.answered = false
	return c.request
}

func (c *closing) feed(p []byte) (int, bool, error) {
	n, _, err := c.check.Feed(p)
	if err == nil && (c.answered && len(p) > 0 || n > 1) {
		err = errors.New("bytes after the response")
	}
	c.answered = c.answered || n > 0
	return n, false, err
}

func (c *closing) eof() error {
	if !c.answered {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// echo expects its own message back.
type echo struct {
	plain
	msg []byte
	got int
}

// newEcho has a message for each i.
func newEcho(i, size int) *echo { return &echo{msg: workload.Pattern(int64(i), size)} }

func (e *echo) next() []byte {
	e.got = 0
	return e.msg
}

func (e *echo) feed(p []byte) (int, bool, error) {
	if len(p) > len(e.msg)-e.got || !bytes.Equal(p, e.msg[e.got:e.got+len(p)]) {
		return 0, false, fmt.Errorf("the echo differs after %d bytes", e.got)
	}
	if e.got += len(p); e.got < len(e.msg) {
		return 0, false, nil
	}
	return 1, true, nil
}

// broadcast is what a trigger and its subscribers share.
type broadcast struct {
	subscribers, left int
	seq               uint64
	msg               []byte // the message of number seq
}

// trigger asks for the next message when all subscribers have the last.
type trigger struct {
	plain
	*broadcast
	order [12]byte
}

func (t *trigger) open(b blocking) error { return b.writeAll([]byte{serve.Trigger}) }

func (t *trigger) next() []byte {
	t.left = t.subscribers
	t.seq++
	workload.Broadcast(t.msg, t.seq)
	binary.BigEndian.PutUint32(t.order[:], uint32(len(t.msg)))
	binary.BigEndian.PutUint64(t.order[4:], t.seq)
	return t.order[:]
}

func (t *trigger) feed([]byte) (int, bool, error) {
	return 0, false, errors.New("bytes for the trigger")
}

type subscriber struct {
	plain
	*broadcast
	got int
}

func (s *subscriber) open(b blocking) error {
	if err := b.writeAll([]byte{serve.Subscriber}); err != nil {
		return err
	}
	var reply [1]byte
	if _, err := io.ReadFull(b, reply[:]); err != nil {
		return err
	}
	if reply[0] != serve.Subscriber {
		return fmt.Errorf("the server said %q", reply[:])
	}
	return nil
}

func (s *subscriber) next() []byte { return nil }

func (s *subscriber) feed(p []byte) (int, bool, error) {
	if len(p) > len(s.msg)-s.got || !bytes.Equal(p, s.msg[s.got:s.got+len(p)]) {
		return 0, false, fmt.Errorf("message %d differs after %d bytes", s.seq, s.got)
	}
	if s.got += len(p); s.got < len(s.msg) {
		return 0, false, nil
	}
	s.got = 0
	s.left--
	return 1, s.left == 0, nil
}

// blocking is a socket before the load begins.
type blocking struct{ fd int }

func (b blocking) Read(p []byte) (int, error) {
	for {
		switch n, err := unix.Read(b.fd, p); {
		case err == unix.EINTR:
		case err != nil:
			return 0, fmt.Errorf("read: %w", err)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// writeAll is for the few bytes that any socket takes at once.
func (b blocking) writeAll(p []byte) error {
	n, err := unix.Write(b.fd, p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return err
}

// warm makes one small request.
func (b blocking) warm() error {
	if err := b.writeAll(get("/", "")); err != nil {
		return err
	}
	body, n := httpresp.Exactly(workload.Hello)
	check := httpresp.New(body, n, false)
	buf := make([]byte, 1024)
	for {
		n, err := b.Read(buf)
		if err != nil {
			return err
		}
		if done, _, err := check.Feed(buf[:n]); done > 0 || err != nil {
			return err
		}
	}
}
