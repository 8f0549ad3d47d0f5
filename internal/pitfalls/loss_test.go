//go:build linux

package pitfalls

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
	"github.com/quoit-go/quoit/internal/testenv/webtest"
)

// The completion that ends a multishot receive may carry data, and a full
// completion queue ends it as well: whoever drops it loses the last bytes
// before EOF. Small buffers and queues make that common.
func TestPitfall08LastCompletion(t *testing.T) {
	pfEach(t, pfTiny, func(t *testing.T, server, client testenv.Transport) {
		ln := pfListen(t, server)
		const conns = 100
		var wg sync.WaitGroup
		for i := range uint64(conns) {
			size := int64(1 + i*i%9000)
			c := pfDial(t, client, ln.Addr().String())
			s := pfAccept(t, ln)
			wg.Go(func() {
				if err := errors.Join(pfSend(c, i, size), c.CloseWrite(), pfExpect(c, ^i, size)); err != nil {
					t.Errorf("client %d: %v", i, err)
				}
			})
			wg.Go(func() {
				if err := errors.Join(pfExpect(s, i, size), pfSend(s, ^i, size), s.Close()); err != nil {
					t.Errorf("server %d: %v", i, err)
				}
			})
		}
		wg.Wait()
	})
}

// Where descriptors run out, an accept that is not armed again leaves the
// server deaf, and one that is armed again at once spins.
func TestPitfall10DescriptorLimit(t *testing.T) {
	testenv.Watch(t, 3*testenv.Bound)
	cmd, stderr := pfChild(t, "nofile")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(stdout)
	addr, err := out.ReadString('\n')
	if err != nil {
		t.Fatal(err, stderr)
	}
	const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	var conns []*net.TCPConn
	for range 60 { // far more than the child has descriptors for
		c := testenv.Dial(t, strings.TrimSpace(addr))
		io.WriteString(c, get)
		conns = append(conns, c)
	}
	// The child measures itself in the meantime.
	report, err := out.ReadString('\n')
	if err != nil {
		t.Fatal(err, stderr)
	}
	t.Log(strings.TrimSpace(report))
	for i, c := range conns { // each goodbye makes room for another
		br := bufio.NewReader(c)
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatalf("conn %d: %v\n%s", i, err, stderr)
		}
		io.Copy(io.Discard, resp.Body)
		c.Close()
	}
	if err := webtest.Ask(strings.TrimSpace(addr), "GET / HTTP/1.0\r\n\r\n", "hello, world\n"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, stderr)
	}
}

// pfChildNofile serves with few descriptors and says what it costs.
func pfChildNofile([]string) error {
	ln, err := quoit.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := pfLimit(unix.RLIMIT_NOFILE, uint64(len(testenv.FDs())+20)); err != nil {
		return err
	}
	srv := &http.Server{Handler: http.HandlerFunc(webtest.Hello)}
	served := testenv.Go(func() error { return srv.Serve(ln) })
	fmt.Println(ln.Addr())
	full := func() bool {
		f, err := os.Open(os.DevNull)
		if err == nil {
			f.Close()
		}
		return errors.Is(err, unix.EMFILE)
	}
	if !testenv.Eventually(full) {
		return errors.New("the limit is not reached")
	}
	cpu, began := pfCPU(), time.Now()
	testenv.Pace(time.Second)
	cpu, wall := pfCPU()-cpu, time.Since(began)
	fmt.Printf("%v of CPU time in %v without descriptors, %+v\n", cpu, wall, quoit.Default().Stats())
	if cpu > wall/2 {
		return fmt.Errorf("the server spins: %v of CPU time in %v", cpu, wall)
	}
	io.Copy(io.Discard, os.Stdin) // until the parent is done
	srv.Close()
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("Serve ended: %w", err)
	}
	return nil
}

func pfLimit(resource int, n uint64) error {
	return os.NewSyscallError("setrlimit", unix.Setrlimit(resource, &unix.Rlimit{Cur: n, Max: n}))
}

// Conns that nobody has accepted when the listener closes must be cut off, not
// forgotten.
func TestPitfall11UnacceptedAtClose(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		for _, accept := range []int{0, 3} {
			addr := testenv.Free(t, "127.0.0.1")
			ln := pfListenAt(t, tr, addr)
			var kept []pfStream
			accepting := testenv.Go(func() error {
				for range accept {
					c, err := ln.Accept()
					if err != nil {
						return err
					}
					t.Cleanup(func() { c.Close() })
					kept = append(kept, c.(pfStream))
				}
				return nil
			})
			testenv.Pace(time.Millisecond)
			var waiting []*net.TCPConn
			for range 30 {
				waiting = append(waiting, testenv.Dial(t, addr))
			}
			testenv.Wait(t, accepting, "Accept")
			if err := ln.Close(); err != nil {
				t.Fatal(err)
			}
			if again, err := net.Listen("tcp", addr); err != nil {
				t.Errorf("the address is not free: %v", err)
			} else {
				again.Close()
			}
			peers := map[string]int{}
			for i, c := range waiting {
				peers[c.LocalAddr().String()] = i
			}
			for n, c := range kept {
				addr := c.RemoteAddr().String()
				i, ok := peers[addr]
				if !ok {
					t.Fatalf("accepted %s, which nobody dialed from, or twice", addr)
				}
				delete(peers, addr)
				if i != n && enginetest.Steering("tcp") == nil { // several sockets have no order
					t.Errorf("conn %d was accepted as number %d", i, n)
				}
				testenv.Wait(t, testenv.Go(func() error { return errors.Join(pfSend(c, 1, 100), c.CloseWrite()) }), "server's end")
				if err := pfExpect(waiting[i], 1, 100); err != nil {
					t.Errorf("conn %d that was accepted: %v", i, err)
				}
			}
			for _, i := range peers {
				if n, err := waiting[i].Read(make([]byte, 1)); n != 0 || err != io.EOF && !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("conn %d that was not accepted: %d, %v", i, n, err)
				}
			}
		}
	})
}

