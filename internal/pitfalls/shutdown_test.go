//go:build linux

package pitfalls

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// A server that ends on SIGTERM loses nothing: what a Write had accepted arrives, or
// Close has said that it does not; and a response that http.Server.Shutdown waits
// for is whole.
func TestShutdownTransfers(t *testing.T) {
	conns := 200
	switch {
	case pfLong():
		conns = 1000
	case testing.Short():
		conns = 50
	}
	for _, server := range pfServers {
		t.Run(server, func(t *testing.T) {
			s := pfStartTransfers(t, server, "close", conns)
			s.clients(pfTransfer)
			s.checkClosed()
		})
		t.Run(server+"/http", func(t *testing.T) {
			s := pfStartTransfers(t, server, "http", conns)
			s.clients(pfResponse)
			for id, n := range s.got {
				if n != pfResponseSize {
					t.Errorf("conn %d: %d bytes arrived", id, n)
				}
			}
		})
	}
}

// pfEnding is a child that ends in the middle of its transfers.
type pfEnding struct {
	*testing.T
	addr  string
	got   []int64 // bytes, of each conn
	lines []string
	end   func()        // has the child end, and waits for it
	ended chan struct{} // closed when it is about to
}

func pfStartTransfers(t *testing.T, server, way string, conns int) *pfEnding {
	if server != "net" {
		enginetest.NeedRing(t)
	}
	testenv.Watch(t, 4*testenv.Bound)
	cmd, stderr := pfChild(t, "transfers", server, way)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewScanner(stdout)
	if !out.Scan() {
		t.Fatal(out.Err(), stderr)
	}
	s := &pfEnding{T: t, addr: out.Text(), got: make([]int64, conns), ended: make(chan struct{})}
	s.end = func() {
		if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
			t.Error(err)
		}
		close(s.ended)
		for out.Scan() {
			s.lines = append(s.lines, out.Text())
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, stderr)
		}
	}
	return s
}

// clients runs a client a conn, and ends the child when all of them have begun.
func (s *pfEnding) clients(client func(s *pfEnding, c net.Conn, id uint64, begun func()) (int64, error)) {
	var running, begun sync.WaitGroup
	begun.Add(len(s.got))
	for id := range s.got {
		running.Go(func() {
			begun := sync.OnceFunc(begun.Done)
			defer begun()
			c, err := net.DialTimeout("tcp", s.addr, testenv.Bound)
			if err == nil {
				defer c.Close()
				c.SetDeadline(time.Now().Add(2 * testenv.Bound))
				s.got[id], err = client(s, c, uint64(id), begun)
			}
			if err != nil {
				s.Errorf("conn %d after %d bytes: %v", id, s.got[id], err)
			}
		})
	}
	begun.Wait()
	s.end()
	running.Wait()
}

// checkClosed compares what arrived with what the child says that Write accepted.
func (s *pfEnding) checkClosed() {
	var sum int64
	lost := 0
	for _, line := range s.lines {
		var id int
		var accepted int64
		var why string
		if _, err := fmt.Sscanf(line, "%d %d %q", &id, &accepted, &why); err != nil {
			s.Fatalf("%q: %v", line, err)
		}
		if n := s.got[id]; n > accepted || n < accepted && why == "" {
			s.Errorf("conn %d: %d bytes were accepted, %d arrived, Close: %q", id, accepted, n, why)
		}
		sum += accepted
		if why != "" {
			lost++
		}
	}
	if len(s.lines) != len(s.got) {
		s.Errorf("the server had %d conns of %d", len(s.lines), len(s.got))
	}
	s.Logf("%d conns, %d bytes accepted before Close, %d Closes that failed", len(s.lines), sum, lost)
}

// pfTransfer reads until the end. The odd conns ask for each piece of what they get.
func pfTransfer(s *pfEnding, c net.Conn, id uint64, begun func()) (int64, error) {
	if err := binary.Write(c, binary.BigEndian, id); err != nil {
		return 0, err
	}
	sink := testenv.Sink{Seed: id}
	b := make([]byte, 16<<10)
	for {
		if id%2 == 1 {
			_, _ = c.Write([]byte("?"))
		}
		n, err := c.Read(b)
		if _, err := sink.Write(b[:n]); err != nil {
			return sink.Off, err
		}
		if err == io.EOF {
			return sink.Off, nil
		}
		if err != nil {
			return sink.Off, err
		}
		begun()
	}
}

