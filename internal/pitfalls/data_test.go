//go:build linux

package pitfalls

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// pfTag opens each conn of the churn.
type pfTag struct {
	ID   uint64 // seed of the client's stream; ^ID is the server's
	Size uint32
	Mode uint32
}

const (
	pfWhole     = iota // both streams to their end
	pfAbort            // the client resets somewhere
	pfLeave            // the client closes without reading
	pfCut              // the server closes without reading
	pfTagModes         // number of modes
	pfTagSize   = 16
	pfChurnSize = 40000
)

// A descriptor that is closed before its last completion, or a completion
// taken for the next conn in its slot, gives one conn's bytes to another, or
// to another file of the process.
func TestPitfall01ForeignBytes(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	testenv.Watch(t, 2*testenv.Bound)
	for _, cfg := range []quoit.Config{{}, pfTiny} {
		e := enginetest.On(enginetest.New(t, cfg))
		ln := pfListen(t, e)
		var servers, clients sync.WaitGroup
		accepting := testenv.Go(func() error {
			for {
				c, err := ln.Accept()
				if err != nil {
					return err
				}
				servers.Go(func() {
					if err := pfChurnServe(c.(pfStream)); err != nil {
						t.Error(err)
					}
				})
			}
		})
		stop := make(chan bool)
		thief := testenv.Go(func() error { return pfThief(stop) })
		for w := range 12 {
			tr := []testenv.Transport{testenv.Net, e}[w%2]
			clients.Go(func() {
				for i := range rounds {
					if err := pfChurnDial(t, tr, ln.Addr().String(), uint64(w)<<32|uint64(i)); err != nil {
						t.Errorf("worker %d, conn %d: %v", w, i, err)
						return
					}
				}
			})
		}
		clients.Wait()
		ln.Close()
		if err := testenv.Recv(t, accepting, "end of Accept"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept: %v", err)
		}
		servers.Wait()
		close(stop)
		testenv.Wait(t, thief, "pipes")
	}
}

func pfChurnServe(c pfStream) error {
	defer c.Close()
	c.SetDeadline(time.Now().Add(testenv.Bound))
	head := make([]byte, pfTagSize)
	if _, err := io.ReadFull(c, head); err != nil {
		return nil // aborted before its tag
	}
	var tag pfTag
	if _, err := binary.Decode(head, binary.LittleEndian, &tag); err != nil {
		return err
	}
	if tag.Mode >= pfTagModes || tag.Size > pfChurnSize {
		return fmt.Errorf("server: foreign bytes for a tag: % x", head)
	}
	if tag.Mode == pfCut {
		return nil
	}
	sink := testenv.Sink{Seed: tag.ID}
	_, err := io.CopyN(&sink, c, int64(tag.Size))
	if err == nil {
		err = pfSend(c, ^tag.ID, int64(tag.Size))
	}
	if err != nil && (tag.Mode == pfWhole || errors.Is(err, testenv.ErrWrongByte)) {
		return fmt.Errorf("server, mode %d: %w", tag.Mode, err)
	}
	return nil
}

func pfChurnDial(t *testing.T, tr testenv.Transport, addr string, id uint64) error {
	nc, err := tr.Dial(t.Context(), "tcp", addr)
	if err != nil {
		return err
	}
	c := nc.(pfStream)
	defer c.Close()
	c.SetDeadline(time.Now().Add(testenv.Bound))
	tag := pfTag{ID: id, Size: rand.Uint32N(pfChurnSize), Mode: rand.Uint32N(pfTagModes)}
	head, err := binary.Append(nil, binary.LittleEndian, &tag)
	if err != nil {
		return err
	}
	_, err = c.Write(head)
	size := int64(tag.Size)
	switch {
	case err != nil:
	case tag.Mode == pfAbort:
		c.SetLinger(0)
		err = pfSend(c, id, rand.Int64N(size+1))
	case tag.Mode == pfLeave:
		err = pfSend(c, id, size)
	default:
		sent := testenv.Go(func() error { return errors.Join(pfSend(c, id, size), c.CloseWrite()) })
		err = errors.Join(pfExpect(c, ^id, size), <-sent)
	}
	if err != nil && (tag.Mode == pfWhole || errors.Is(err, testenv.ErrWrongByte)) {
		return fmt.Errorf("client, mode %d: %w", tag.Mode, err)
	}
	return nil
}

// pfThief takes the numbers of closed descriptors for pipes of its own.
func pfThief(stop <-chan bool) error {
	want, got := []byte("mine"), make([]byte, 64)
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		_, err = w.Write(want)
		n, rerr := r.Read(got)
		if err = errors.Join(err, rerr, r.Close(), w.Close()); err != nil {
			return err
		}
		if !bytes.Equal(got[:n], want) {
			return fmt.Errorf("a pipe got %q", got[:n])
		}
	}
}

