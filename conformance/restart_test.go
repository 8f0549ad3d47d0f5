//go:build linux

package conformance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/engine/steering"
	"github.com/quoit-go/quoit/internal/testenv"
)

// restartEnv has TestRestartServer serve, in a process of its own.
const restartEnv = "QUOIT_RESTART"

// gate is a listener that can stop to accept, as a process that hangs does.
type gate struct {
	net.Listener
	shut   atomic.Bool
	closed chan struct{}
	once   sync.Once
}

func (g *gate) Accept() (net.Conn, error) {
	if g.shut.Load() {
		<-g.closed
		return nil, net.ErrClosed
	}
	return g.Listener.Accept()
}

func (g *gate) Close() error {
	g.once.Do(func() { close(g.closed) })
	return g.Listener.Close()
}

// TestRestartServer serves at the address in restartEnv, says where, and obeys
// commands, one a line, each of which it answers with a line.
func TestRestartServer(t *testing.T) {
	address, migrate := strings.CutSuffix(os.Getenv(restartEnv), " migrate")
	if address == "" {
		t.Skip("runs as a process of TestRestart")
	}
	e, err := quoit.New(&quoit.Config{Rings: 3, Require: true})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	s, err := steering.New(&steering.Config{NoMigration: !migrate})
	if err != nil {
		t.Fatal(err)
	}
	lc := quoit.ListenConfig{Engine: e, Steering: s}
	ln, err := lc.Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{Listener: ln, closed: make(chan struct{})}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, os.Getpid())
	})}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(g) }()
	fmt.Println(ln.Addr())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		switch in.Text() {
		case "hang":
			g.shut.Store(true)
		case "stop":
			if err := srv.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			if err := <-served; err != http.ErrServerClosed {
				t.Error(err)
			}
		}
		fmt.Println("done")
	}
}

// restarted is a process of TestRestartServer.
type restarted struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
	addr string
}

func startRestarted(t *testing.T, address string, migrate bool) *restarted {
	t.Helper()
	if migrate {
		address += " migrate"
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestRestartServer$")
	cmd.Env = append(os.Environ(), restartEnv+"="+address)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := &restarted{t: t, cmd: cmd, in: in, out: bufio.NewScanner(out)}
	t.Cleanup(func() {
		in.Close() // ends it
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server's process: %v", err)
		}
	})
	r.addr = r.line()
	return r
}

func (r *restarted) line() string {
	r.t.Helper()
	line := make(chan string, 1)
	go func() {
		r.out.Scan()
		line <- r.out.Text()
	}()
	return testenv.Recv(r.t, line, "a line from the server")
}

func (r *restarted) do(command string) {
	r.t.Helper()
	if _, err := fmt.Fprintln(r.in, command); err != nil {
		r.t.Fatal(err)
	}
	if got := r.line(); got != "done" {
		r.t.Fatalf("%s: the server says %q", command, got)
	}
}

func (r *restarted) pid() string { return strconv.Itoa(r.cmd.Process.Pid) }

// visitors ask for something again and again, each time on a new conn.
type visitors struct {
	stop   context.CancelFunc
	group  sync.WaitGroup
	mu     sync.Mutex
	visits map[string]int // by the pid that answered
	errs   []error
}

func visit(addr string, n int) *visitors {
	ctx, cancel := context.WithCancel(context.Background())
	v := &visitors{stop: cancel, visits: map[string]int{}}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: testenv.Bound}
	for range n {
		v.group.Go(func() {
			for ctx.Err() == nil {
				pid, err := get(client, addr)
				v.mu.Lock()
				if v.visits[pid]++; err != nil {
					v.errs = append(v.errs, err)
				}
				v.mu.Unlock()
			}
		})
	}
	return v
}

func get(client *http.Client, addr string) (string, error) {
	resp, err := client.Get("http://" + addr)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// served waits until pid has answered n more times.
func (v *visitors) served(t *testing.T, pid string, n int) {
	t.Helper()
	count := func() int {
		v.mu.Lock()
		defer v.mu.Unlock()
		return v.visits[pid]
	}
	first, done := count(), make(chan struct{})
	go func() {
		for count() < first+n && t.Context().Err() == nil {
			<-time.After(5 * time.Millisecond)
		}
		close(done)
	}()
	testenv.Recv(t, done, "answers of "+pid)
}

// needBPF skips a test that needs a program in the kernel, where that is not
// allowed.
func needBPF(t *testing.T) {
	t.Helper()
	s, err := steering.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	lc := quoit.ListenConfig{Engine: engine, Steering: s}
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if ue, ok := errors.AsType[*steering.UnsupportedError](err); ok && ue.Capability+ue.MinKernel != "" {
		t.Skip(ue)
	}
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
}

// TestRestart has a second process take an address over from one that hangs
// with conns in its queues. Nobody gets an error, unless migration is off.
func TestRestart(t *testing.T) {
	if st := engine.Stats(); st.Transport != "io_uring" {
		t.Skipf("no io_uring here: %v", st.Reason)
	}
	needBPF(t)
	for _, migrate := range []bool{true, false} {
		t.Run(fmt.Sprintf("migrate=%v", migrate), func(t *testing.T) {
			old := startRestarted(t, "127.0.0.1:0", migrate)
			v := visit(old.addr, 8)
			v.served(t, old.pid(), 100)
			old.do("hang")
			const queued = 12 // the first may still be accepted
			conns := make([]net.Conn, queued)
			for i := range conns {
				c, err := net.Dial("tcp", old.addr)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if _, err := io.WriteString(c, "GET / HTTP/1.0\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				conns[i] = c
			}
			next := startRestarted(t, old.addr, migrate)
			old.do("stop")
			v.served(t, next.pid(), 100)
			v.stop()
			v.group.Wait()
			failed := len(v.errs)
			for _, c := range conns {
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
				}
				if err != nil {
					failed++
					v.errs = append(v.errs, err)
				}
			}
			switch {
			case migrate && failed > 0:
				t.Errorf("%d errors: %v", failed, errors.Join(v.errs...))
			case !migrate && failed < queued-1:
				t.Errorf("%d errors, want %d or more: it was migration that helped", failed, queued-1)
			}
			t.Logf("answers by process: %v, %d errors", v.visits, failed)
		})
	}
}
