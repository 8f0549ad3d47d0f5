//go:build linux

package engine

import (
	"context"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/ring"
)

// Connect connects fd, a nonblocking socket, to sa by a request on the ring.
// fd must stay open until it returns, which a cancelled ctx makes it do. The
// error is an os.SyscallError, ErrClosed or ctx.Err().
func (e *Engine) Connect(ctx context.Context, fd int, sa *ring.Sockaddr) error {
	c := &connect{e: e, fd: int32(fd), sa: sa, done: newToken()}
	c.node.h = c
	e.post(&c.node, wantConnect)
	select {
	case <-c.done:
	case <-ctx.Done():
		e.post(&c.node, wantEnd)
		<-c.done
		return ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return c.err
}

// connect is one connect request.
type connect struct {
	node node
	e    *Engine
	fd   int32
	sa   *ring.Sockaddr // read by the kernel until the completion
	done chan struct{}
	once atomic.Bool
	err  error // set before done
}

func (c *connect) serve(l *loop, w want) {
	switch {
	case w&wantConnect != 0 && (w&wantEnd != 0 || l.stopping):
		c.report(ErrClosed)
	case w&wantConnect != 0:
		s, ud := l.start(&c.node, kindConnect)
		s.PrepConnect(c.fd, c.sa, ud)
	case w&wantEnd != 0:
		l.cancelAll(&c.node)
	}
}

func (c *connect) settle(l *loop) { l.slots.vacate(&c.node) }

func (c *connect) complete(l *loop, _ kind, cqe *ring.CQE) {
	c.settle(l)
	l.readied = true
	if cqe.Res == -int32(unix.ECANCELED) {
		c.report(ErrClosed) // or nobody listens: ctx ended
		return
	}
	c.report(sysError("connect", cqe.Res))
}

func (c *connect) fail(err error) { c.report(err) }

func (c *connect) report(err error) {
	if c.once.CompareAndSwap(false, true) {
		c.err = err
		c.done <- struct{}{}
	}
}
