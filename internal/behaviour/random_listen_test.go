//go:build linux

package behaviour

import (
	"fmt"
	"net"
)

// randomListenerOps are those of a listener, of the network of the pair.
func randomListenerOps() []randomOp {
	return []randomOp{
		{"dial", 4, "", (*randomRun).opDial},
		{"Accept", 5, "", (*randomRun).opAccept},
		{"listener's deadline", 2, "", func(x *randomRun, p *randomPair, st randomStep) {
			if x.ln == nil {
				return
			}
			t := noDeadline
			if st.n%3 == 0 {
				t = pastDeadline
			} else if st.n%3 == 1 {
				t = distant()
			}
			err := x.ln.SetDeadline(t)
			x.trace("", "%s", x.describe(err))
			x.past = err == nil && st.n%3 == 0
		}},
		{"listener's File", 1, "", func(x *randomRun, p *randomPair, st randomStep) {
			if x.ln == nil {
				return
			}
			f, err := x.ln.File()
			x.trace("", "nil=%t %s", f == nil, x.describe(err))
			if err == nil {
				x.must(f.Close())
			}
			rc, err := x.ln.SyscallConn()
			x.must(err)
			x.trace("Control", "%s", x.describe(rc.Control(func(uintptr) {})))
		}},
		{"listener's Close", 1, "", (*randomRun).opListenerClose},
	}
}

// opDial connects to the listener, which is made if there is none.
func (x *randomRun) opDial(p *randomPair, st randomStep) {
	if x.ln == nil {
		x.ln, x.past = x.full(x.listen()), false
	}
	if len(x.dialers) < 4 {
		x.dials(st)
	}
}

func (x *randomRun) dials(st randomStep) {
	c, err := net.Dial(x.ln.Addr().Network(), x.ln.Addr().String())
	x.must(err)
	x.closeLater(c)
	if x.ln.Addr().Network() != "unix" {
		x.name(c.LocalAddr().String(), "$DIALER")
	}
	if st.m%2 == 0 {
		x.must(writeWhole(c, "early"))
	}
	x.dialers = append(x.dialers, c)
	x.early = append(x.early, st.m%2 == 0)
}

// dialer takes the end of the accepted conn c from the queue.
func (x *randomRun) dialer(c net.Conn) (d net.Conn, early bool) {
	at := 0
	for i, d := range x.dialers {
		if _, tcp := c.(interface{ SetNoDelay(bool) error }); tcp && sameAddr(d.LocalAddr(), c.RemoteAddr()) {
			at = i
		}
	}
	d, early = x.dialers[at], x.early[at]
	x.dialers = append(x.dialers[:at:at], x.dialers[at+1:]...)
	x.early = append(x.early[:at:at], x.early[at+1:]...)
	return d, early
}

func (x *randomRun) opAccept(p *randomPair, st randomStep) {
	if x.ln == nil {
		return
	}
	var conn net.Conn
	accept := func() string {
		var err error
		conn, err = x.ln.Accept()
		return fmt.Sprintf("nil=%t %s", conn == nil, x.describe(err))
	}
	if len(x.dialers) > 0 || x.past {
		x.do("", accept)
	} else {
		c := x.start(accept)
		x.parks(c, st.k)
		switch st.m % 4 {
		case 0, 1:
			x.dials(randomStep{m: 1})
		case 2:
			t := pastDeadline
			if st.k%2 == 0 {
				t = soon()
			}
			x.trace("SetDeadline", "%s", x.describe(x.ln.SetDeadline(t)))
			x.past = true
		case 3:
			x.closeListener()
		}
		x.trace("ended", "%s", c.wait())
		if st.m%4 == 3 {
			x.ln = nil
		}
	}
	if conn == nil {
		return
	}
	x.closeLater(conn)
	d, early := x.dialer(conn)
	x.trace("addresses", "%T %T %v", conn.LocalAddr(), conn.RemoteAddr(), conn.LocalAddr())
	if x.other(p) == nil { // there is room for another pair
		x.adopt(conn, d, early)
		return
	}
	x.must(writeWhole(conn, "hello"))
	x.must(readWhole(d, "hello"))
}

// adopt makes a pair of an accepted conn and its dialer.
func (x *randomRun) adopt(conn, d net.Conn, early bool) {
	network := conn.LocalAddr().Network()
	if network == "tcp" {
		network = "tcp4"
		if conn.RemoteAddr().(*net.TCPAddr).IP.To4() == nil {
			network = "tcp6"
		}
	}
	p := &randomPair{network: network, side: "server", conn: conn.(streamConn), peer: d}
	x.use(p)
	x.bound(d)
	x.arrived(d)
	if early {
		p.avail = len("early")
	}
	x.pairs[1] = p
}

func (x *randomRun) opListenerClose(p *randomPair, st randomStep) {
	if x.ln == nil {
		return
	}
	x.closeListener()
	x.trace("again", "%s", x.describe(x.ln.Close()))
	conn, err := x.ln.Accept()
	x.trace("Accept", "nil=%t %s", conn == nil, x.describe(err))
	x.ln = nil
}

// closeListener records what those in the queue get, too.
func (x *randomRun) closeListener() {
	for _, d := range x.dialers {
		x.network = "tcp4"
		if d.LocalAddr().Network() == "unix" {
			x.network = "unix"
		}
		x.arrived(d)
	}
	x.trace("Close", "%s", x.describe(x.ln.Close()))
	for i, d := range x.dialers {
		x.peer = d
		x.peerDrain(fmt.Sprint(x.label, " queued ", i))
	}
	x.dialers, x.early = nil, nil
}
