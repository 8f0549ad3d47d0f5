package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quoit-go/quoit/bench/internal/serve"
	"github.com/quoit-go/quoit/bench/internal/workload"
	"github.com/quoit-go/quoit/internal/testenv"
)

// foreignArg lets the test binary be a server that is not ours.
const foreignArg = "foreign"

// serveForeign takes a kind of server, where to listen, and for a proxy where
// the backend is.
func serveForeign(args []string) {
	ln, err := net.Listen("tcp", args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if args[0] == "http" {
		http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, workload.Hello) }))
	}
	for {
		c, err := ln.Accept()
		if err != nil {
			os.Exit(1)
		}
		go func() {
			defer c.Close()
			to := c
			if args[0] == "proxy" {
				if to, err = net.Dial("tcp", args[2]); err != nil {
					return
				}
				defer to.Close()
				go io.Copy(c, to)
			}
			io.Copy(to, c)
		}()
	}
}

// foreignCommand returns the command line of a server with those arguments.
func foreignCommand(t *testing.T, args string) side {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return side{command: fmt.Sprintf("'%s' %s %s", self, foreignArg, args)}
}

func TestForeignServers(t *testing.T) {
	tests := map[string]string{
		"http":      "http {addr}",
		"close":     "http {addr}",
		"echo-64B":  "echo 127.0.0.1:{port}",
		"proxy-64B": "proxy {addr} 127.0.0.1:{backport}",
		"proxy-4KB": "proxy {addr} {backend}",
	}
	for family, args := range tests {
		t.Run(family, func(t *testing.T) {
			i := 0
			all := workload.All(nil)
			for all[i].Family != family {
				i++
			}
			o := testOptions(small(all[i]))
			o.versus = []side{foreignCommand(t, args)}
			rep := runBench(t, o)
			c := rep.Cases[0]
			if len(c.Pairs) != 2 || rep.Failed() {
				t.Fatalf("not measured: %q", c.Errors)
			}
			for _, p := range c.Pairs {
				if p[1].Metrics["rate"] <= 0 || p[1].Metrics["rss"] <= 0 {
					t.Errorf("%v", p[1].Metrics)
				}
			}
			if c.GOMAXPROCS == 0 || !strings.Contains(c.Label(), " cmd:") {
				t.Errorf("%q with GOMAXPROCS %d", c.Label(), c.GOMAXPROCS)
			}
			var table bytes.Buffer
			if err := rep.Table(&table); err != nil || strings.Contains(table.String(), "{") {
				t.Errorf("%v, and arguments in the table:\n%s", err, &table)
			}
		})
	}
}

func TestForeignServerEnds(t *testing.T) {
	start := func(args string) *serverProcess {
		t.Helper()
		p, err := startServer(t.Context(), foreignCommand(t, args), serve.Spec{Kind: workload.ServeEcho}, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := start("echo {addr}")
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(p.pid, 0); err == nil {
		t.Error("the server is still there")
	}
	p = start("echo {addr}")
	if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.wait()
	if err := p.stop(); err == nil || !strings.Contains(err.Error(), "ended by itself: signal: killed") {
		t.Errorf("a server that was killed: %v", err)
	}
}

func TestForeignServerThatDoesNotStart(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	missing := filepath.Join(t.TempDir(), "missing")
	tests := []struct {
		name string
		s    side
		want string
	}{
		{"no such command", side{command: missing + " {addr}"}, "exit status 127"},
		{"ends", side{command: "true {addr}"}, "server cmd:true: it ended by itself: exit status 0"},
		{"says why", side{command: "sh -c 'echo I refuse {port}; exit 3'"}, "exit status 3: I refuse"},
		{"cannot listen", foreignCommand(t, "echo "+busy.Addr().String()), "address already in use"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := startServer(t.Context(), tt.s, serve.Spec{Kind: workload.ServeEcho}, 0, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func TestForeignServerThatDoesNotListen(t *testing.T) {
	addr := testenv.Free(t, "127.0.0.1")
	p := &serverProcess{Ready: serve.Ready{Addr: addr}}
	if err := p.awaitListener(t.Context(), nil, 50*time.Millisecond); err == nil || !strings.Contains(err.Error(), "does not listen on "+addr) {
		t.Errorf("nobody listens: %v", err)
	}
}
