// Package engine moves the bytes of stream sockets, through system calls and
// Go's netpoller as package net does, or through one io_uring.
//
// An [Engine] owns a ring, a provided-buffer group and a goroutine locked to
// its thread, the only one that touches them. [Conn] and [Listener] are used
// from any goroutine.
//
// # Two gears
//
// A cold engine leaves the ring alone: callers make the system calls
// themselves and wait in the netpoller (poller). A hot one has the kernel
// receive and accept ahead, and sends for the callers, many conns in one
// system call. See gears for when it is hot. A shift touches no conn: it
// decides what the next call that has to wait does, and an armed receive or
// accept that completes on a cold engine is cancelled. Nothing is lost or
// reordered in between, because only one side takes bytes from a socket at a
// time: whoever armed the receive, until its terminal completion.
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
// It is idle or armed. Idle: the kernel's queue is the only queue, and Read
// calls recv(2) itself. Finding nothing, it waits in the netpoller, or, on a
// hot engine, parks and arms a multishot receive; from then on only the ring
// takes bytes from the socket, until the receive's terminal completion makes
// the half idle again. Armed completions are copied to the parked Read's
// slice or queued; Read serves the queue before anything else. So every
// terminal cause (end of file, a reset, the window, no buffers, a cancel) has
// one answer: deliver what it carried, then let the next Read ask the kernel,
// which keeps net's behaviour to the letter.
//
//	idle  -- Read found nothing, engine hot ------> armed
//	armed -- completion without F_MORE -----------> idle
//
// A conn that finds the buffer group empty is not queued for buffers: its Read
// waits in the netpoller and receives straight into the caller's slice. Nobody
// can starve for buffers that others hold.
//
// Unix sockets are never armed: running ahead would lose descriptors sent
// along, and the reset that unread bytes cause.
//
// # The write half
//
// Write calls send(2) itself and waits in the netpoller for room. On a hot
// engine that is awake, small Writes are copied instead, and sent in the
// engine's next enter: see batches, also for what Close, CloseWrite and raw
// access do about them.
//
// # Close
//
// A descriptor is closed by whoever drops the last of its references, see
// fdRef; the engine holds one while a request of the conn is in flight, and so
// does a call that uses it. When only the owner has one, a conn may get another
// descriptor, see Conn.leavePoller. Close has the kernel take what Write accepted,
// wakes the waiters, then has the engine cancel what is in flight. It does not
// call shutdown(2), which would be faster: a close that resets, for SO_LINGER
// or for bytes left unread, if only in the ring, must not send a FIN first.
//
// # Locks
//
// Conn.rmu serializes readers, Conn.wmu writers; Conn.mu guards the state
// that callers and the engine share and is held for nanoseconds, microseconds
// while a conn leaves the netpoller. Order: rmu
// or wmu, Conn.mu, timers.mu. Engine.mu guards the lists of open conns and
// listeners and is taken alone.
package engine
