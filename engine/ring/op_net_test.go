//go:build linux

package ring

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/pbuf"
	"github.com/quoit-go/quoit/internal/testenv"
)

func localhost(port uint16) *Sockaddr {
	sa := new(Sockaddr)
	sa.SetIP(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), false, 0)
	return sa
}

func portOf(t testing.TB, fd int32) uint16 {
	t.Helper()
	sa, err := unix.Getsockname(int(fd))
	if err != nil {
		t.Fatal(err)
	}
	return uint16(sa.(*unix.SockaddrInet4).Port)
}

// A server made of requests alone, and its accepts of all kinds.
func TestSocketAccept(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	const typ = unix.SOCK_STREAM | unix.SOCK_CLOEXEC
	sock := func() int32 {
		c := do(t, r, func(s *SQE) { s.PrepSocket(unix.AF_INET, typ, 0, 0, 1) })
		if c.Res < 0 {
			t.Fatal(c.Err())
		}
		return closeLater(t, int(c.Res))
	}
	ln, port := listenTCP(t)
	if testenv.HaveKernel(t, "6.11") {
		ln = sock()
		want(t, r, 0, func(s *SQE) { s.PrepBind(ln, kept(t, localhost(0)), 1) })
		want(t, r, 0, func(s *SQE) { s.PrepListen(ln, 16, 1) })
		port = portOf(t, ln)
	}
	if err := r.RegisterFilesSparse(4); err != nil {
		t.Fatal(err)
	}
	peer := new(Sockaddr)
	for i, accept := range []func(s *SQE){
		func(s *SQE) { s.PrepAccept(ln, peer, unix.SOCK_CLOEXEC, 1) },
		func(s *SQE) { s.PrepAccept(ln, nil, unix.SOCK_CLOEXEC, 1) },
		func(s *SQE) { s.PrepAcceptDirect(ln, nil, 0, 3, 1) },
		func(s *SQE) { s.PrepAcceptDirect(ln, nil, 0, FileIndexAlloc, 1) },
		func(s *SQE) { s.PrepAcceptMultishotDirect(ln, 0, 1) },
	} {
		client := sock()
		want(t, r, 0, func(s *SQE) { s.PrepConnect(client, kept(t, localhost(port)), 1) })
		c := do(t, r, accept)
		direct := i >= 2
		if c.Res < 0 || direct && c.Res > 1 {
			t.Fatalf("accept %d: %d, %v", i, c.Res, c.Err())
		}
		conn, flags := c.Res, SQEFlags(0)
		if i == 2 {
			conn = 3
		}
		if direct {
			flags = SQEFixedFile
		} else {
			closeLater(t, int(conn))
		}
		if ap, ok := peer.AddrPort(); i == 0 && (!ok || ap.Port() != portOf(t, client)) {
			t.Errorf("peer %v, want port %d", ap, portOf(t, client))
		}
		want(t, r, 2, func(s *SQE) { s.PrepSend(conn, kept(t, []byte("hi")), 0, 1); s.SetFlags(flags) })
		b := make([]byte, 8)
		want(t, r, 2, func(s *SQE) { s.PrepRecv(client, b, 0, 1) })
		want(t, r, 0, func(s *SQE) { s.PrepShutdown(conn, unix.SHUT_WR, 1); s.SetFlags(flags) })
		want(t, r, 0, func(s *SQE) { s.PrepRecv(client, b, 0, 1) })
	}
	cancel(t, r, 1) // the multishot one
	testenv.NeedKernel(t, "6.10")
	want(t, r, syscall.EAGAIN, func(s *SQE) { s.PrepAccept(ln, nil, 0, 1); s.SetAccept(AcceptDontwait) })
	direct := func(slot uint32) func(s *SQE) {
		return func(s *SQE) { s.PrepSocketDirect(unix.AF_INET, unix.SOCK_STREAM, 0, slot, 0, 1) }
	}
	want(t, r, 0, direct(2))
	want(t, r, syscall.ENFILE, direct(FileIndexAlloc)) // all four places are taken
	want(t, r, 0, func(s *SQE) { s.PrepCloseDirect(3, 1) })
	want(t, r, 3, direct(FileIndexAlloc))
}

// udpPair opens two datagram sockets, b's address in sa.
func udpPair(t testing.TB) (a, b int32, sa *Sockaddr) {
	t.Helper()
	for _, fd := range []*int32{&a, &b} {
		s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		*fd = closeLater(t, s)
		if err := unix.Bind(s, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			t.Fatal(err)
		}
	}
	return a, b, localhost(portOf(t, b))
}

