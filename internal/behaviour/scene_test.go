//go:build linux

package behaviour

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// The behaviour tests run one function against package net and against quoit
// and compare the traces that it leaves, line by line.

// exceptions lists the lines on which quoit may differ from net.
var exceptions = []struct {
	test  string // pattern of path.Match for the test's name
	label string // of the line
	why   string // where the difference is documented
}{
	{"TestBehaviourBuffers/empty_ones/*/*", "WriteTo",
		"doc.go: net.Buffers issues one Write per slice; writev leaves empty slices behind"},
	{"TestBehaviourFileBlocks/*/*/*", "Fd again", blockingFile},
	{"TestBehaviourFileBlocks/*/*/*", "File of the FileConn", blockingFile},
	{"TestBehaviourForwardLimited/LimitedReader/*_nettcp", "deadline",
		"package net does not look for quoit's conns in a LimitedReader, but calls Read"},
	{"TestBehaviourLastDescriptor/*/*", "Listen with 1", "doc.go: a listener has a second descriptor"},
	{"TestBehaviourBubbleFuture/*/*", "after 60, an hour of outside 0",
		"doc.go: a reading of the clock outside is not compared with a bubble's"},
	{"TestBehaviourOptions/tcp*", "listener SO_KEEPALIVE", inherited},
	{"TestBehaviourOptions/tcp*", "listener TCP_NODELAY", inherited},
	{"TestBehaviourOptions/tcp*", "listener TCP_KEEPIDLE", inherited},
	{"TestBehaviourOptions/tcp*", "listener TCP_KEEPINTVL", inherited},
}

const (
	inherited    = "doc.go: options are set on the listening socket and inherited"
	blockingFile = "doc.go: a File made of a socket in blocking mode leaves the mode alone"
)

// excepted says where it is documented that the line may differ, if it is.
func excepted(test, label string) string {
	for _, e := range exceptions {
		if ok, _ := path.Match(e.test, test); ok && label == e.label {
			return e.why
		}
	}
	return ""
}

// behaviourLimit bounds one run of a behaviour. A run that exceeds it hangs.
var behaviourLimit = 2 * testenv.Bound

// impl is one implementation of net's calls.
type impl struct {
	name         string
	listen       func(ctx context.Context, lc net.ListenConfig, network, address string) (net.Listener, error)
	dial         func(ctx context.Context, d net.Dialer, network, address string) (net.Conn, error)
	plainListen  func(network, address string) (net.Listener, error)
	plainDial    func(network, address string) (net.Conn, error)
	dialTimeout  func(network, address string, d time.Duration) (net.Conn, error)
	fileConn     func(*os.File) (net.Conn, error)
	fileListener func(*os.File) (net.Listener, error)
	adopt        func(net.Listener) (net.Listener, error)
}

var netImpl = &impl{
	name: "net",
	listen: func(ctx context.Context, lc net.ListenConfig, network, address string) (net.Listener, error) {
		return lc.Listen(ctx, network, address)
	},
	dial: func(ctx context.Context, d net.Dialer, network, address string) (net.Conn, error) {
		return d.DialContext(ctx, network, address)
	},
	plainListen:  net.Listen,
	plainDial:    net.Dial,
	dialTimeout:  net.DialTimeout,
	fileConn:     net.FileConn,
	fileListener: net.FileListener,
	adopt:        func(ln net.Listener) (net.Listener, error) { return ln, nil },
}

var quoitImpl = &impl{
	name: "quoit",
	listen: func(ctx context.Context, lc net.ListenConfig, network, address string) (net.Listener, error) {
		q := quoit.ListenConfig{Control: lc.Control, KeepAlive: lc.KeepAlive, KeepAliveConfig: lc.KeepAliveConfig}
		q.Steering = enginetest.Steering(network)
		return q.Listen(ctx, network, address)
	},
	dial: func(ctx context.Context, d net.Dialer, network, address string) (net.Conn, error) {
		q := quoit.Dialer{
			Timeout: d.Timeout, Deadline: d.Deadline, LocalAddr: d.LocalAddr,
			FallbackDelay: d.FallbackDelay, KeepAlive: d.KeepAlive, KeepAliveConfig: d.KeepAliveConfig,
			Resolver: d.Resolver, Control: d.Control, ControlContext: d.ControlContext,
		}
		return q.DialContext(ctx, network, address)
	},
	plainListen:  enginetest.Listen,
	plainDial:    quoit.Dial,
	dialTimeout:  quoit.DialTimeout,
	fileConn:     quoit.FileConn,
	fileListener: quoit.FileListener,
	adopt:        quoit.NewListener,
}

