//go:build linux

package engine

// pollState is what the ring knows of a conn that has data. Guarded by Conn.mu.
//
//	idle   -- a Read finds nothing, on a hot engine ------> armed
//	armed  -- a completion -------------------------------> told
//	told   -- a Read is about to ask the socket ----------> armed
//	armed, told -- a completion without F_MORE -----------> idle
//	armed, told -- the kernel has no memory for the poll -> refused
//	any    -- the ring dies ------------------------------> refused
type pollState uint8

const (
	pollIdle    pollState = iota // no poll is in the ring
	pollArmed                    // one is, or is about to be
	pollTold                     // and has told of something since a Read last asked
	pollRefused                  // the netpoller serves
)

// isArmed reports whether a poll is in the ring, or is about to be.
func (p pollState) isArmed() bool { return p == pollArmed || p == pollTold }

// flightState is where the first batch of what Write has accepted is. Guarded by
// Conn.mu.
//
//	landed  -- the engine serves the conn ---> inRing
//	landed  -- a caller will not wait for it-> byHand
//	inRing  -- all was sent -----------------> landed
//	inRing  -- some was sent, or nothing ----> left
//	byHand  -- all was sent -----------------> landed
//	byHand  -- EAGAIN -----------------------> left
//	left    -- the engine serves the conn ---> stuck
//	stuck   -- all was sent -----------------> landed
//	stuck   -- some was sent ----------------> left
//	inRing, stuck -- Close has waited enough -> givenUp
//	any     -- an error, see fate -----------> landed, with nothing to send
//	inRing, left, stuck, givenUp -- the ring dies -> abandoned
//
// Write accepts only what fits into the socket for certain. So a flight ends
// with its first send, which does not wait for room, but for a kernel short of
// memory. Then nothing more is accepted, and the second send waits in the ring
// for as long as it takes; see Conn.Close.
type flightState uint8

const (
	landed    flightState = iota // there is no flight
	inRing                       // a send that does not wait is in the ring
	byHand                       // a caller sends it
	left                         // the socket had no room for all of it
	stuck                        // a send that waits for room is in the ring
	givenUp                      // and is cancelled
	abandoned                    // the ring had it, or was to, and is gone
)

// ended reports whether nothing of the flight is to come.
func (s flightState) ended() bool { return s == landed || s == abandoned }

// waits reports whether it depends on the peer when the flight lands.
func (s flightState) waits() bool { return s >= left && s != abandoned }
