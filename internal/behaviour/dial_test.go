//go:build linux

package behaviour

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http/httptrace"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quoit-go/quoit/internal/testenv"
	"golang.org/x/sys/unix"
)

// doDial dials and describes the outcome; a conn is closed.
func (s *scene) doDial(ctx context.Context, d net.Dialer, network, address string) string {
	c, err := s.impl.dial(ctx, d, network, address)
	return s.dialed(c, err)
}

// dialTimeouts makes one of the two errors that package net gives when time
// is up, depending on whether its poller or the context notices first.
var dialTimeouts = strings.NewReplacer(
	"os.ErrDeadlineExceeded is=os.ErrDeadlineExceeded", "TIMEOUT",
	"*net.timeoutError(i/o timeout) is=context.DeadlineExceeded", "TIMEOUT",
	// Nobody can name an unexported type: ours may take its place.
	"quoit.timeoutError(i/o timeout) is=context.DeadlineExceeded", "TIMEOUT",
	"net.canceledError(", "CANCELED(",
	"quoit.canceledError(", "CANCELED(")

func (s *scene) dialed(c net.Conn, err error) string {
	if err != nil {
		return fmt.Sprintf("nil=%t %s", c == nil, dialTimeouts.Replace(s.describe(err)))
	}
	defer c.Close()
	return "connected to " + c.RemoteAddr().String()
}

func (s *scene) dial(label string, ctx context.Context, d net.Dialer, network, address string) {
	s.rec(label, "%s", s.doDial(ctx, d, network, address))
}

// refusing returns an address of the scene's network where nobody listens,
// nor can: a socket holds it.
func (s *scene) refusing() string {
	_, address, err := s.hold(s.network, 0)
	s.must(err)
	s.name(address, "$REFUSING")
	return address
}

// hold binds a socket and leaves it at that. It fails if the port is taken.
func (s *scene) hold(network string, port int) (fd int, address string, err error) {
	var sa unix.Sockaddr = &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port}
	family := unix.AF_INET
	switch network {
	case "tcp6":
		family, sa = unix.AF_INET6, &unix.SockaddrInet6{Addr: [16]byte{15: 1}, Port: port}
	case "unix":
		s.sockets++
		address = filepath.Join(s.dir, fmt.Sprint("held", s.sockets))
		family, sa = unix.AF_UNIX, &unix.SockaddrUnix{Name: address}
	}
	sock, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	s.must(err)
	s.later(func() { unix.Close(sock) })
	if err := unix.Bind(sock, sa); err != nil {
		return 0, "", err
	}
	sa, err = unix.Getsockname(sock)
	s.must(err)
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		address = fmt.Sprint("127.0.0.1:", sa.Port)
	case *unix.SockaddrInet6:
		address = fmt.Sprintf("[::1]:%d", sa.Port)
	}
	return sock, address, nil
}

// hanging returns the address of a listener whose queue is full, so that
// connecting takes for ever; on a unix socket it fails at once.
func (s *scene) hanging() string {
	address, err := s.hangingOn(s.network, 0)
	s.must(err)
	return address
}

// hangingOn fails if the port is taken.
func (s *scene) hangingOn(network string, port int) (address string, err error) {
	fd, address, err := s.hold(network, port)
	if err != nil {
		return "", err
	}
	if err := unix.Listen(fd, 0); err != nil {
		return "", err
	}
	s.name(address, "$HANGING")
	for {
		c, err := net.DialTimeout(network, address, behaviourLimit/4)
		if err != nil && network == "unix" {
			return address, nil
		} else if err != nil {
			return "", err
		}
		s.closeLater(c)
		if network != "unix" { // one conn fills it, as soon as it is there
			s.until("queue full", func() bool { return testenv.QueueFull(fd) })
			return address, nil
		}
	}
}