// scene is one run of a behaviour.
type scene struct {
	t       *testing.T
	impl    *impl
	network string
	side    string   // of conn: "server" (accepted) or "client" (dialed)
	dir     string   // empty directory, removed afterwards
	conn    net.Conn // under test; nil in behaviours that make their own
	peer    net.Conn // package net's, at the other end

	sockets int // in dir

	mu       sync.Mutex
	lines    []string
	names    []string // old, new pairs for strings.NewReplacer
	cleanups []func()
}

// compareConns runs f with a connected pair, on each of the networks, with
// the conn under test on either side, and with an accepted one that has had
// to wait in a Read: on a hot engine the ring has a poll on its socket from then on.
func compareConns(t *testing.T, networks string, f func(*scene)) {
	t.Helper()
	for network := range strings.FieldsSeq(networks) {
		for _, variant := range []string{"server", "client", "waited"} {
			t.Run(network+"/"+variant, func(t *testing.T) {
				t.Parallel()
				side := strings.Replace(variant, "waited", "server", 1)
				compareRuns(t, network, side, func(s *scene) {
					s.conn, s.peer = s.pair()
					if variant == "waited" {
						s.waitOnce()
					}
					f(s)
				})
			})
		}
	}
}

// waitOnce lets the conn wait for a byte.
func (s *scene) waitOnce() {
	c := s.start(func() string { return s.doRead(1) })
	select {
	case got := <-c.done:
		s.fatal("a Read that should wait: ", got)
	case <-time.After(time.Millisecond):
	}
	s.peerWrite("w")
	if got := c.wait(); got != `1 "w" ok` {
		s.fatal("a Read that waited: ", got)
	}
}

// compareImpls runs f, which makes its own listeners and conns.
func compareImpls(t *testing.T, networks string, f func(*scene)) {
	t.Helper()
	for network := range strings.FieldsSeq(networks) {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			compareRuns(t, network, "", f)
		})
	}
}

// compareRuns runs f with both implementations at once.
func compareRuns(t *testing.T, network, side string, f func(*scene)) {
	t.Helper()
	var want, got []string
	var wg sync.WaitGroup
	wg.Go(func() { want = runScene(t, netImpl, network, side, f) })
	wg.Go(func() { got = runScene(t, quoitImpl, network, side, f) })
	wg.Wait()
	compareTraces(t, want, got)
}

func compareTraces(t *testing.T, want, got []string) {
	t.Helper()
	if os.Getenv("QUOIT_TRACE") != "" {
		t.Logf("net's trace:\n%s", strings.Join(want, "\n"))
	}
	for i := range max(len(want), len(got)) {
		w, g := lineAt(want, i), lineAt(got, i)
		if w == g {
			continue
		}
		label, _, _ := strings.Cut(w, ": ")
		if why := excepted(t.Name(), label); why != "" {
			t.Logf("line %d differs as documented (%s)", i, why)
			continue
		}
		t.Errorf("line %d\n  net:   %s\n  quoit: %s", i, w, g)
	}
}

func lineAt(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(no such line)"
}

func runScene(t *testing.T, im *impl, network, side string, f func(*scene)) []string {
	t.Helper()
	dir := shortDir(t)
	defer os.RemoveAll(dir)
	s := &scene{t: t, impl: im, network: network, side: side, dir: dir}
	s.name(dir, "$DIR")
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer s.clean()
		defer func() {
			if r := recover(); r != nil {
				t.Errorf("%s: panic: %v\n%s", im.name, r, debug.Stack())
			}
		}()
		f(s)
	}()
	select {
	case <-done:
	case <-time.After(behaviourLimit):
		t.Errorf("%s hangs; trace so far:\n%s\n%s", im.name, strings.Join(s.trace(), "\n"), testenv.Stacks())
	}
	return s.trace()
}

// shortDir makes a directory whose path, unlike t.TempDir's, is short enough
// for a socket's name, and always as long.
func shortDir(t *testing.T) string {
	t.Helper()
	for {
		dir := fmt.Sprintf("%s/q%08x", os.TempDir(), rand.Uint32())
		switch err := os.Mkdir(dir, 0o700); {
		case err == nil:
			return dir
		case !errors.Is(err, os.ErrExist):
			t.Fatal(err)
		}
	}
}

func (s *scene) trace() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := strings.NewReplacer(s.names...)
	out := make([]string, len(s.lines))
	for i, l := range s.lines {
		out[i] = r.Replace(l)
	}
	return out
}