func TestSendRecvMsg(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	a, b, to := udpPair(t)
	want(t, r, 4, func(s *SQE) { s.PrepSendTo(a, kept(t, []byte("ping")), 0, to, 1) })
	from, buf := new(Sockaddr), make([]byte, 16)
	m := &unix.Msghdr{Name: &from.raw[0], Namelen: uint32(len(from.raw)), Iov: &iovecs(buf)[0]}
	m.SetIovlen(1)
	want(t, r, 4, func(s *SQE) { s.PrepRecvMsg(b, m, 0, 1) })
	if from.n = m.Namelen; string(buf[:4]) != "ping" {
		t.Errorf("got %q", buf)
	}
	if ap, ok := from.AddrPort(); !ok || ap.Port() != portOf(t, a) {
		t.Errorf("from %v", ap)
	}
	out := &unix.Msghdr{Name: &from.raw[0], Namelen: from.n, Iov: &iovecs([]byte("po"), []byte("ng"))[0]}
	out.SetIovlen(2)
	want(t, r, 4, func(s *SQE) { s.PrepSendMsg(b, out, 0, 1) })
	want(t, r, 4, func(s *SQE) { s.PrepRecv(a, buf, 0, 1) })
	if string(buf[:4]) != "pong" {
		t.Errorf("got %q", buf)
	}
	testenv.NeedKernel(t, "6.17")
	c, d := socketPair(t)
	want(t, r, 6, func(s *SQE) { s.PrepSendV(c, kept(t, iovecs([]byte("vec"), kept(t, []byte("tor")))), 0, 1) })
	want(t, r, 6, func(s *SQE) { s.PrepRecv(d, buf, 0, 1) })
	if string(buf[:6]) != "vector" {
		t.Errorf("got %q", buf)
	}
}

func TestRecvMsgMultishot(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	g := newGroup(t, r, 4, 256)
	a, b, to := udpPair(t)
	kept(t, to)
	if err := unix.SetsockoptInt(int(b), unix.SOL_SOCKET, unix.SO_TIMESTAMP, 1); err != nil {
		t.Fatal(err)
	}
	m := kept(t, &unix.Msghdr{Namelen: 16})
	m.SetControllen(64)
	r.NextSQE().PrepRecvMsgMultishot(b, m, g.ID(), 0, 7)
	for _, n := range []int{5, 200, 0} { // one is longer than the room for it; an empty one ends it
		payload := kept(t, make([]byte, n))
		r.NextSQE().PrepSendTo(a, payload, 0, to, 1)
		for _, c := range reap(t, r, 2) {
			if c.UserData == 1 {
				continue
			}
			bid, ok := c.Buffer()
			if !ok || c.More() != (n > 0) {
				t.Fatalf("%+v: %v", c, c.Err())
			}
			g.Take(bid)
			msg, ok := ParseRecvMsg(g.Bytes(bid, int(c.Res)), m)
			room := 256 - 16 - 16 - 64
			if !ok || len(msg.Payload) != min(n, room) || msg.PayloadLen != min(n, room) || (msg.Flags&unix.MSG_TRUNC != 0) != (n > room) {
				t.Errorf("%d bytes: %v, payload %d (%d), flags %#x", n, ok, len(msg.Payload), msg.PayloadLen, msg.Flags)
			}
			var from Sockaddr
			from.n = uint32(copy(from.raw[:], msg.Name))
			if ap, ok := from.AddrPort(); !ok || ap.Port() != portOf(t, a) || msg.NameLen != 16 {
				t.Errorf("from %v, %d", ap, msg.NameLen)
			}
			cm, err := unix.ParseSocketControlMessage(msg.Control)
			if err != nil || len(cm) != 1 || cm[0].Header.Type != unix.SO_TIMESTAMP {
				t.Errorf("control %v, %v", cm, err)
			}
			g.Return(bid)
			g.Refill()
		}
	}
	idle(t, r)
}

func TestParseRecvMsgShort(t *testing.T) {
	m := &unix.Msghdr{Namelen: 4}
	m.SetControllen(8)
	b := make([]byte, 28)
	if msg, ok := ParseRecvMsg(b, m); !ok || len(msg.Payload) != 0 {
		t.Errorf("only a header: %+v, %v", msg, ok)
	}
	if _, ok := ParseRecvMsg(b[:27], m); ok {
		t.Error("too short a buffer")
	}
	m.Namelen = 1<<32 - 1
	if _, ok := ParseRecvMsg(b, m); ok {
		t.Error("a huge name")
	}
}

