//go:build linux

package pitfalls

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// The TestPitfall tests look from outside for the mistakes that an io_uring
// transport is prone to; the comment on each says what would break.

// pfStream is what *net.TCPConn and *quoit.Conn have in common.
type pfStream interface {
	net.Conn
	io.ReaderFrom
	io.WriterTo
	CloseRead() error
	CloseWrite() error
	SetLinger(sec int) error
	SetReadBuffer(n int) error
	SetWriteBuffer(n int) error
	SyscallConn() (syscall.RawConn, error)
	File() (*os.File, error)
}

// pfTiny makes an engine run out of entries and completions all the time.
var pfTiny = quoit.Config{Entries: 16}

// pfEach runs f with quoit on the server's, on the client's, on both sides.
func pfEach(t *testing.T, cfg quoit.Config, f func(t *testing.T, server, client testenv.Transport)) {
	t.Helper()
	for _, name := range []string{"server", "client", "both"} {
		t.Run(name, func(t *testing.T) {
			testenv.Watch(t, 2*testenv.Bound)
			e := enginetest.On(enginetest.New(t, cfg))
			switch name {
			case "server":
				f(t, e, testenv.Net)
			case "client":
				f(t, testenv.Net, e)
			default:
				f(t, e, e)
			}
		})
	}
}

// pfListen listens on a free port until the test ends.
func pfListen(t *testing.T, tr testenv.Transport) net.Listener {
	t.Helper()
	return pfListenAt(t, tr, "127.0.0.1:0")
}

func pfListenAt(t *testing.T, tr testenv.Transport, addr string) net.Listener {
	t.Helper()
	ln, err := tr.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// pfPair returns both ends of a conn. What blocks on them is bounded.
func pfPair(t *testing.T, server, client testenv.Transport) (s, c pfStream) {
	t.Helper()
	ln := pfListen(t, server)
	c = pfDial(t, client, ln.Addr().String())
	s = pfAccept(t, ln)
	for s.RemoteAddr().String() != c.LocalAddr().String() { // a stranger, who takes the port for another's
		s.Close()
		s = pfAccept(t, ln)
	}
	ln.Close()
	return s, c
}

func pfDial(t *testing.T, tr testenv.Transport, addr string) pfStream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Bound)
	defer cancel()
	c, err := tr.Dial(ctx, "tcp", addr)
	return pfBounded(t, c, err)
}

func pfAccept(t *testing.T, ln net.Listener) pfStream {
	t.Helper()
	if err := ln.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now().Add(testenv.Bound)); err != nil {
		t.Fatal(err)
	}
	c, err := ln.Accept()
	return pfBounded(t, c, err)
}

func pfBounded(t *testing.T, c net.Conn, err error) pfStream {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(testenv.Bound)); err != nil {
		t.Fatal(err)
	}
	return c.(pfStream)
}

// pfSend writes the first n bytes of a stream.
func pfSend(w io.Writer, seed uint64, n int64) error {
	b := make([]byte, 64<<10)
	for off := int64(0); off < n; {
		b := b[:min(int64(len(b)), n-off)]
		testenv.Fill(b, seed, off)
		m, err := w.Write(b)
		off += int64(m)
		if err != nil {
			return fmt.Errorf("write at %d: %w", off, err)
		}
	}
	return nil
}

// pfExpect reads until EOF and wants the first n bytes of a stream.
func pfExpect(r io.Reader, seed uint64, n int64) error {
	sink := testenv.Sink{Seed: seed}
	_, err := io.Copy(&sink, struct{ io.Reader }{r})
	if err == nil && sink.Off != n {
		err = errors.New("EOF")
	}
	if err != nil {
		return fmt.Errorf("after %d bytes of %d: %w", sink.Off, n, err)
	}
	return nil
}

// pfCPU returns the processor time that the process has used.
func pfCPU() time.Duration {
	var ru unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &ru); err != nil {
		panic(err)
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// pfChildEnv names the function that this program is to run instead of the
// tests, with its arguments.
const pfChildEnv = "QUOIT_TEST_CHILD"

// pfInherited is what the program started with.
var pfInherited = testenv.FDs()

// The children run before the tests' main function, whose checks are not for
// them. They leave by os.Exit, as a return from main does.
func init() {
	args := strings.Fields(os.Getenv(pfChildEnv))
	if len(args) == 0 {
		return
	}
	children := map[string]func(args []string) error{
		"attacked":         pfChildAttacked,
		"descriptors":      pfChildDescriptors,
		"descriptors-used": pfChildDescriptorsUsed,
		"descriptors-back": pfChildDescriptorsBack,
		"accept-log":       pfChildAcceptLog,
		"environment":      pfChildEnvironment,
		"exit-client":      pfChildExitClient,
		"exit-server":      pfChildExitServer,
		"files":            pfChildFiles,
		"generation":       pfChildGeneration,
		"group":            pfChildGroup,
		"held":             pfChildHeld,
		"lifetime":         pfChildLifetime,
		"limits":           pfChildLimits,
		"lossy":            pfChildLossy,
		"nofile":           pfChildNofile,
		"seccomp":          pfChildSeccomp,
		"seccomp-kills":    pfChildSeccompKills,
		"seccomp-later":    pfChildSeccompLater,
		"serve":            pfChildServe,
		"slow-http":        pfChildSlowHTTP,
		"sysctl":           pfChildSysctl,
		"time-namespace":   pfChildTimeNamespace,
		"transfers":        pfChildTransfers,
	}
	// Not on this goroutine: it is bound to its thread until init is over.
	if err := <-testenv.Go(func() error { return children[args[0]](args[1:]) }); err != nil {
		fmt.Fprintf(os.Stderr, "child %q: %v\n", args, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// pfChild prepares a child. It ends with the test.
func pfChild(t *testing.T, args ...string) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	t.Helper()
	return testenv.Command(t, pfChildEnv+"="+strings.Join(args, " "))
}

// pfLong reports whether the tests with figures in docs/reliability.md are to have
// those, which take minutes.
func pfLong() bool { return os.Getenv("QUOIT_LONG") == "1" }

// pfServers are what a server can be served by: package net, and each gear.
var pfServers = append([]string{"net"}, enginetest.Gears("ring", "poll", "auto")...)

// pfServing is what serves: an engine, or package net in its place.
type pfServing struct {
	testenv.Transport
	FileListener func(f *os.File) (net.Listener, error)
}

// pfServe starts one of pfServers, for a child.
func pfServe(server string) (pfServing, error) {
	gears := map[string]quoit.Gear{"ring": quoit.GearRing, "poll": quoit.GearPoll, "auto": quoit.GearAuto}
	gear, ok := gears[server]
	if !ok {
		return pfServing{testenv.Net, net.FileListener}, nil
	}
	e, err := quoit.New(&quoit.Config{Gear: gear})
	if err != nil {
		return pfServing{}, err
	}
	return pfServing{enginetest.On(e), e.FileListener}, nil
}

// pfServeOn is pfServe, and listens. It prints the address, for the parent.
func pfServeOn(server string) (net.Listener, error) {
	s, err := pfServe(server)
	if err != nil {
		return nil, err
	}
	ln, err := s.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		fmt.Println(ln.Addr())
	}
	return ln, err
}

// pfRun runs a child to its end and returns what it printed.
func pfRun(t *testing.T, args ...string) string {
	t.Helper()
	cmd, stderr := pfChild(t, args...)
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%v\n%s", err, stderr)
	}
	return string(out)
}