func (s *scene) clean() {
	for len(s.cleanups) > 0 {
		f := s.cleanups[len(s.cleanups)-1]
		s.cleanups = s.cleanups[:len(s.cleanups)-1]
		f()
	}
}

// later registers f to run when the behaviour has ended.
func (s *scene) later(f func()) { s.cleanups = append(s.cleanups, f) }

// closeLater closes c, which may be closed by then, at the end.
func (s *scene) closeLater(c io.Closer) { s.later(func() { c.Close() }) }

// name makes text appear as placeholder in the trace.
func (s *scene) name(text, placeholder string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(text) > 2 && !slices.Contains(s.names, text) {
		s.names = append(s.names, text, placeholder)
	}
}

// fatal ends the behaviour: the test's own set-up failed.
func (s *scene) fatal(args ...any) {
	s.t.Helper()
	s.t.Errorf("%s: %s; trace so far:\n%s", s.impl.name, fmt.Sprint(args...), strings.Join(s.trace(), "\n"))
	runtime.Goexit()
}

// must ends the behaviour if a step of its set-up failed.
func (s *scene) must(err error) {
	if err != nil {
		s.t.Helper()
		s.fatal(err)
	}
}

// rec appends a line to the trace.
func (s *scene) rec(label, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, label+": "+fmt.Sprintf(format, args...))
}

// err appends a line that describes err.
func (s *scene) err(label string, err error) { s.rec(label, "%s", s.describe(err)) }

var sentinels = []struct {
	name string
	err  error
}{
	{"net.ErrClosed", net.ErrClosed},
	{"os.ErrDeadlineExceeded", os.ErrDeadlineExceeded},
	{"context.Canceled", context.Canceled},
	{"context.DeadlineExceeded", context.DeadlineExceeded},
	{"io.EOF", io.EOF},
	{"io.ErrUnexpectedEOF", io.ErrUnexpectedEOF},
	{"os.ErrClosed", os.ErrClosed},
	{"os.ErrNotExist", os.ErrNotExist},
	{"os.ErrPermission", os.ErrPermission},
}

// describe writes out all that a caller can learn from err: the chain of
// dynamic types, what errors.Is finds, Timeout, Temporary and the text.
func (s *scene) describe(err error) string {
	switch err {
	case nil:
		return "ok"
	case io.EOF:
		return "io.EOF"
	}
	var chain []string
	for e := err; e != nil; e = errors.Unwrap(e) {
		chain = append(chain, s.describeLink(e))
	}
	var is []string
	for _, v := range sentinels {
		if errors.Is(err, v.err) {
			is = append(is, v.name)
		}
	}
	out := strings.Join(chain, " > ") + " is=" + strings.Join(is, ",")
	if ne, ok := err.(net.Error); ok {
		temporary := ne.Temporary() //lint:ignore SA1019 net/http asks for it
		out += fmt.Sprintf(" timeout=%t temporary=%t", ne.Timeout(), temporary)
	}
	return out + fmt.Sprintf(" text=%q", err)
}

// cause describes the innermost error of err's chain only.
func (s *scene) cause(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			break
		}
		err = next
	}
	if err == nil {
		return "ok"
	}
	return s.describeLink(err)
}

func (s *scene) describeLink(err error) string {
	for _, v := range sentinels {
		if err == v.err {
			return v.name
		}
	}
	switch e := err.(type) {
	case *net.OpError:
		return fmt.Sprintf("OpError(%s %s source=%s addr=%s)", e.Op, e.Net, s.addrKind(e.Source), s.addrKind(e.Addr))
	case *os.SyscallError:
		return fmt.Sprintf("SyscallError(%s)", e.Syscall)
	case syscall.Errno:
		return unix.ErrnoName(e)
	}
	return fmt.Sprintf("%T(%v)", err, err)
}

// addrKind says whether a is the conn's local or remote address, or its form.
func (s *scene) addrKind(a net.Addr) string {
	switch {
	case a == nil:
		return "nil"
	case reflect.ValueOf(a).Kind() == reflect.Pointer && reflect.ValueOf(a).IsNil():
		return fmt.Sprintf("%T(nil)", a)
	case s.conn != nil && sameAddr(a, s.conn.LocalAddr()):
		return "local"
	case s.conn != nil && sameAddr(a, s.conn.RemoteAddr()):
		return "remote"
	}
	return fmt.Sprintf("%T %s %s", a, a.Network(), a)
}

func sameAddr(a, b net.Addr) bool {
	return b != nil && reflect.TypeOf(a) == reflect.TypeOf(b) && a.String() == b.String() && a.Network() == b.Network()
}
