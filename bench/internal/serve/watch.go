package serve

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"time"
)

// tell answers each byte that comes to the address it returns with the state, a
// line of JSON, until the process ends.
func tell(state func() any) (addr string, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go acceptEach(func(c net.Conn) {
		defer c.Close()
		enc := json.NewEncoder(c)
		for {
			var ask [1]byte
			if _, err := io.ReadFull(c, ask[:]); err != nil {
				return
			}
			if err := enc.Encode(state()); err != nil {
				return
			}
		}
	})(ln)
	return ln.Addr().String(), nil
}

// watch asks a server for its state at the beginning and at the end of the
// measured time.
type watch struct {
	c net.Conn
	r *bufio.Reader
}

// watchAt returns nil for no address.
func watchAt(addr string) (*watch, error) {
	if addr == "" {
		return nil, nil
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &watch{c, bufio.NewReader(c)}, nil
}

// watchPatience is for a server that is busy.
const watchPatience = 20 * time.Second

func (w *watch) begin() error {
	_, err := w.c.Write([]byte{'?'})
	return err
}

func (w *watch) end(before, after any) error {
	if err := w.c.SetDeadline(time.Now().Add(watchPatience)); err != nil {
		return err
	}
	if err := w.begin(); err != nil {
		return err
	}
	dec := json.NewDecoder(w.r)
	if err := dec.Decode(before); err != nil {
		return err
	}
	return dec.Decode(after)
}

func (w *watch) close() { w.c.Close() }
