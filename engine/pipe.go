//go:build linux

package engine

import (
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/internal/lent"
)

// spliceBytes is the most that one splice(2) moves, and the room that a pipe is
// given, the most that Linux gives a user by default. A pipe of less works, too.
const spliceBytes = 1 << 20

// pipe is what splice(2) needs between two sockets.
type pipe interface {
	// Fill moves up to n bytes from a socket into the pipe, and Drain moves up to
	// n on to another one. Neither waits.
	Fill(from int, n int64) (int64, error)
	Drain(to int, n int64) (int64, error)
	// Put gives an empty pipe back, and Discard closes one with what is in it.
	Put()
	Discard()
}

// osPipe is the kernel's. It is empty while in pipes.
type osPipe struct{ r, w int }

var pipes sync.Pool // of *pooledPipe

// pooledPipe is closed by the collector when the pool has dropped it.
type pooledPipe struct {
	mark lent.Mark
	osPipe
	cleanup runtime.Cleanup
}

const pipeName = "a pipe"

// newPipe returns an empty pipe of the pool's, or a new one.
func newPipe() (pipe, error) {
	if p, ok := pipes.Get().(*pooledPipe); ok {
		return p, nil
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, err
	}
	_, _ = unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, spliceBytes)
	p := &pooledPipe{osPipe: osPipe{fds[0], fds[1]}}
	p.cleanup = runtime.AddCleanup(p, osPipe.close, p.osPipe)
	return p, nil
}

func (p osPipe) Fill(from int, n int64) (int64, error) { return splice(from, p.w, n) }
func (p osPipe) Drain(to int, n int64) (int64, error)  { return splice(p.r, to, n) }

func (p *pooledPipe) Fill(from int, n int64) (int64, error) {
	p.mark.Use(pipeName)
	return p.osPipe.Fill(from, n)
}

func (p *pooledPipe) Drain(to int, n int64) (int64, error) {
	p.mark.Use(pipeName)
	return p.osPipe.Drain(to, n)
}

func (p *pooledPipe) Put() {
	p.mark.Use(pipeName)
	if lent.Checked { // none is lent twice
		left, err := unix.IoctlGetInt(p.r, unix.TIOCINQ)
		lent.Assert(left == 0 && err == nil, "a pipe with bytes in it is given back")
		p.Discard()
		return
	}
	pipes.Put(p)
}

func (p *pooledPipe) Discard() {
	p.mark.End(pipeName)
	p.cleanup.Stop()
	p.close()
}

func (p osPipe) close() {
	_ = unix.Close(p.r)
	_ = unix.Close(p.w)
}

// splice moves up to n bytes, without waiting for them.
func splice(from, to int, n int64) (int64, error) {
	for {
		moved, err := unix.Splice(from, nil, to, nil, int(min(n, spliceBytes)), unix.SPLICE_F_NONBLOCK)
		if err != unix.EINTR {
			return int64(moved), err // an int on 32-bit machines
		}
	}
}
