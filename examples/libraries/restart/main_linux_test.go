//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
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

// serverEnv has the test's own program be the server at that address.
const serverEnv = "RESTART_TEST_SERVER"

func TestMain(m *testing.M) {
	if addr := os.Getenv(serverEnv); addr != "" {
		if err := run(addr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(enginetest.Main(m))
}

// load is clients that ask all the time.
type load struct {
	requests, failures atomic.Int64
	process            [2]atomic.Int64 // that answered last: without idle conns, and with
	stop               chan struct{}
	wg                 sync.WaitGroup
}

// ask starts clients, all with idle conns or all with a conn for each request.
func (l *load) ask(t *testing.T, url string, clients, idle int) {
	for range clients {
		tr := &http.Transport{DisableKeepAlives: idle == 0}
		client := &http.Client{Transport: tr, Timeout: testenv.Bound}
		l.wg.Go(func() {
			defer tr.CloseIdleConnections()
			for {
				select {
				case <-l.stop:
					return
				case <-time.After(time.Millisecond): // two processors are for the servers, too
				}
				process, err := get(client, url)
				l.requests.Add(1)
				if err != nil {
					l.failures.Add(1)
					t.Errorf("request %d: %v", l.requests.Load(), err)
					continue
				}
				l.process[idle].Store(int64(process))
			}
		})
	}
}

// get returns the number of the process that answers.
func get(client *http.Client, url string) (process int, err error) {
	resp, err := client.Get(url)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	var over string
	var accepted int
	if _, err := fmt.Sscanf(string(b), "process %d, %s %d conns accepted\n", &process, &over, &accepted); err != nil {
		return 0, fmt.Errorf("%q: %w", b, err)
	}
	if quoit.Probe().IOUring && (over != "io_uring," || accepted == 0) {
		return 0, fmt.Errorf("quoit does not serve: %q", b)
	}
	return process, nil
}

// ended reports whether a process has, be it that its parent has not asked yet.
func ended(process int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", process))
	_, state, _ := bytes.Cut(b, []byte(") "))
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) || bytes.HasPrefix(state, []byte("Z"))
}

// The server is replaced three times under load, and no request fails.
func TestRestart(t *testing.T) {
	addr := testenv.Free(t, "127.0.0.1")
	cmd, stderr := testenv.Command(t, serverEnv+"="+addr)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	process := cmd.Process.Pid
	t.Cleanup(func() {
		if t.Failed() {
			syscall.Kill(process, syscall.SIGKILL)
		}
		cmd.Wait()
		t.Logf("servers:\n%s", stderr)
	})
	testenv.Poll(t, "a server listens", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	l := &load{stop: make(chan struct{})}
	l.ask(t, "http://"+addr+"/", 4, 0)
	l.ask(t, "http://"+addr+"/", 4, 1)
	stop := sync.OnceFunc(func() { close(l.stop); l.wg.Wait() })
	defer stop()
	for range 3 {
		testenv.Poll(t, "both kinds of clients reach "+strconv.Itoa(process), func() bool {
			return l.process[0].Load() == int64(process) && l.process[1].Load() == int64(process)
		})
		hangup := time.Now()
		testenv.Poll(t, "another process serves, and this one has ended", func() bool {
			if time.Now().After(hangup) { // again if it could not yet: its predecessor had not ended
				syscall.Kill(process, syscall.SIGHUP)
				hangup = time.Now().Add(time.Second)
			}
			return ended(process) && l.process[0].Load() != int64(process) && l.process[0].Load() == l.process[1].Load()
		})
		process = int(l.process[0].Load())
	}
	stop()
	t.Logf("%d requests, %d failures", l.requests.Load(), l.failures.Load())
	if err := syscall.Kill(process, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil { // until the last process has let go of standard error
		t.Error(err)
	}
	if n := strings.Count(stderr.String(), "serving http://"); n < 4 {
		t.Errorf("%d processes have served", n)
	}
}