func FuzzParseRecvMsg(f *testing.F) {
	f.Add(make([]byte, 64), uint32(16), uint32(8))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff12345678"), uint32(2), uint32(3))
	f.Fuzz(func(t *testing.T, b []byte, name, control uint32) {
		m := &unix.Msghdr{Namelen: name}
		m.SetControllen(int(control))
		msg, ok := ParseRecvMsg(b, m)
		if want := uint64(len(b)) >= 16+uint64(name)+uint64(control); ok != want {
			t.Fatalf("ok %v, want %v", ok, want)
		}
		if ok && (len(msg.Name) > int(name) || len(msg.Control) > int(control) ||
			len(msg.Payload) != len(b)-16-int(name)-int(control)) {
			t.Fatalf("%d, %d, %d of %d", len(msg.Name), len(msg.Control), len(msg.Payload), len(b))
		}
	})
}

// A send without a copy completes twice.
func TestSendZC(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	a, b := tcpPair(t)
	mem := anonymous(t, 4096)
	copy(mem, "zero-copy")
	if err := r.RegisterBuffers(iovecs(mem)); err != nil {
		t.Fatal(err)
	}
	m := &unix.Msghdr{Iov: &iovecs(mem[:9])[0]}
	m.SetIovlen(1)
	tests := []struct {
		name, kernel string
		prep         func(s *SQE)
	}{
		{"send", "6.0", func(s *SQE) { s.PrepSendZC(a, mem[:9], 0, 1) }},
		{"report", "6.2", func(s *SQE) { s.PrepSendZC(a, mem[:9], 0, 1); s.SetReportUsage() }},
		{"fixed", "6.0", func(s *SQE) { s.PrepSendZC(a, mem[:9], 0, 1); s.SetFixedBuffer(0) }},
		{"msg", "6.1", func(s *SQE) { s.PrepSendMsgZC(a, m, 0, 1) }},
		{"msg fixed", "6.15", func(s *SQE) { s.PrepSendMsgZC(a, m, 0, 1); s.SetFixedBuffer(0) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			testenv.NeedKernel(t, tt.kernel)
			tt.prep(r.NextSQE())
			got := make([]byte, 16)
			if _, err := r.SubmitAndWait(1, -1); err != nil {
				t.Fatal(err)
			}
			if n, err := unix.Read(int(b), got); string(got[:max(n, 0)]) != "zero-copy" {
				t.Fatalf("received %q, %v", got, err)
			}
			cs := reap(t, r, 2)
			if c := cs[0]; c.Res != 9 || !c.More() || c.Notif() {
				t.Errorf("result %+v", c)
			}
			if c := cs[1]; !c.Notif() || c.More() || c.Err() != nil {
				t.Errorf("notification %+v", c)
			}
			if tt.name == "report" && !cs[1].Copied() {
				t.Error("loopback did not copy")
			}
		})
	}
}

