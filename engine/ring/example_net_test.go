//go:build linux

package ring_test

import (
	"encoding/binary"
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/ring"
)

// One request receives datagrams until it is cancelled, each into a buffer of its
// own, with the address of its sender.
func Example_udp() {
	r, err := ring.New(&ring.Params{Entries: 8})
	check(err)
	defer r.Close()
	bufs, err := r.SetupBufRing(8, 0, 0)
	check(err)
	defer bufs.Close()
	for bid := range uint16(8) {
		bufs.Add(bid, make([]byte, 2048))
	}
	bufs.Publish()

	server, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	check(err)
	defer server.Close()
	fd := fileOf(server)
	defer closeAll(fd)
	room := &unix.Msghdr{Namelen: unix.SizeofSockaddrInet4} // for the address, in each buffer
	r.NextSQE().PrepRecvMsgMultishot(fd, room, bufs.ID(), 0, 1)
	defer r.SyncCancel(ring.SyncCancel{Target: 1})

	client, err := net.Dial("udp", server.LocalAddr().String())
	check(err)
	defer client.Close()
	port := client.LocalAddr().(*net.UDPAddr).Port
	for _, text := range []string{"ping", "pong"} {
		fmt.Fprint(client, text)
		check(r.WaitCQEs(1, -1))
		for c := range r.CQEs() {
			check(c.Err())
			for bid, data := range bufs.Buffers(c) {
				m, _ := ring.ParseRecvMsg(data, room)
				from := int(binary.BigEndian.Uint16(m.Name[2:]))
				fmt.Printf("%s, from the client: %v\n", m.Payload, from == port)
				bufs.Return(bid)
			}
			bufs.Publish()
		}
	}
	// Output:
	// ping, from the client: true
	// pong, from the client: true
}

// A send without a copy completes twice: with its result, and when the kernel does
// not use the memory any longer.
func Example_sendZC() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	check(err)
	defer client.Close()
	server, err := ln.Accept()
	check(err)
	defer server.Close()
	fd := fileOf(client.(*net.TCPConn))
	defer closeAll(fd)

	r, err := ring.New(&ring.Params{Entries: 4})
	check(err)
	defer r.Close()
	b := []byte("large enough to be worth it, in earnest")
	r.NextSQE().PrepSendZC(fd, b, unix.MSG_WAITALL, 1)
	for more := true; more; {
		check(r.WaitCQEs(1, -1))
		for c := range r.CQEs() {
			check(c.Err())
			if more = c.More(); c.Notif() {
				clear(b) // it is the caller's again
				fmt.Println("the memory is free")
			} else {
				fmt.Println("sent all:", int(c.Res) == len(b))
			}
		}
	}
	// Output:
	// sent all: true
	// the memory is free
}

// One request sends several buffers, and one receives into several.
func Example_bundle() {
	r, err := ring.New(&ring.Params{Entries: 4})
	check(err)
	defer r.Close()
	a, b := streams()
	defer closeAll(a, b)
	out, err := r.SetupBufRing(4, 0, 0)
	check(err)
	defer out.Close()
	for bid, text := range []string{"several ", "buffers, ", "one send"} {
		out.Add(uint16(bid), []byte(text))
	}
	out.Publish()
	in, err := r.SetupBufRing(8, 1, 0)
	check(err)
	defer in.Close()
	for bid := range uint16(8) {
		in.Add(bid, make([]byte, 5))
	}
	in.Publish()

	r.NextSQE().PrepSendBundle(a, out.ID(), 0, unix.MSG_WAITALL, 1)
	check(r.WaitCQEs(1, -1))
	for c := range r.CQEs() {
		check(c.Err())
		for bid, data := range out.Buffers(c) {
			fmt.Printf("sent buffer %d, %d bytes\n", bid, len(data))
		}
	}
	var got []byte
	for len(got) < 25 { // the kernel may use fewer buffers than there are data for
		s := r.NextSQE()
		s.PrepRecv(b, nil, 0, 2)
		s.SetBufferGroup(in.ID())
		s.SetBundle()
		check(r.WaitCQEs(1, -1))
		for c := range r.CQEs() {
			check(c.Err())
			for _, data := range in.Buffers(c) {
				got = append(got, data...)
			}
		}
	}
	fmt.Printf("received: %s\n", got)
	// Output:
	// sent buffer 0, 8 bytes
	// sent buffer 1, 9 bytes
	// sent buffer 2, 8 bytes
	// received: several buffers, one send
}

// Small messages share a large buffer: each is a part of it.
func Example_incremental() {
	r, err := ring.New(&ring.Params{Entries: 4})
	check(err)
	defer r.Close()
	a, b := streams()
	defer closeAll(a, b)
	bufs, err := r.SetupBufRing(2, 0, ring.BufRingInc)
	check(err)
	defer bufs.Close()
	bufs.Add(0, make([]byte, 10))
	bufs.Add(1, make([]byte, 10))
	bufs.Publish()
	fmt.Println("in parts:", bufs.Flags() == ring.BufRingInc) // not before Linux 6.12

	r.NextSQE().PrepRecvMultishot(b, bufs.ID(), 0, 1)
	defer r.SyncCancel(ring.SyncCancel{Target: 1})
	for _, text := range []string{"first", "and", "second", "message"} {
		unix.Write(int(a), []byte(text))
		for got := 0; got < len(text); {
			check(r.WaitCQEs(1, -1))
			for c := range r.CQEs() {
				check(c.Err())
				for bid, data := range bufs.Buffers(c) {
					fmt.Printf("buffer %d: %q, has more room: %v\n", bid, data, c.BufMore())
					if got += len(data); !c.BufMore() {
						bufs.Return(bid) // nobody uses its parts any longer
					}
				}
				bufs.Publish()
			}
		}
	}
	// Output:
	// in parts: true
	// buffer 0: "first", has more room: true
	// buffer 0: "and", has more room: true
	// buffer 0: "se", has more room: false
	// buffer 1: "cond", has more room: true
	// buffer 1: "messag", has more room: false
	// buffer 0: "e", has more room: true
}
