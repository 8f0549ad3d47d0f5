package serve

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/quoit-go/quoit"
)

// Ring is what one ring of a server did in the measured time.
type Ring struct {
	Conns    int    `json:"conns"` // open at its end
	Accepted uint64 `json:"accepted"`
	Work     uint64 `json:"work"` // receives
}

func rings(e *quoit.Engine) []Ring {
	var out []Ring
	for _, r := range e.Stats().Rings {
		work := r.DirectReads + r.Completions - min(r.Completions, r.Batches) // sends complete, too
		out = append(out, Ring{Conns: r.Conns, Accepted: r.Accepted, Work: work})
	}
	return out
}

// tellRings answers each byte that comes to the address it returns with the
// state of the engine's rings, a line of JSON, until the process ends.
func tellRings(e *quoit.Engine) (addr string, err error) {
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
			if err := enc.Encode(rings(e)); err != nil {
				return
			}
		}
	})(ln)
	return ln.Addr().String(), nil
}

// RingWatch asks a server for its rings. A nil one asks nobody.
type RingWatch struct {
	c net.Conn
	r *bufio.Reader
}

// WatchRings takes Ready.Rings.
func WatchRings(addr string) (*RingWatch, error) {
	if addr == "" {
		return nil, nil
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &RingWatch{c, bufio.NewReader(c)}, nil
}

// ringPatience is for a server that is busy.
const ringPatience = 20 * time.Second

// Begin asks without waiting for the answer: the generator must not pause.
func (w *RingWatch) Begin() error {
	if w == nil {
		return nil
	}
	_, err := w.c.Write([]byte{'?'})
	return err
}

// End returns what the rings did since Begin.
func (w *RingWatch) End() ([]Ring, error) {
	if w == nil {
		return nil, nil
	}
	if err := w.c.SetDeadline(time.Now().Add(ringPatience)); err != nil {
		return nil, err
	}
	if err := w.Begin(); err != nil {
		return nil, err
	}
	var before, after []Ring
	dec := json.NewDecoder(w.r)
	for _, to := range []*[]Ring{&before, &after} {
		if err := dec.Decode(to); err != nil {
			return nil, fmt.Errorf("asking for the rings: %w", err)
		}
	}
	if len(before) != len(after) {
		return nil, fmt.Errorf("there were %d rings and are %d", len(before), len(after))
	}
	for i := range after {
		after[i].Accepted -= before[i].Accepted
		after[i].Work -= min(after[i].Work, before[i].Work)
	}
	return after, nil
}

func (w *RingWatch) Close() {
	if w != nil {
		w.c.Close()
	}
}
