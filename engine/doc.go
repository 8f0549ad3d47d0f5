// Package engine moves the bytes of stream sockets by system calls, and waits
// for the sockets in Go's netpoller as package net does, or on one io_uring.
//
// An [Engine] owns a ring and a goroutine locked to its thread, the only one
// that touches it; both end when nobody needs them, see loop.retire, and the Go
// runtime has the thread back. [Conn] and [Listener] are used from any goroutine.
//
// # Two gears
//
// A cold engine leaves the ring alone: callers make the system calls
// themselves and wait in the netpoller (poller). With a hot one they wait on the
// ring, which tells of many sockets in one system call, and small Writes in a row
// are sent in one. Package gear decides when it is hot. A shift touches no conn:
// it decides what the next call that has to wait does, and a poll that completes
// on a cold engine is cancelled.
//
// # What the ring may hold
//
// What is in the ring nobody else sees: a copy of the descriptor, another
// process, a raw system call. So the ring takes no bytes from a socket, it only
// says that there are some, and each Read is a recv(2) of its caller's, into the
// caller's slice. It accepts nothing either: Accept is an accept4(2) of its
// caller's and waits in the netpoller (Listener). It holds what Write has accepted
// (outgoing) for the sockets that are the engine's alone. Once a descriptor has
// been shown, or a copy made, a conn is shared: see Conn.share. Nothing else
// depends on who has the socket: nobody changes an option of it, or its mode, to
// get an effect.
//
// The ring's thread also has no identity of the callers': it opens, binds and
// connects nothing, and reads and writes no memory of theirs.
//
// # How a caller and the engine meet
//
// A caller sets what it wants in the node of its Conn (a bit per request) and
// puts the node on the engine's posted stack, both without a lock; if the
// engine sleeps, the caller writes to its eventfd. The engine takes the whole
// stack at once, turns requests into submission entries, and hands
// completions back under Conn.mu. A parked caller (half) waits on a channel
// with room for one token; whoever clears half.waiting, under Conn.mu, sends
// exactly one, or ends the wait in the netpoller. Having woken callers the
// engine rests until they have run: see loop.rest.
//
// # The read half of a Conn
//
// A Read asks the socket by recv(2) before it waits for it. On a hot engine it
// then waits for a multishot poll, which stays armed while the engine is hot; see
// pollState. A poll tells of changes only, once each.
//
// Not even a recv(2) that filled less than its slice spares the next Read the
// question: it may have met urgent data, and the events of a poll do not say so,
// for the kernel's wake-up claims POLLPRI with every segment.
//
// Unix sockets wait in the netpoller.
//
// # The write half
//
// Write calls send(2) itself and waits in the netpoller for room. On a hot engine
// small Writes that follow another one are copied instead, where the conn has shown
// that it reads on soon (pace), as the engine's others do (lateness): the next Read
// sends them, or the engine in its next enter. See flightState, and Conn.Close,
// Conn.Shutdown and Conn.share for how they have them sent first.
//
// # From one Conn to another
//
// Conn.Forward moves what comes from one conn to another without a copy to its
// caller, who is parked: the engine's thread relays small messages (relay), by
// recv(2) into memory of its own and sends of one enter, so that it holds nothing
// between two turns; or the caller splices (move). Other calls end a relay by
// wanting the lock that it holds: see callLock.
//
// # Deadlines
//
// A deadline is a word (half.limit). Who has to wait past one arms a timer of Go's,
// which ends the wait: on the ring by the token, in the netpoller by a deadline
// there. The engine's thread has no part in it.
//
// # Close
//
// A descriptor has references, see fdRef: the engine holds one while a request
// of the conn is in flight, and so does a call that uses it. Close wakes the
// waiters, has the kernel take what Write accepted, has the engine cancel what is
// in flight, waits until all other references have been dropped, and closes the
// descriptor itself: when it returns the peer has been told, as with package net.
// It does not call shutdown(2), which would be faster: a close that resets, for
// SO_LINGER or for bytes left unread, must not send a FIN first.
//
// # Without a ring
//
// When the ring fails its conns go on: who waits for it looks again and waits in the
// netpoller, what Write had accepted is sent, and what the ring had of it is lost
// (loop.die, Conn.leaveRing). The thread ends.
//
// # Locks
//
// Conn.rmu serializes readers, Conn.wmu writers, and a relay holds that of either
// conn, never waiting for one; Conn.mu guards the state that callers and the engine
// share and is held for nanoseconds. Order: rmu or wmu, Conn.mu.
// Listener.amu and Listener.mu are alike. Engine.mu guards the lists of open conns and
// listeners and is taken alone. The engine's thread takes a mu only, never a lock that
// is held across a system call, but for a write to its own eventfd.
package engine
