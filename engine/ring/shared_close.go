//go:build linux

package ring

import (
	"errors"
	"syscall"
	"time"
)

// Close cancels all requests, waits for them to end, so that their memory and
// files are free after it, makes every Wait and Add return ErrClosed, and
// closes the ring. Completions that nobody waited for are lost; the descriptors
// that they brought are closed: those of accepts, opens, sockets, pipes,
// PrepFixedFDInstall, and what PrepRecvMsg received, but not what is in the
// buffers of PrepRecvMsgMultishot. A request that cannot be cancelled, such as
// a read of a slow disk, delays it. A second Close returns ErrClosed.
func (s *Shared) Close() error {
	s.smu.Lock()
	defer s.smu.Unlock()
	s.cmu.Lock()
	defer s.cmu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.closed = true
	err := s.cancelAll()
	// A completion that stays in the queue ends every wait there is and will
	// be.
	if e := s.makeRoom(1); e == nil {
		s.r.sq.take().PrepNop(0)
	}
	if e := s.submitNow(); err == nil {
		err = e
	}
	for s.waiters > 0 {
		s.left.Wait() // which frees cmu
	}
	if e := s.r.Close(); err == nil {
		err = e
	}
	return err
}

// cancelAll cancels requests until none is left. Under both locks. Waits that are
// still going on find the ring closed.
func (s *Shared) cancelAll() error {
	var dst [64]Completion
	for {
		for n, woken := s.take(dst[:]); n > 0 || woken; n, woken = s.take(dst[:]) {
		}
		if s.inflight == 0 {
			return nil
		}
		if err := s.cancelSome(); err != nil {
			return err
		}
		switch err := s.sleep(10 * time.Millisecond); err { // then cancel again
		case nil, errTimeout, errInterrupted, errBusy, errAgain:
		default:
			return err
		}
	}
}

// cancelSome passes on what an Add left and cancels what the kernel has. If the
// kernel can, it does so without a request, since a request would wait for those
// before it if one of them has SQEIODrain, or if an Add's last has SQEIOLink.
func (s *Shared) cancelSome() error {
	if err := s.submit(); err != nil {
		return err
	}
	s.enters.Add(1)
	_, err := s.r.SyncCancel(SyncCancel{Flags: CancelAny | CancelAll, Timeout: time.Millisecond})
	if err == nil || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ETIME) || errors.Is(err, syscall.EINTR) {
		return nil
	}
	// Before Linux 6.0, or where restrictions forbid it, a request has to do.
	if err := s.makeRoom(1); err != nil && err != errBusy && err != errAgain {
		return err
	}
	if e := s.r.sq.take(); e != nil {
		e.PrepCancel(0, CancelAny|CancelAll, 0)
		_, e.UserData = s.newSlot(0, nil, slotWake)
	}
	return s.submit()
}
