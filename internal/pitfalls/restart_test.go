//go:build linux

package pitfalls

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
	"github.com/quoit-go/quoit/internal/testenv/webtest"
)

// The kernel takes a killed process's rings apart after it has ended: its port is
// free at once all the same, for nothing that listens is in one.
func TestPitfall27RestartAfterKill(t *testing.T) {
	for _, server := range pfServers {
		t.Run(server, func(t *testing.T) {
			testenv.Watch(t, 2*testenv.Bound)
			addr := "127.0.0.1:0"
			for i := range 5 {
				cmd, stderr := pfChild(t, "serve", server, addr)
				stdout, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				line, err := bufio.NewReader(stdout).ReadString('\n')
				if err != nil {
					cmd.Wait()
					t.Fatalf("start %d: %v, %s", i, err, stderr)
				}
				addr = strings.TrimSpace(line)
				var conns []*net.TCPConn
				for range 50 {
					c := testenv.Dial(t, addr)
					if _, err := io.WriteString(c, "x"); err != nil {
						t.Error(err)
					}
					if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
						t.Error(err)
					}
					conns = append(conns, c)
				}
				cmd.Process.Kill()
				cmd.Wait()
				defer func() {
					for _, c := range conns {
						c.Close()
					}
				}()
			}
		})
	}
}

// pfChildServe echoes until it is killed.
func pfChildServe(args []string) error {
	tr, err := pfServe(args[0])
	if err != nil {
		return err
	}
	ln, err := tr.Listen("tcp", args[1])
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		go io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{c}, make([]byte, 10))
	}
}

// A server that hands its socket to the next one, and then ends, lets no request fail:
// the queue is the socket's.
func TestRestartHandOver(t *testing.T) {
	times := 10
	if pfLong() {
		times = 100
	}
	for _, server := range pfServers {
		t.Run(server, func(t *testing.T) {
			if server != "net" {
				enginetest.NeedRing(t)
			}
			testenv.Watch(t, 8*testenv.Bound)
			cmd, stderr := pfChild(t, "generation", server)
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer stdin.Close() // all generations end with it
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			out := bufio.NewReader(stdout)
			next := func() (pid int, addr string) {
				line, err := out.ReadString('\n')
				if err == nil {
					_, err = fmt.Sscan(line, &pid, &addr)
				}
				if err != nil {
					t.Fatal(err, stderr)
				}
				return pid, addr
			}
			pid, addr := next()
			asked, stop := pfAsk(t, addr, 8)
			for range times {
				before := asked.Load()
				testenv.Poll(t, "requests", func() bool { return t.Failed() || asked.Load() > before+50 })
				if err := unix.Kill(pid, unix.SIGUSR2); err != nil {
					t.Fatal(err)
				}
				if pid, _ = next(); t.Failed() {
					break
				}
			}
			stop()
			stdin.Close()
			io.Copy(io.Discard, out)
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v\n%s", err, stderr)
			}
			t.Logf("%d hand-overs, %d requests", times, asked.Load())
		})
	}
}

// pfAsk has clients ask addr for a page over and over, on a conn each time.
func pfAsk(t *testing.T, addr string, clients int) (asked *atomic.Int64, stop func()) {
	asked = new(atomic.Int64)
	quit := make(chan struct{})
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
				}
				if err := webtest.Ask(addr, "GET / HTTP/1.0\r\n\r\n", "hello, world\n"); err != nil {
					t.Error(err)
					return
				}
				asked.Add(1)
			}
		})
	}
	return asked, func() { close(quit); wg.Wait() }
}

// pfChildGeneration serves on the socket that it was given, or a new one, until SIGUSR2
// has it hand that on.
func pfChildGeneration(args []string) error {
	usr := make(chan os.Signal, 1)
	signal.Notify(usr, unix.SIGUSR2)
	e, err := pfServe(args[0])
	if err != nil {
		return err
	}
	var ln net.Listener
	if len(args) > 1 {
		ln, err = e.FileListener(os.NewFile(3, "listener"))
	} else {
		ln, err = e.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return err
	}
	var conns sync.WaitGroup
	srv := &http.Server{Handler: http.HandlerFunc(webtest.Hello), ConnState: func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			conns.Add(1)
		case http.StateClosed:
			conns.Done()
		}
	}}
	served := testenv.Go(func() error { return srv.Serve(ln) })
	fmt.Println(os.Getpid(), ln.Addr())
	if len(args) > 1 {
		if err := os.NewFile(4, "ready").Close(); err != nil {
			return err
		}
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	<-usr
	if err := pfNextGeneration(args[0], ln); err != nil {
		return err
	}
	// Not Shutdown, which answers no request that it has not begun with.
	if err := ln.Close(); err != nil {
		return err
	}
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		return err
	}
	conns.Wait()
	return nil
}

// pfNextGeneration starts a child that serves on ln's socket, and waits until it does.
func pfNextGeneration(server string, ln net.Listener) error {
	f, err := ln.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		return err
	}
	defer f.Close()
	ready, readyChild, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), pfChildEnv+"=generation "+server+" inherited")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{f, readyChild}
	err = cmd.Start()
	readyChild.Close()
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, ready); err != nil { // it closes its end
		return err
	}
	return cmd.Process.Release()
}
