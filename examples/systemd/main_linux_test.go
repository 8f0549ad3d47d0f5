//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// serviceEnv has the test's own program be the service.
const serviceEnv = "SYSTEMD_TEST_SERVICE"

func TestMain(m *testing.M) {
	if os.Getenv(serviceEnv) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(enginetest.Main(m))
}

// service starts the program as systemd does: it has the sockets as descriptors
// 3 and on, and LISTEN_PID is its own.
func service(t *testing.T, sockets ...*os.File) *exec.Cmd {
	t.Helper()
	cmd, stderr := testenv.Command(t, serviceEnv+"=1", fmt.Sprint("LISTEN_FDS=", len(sockets)))
	cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", "LISTEN_PID=$$ exec /proc/" + fmt.Sprint(os.Getpid()) + "/exe"}
	cmd.ExtraFiles = sockets
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		t.Logf("service:\n%s", stderr)
	})
	return cmd
}

// socket listens as systemd does, and returns the descriptor to pass on.
func socket(t *testing.T, network, address string) (*os.File, net.Addr) {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if ul, ok := ln.(*net.UnixListener); ok {
		ul.SetUnlinkOnClose(false)
	}
	f, err := ln.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, ln.Addr()
}

// ask sends a request on a conn of its own, at once, and returns the conn.
func ask(t *testing.T, addr net.Addr) net.Conn {
	t.Helper()
	c, err := net.DialTimeout(addr.Network(), addr.String(), testenv.Bound)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	return c
}

// answer wants the answer of cmd's process.
func answer(t *testing.T, c net.Conn, cmd *exec.Cmd) {
	t.Helper()
	body := make(chan string, 1)
	done := testenv.Go(func() error {
		b, err := io.ReadAll(c)
		body <- string(b)
		return err
	})
	testenv.Wait(t, done, "the answer")
	got := <-body
	over := "net, 0 conns"
	if quoit.Probe().IOUring {
		over = "io_uring, "
	}
	if want := fmt.Sprintf("process %d, %s", cmd.Process.Pid, over); !strings.HasPrefix(got, "HTTP/1.0 200 OK") || !strings.Contains(got, want) || strings.Contains(got, "io_uring, 0 conns") {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A conn that comes while no process runs is served by the next one.
func TestRestart(t *testing.T) {
	f, addr := socket(t, "tcp", "127.0.0.1:0")
	first := service(t, f)
	answer(t, ask(t, addr), first)
	if err := first.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := first.Wait(); err != nil {
		t.Errorf("the first process ended with %v", err)
	}
	c := ask(t, addr)
	second := service(t, f)
	answer(t, c, second)
}

// Several sockets, of different networks.
func TestSockets(t *testing.T) {
	dir, err := os.MkdirTemp("", "quoit") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	f, addr := socket(t, "tcp", "127.0.0.1:0")
	g, unixAddr := socket(t, "unix", dir+"/s")
	cmd := service(t, f, g)
	answer(t, ask(t, addr), cmd)
	answer(t, ask(t, unixAddr), cmd)
}

// Without systemd the program says what is missing.
func TestNotActivated(t *testing.T) {
	for _, env := range []string{"LISTEN_PID=", fmt.Sprint("LISTEN_PID=", os.Getpid())} {
		name, value, _ := strings.Cut(env, "=")
		t.Setenv(name, value)
		t.Setenv("LISTEN_FDS", "")
		if _, err := inherited(); err == nil || !strings.Contains(err.Error(), "LISTEN_") {
			t.Errorf("%s: %v", env, err)
		}
	}
}