// A Write that its deadline ends says how much the peer will get. A cancelled
// send reports the part it sent; who takes that for none, counts wrong.
func TestPitfall12PartialWrite(t *testing.T) {
	pfEach(t, quoit.Config{}, func(t *testing.T, server, client testenv.Transport) {
		big := make([]byte, 16<<20)
		testenv.Fill(big, 12, 0)
		for round := range 4 {
			s, c := pfPair(t, server, client)
			sink := testenv.Sink{Seed: 12}
			reading := testenv.Go(func() error { // a little at a time, so that some of each Write fits
				for {
					_, err := io.CopyN(&sink, c, 30_000)
					if err != nil {
						return err
					}
					testenv.Pace(time.Millisecond)
				}
			})
			total := 0
			for range 3 { // the conn lives on after a timeout
				s.SetWriteDeadline(time.Now().Add(time.Duration(round*10) * time.Millisecond))
				n, err := s.Write(big[total:])
				if !errors.Is(err, os.ErrDeadlineExceeded) || round == 0 && n != 0 {
					t.Fatalf("wrote %d, %v", n, err)
				}
				total += n
			}
			s.SetWriteDeadline(time.Now().Add(testenv.Bound))
			n, err := s.Write(big[total : total+1000])
			if err = errors.Join(err, s.Close()); n != 1000 || err != nil {
				t.Fatalf("at the end: wrote %d, %v", n, err)
			}
			if err := testenv.Recv(t, reading, "peer"); err != io.EOF || sink.Off != int64(total+1000) {
				t.Errorf("the peer got %d bytes of %d, %v", sink.Off, total+1000, err)
			}
		}
	})
}

// What Write accepted must leave before Close or CloseWrite ends the stream.
func TestPitfall13FlushOnClose(t *testing.T) {
	ends := map[string]func(pfStream) error{
		"Close": func(s pfStream) error { return s.Close() },
		"CloseWrite": func(s pfStream) error {
			return errors.Join(s.CloseWrite(), pfExpect(s, 0, 0), s.Close())
		},
		"CloseWrite, Close": func(s pfStream) error { return errors.Join(s.CloseWrite(), s.Close()) },
	}
	pfEach(t, quoit.Config{}, func(t *testing.T, server, client testenv.Transport) {
		for name, end := range ends {
			for _, pieces := range []int{1, 10} {
				for _, size := range []int{1, 1000, 40000, 300000} {
					for range 3 {
						s, c := pfPair(t, server, client)
						done := testenv.Go(func() error {
							b := make([]byte, size)
							for i := range pieces {
								testenv.Fill(b, 13, int64(i*size))
								if _, err := s.Write(b); err != nil {
									return err
								}
							}
							return end(s)
						})
						if err := pfExpect(c, 13, int64(pieces*size)); err != nil {
							t.Errorf("%s after %d times %d bytes: %v", name, pieces, size, err)
						}
						c.Close()
						testenv.Wait(t, done, name)
					}
				}
			}
		}
	})
}

// What Write accepted before Close must reach the peer although the process
// ends at once.
func TestPitfall14ReturnFromMain(t *testing.T) {
	testenv.Watch(t, 3*testenv.Bound)
	for _, size := range []int64{1, 10_000, 8 << 20} {
		ln := pfListen(t, testenv.Net) // the child dials
		got := testenv.Go(func() error {
			c, err := ln.Accept()
			if err != nil {
				return err
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(testenv.Bound))
			return pfExpect(c, 14, size)
		})
		pfRun(t, "exit-client", ln.Addr().String(), fmt.Sprint(size))
		testenv.Wait(t, got, fmt.Sprintf("%d bytes from a child that dialed", size))

		cmd, stderr := pfChild(t, "exit-server", fmt.Sprint(size)) // the child listens
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		addr, err := bufio.NewReader(stdout).ReadString('\n')
		if err != nil {
			t.Fatal(err, stderr)
		}
		c := testenv.Dial(t, strings.TrimSpace(addr))
		if err := pfExpect(c, 14, size); err != nil {
			t.Errorf("%d bytes from a child that listened: %v", size, err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, stderr)
		}
	}
}

func pfChildExitClient(args []string) error {
	size, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Bound)
	defer cancel()
	c, err := quoit.DialContext(ctx, "tcp", args[0])
	if err != nil {
		return err
	}
	return errors.Join(pfSend(c, 14, size), c.Close())
}

func pfChildExitServer(args []string) error {
	size, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return err
	}
	ln, err := quoit.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	c, err := ln.Accept()
	if err != nil {
		return err
	}
	return errors.Join(pfSend(c, 14, size), c.Close())
}
