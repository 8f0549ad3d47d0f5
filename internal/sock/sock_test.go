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