func TestBehaviourDialRefused(t *testing.T) {
	compareImpls(t, "tcp tcp4 tcp6 unix", func(s *scene) {
		address := s.refusing()
		s.dial("context", context.Background(), net.Dialer{}, s.network, address)
		c, err := s.impl.plainDial(s.network, address)
		s.rec("Dial", "%s", s.dialed(c, err))
		c, err = s.impl.dialTimeout(s.network, address, time.Minute)
		s.rec("DialTimeout", "%s", s.dialed(c, err))
		s.dial("again", context.Background(), net.Dialer{Timeout: time.Minute}, s.network, address)
	})
}

func TestBehaviourDialTimeout(t *testing.T) {
	bg := context.Background()
	compareImpls(t, "tcp tcp4 tcp6 unix", func(s *scene) {
		address := s.hanging()
		short := 15 * time.Millisecond
		if s.network == "unix" {
			short = behaviourLimit // fails at once, before any deadline
		}
		s.dial("Timeout", bg, net.Dialer{Timeout: short}, s.network, address)
		s.dial("Deadline", bg, net.Dialer{Deadline: time.Now().Add(short)}, s.network, address)
		c, err := s.impl.dialTimeout(s.network, address, short)
		s.rec("DialTimeout", "%s", s.dialed(c, err))
		ctx, cancel := context.WithTimeout(bg, short)
		defer cancel()
		s.dial("context", ctx, net.Dialer{}, s.network, address)
		s.dial("context again", ctx, net.Dialer{}, s.network, address)
		ctx2, cancel2 := context.WithTimeout(bg, time.Hour)
		defer cancel2()
		s.dial("both", ctx2, net.Dialer{Timeout: short}, s.network, address)
	})
	compareImpls(t, "tcp4 tcp6 unix", func(s *scene) { // over before it began
		address := s.listen().Addr().String()
		s.dial("Timeout", bg, net.Dialer{Timeout: -1}, s.network, address)
		s.dial("Timeout tiny", bg, net.Dialer{Timeout: 1}, s.network, address)
		s.dial("Deadline", bg, net.Dialer{Deadline: time.Unix(1, 0)}, s.network, address)
		ctx, cancel := context.WithDeadline(bg, time.Unix(1, 0))
		defer cancel()
		s.dial("context", ctx, net.Dialer{}, s.network, address)
	})
}

func TestBehaviourDialCancel(t *testing.T) {
	compareImpls(t, "tcp4 tcp6 unix", func(s *scene) {
		address := s.listen().Addr().String()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		s.dial("before", ctx, net.Dialer{}, s.network, address)
		cause, cancelCause := context.WithCancelCause(context.Background())
		cancelCause(errBroken)
		s.dial("before, with a cause", cause, net.Dialer{}, s.network, address)
		ctx, cancel = context.WithCancel(context.Background())
		c, err := s.impl.dial(ctx, net.Dialer{}, s.network, address)
		s.must(err)
		s.closeLater(c)
		cancel()
		s.must(writeWhole(c, "x"))
		s.must(c.SetReadDeadline(soon()))
		_, err = c.Read(make([]byte, 1))
		s.rec("after", "timeout=%t", errors.Is(err, syscall.ETIMEDOUT) || err.(net.Error).Timeout())
	})
	compareImpls(t, "tcp tcp4 tcp6", func(s *scene) {
		address := s.hanging()
		for i := range 3 {
			ctx, cancel := context.WithCancel(context.Background())
			c := s.start(func() string { return s.doDial(ctx, net.Dialer{Timeout: time.Hour}, s.network, address) })
			c.blocked("parked")
			cancel()
			c.result(fmt.Sprint("during ", i))
		}
	})
}

