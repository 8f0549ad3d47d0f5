package main

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	busier     = 100
	maxSources = 10_000
	maxDials   = 64               // at a time
	patience   = 10 * time.Second // with a server that does not answer
	retry      = 50 * time.Millisecond
)

type loadOptions struct {
	conns   int
	rate    float64 // requests a second on a quiet conn
	busy    int
	life    time.Duration
	sources int
}

// load keeps conns open, and sends requests over them at random times.
type load struct {
	loadOptions
	addr   net.Addr
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	dials  chan struct{} // as many as are under way

	answered, opened, failed atomic.Uint64
	err                      atomic.Pointer[error] // the last failure
}

func startLoad(o loadOptions, addr net.Addr) *load {
	l := &load{loadOptions: o, addr: addr, dials: make(chan struct{}, maxDials)}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	for i := range o.conns {
		l.wg.Go(func() { l.keep(i) })
	}
	return l
}

// stop waits for the requests under way and says farewell.
func (l *load) stop() {
	l.cancel()
	l.wg.Wait()
}

// keep has one conn after the other.
func (l *load) keep(i int) {
	rate := l.rate
	if l.busy > 0 && i%l.busy == 0 {
		rate *= busier
	}
	r := rand.New(rand.NewPCG(uint64(i), rand.Uint64()))
	zipf := rand.NewZipf(r, 1.1, 1, uint64(l.sources-1))
	for l.ctx.Err() == nil {
		if err := l.conn(r, rate, int(zipf.Uint64())); err != nil && l.ctx.Err() == nil {
			l.failed.Add(1)
			l.err.Store(&err)
			l.wait(retry)
		}
	}
}

// conn has one conn, from its beginning to its end.
func (l *load) conn(r *rand.Rand, rate float64, source int) error {
	c, err := l.dial(source)
	if err != nil {
		return err
	}
	defer c.Close()
	l.opened.Add(1)
	mean := float64(time.Second) / rate
	end := time.Now().Add(time.Duration(r.ExpFloat64() * float64(l.life)))
	buf := make([]byte, requestBytes)
	for l.ctx.Err() == nil {
		pause := time.Duration(r.ExpFloat64() * mean)
		if left := time.Until(end); pause >= left {
			l.wait(left)
			break
		}
		l.wait(pause)
		if err := l.request(c, buf); err != nil {
			return err
		}
	}
	buf[0] = farewell
	return l.request(c, buf)
}

func (l *load) request(c net.Conn, buf []byte) error {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := c.Write(buf)
	if err != nil {
		return err
	}
	_, err = io.ReadFull(c, buf)
	if buf[0] == farewell && err == io.EOF {
		err = nil
	}
	if err == nil {
		l.answered.Add(1)
	}
	return err
}

func (l *load) dial(source int) (net.Conn, error) {
	select {
	case l.dials <- struct{}{}:
		defer func() { <-l.dials }()
	case <-l.ctx.Done():
		return nil, l.ctx.Err()
	}
	d := net.Dialer{Timeout: patience}
	if runtime.GOOS == "linux" { // elsewhere 127.0.0.1 is all there is
		d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, byte(source/250), byte(source%250+1))}
	}
	return d.Dial("tcp4", l.addr.String()) // not to be cancelled when the kernel is done
}

// wait is time.Sleep, until stop.
func (l *load) wait(d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.ctx.Done():
	}
}
