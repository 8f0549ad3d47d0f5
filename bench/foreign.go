package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/quoit-go/quoit/bench/internal/proc"
	"github.com/quoit-go/quoit/bench/internal/serve"
	"github.com/quoit-go/quoit/bench/internal/workload"
)

// A foreign server is a command that listens where it is told to.

const commandPrefix = "cmd:"

const commandHelp = `
A server that is not ours is cmd:COMMAND, the last of -versus. It is run by
sh -c "exec COMMAND" with these filled in:
  {addr}, {port}         host and port to listen on, or the port alone
  {backend}, {backport}  the same of the server behind a proxy
It is one process, and -run has to choose what it can serve: HTTP/1.1 with
Hello, World! and a Content-Length at /, an echo, or a TCP proxy.
`

const (
	listenLimit = 5 * time.Second // for a command to listen
	listenPoll  = 10 * time.Millisecond
)

func checkCommand(command string) error {
	if !strings.Contains(command, "{addr}") && !strings.Contains(command, "{port}") {
		return fmt.Errorf("%q is not told where to listen: it has neither {addr} nor {port}", command)
	}
	return nil
}

// canServe finds the workloads that a foreign server is not for.
func (s side) canServe(workloads []workload.Workload) error {
	if s.command == "" {
		return nil
	}
	proxies := strings.Contains(s.command, "{backend}") || strings.Contains(s.command, "{backport}")
	for _, w := range workloads {
		switch {
		case !w.Foreign():
			return fmt.Errorf("%s cannot serve %s: a command is for %s, see -run", s, w.Name(), strings.Join(foreignFamilies(), ", "))
		case w.Backend != "" && !proxies:
			return fmt.Errorf("%s cannot serve %s: it has neither {backend} nor {backport}", s, w.Name())
		case w.Backend == "" && proxies:
			return fmt.Errorf("%s cannot serve %s: there is no backend to fill in", s, w.Name())
		}
	}
	return nil
}

func foreignFamilies() []string {
	var out []string
	for _, w := range workload.All(nil) {
		if w.Foreign() {
			out = append(out, w.Family)
		}
	}
	return slices.Compact(out)
}

// fillIn returns the command line for those addresses.
func fillIn(command, addr, backend string) string {
	port := func(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }
	return strings.NewReplacer("{addr}", addr, "{port}", port(addr), "{backend}", backend, "{backport}", port(backend)).Replace(command)
}

// startForeign is start for a command.
func (p *serverProcess) startForeign(ctx context.Context, s side, spec serve.Spec, procs int, cpus []int) error {
	p.stderr = &tail{}
	addr, err := freeAddress()
	if err != nil {
		return err
	}
	// exec lets the process have the pid of the shell.
	cmd, stderr, err := command(ctx, procs, "/bin/sh", "-c", "exec "+fillIn(s.command, addr, spec.Backend))
	if err != nil {
		return err
	}
	cmd.Stdout, p.stderr = stderr, stderr
	if err := proc.WithCPUs(cpus, cmd.Start); err != nil {
		return err
	}
	p.Addr, p.pid = addr, cmd.Process.Pid
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		cmd.Wait() // wait has what it returns from ProcessState
	}()
	asked := false
	p.quit = func() error {
		err := cmd.Process.Signal(syscall.SIGTERM)
		asked = err == nil
		return err
	}
	p.wait = func() error {
		<-exited
		if asked {
			return nil
		}
		return fmt.Errorf("it ended by itself: %v", cmd.ProcessState)
	}
	return p.awaitListener(ctx, exited, listenLimit)
}

// freeAddress returns one that nobody listens on.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// awaitListener returns when the server accepts conns.
func (p *serverProcess) awaitListener(ctx context.Context, exited <-chan struct{}, limit time.Duration) error {
	late := time.After(limit)
	for {
		c, err := net.Dial("tcp", p.Addr)
		if err == nil {
			return c.Close()
		}
		select {
		case <-time.After(listenPoll):
		case <-exited:
			return p.wait()
		case <-ctx.Done():
			return ctx.Err()
		case <-late:
			return fmt.Errorf("it does not listen on %s after %v", p.Addr, limit)
		}
	}
}