// A request that points into a goroutine's stack reads or writes freed memory
// once the stack has moved, which the collector does to parked goroutines.
func TestPitfall02StackMemory(t *testing.T) {
	enginetest.NeedRing(t)
	testenv.Watch(t, 2*testenv.Bound)
	for _, cfg := range []quoit.Config{{}, pfTiny} {
		e := enginetest.On(enginetest.New(t, cfg))
		a, b := pfPair(t, e, e)
		w, r := a.(*quoit.Conn), b.(*quoit.Conn)
		if err := w.SetWriteBuffer(4096); err != nil {
			t.Fatal(err)
		}
		stop := make(chan bool)
		collecting := testenv.Go(func() error {
			for {
				select {
				case <-stop:
					return nil
				default:
					runtime.GC()
				}
			}
		})
		const blocks = 60
		written := testenv.Go(func() error {
			for i := range int64(blocks) {
				pfDeepen(300)
				if n, err := pfStackWrite(w, i*pfBlock); n != pfBlock || err != nil {
					return fmt.Errorf("block %d: %d, %w", i, n, err)
				}
			}
			return w.CloseWrite()
		})
		read := testenv.Go(func() error {
			for off := int64(0); ; {
				pfDeepen(300)
				n, err := pfStackRead(r, off)
				if off += int64(n); err == io.EOF && off == blocks*pfBlock {
					return nil
				}
				if err != nil {
					return fmt.Errorf("after %d bytes: %w", off, err)
				}
			}
		})
		testenv.Wait(t, written, "writes")
		testenv.Wait(t, read, "reads")
		close(stop)
		testenv.Wait(t, collecting, "GC")
	}
}

const pfBlock = 24 << 10

// pfDeepen makes the stack large, so that the next collection may shrink it.
func pfDeepen(n int) byte {
	var frame [1 << 10]byte
	frame[n] = byte(n)
	if n == 0 {
		return frame[0]
	}
	return frame[n] + pfDeepen(n-1)
}

//go:noinline
func pfStackWrite(c *quoit.Conn, off int64) (int, error) {
	var b [pfBlock]byte
	testenv.Fill(b[:], 2, off)
	return c.Write(b[:])
}

//go:noinline
func pfStackRead(c *quoit.Conn, off int64) (int, error) {
	var b [pfBlock]byte
	n, err := c.Read(b[:])
	if i := testenv.Diff(b[:n], 2, off); i >= 0 {
		return n, fmt.Errorf("%w at %d", testenv.ErrWrongByte, off+int64(i))
	}
	return n, err
}

// A Write that returns before the kernel, or a copy, has its bytes sends what
// the caller puts there next.
func TestPitfall03SliceReuse(t *testing.T) {
	pfEach(t, quoit.Config{}, func(t *testing.T, server, client testenv.Transport) {
		for _, size := range []int{1, 100, 4096, 65537, 1 << 20} {
			s, c := pfPair(t, server, client)
			if err := s.SetWriteBuffer(4096); err != nil {
				t.Fatal(err)
			}
			const total = 1 << 20
			count := min(total/size, 2000)
			sent := testenv.Go(func() error {
				b := make([]byte, size)
				for i := range count {
					testenv.Fill(b, 3, int64(i*size))
					if _, err := s.Write(b); err != nil {
						return err
					}
					for j := range b {
						b[j] = 0xff
					}
				}
				return s.CloseWrite()
			})
			if err := pfExpect(c, 3, int64(count*size)); err != nil {
				t.Errorf("size %d: %v", size, err)
			}
			testenv.Wait(t, sent, "writer")
		}
	})
}

// Two sends in flight on one socket have no order, and the parts of a short
// one mix with the other.
func TestPitfall04ConcurrentWrites(t *testing.T) {
	const writers, frames, size = 3, 4, 200 << 10
	pfEach(t, quoit.Config{}, func(t *testing.T, server, client testenv.Transport) {
		s, c := pfPair(t, server, client)
		if err := s.SetWriteBuffer(4096); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				b := bytes.Repeat([]byte{byte('a' + w)}, size)
				for range frames {
					if n, err := s.Write(b); n != size || err != nil {
						t.Errorf("wrote %d, %v", n, err)
					}
				}
			})
		}
		got := make([]byte, size)
		for i := range writers * frames {
			if _, err := io.ReadFull(c, got); err != nil {
				t.Fatalf("frame %d: %v", i, err)
			}
			if !bytes.Equal(got, bytes.Repeat(got[:1], size)) {
				t.Fatalf("frame %d is a mixture", i)
			}
		}
		wg.Wait()
	})
}

