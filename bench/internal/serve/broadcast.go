package serve

import (
	"encoding/binary"
	"io"
	"net"
	"sync"

	"github.com/quoit-go/quoit/bench/internal/workload"
)

// First bytes that say what a conn is.
const (
	Subscriber = 's' // answered by the same byte, then gets every message
	Trigger    = 't' // followed by message lengths and numbers, 4 and 8 bytes each
)

// hub sends what a trigger asks for to all subscribers, one after the other.
type hub struct {
	mu   sync.Mutex
	subs []net.Conn
}

func (h *hub) serve(c net.Conn) {
	defer c.Close()
	var kind [1]byte
	if _, err := io.ReadFull(c, kind[:]); err != nil {
		return
	}
	switch kind[0] {
	case Subscriber:
		h.mu.Lock()
		h.subs = append(h.subs, c)
		h.mu.Unlock()
		if _, err := c.Write(kind[:]); err != nil {
			return
		}
		io.Copy(io.Discard, c) // until it leaves; hub.send finds out
	case Trigger:
		var order [12]byte
		for {
			if _, err := io.ReadFull(c, order[:]); err != nil {
				return
			}
			msg := make([]byte, binary.BigEndian.Uint32(order[:]))
			workload.Broadcast(msg, binary.BigEndian.Uint64(order[4:]))
			h.send(msg)
		}
	}
}

// send forgets the conns that have left.
func (h *hub) send(msg []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	alive := h.subs[:0]
	for _, c := range h.subs {
		if _, err := c.Write(msg); err == nil {
			alive = append(alive, c)
		}
	}
	clear(h.subs[len(alive):])
	h.subs = alive
}
