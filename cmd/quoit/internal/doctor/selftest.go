package doctor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/quoit-go/quoit"
)

const (
	roundTrips = 100
	largest    = 16 << 10         // bytes of a round trip
	bulk       = 1 << 20          // bytes of the last one, which no socket buffer holds
	tripBound  = 10 * time.Second // for all of them
)

// selfTest moves bytes through a listener in a gear and back, and compares
// them.
func selfTest(gear string) Trip {
	t := Trip{Gear: gear}
	listen, dial := net.Listen, net.Dial
	if gear == "net" {
		t.Transport = "net"
	} else {
		g := map[string]quoit.Gear{"auto": quoit.GearAuto, "ring": quoit.GearRing, "poll": quoit.GearPoll}[gear]
		e, err := quoit.New(&quoit.Config{Gear: g})
		if err != nil {
			t.Error = failure(err)
			return t
		}
		defer e.Close()
		s := e.Stats()
		t.Transport, t.Reason = s.Transport, failure(s.Reason)
		listen, dial = e.Listen, e.Dialer().Dial
	}
	t.Error = failure(t.run(listen, dial))
	return t
}

type connector func(network, address string) (net.Conn, error)

func (t *Trip) run(listen func(network, address string) (net.Listener, error), dial connector) error {
	ln, err := listen("tcp", "127.0.0.1:0")
	if err != nil {
		if ln, err = listen("tcp", "[::1]:0"); err != nil {
			return err
		}
	}
	served := make(chan error, 1)
	go func() { served <- echo(ln) }()
	c, err := dial("tcp", ln.Addr().String())
	if err == nil {
		err = errors.Join(t.talk(c), c.Close())
	}
	if cerr := ln.Close(); cerr != nil && !errors.Is(cerr, net.ErrClosed) {
		err = errors.Join(err, cerr)
	}
	return errors.Join(err, <-served)
}

// echo serves the first conn of ln. That nobody came is the dialing side's
// error.
func echo(ln net.Listener) error {
	c, err := ln.Accept()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	if err != nil {
		ln.Close() // which resets who waits for it
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(tripBound)); err != nil {
		return err
	}
	buf := make([]byte, largest)
	for {
		n, err := c.Read(buf)
		if err == io.EOF {
			return nil
		}
		if err == nil {
			_, err = c.Write(buf[:n])
		}
		if err != nil {
			return err
		}
	}
}

func (t *Trip) talk(c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(tripBound)); err != nil {
		return err
	}
	out := make([]byte, bulk)
	for i := range out {
		out[i] = byte(i*7 + i>>8*13)
	}
	in := make([]byte, bulk)
	var times []time.Duration
	for i := range roundTrips {
		n := 1 + i*(largest-1)/(roundTrips-1)
		begin := time.Now()
		if err := t.exchange(c, out[i:i+n], in[:n]); err != nil {
			return fmt.Errorf("round trip %d of %d, of %d bytes: %w", i+1, roundTrips, n, err)
		}
		times = append(times, time.Since(begin))
		t.RoundTrips++
	}
	slices.Sort(times)
	t.Median = int(times[len(times)/2].Microseconds())
	if err := t.exchange(c, out, in); err != nil {
		return fmt.Errorf("the last %d bytes: %w", bulk, err)
	}
	return nil
}

// exchange writes while it reads: the echo of what no buffer holds comes
// before all of it is written.
func (t *Trip) exchange(c net.Conn, out, in []byte) error {
	wrote := make(chan error, 1)
	go func() {
		_, err := c.Write(out)
		wrote <- err
	}()
	_, err := io.ReadFull(c, in)
	if err != nil {
		c.Close() // for the Write
	}
	if err := errors.Join(err, <-wrote); err != nil {
		return err
	}
	if !bytes.Equal(in, out) {
		return errors.New("the bytes came back changed")
	}
	t.Bytes += 2 * len(out)
	return nil
}