// Two receives armed on one socket, or one armed beside a direct recv, swap
// the order of bytes: pausing and resuming is where that happens.
func TestPitfall05PauseResume(t *testing.T) {
	for name, cfg := range map[string]quoit.Config{"default": {}, "tiny": pfTiny} {
		t.Run(name, func(t *testing.T) {
			pfEach(t, cfg, func(t *testing.T, server, client testenv.Transport) {
				const total = 3 << 20
				s, c := pfPair(t, server, client)
				sent := testenv.Go(func() error { return errors.Join(pfSendPieces(c, 5, total), c.CloseWrite()) })
				if err := pfReadFitfully(s, 5, total); err != nil {
					t.Error(err)
				}
				s.Close()
				testenv.Wait(t, sent, "writer")
			})
		})
	}
}

// pfSendPieces writes a stream in pieces of all sizes.
func pfSendPieces(w io.Writer, seed uint64, total int64) error {
	b := make([]byte, 100_000)
	for off := int64(0); off < total; {
		n := min(total-off, 1+rand.Int64N(1<<rand.IntN(17)))
		testenv.Fill(b[:n], seed, off)
		if _, err := w.Write(b[:n]); err != nil {
			return err
		}
		off += n
	}
	return nil
}

// pfReadFitfully reads a stream to its end, with stops, expired deadlines and
// looks at the descriptor in between.
func pfReadFitfully(c pfStream, seed uint64, total int64) error {
	b := make([]byte, 100_000)
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	for off := int64(0); ; {
		switch rand.IntN(16) {
		case 0:
			testenv.Pace(time.Duration(rand.IntN(1000)) * time.Microsecond)
		case 1:
			err = raw.Control(func(uintptr) {})
		case 2:
			var f *os.File
			if f, err = c.File(); err == nil {
				err = f.Close()
			}
		case 3:
			err = pfPeek(raw)
		case 4:
			c.SetReadDeadline(time.Unix(1, 0))
			if n, rerr := c.Read(b); n != 0 || !errors.Is(rerr, os.ErrDeadlineExceeded) {
				return fmt.Errorf("past deadline: read %d, %w", n, rerr)
			}
			err = c.SetReadDeadline(time.Now().Add(testenv.Bound))
		}
		if err != nil {
			return err
		}
		n, err := c.Read(b[:1+rand.IntN(1<<rand.IntN(17))])
		if i := testenv.Diff(b[:n], seed, off); i >= 0 {
			return fmt.Errorf("%w at %d", testenv.ErrWrongByte, off+int64(i))
		}
		off += int64(n)
		if err == io.EOF && off == total {
			return nil
		}
		if err != nil {
			return fmt.Errorf("after %d bytes of %d: %w", off, total, err)
		}
	}
}

// pfPeek looks at the socket without taking anything.
func pfPeek(raw interface {
	Read(func(uintptr) bool) error
}) error {
	var b [10]byte
	return raw.Read(func(fd uintptr) bool {
		unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return true
	})
}

// A ring that goes on receiving while SyscallConn's Read waits takes the
// bytes that it waits for.
func TestPitfall05RawRead(t *testing.T) {
	pfEach(t, quoit.Config{}, func(t *testing.T, server, client testenv.Transport) {
		s, c := pfPair(t, server, client)
		raw, err := s.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		for i := range 50 {
			want := fmt.Sprintf("message %d", i)
			var sent atomic.Bool
			send := func() {
				if !sent.Swap(true) {
					if _, err := io.WriteString(c, want); err != nil {
						t.Error(err)
					}
				}
			}
			n := 0
			if i%2 == 0 { // a Read that waits, so that the ring has reason to receive
				reading := testenv.Go(func() error { _, err := io.ReadFull(s, b[:len(want)]); return err })
				testenv.Pace(time.Duration(rand.IntN(300)) * time.Microsecond)
				send()
				n, err = len(want), testenv.Recv(t, reading, "Read")
			} else {
				err = raw.Read(func(fd uintptr) bool {
					var rerr error
					if n, _, rerr = unix.Recvfrom(int(fd), b, unix.MSG_DONTWAIT); rerr != unix.EAGAIN {
						return true
					}
					send() // now that it has nothing and is about to wait
					return false
				})
			}
			if err != nil || string(b[:max(n, 0)]) != want {
				t.Fatalf("round %d: %q, %v, want %q", i, b[:max(n, 0)], err, want)
			}
		}
	})
}