// Many buffers in one send, and in one receive.
func TestBundles(t *testing.T) {
	testenv.NeedKernel(t, "6.10")
	r := newRing(t, Params{Entries: 8})
	send, err := pbuf.New(r, 8, 4, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer send.Close()
	for bid := range uint16(4) {
		copy(send.Bytes(bid, 10), "buffer no "[:9]+string(rune('0'+bid)))
	}
	recv := newGroup(t, r, 8, 7)
	a, b := socketPair(t)
	c := do(t, r, func(s *SQE) { s.PrepSendBundle(a, 8, 0, unix.MSG_WAITALL, 1) })
	if bid, ok := c.Buffer(); c.Res != 40 || !ok || bid != 0 {
		t.Fatalf("sent %d: %v, %v", c.Res, c.Err(), c.Flags)
	}
	for bid := range uint16(4) {
		send.Take(bid)
	}
	got, most, bid := "", 0, uint16(0)
	for len(got) < 40 { // the kernel need not use all the buffers
		c := do(t, r, func(s *SQE) { s.PrepRecv(b, nil, 0, 1); s.SetBufferGroup(recv.ID()); s.SetBundle() })
		first, ok := c.Buffer()
		if c.Res <= 0 || !ok || first != bid {
			t.Fatalf("received %d: %v, %v", c.Res, c.Err(), c.Flags)
		}
		for left := int(c.Res); left > 0; bid++ {
			n := min(left, 7)
			recv.Take(bid)
			got += string(recv.Bytes(bid, n))
			recv.Return(bid)
			left -= n
		}
		most = max(most, int(c.Res))
	}
	if most < 14 {
		t.Errorf("at most %d bytes, one buffer, at a time", most)
	}
	if want := "buffer no0buffer no1buffer no2buffer no3"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestProvideBuffers(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	mem := make([]byte, 40)
	a, b := socketPair(t)
	recv := func(s *SQE) { s.PrepRecv(b, nil, 0, 1); s.SetBufferGroup(5) }
	want(t, r, 0, func(s *SQE) { s.PrepProvideBuffers(mem, 10, 4, 5, 100, 1) })
	want(t, r, 3, func(s *SQE) { s.PrepSend(a, kept(t, []byte("abc")), 0, 1) })
	c := do(t, r, recv)
	bid, ok := c.Buffer()
	if c.Res != 3 || !ok || bid < 100 || bid > 103 {
		t.Fatalf("%+v: %v", c, c.Err())
	}
	if got := string(mem[10*(bid-100):][:3]); got != "abc" {
		t.Errorf("buffer %d has %q", bid, got)
	}
	want(t, r, 3, func(s *SQE) { s.PrepRemoveBuffers(10, 5, 1) })
	want(t, r, 3, func(s *SQE) { s.PrepSend(a, kept(t, []byte("abc")), 0, 1) })
	want(t, r, syscall.ENOBUFS, recv)
}

func TestSocketCommands(t *testing.T) {
	testenv.NeedKernel(t, "6.7")
	r := newRing(t, Params{Entries: 8})
	a, b := tcpPair(t)
	unix.Write(int(a), []byte("hello"))
	for { // it takes its time to arrive
		c := do(t, r, func(s *SQE) { s.PrepSocketInq(b, 1) })
		if c.Res == 5 {
			break
		}
		if c.Res != 0 {
			t.Fatal(c.Res, c.Err())
		}
	}
	if c := do(t, r, func(s *SQE) { s.PrepSocketOutq(a, 1) }); c.Res < 0 || c.Res > 5 {
		t.Errorf("outq %d, %v", c.Res, c.Err())
	}
	val := binary.NativeEndian.AppendUint32(nil, 1)
	want(t, r, 0, func(s *SQE) { s.PrepSetsockopt(a, unix.SOL_SOCKET, unix.SO_KEEPALIVE, val, 1) })
	got := make([]byte, 8)
	want(t, r, 4, func(s *SQE) { s.PrepGetsockopt(a, unix.SOL_SOCKET, unix.SO_KEEPALIVE, got, 1) })
	if binary.NativeEndian.Uint32(got) != 1 {
		t.Errorf("SO_KEEPALIVE is % x", got)
	}
	want(t, r, syscall.EOPNOTSUPP, func(s *SQE) { s.PrepURingCmd(a, 99, 1) })
}

func TestTxTimestamp(t *testing.T) {
	testenv.NeedKernel(t, "6.17")
	for _, flags := range []SetupFlags{SetupCQE32, SetupCQEMixed} {
		if flags == SetupCQEMixed {
			testenv.NeedKernel(t, "6.18")
		}
		r := newRing(t, Params{Entries: 8, Flags: flags})
		a, _, to := udpPair(t)
		const opts = unix.SOF_TIMESTAMPING_TX_SOFTWARE | unix.SOF_TIMESTAMPING_SOFTWARE |
			unix.SOF_TIMESTAMPING_OPT_TSONLY | unix.SOF_TIMESTAMPING_OPT_ID
		if err := unix.SetsockoptInt(int(a), unix.SOL_SOCKET, unix.SO_TIMESTAMPING, opts); err != nil {
			t.Fatal(err)
		}
		want(t, r, 2, func(s *SQE) { s.PrepSendTo(a, kept(t, []byte("hi")), 0, to, 1) })
		r.NextSQE().PrepSocketTxTimestamp(a, 2)
		for n := 0; n == 0; {
			if _, err := r.SubmitAndWait(1, -1); err != nil {
				t.Fatal(err)
			}
			for c := range r.CQEs() {
				if c.UserData != 2 || c.Err() != nil {
					t.Fatalf("%+v: %v", c, c.Err())
				}
				if !c.More() {
					if n == 0 {
						t.Fatal("no time stamp")
					}
					continue
				}
				n++
				ts, event, key, hw := c.TxTimestamp(r.Extra(c))
				if ts.Sec < 1e9 || event != 0 || key != 0 || hw {
					t.Errorf("%v, event %d, key %d, hardware %v", ts, event, key, hw)
				}
			}
		}
		r.Close() // with the request, which has ended, or is cancelled by it
	}
}

// Without a device that can, the kernel refuses zero-copy receives.
func TestRecvZC(t *testing.T) {
	testenv.NeedKernel(t, "6.15")
	r := newRing(t, Params{Entries: 8, Flags: SetupSingleIssuer | SetupDeferTaskrun | SetupCQE32})
	area, refill := anonymous(t, 1<<16), anonymous(t, 8192)
	err := r.RegisterZcrxIfq(&ZcrxIfqReg{IfIdx: 1 << 20, RqEntries: 64},
		&ZcrxAreaReg{Addr: uint64(uintptr(unsafe.Pointer(&area[0]))), Len: 1 << 16}, refill)
	if err == nil {
		t.Error("a queue of no device")
	}
	t.Log(err)
	_, b := tcpPair(t)
	want(t, r, syscall.EINVAL, func(s *SQE) { s.PrepRecvZC(b, 0, 0, 1) })
}