// TestBehaviourDialTrace listens to httptrace's events.
func TestBehaviourDialTrace(t *testing.T) {
	compareImpls(t, "tcp tcp4 tcp6 unix", func(s *scene) {
		var mu sync.Mutex
		var events []string
		note := func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, fmt.Sprintf(format, args...))
		}
		ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
			ConnectStart: func(network, addr string) { note("start %s %s", network, addr) },
			ConnectDone: func(network, addr string, err error) {
				note("done %s %s %s", network, addr, dialTimeouts.Replace(s.describe(err)))
			},
			DNSStart: func(i httptrace.DNSStartInfo) { note("dns %s", i.Host) },
			DNSDone:  func(i httptrace.DNSDoneInfo) { note("dns done %v %v", i.Addrs, i.Err) },
		})
		addresses := map[string]string{"refused": s.refusing(), "open": s.listenNet().Addr().String()}
		if s.network != "unix" {
			_, port, _ := net.SplitHostPort(addresses["open"])
			addresses["named"] = "localhost:" + port
			s.name(port, "$PORT")
			addresses["hanging"] = s.hanging()
		}
		for _, name := range []string{"refused", "open", "named", "hanging"} {
			address, ok := addresses[name]
			if !ok {
				continue
			}
			d := net.Dialer{FallbackDelay: -1}
			if name == "hanging" {
				d.Timeout = lookupTime
			}
			s.dial(name, ctx, d, s.network, address)
			mu.Lock()
			s.rec(name+" events", "%s", strings.Join(events, "; "))
			events = nil
			mu.Unlock()
		}
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		s.dial("cancelled", cancelled, net.Dialer{}, s.network, addresses["open"])
		s.rec("cancelled events", "%s", strings.Join(events, "; "))
	})
}

type ctxKey struct{}

// TestBehaviourDialControl watches the hooks.
func TestBehaviourDialControl(t *testing.T) {
	compareImpls(t, "tcp tcp4 tcp6 unix", func(s *scene) {
		address := s.listen().Addr().String()
		var calls []string
		state := func(c syscall.RawConn) string {
			var typ int
			var named error
			err := c.Control(func(fd uintptr) {
				typ, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TYPE)
				_, named = unix.Getpeername(int(fd))
			})
			return fmt.Sprint(typ, named, err)
		}
		control := func(network, address string, c syscall.RawConn) error {
			calls = append(calls, "Control", network, address, state(c))
			return nil
		}
		controlContext := func(ctx context.Context, network, address string, c syscall.RawConn) error {
			calls = append(calls, "ControlContext", network, address, state(c), fmt.Sprint(ctx.Value(ctxKey{})))
			return nil
		}
		ctx := context.WithValue(context.Background(), ctxKey{}, "value")
		try := func(label string, d net.Dialer) {
			s.dial(label, ctx, d, s.network, address)
			s.rec(label+" calls", "%q", calls)
			calls = nil
		}
		try("Control", net.Dialer{Control: control})
		try("ControlContext", net.Dialer{ControlContext: controlContext})
		try("both", net.Dialer{Control: control, ControlContext: controlContext})
		broken := func(string, string, syscall.RawConn) error { return errBroken }
		try("Control fails", net.Dialer{Control: broken})
		try("ControlContext fails", net.Dialer{Control: control, ControlContext: func(context.Context, string, string, syscall.RawConn) error {
			return &net.OpError{Op: "x", Err: errBroken}
		}})
		try("ignored failure", net.Dialer{Control: broken, ControlContext: controlContext})
		if s.network != "unix" {
			try("with LocalAddr", net.Dialer{Control: control, LocalAddr: &net.TCPAddr{IP: net.ParseIP(strings.Trim(address[:strings.LastIndex(address, ":")], "[]"))}})
		}
		address = s.refusing()
		try("refused", net.Dialer{Control: control})
	})
}

