//go:build linux

package ring

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
)

// A poll keeps its ID when its user data changes, has the new one in the
// completions that come after the update's, and ends, so that Close does.
func TestSharedPollUpdate(t *testing.T) {
	testenv.NeedKernel(t, "6.1")
	s := newShared(t, Params{Entries: 8})
	ev := eventFD(t)
	kept := new(int)
	poll := add(t, s, func(e *SQE) { e.PrepPollMultishot(ev, unix.POLLIN, 7) }, kept)
	signalEvent(t, ev)
	if c := collect(t, s, 1)[0]; c.UserData != 7 || c.ID != poll {
		t.Errorf("before: %+v", c)
	}
	readEvent(t, ev) // the update would have the poll tell of it again, at any time
	add(t, s, func(e *SQE) { e.PrepPollUpdate(poll, PollUpdate{UserData: 9, NewUserData: true}, 1) }, nil)
	if c := collect(t, s, 1)[0]; c.UserData != 1 || c.Err() != nil {
		t.Errorf("update: %+v", c)
	}
	signalEvent(t, ev)
	if c := collect(t, s, 1)[0]; c.UserData != 9 || c.ID != poll || c.Keep != any(kept) {
		t.Errorf("after: %+v", c)
	}
	gone := poll + 1<<slotBits // the next generation's
	add(t, s, func(e *SQE) { e.PrepPollUpdate(gone, PollUpdate{UserData: 8, NewUserData: true}, 2) }, nil)
	if c := collect(t, s, 1)[0]; c.Err() != syscall.ENOENT {
		t.Errorf("update of none: %+v, %v", c, c.Err())
	}
	add(t, s, func(e *SQE) { e.PrepCancel(poll, 0, 3) }, nil)
	for _, c := range collect(t, s, 2) {
		if c.ID == poll && (c.UserData != 9 || c.Err() != syscall.ECANCELED) {
			t.Errorf("end: %+v", c)
		}
	}
	poll = add(t, s, func(e *SQE) { e.PrepPollAdd(eventFD(t), unix.POLLIN, 7) }, nil)
	update := PollUpdate{Events: unix.POLLIN, NewEvents: true, UserData: 9, NewUserData: true}
	add(t, s, func(e *SQE) { e.PrepPollUpdate(poll, update, 1) }, nil)
	ok(t, s.Close()) // which hung
	if st := s.Stats(); st.InFlight != 0 {
		t.Errorf("counters %+v", st)
	}
}

// Close ends requests that hold up those after them, a cancellation too.
func TestSharedCloseBehind(t *testing.T) {
	for _, flags := range []SetupFlags{0, SetupSQPoll} {
		for _, hold := range []SQEFlags{SQEIODrain, SQEIOLink, SQEIOHardlink} {
			t.Run(fmt.Sprint(flags, hold), func(t *testing.T) {
				s := newShared(t, Params{Entries: 8, Flags: flags})
				pr, _ := pipePair(t)
				b := make([]byte, 8)
				add(t, s, func(e *SQE) { e.PrepRead(pr, b, CurrentOffset, 1) }, b)
				add(t, s, func(e *SQE) { e.PrepRead(pr, b, CurrentOffset, 2); e.SetFlags(hold) }, b)
				ok(t, s.Close())
				if st := s.Stats(); st.InFlight != 0 {
					t.Errorf("counters %+v", st)
				}
			})
		}
	}
}

// openFDs counts the open descriptors.
func openFDs(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	ok(t, err)
	return len(fds)
}

type descriptorMaker struct {
	name, kernel string
	done, made   int // completions, descriptors
	start        func(t *testing.T, s *Shared)
}

