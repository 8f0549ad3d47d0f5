//go:build linux

package sock

import (
	"bytes"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
)

func TestTransfer(t *testing.T) {
	a, b := testenv.TCPSockets(t, unix.SOCK_NONBLOCK)
	buf := make([]byte, 1<<20)
	if n, err := Recv(b, buf); n != -1 || err != unix.EAGAIN {
		t.Errorf("Recv of nothing: %d, %v", n, err)
	}
	for _, size := range []int{1, 100, 64 << 10, 64<<10 + 1, 100 << 10} {
		p := bytes.Repeat([]byte{byte(size)}, size)
		if n, err := Send(a, p); n != size || err != nil {
			t.Fatalf("Send of %d: %d, %v", size, n, err)
		}
		for got := 0; got < size; {
			n, err := Recv(b, buf[got:])
			if err == unix.EAGAIN {
				continue
			}
			if err != nil {
				t.Fatalf("Recv: %v", err)
			}
			got += n
		}
		if !bytes.Equal(buf[:size], p) {
			t.Errorf("%d bytes came changed", size)
		}
	}
	before := Room(a)
	for {
		if _, err := Send(a, buf); err == unix.EAGAIN {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if after := Room(a); before <= 0 || after >= before {
		t.Errorf("room for %d bytes, %d when it is full", before, after)
	}
	unix.Close(a)
	if n, err := Send(a, nil); n != -1 || err != unix.EBADF {
		t.Errorf("Send on a closed descriptor: %d, %v", n, err)
	}
	if Room(a) != 0 {
		t.Error("room on a closed descriptor")
	}
}

func TestEnd(t *testing.T) {
	a, b := testenv.TCPSockets(t, unix.SOCK_NONBLOCK)
	if err := unix.Shutdown(a, unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	if n, err := Recv(b, make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("Recv at the end: %d, %v", n, err)
	}
	if n, err := Send(a, []byte("x")); n != -1 || err != unix.EPIPE {
		t.Errorf("Send after shutdown: %d, %v", n, err)
	}
}

// Somebody's duplicate may have made the socket a blocking one.
func TestDoesNotBlock(t *testing.T) {
	_, b := testenv.TCPSockets(t, unix.SOCK_NONBLOCK)
	if err := unix.SetNonblock(b, false); err != nil {
		t.Fatal(err)
	}
	if _, err := Recv(b, make([]byte, 1)); err != unix.EAGAIN {
		t.Errorf("Recv: %v", err)
	}
	for range 1 << 20 {
		if _, err := Send(b, make([]byte, 4096)); err == unix.EAGAIN {
			return
		} else if err != nil {
			t.Fatal(os.NewSyscallError("send", err))
		}
	}
	t.Error("the socket never fills")
}

func TestNoAllocations(t *testing.T) {
	a, b := testenv.TCPSockets(t, unix.SOCK_NONBLOCK)
	buf := make([]byte, 64)
	if n := testing.AllocsPerRun(100, func() {
		_, _ = Send(a, buf)
		for {
			if _, err := Recv(b, buf); err != unix.EAGAIN {
				break
			}
		}
		_, _ = Recv(b, buf)
		Room(a)
	}); n != 0 && !testenv.Race {
		t.Errorf("%v allocations", n)
	}
}

// Buffers go out in their order, as many as one call takes, empty ones or not.
func TestSendBuffers(t *testing.T) {
	a, b := testenv.TCPSockets(t, unix.SOCK_NONBLOCK)
	if n, err := SendBuffers(a, [][]byte{nil, {}}); n != 0 || err != nil {
		t.Errorf("nothing: %d, %v", n, err)
	}
	for _, tt := range []struct{ buffers, size, want int }{
		{2, 3, 2}, {8, 1, 8}, {9, 1, 9}, {3, 50 << 10, 3}, {20, 5 << 10, 20}, {maxVectors, 7, maxVectors}, {maxVectors + 5, 7, maxVectors},
	} {
		var v [][]byte
		for i := range tt.buffers {
			v = append(v, bytes.Repeat([]byte{byte(i)}, tt.size), nil)
		}
		want := bytes.Join(v[:2*tt.want], nil)
		n, err := SendBuffers(a, v)
		if n != len(want) || err != nil {
			t.Fatalf("%d of %d bytes: %d, %v", tt.buffers, tt.size, n, err)
		}
		got := make([]byte, n)
		for at := 0; at < n; {
			k, err := Recv(b, got[at:])
			if err != nil && err != unix.EAGAIN {
				t.Fatal(err)
			}
			at += max(k, 0)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%d of %d bytes came changed", tt.buffers, tt.size)
		}
	}
	for i, vec := range vectors.Get().(*[maxVectors]unix.Iovec) {
		if vec.Base != nil {
			t.Fatalf("vector %d keeps memory", i)
		}
	}
	v := [][]byte{make([]byte, 1<<20), make([]byte, 1<<20)}
	for {
		if n, err := SendBuffers(a, v); err == unix.EAGAIN {
			break
		} else if n <= 0 || err != nil {
			t.Fatal(n, err)
		}
	}
	if allocs := testing.AllocsPerRun(100, func() { _, _ = SendBuffers(a, v) }); allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
	if err := unix.SetNonblock(a, false); err != nil {
		t.Fatal(err)
	}
	if _, err := SendBuffers(a, v); err != unix.EAGAIN {
		t.Errorf("on a blocking socket: %v", err)
	}
	if err := unix.Shutdown(a, unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	if n, err := SendBuffers(a, v); n != -1 || err != unix.EPIPE {
		t.Errorf("after shutdown: %d, %v", n, err)
	}
}
