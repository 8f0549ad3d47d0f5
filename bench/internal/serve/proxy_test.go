package serve

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/quoit-go/quoit/bench/internal/workload"
	"github.com/quoit-go/quoit/internal/testenv"
)

// patience is for what should come at once.
const patience = time.Minute

// listenNet runs serve for each conn until the test ends.
func listenNet(t *testing.T, serve func(net.Conn)) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go acceptEach(serve)(ln)
	return ln.Addr().String()
}

// start runs the server that s asks for until the test ends.
func start(t *testing.T, s Spec) (addr string) {
	t.Helper()
	st, err := s.stack()
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	serve, err := s.server(st)
	if err != nil {
		t.Fatal(err)
	}
	ln, ready, err := s.listen(st)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go serve(ln)
	return ready.Addr
}

// dialServer returns a conn to a server of its own.
func dialServer(t *testing.T, s Spec) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", start(t, s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// Each side hears that the other sends no more, and can still answer.
func TestProxyPassesOnTheEnd(t *testing.T) {
	backend := listenNet(t, func(c net.Conn) {
		defer c.Close()
		if b, err := io.ReadAll(c); err == nil {
			c.Write(append(b, '!'))
		}
	})
	for _, transport := range Transports {
		t.Run(transport, func(t *testing.T) {
			c := dialServer(t, Spec{Kind: workload.ServeProxy, Transport: transport, Backend: backend})
			if _, err := io.WriteString(c, "all of it"); err != nil {
				t.Fatal(err)
			}
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(c); err != nil || string(b) != "all of it!" {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
}

// A client that leaves in the middle takes its conn to the backend with it.
func TestProxyOfAClientThatLeaves(t *testing.T) {
	left := make(chan error, 1)
	backend := listenNet(t, func(c net.Conn) {
		defer c.Close()
		var err error
		for err == nil {
			_, err = c.Write(workload.Pattern(0, 1<<15))
		}
		left <- err
	})
	for _, transport := range Transports {
		t.Run(transport, func(t *testing.T) {
			c := dialServer(t, Spec{Kind: workload.ServeProxy, Transport: transport, Backend: backend})
			if _, err := io.ReadFull(c, make([]byte, 1<<16)); err != nil {
				t.Fatal(err)
			}
			c.Close()
			select {
			case <-left:
			case <-time.After(patience):
				t.Error("the backend still has a conn")
			}
		})
	}
}

func TestProxyWithoutBackend(t *testing.T) {
	backend := testenv.Refused(t)
	for _, transport := range Transports {
		c := dialServer(t, Spec{Kind: workload.ServeProxy, Transport: transport, Backend: backend})
		if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("%s: %d bytes, %v", transport, n, err)
		}
	}
}