func TestBehaviourDialLocalAddr(t *testing.T) {
	compareImpls(t, "tcp4 tcp6", func(s *scene) {
		ln := s.listen()
		bg := context.Background()
		address := ln.Addr().String()
		host := ln.Addr().(*net.TCPAddr).IP
		for i, local := range []net.Addr{
			&net.TCPAddr{IP: host},
			&net.TCPAddr{},
			&net.TCPAddr{IP: net.IPv4zero},
			&net.TCPAddr{IP: net.ParseIP("127.0.0.9")},
			&net.TCPAddr{IP: net.ParseIP("192.0.2.99")},
			&net.UnixAddr{Name: "x", Net: "unix"},
			&net.UDPAddr{IP: host},
			ln.Addr(),
			(*net.TCPAddr)(nil),
		} {
			s.dial(fmt.Sprint("local ", i), bg, net.Dialer{LocalAddr: local}, s.network, address)
		}
		c, err := s.impl.dial(bg, net.Dialer{LocalAddr: &net.TCPAddr{IP: host}}, s.network, address)
		s.must(err)
		s.closeLater(c)
		s.recAddr("local", c.LocalAddr())
		s.name(c.LocalAddr().String(), "$LOCAL")
		s.dial("port in use", bg, net.Dialer{LocalAddr: c.LocalAddr()}, s.network, address)
		s.dial("refused", bg, net.Dialer{LocalAddr: &net.TCPAddr{IP: host}}, s.network, s.refusing())
	})
	compareImpls(t, "unix", func(s *scene) {
		ln := s.listen()
		bg := context.Background()
		local := filepath.Join(s.dir, "local")
		c, err := s.impl.dial(bg, net.Dialer{LocalAddr: &net.UnixAddr{Name: local, Net: "unix"}}, "unix", ln.Addr().String())
		s.must(err)
		s.closeLater(c)
		s.recAddr("local", c.LocalAddr())
		s.recAddr("remote", c.RemoteAddr())
		a, err := ln.Accept()
		s.must(err)
		s.closeLater(a)
		s.recAddr("accepted local", a.LocalAddr())
		s.recAddr("accepted remote", a.RemoteAddr())
		s.err("Close", c.Close())
		s.dial("in use", bg, net.Dialer{LocalAddr: &net.UnixAddr{Name: local, Net: "unix"}}, "unix", ln.Addr().String())
		s.dial("wrong net", bg, net.Dialer{LocalAddr: &net.UnixAddr{Name: local + "2", Net: "unixgram"}}, "unix", ln.Addr().String())
		s.dial("wrong type", bg, net.Dialer{LocalAddr: &net.TCPAddr{}}, "unix", ln.Addr().String())
	})
}

// TestBehaviourDialOthers: networks that package net serves.
func TestBehaviourDialOthers(t *testing.T) {
	compareImpls(t, "others", func(s *scene) {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		s.must(err)
		s.closeLater(pc)
		gram, err := net.ListenPacket("unixgram", filepath.Join(s.dir, "gram"))
		s.must(err)
		s.closeLater(gram)
		packet, err := s.impl.plainListen("unixpacket", filepath.Join(s.dir, "packet"))
		s.must(err)
		s.closeLater(packet)
		s.rec("listener", "%T", packet)
		for network, address := range map[string]string{"udp": pc.LocalAddr().String(), "udp4": pc.LocalAddr().String(),
			"unixgram": gram.LocalAddr().String(), "unixpacket": packet.Addr().String()} {
			c, err := s.impl.plainDial(network, address)
			s.must(err)
			s.closeLater(c)
			if want, _ := net.Dial(network, address); want == nil || fmt.Sprintf("%T", want) != fmt.Sprintf("%T", c) {
				s.rec(network, "%T", c)
			} else {
				want.Close()
			}
		}
	})
}

// TestBehaviourDialPanics gives Dial a nil context.
func TestBehaviourDialPanics(t *testing.T) {
	compareImpls(t, "tcp unix udp", func(s *scene) {
		defer func() { s.rec("panic", "%v", recover()) }()
		var none context.Context
		s.dial("nil context", none, net.Dialer{}, s.network, "127.0.0.1:1")
	})
}

// TestBehaviourDialMany dials at once and closes at once.
func TestBehaviourDialMany(t *testing.T) {
	compareImpls(t, "tcp4 unix", func(s *scene) {
		ln := s.listenNet()
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go func() { defer c.Close(); readWhole(c, "hello"); writeWhole(c, "there") }()
			}
		}()
		results := make([]string, 40)
		var wg sync.WaitGroup
		for i := range results {
			wg.Go(func() {
				c, err := s.impl.plainDial(s.network, ln.Addr().String())
				if err == nil {
					defer c.Close()
					if err = writeWhole(c, "hello"); err == nil {
						err = readWhole(c, "there")
					}
				}
				results[i] = s.describe(err)
			})
		}
		wg.Wait()
		slices.Sort(results)
		s.rec("results", "%q", slices.Compact(results))
	})
}