func descriptorMakers() []descriptorMaker {
	connect := func(t *testing.T, port uint16) {
		ok(t, unix.Connect(int(socket(t, unix.AF_INET)), &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: int(port)}))
	}
	name := append([]byte("/dev/null"), 0)
	return []descriptorMaker{
		{"accept", "5.5", 1, 1, func(t *testing.T, s *Shared) {
			fd, port := listenTCP(t)
			connect(t, port)
			add(t, s, func(e *SQE) { e.PrepAccept(fd, nil, unix.SOCK_CLOEXEC, 1) }, nil)
		}},
		{"accept multishot", "5.19", 3, 3, func(t *testing.T, s *Shared) {
			fd, port := listenTCP(t)
			for range 3 {
				connect(t, port)
			}
			add(t, s, func(e *SQE) { e.PrepAcceptMultishot(fd, unix.SOCK_CLOEXEC, 1) }, nil)
		}},
		{"accept direct", "5.19", 1, 0, func(t *testing.T, s *Shared) {
			fd, port := listenTCP(t)
			connect(t, port)
			ok(t, s.Ring().RegisterFilesSparse(4))
			add(t, s, func(e *SQE) { e.PrepAcceptDirect(fd, nil, 0, FileIndexAlloc, 1) }, nil)
		}},
		{"open", "5.6", 1, 1, func(t *testing.T, s *Shared) {
			add(t, s, func(e *SQE) { e.PrepOpenAt(unix.AT_FDCWD, &name[0], unix.O_CLOEXEC, 0, 1) }, name)
		}},
		{"open2", "5.6", 1, 1, func(t *testing.T, s *Shared) {
			how := &unix.OpenHow{Flags: unix.O_CLOEXEC}
			add(t, s, func(e *SQE) { e.PrepOpenAt2(unix.AT_FDCWD, &name[0], how, 1) }, how)
		}},
		{"socket", "5.19", 1, 1, func(t *testing.T, s *Shared) {
			add(t, s, func(e *SQE) { e.PrepSocket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0, 0, 1) }, nil)
		}},
		{"install", "6.8", 1, 1, func(t *testing.T, s *Shared) {
			ok(t, s.Ring().RegisterFiles([]int32{eventFD(t)}))
			add(t, s, func(e *SQE) { e.PrepFixedFDInstall(0, 0, 1) }, nil)
		}},
		{"pipe", "6.16", 1, 2, func(t *testing.T, s *Shared) {
			fds := new([2]int32)
			add(t, s, func(e *SQE) { e.PrepPipe(fds, unix.O_CLOEXEC, 1) }, fds)
		}},
		{"received", "5.3", 1, 2, func(t *testing.T, s *Shared) {
			a, b := socketPair(t)
			fd := int(eventFD(t))
			ok(t, unix.Sendmsg(int(a), []byte("x"), unix.UnixRights(fd, fd), nil, 0))
			data, control := make([]byte, 8), make([]byte, unix.CmsgSpace(16))
			m := &unix.Msghdr{Iov: &iovecs(data)[0], Iovlen: 1, Control: &control[0]}
			m.SetControllen(len(control))
			add(t, s, func(e *SQE) { e.PrepRecvMsg(b, m, unix.MSG_CMSG_CLOEXEC, 1) }, m)
		}},
		{"nop", "6.11", 1, 0, func(t *testing.T, s *Shared) { // Res is no descriptor, though one has its number
			fd := eventFD(t)
			add(t, s, func(e *SQE) { e.PrepNopFlags(fd, NopInjectResult, 1) }, nil)
		}},
	}
}

// Close closes the descriptors that completions brought which nobody waited
// for, and no other.
func TestSharedCloseDescriptors(t *testing.T) {
	for _, tt := range descriptorMakers() {
		t.Run(tt.name, func(t *testing.T) {
			testenv.NeedKernel(t, tt.kernel)
			s := newShared(t, Params{Entries: 8})
			tt.start(t, s)
			for s.Ring().CQReady() < uint32(tt.done) { // a worker thread may have to do it
				runtime.Gosched()
			}
			before := openFDs(t)
			ok(t, s.Close())
			if after := openFDs(t); after != before-tt.made-1 { // and the ring
				t.Errorf("%d of %d descriptors are open; %d were made", after, before, tt.made)
			}
		})
	}
}