const pfResponseSize = 512 << 10

// pfResponse reads a response, most of it when the server is about to end.
func pfResponse(s *pfEnding, c net.Conn, id uint64, begun func()) (int64, error) {
	if _, err := fmt.Fprintf(c, "GET /%d HTTP/1.1\r\nHost: x\r\n\r\n", id); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err
	}
	begun()
	<-s.ended
	sink := testenv.Sink{Seed: id}
	_, err = io.Copy(&sink, resp.Body)
	return sink.Off, err
}

// pfChildTransfers sends until SIGTERM comes.
func pfChildTransfers(args []string) error {
	term := make(chan os.Signal, 1)
	signal.Notify(term, unix.SIGTERM)
	ln, err := pfServeOn(args[0])
	if err != nil {
		return err
	}
	if args[1] == "http" {
		srv := &http.Server{Handler: http.HandlerFunc(pfRespond)}
		served := testenv.Go(func() error { return srv.Serve(ln) })
		<-term
		if err := srv.Shutdown(context.Background()); err != nil {
			return err
		}
		if err := <-served; err != http.ErrServerClosed {
			return err
		}
		return nil
	}
	s := &pfSender{term: make(chan struct{})}
	accepting := testenv.Go(func() error { return s.accept(ln) })
	<-term
	close(s.term)
	if err := errors.Join(ln.Close(), <-accepting); err != nil {
		return err
	}
	s.wg.Wait()
	_, err = os.Stdout.WriteString(s.report)
	return err
}

func pfRespond(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseUint(r.URL.Path[1:], 10, 64)
	if err == nil {
		err = pfSendPieces(w, id, pfResponseSize)
	}
	if err != nil {
		panic(err)
	}
}

// pfSender is the server of pfTransfer.
type pfSender struct {
	term chan struct{}
	wg   sync.WaitGroup

	mu     sync.Mutex
	report string // a line for each conn
}

func (s *pfSender) accept(ln net.Listener) error {
	for {
		c, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		s.wg.Go(func() {
			var id uint64
			if binary.Read(c, binary.BigEndian, &id) != nil {
				return // it would be missed
			}
			send := s.stream
			if id%2 == 1 {
				send = s.answer
			}
			n, err := send(c, id)
			why := ""
			if err != nil {
				why = err.Error()
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.report += fmt.Sprintf("%d %d %q\n", id, n, why)
		})
	}
}

// stream sends all the time; Close comes in the middle of a Write.
func (s *pfSender) stream(c net.Conn, id uint64) (int64, error) {
	closed := testenv.Go(func() error { <-s.term; return c.Close() })
	for off := int64(0); ; {
		n, err := pfWritePiece(c, id, off)
		off += int64(n)
		if err != nil {
			return off, <-closed
		}
		testenv.Pace(time.Millisecond) // else the loads take the time of the test
	}
}

// answer sends three pieces for each byte that it gets. It ends as a server does that
// wants its peer to have everything: a Close with unread bytes would reset.
func (s *pfSender) answer(c net.Conn, id uint64) (off int64, err error) {
	stop := testenv.Go(func() error { <-s.term; return c.SetReadDeadline(time.Unix(1, 0)) })
	for b := make([]byte, 1); ; {
		if _, err := c.Read(b); err != nil {
			break
		}
		for range 3 {
			n, err := pfWritePiece(c, id, off)
			off += int64(n)
			if err != nil {
				return off, err
			}
		}
	}
	err = errors.Join(<-stop, c.(pfStream).CloseWrite(), c.SetReadDeadline(time.Now().Add(testenv.Bound)))
	io.Copy(io.Discard, c)
	return off, errors.Join(err, c.Close())
}

// pfWritePiece writes a small piece of a stream.
func pfWritePiece(c net.Conn, seed uint64, off int64) (int, error) {
	b := make([]byte, 1+rand.IntN(1000))
	testenv.Fill(b, seed, off)
	return c.Write(b)
}
