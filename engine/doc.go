// Package engine moves the bytes of stream sockets through one io_uring.
//
// An [Engine] owns a ring, a provided-buffer group and a goroutine locked to
// its thread, the only one that touches them. [Conn] and [Listener] are used
// from any goroutine.
//
// # How a caller and the engine meet
//
// A caller sets what it wants in the node of its Conn (a bit per request) and
// puts the node on the engine's posted stack, both without a lock; if the
// engine sleeps, the caller writes to its eventfd. The engine takes the whole
// stack at once, turns requests into submission entries, and hands
// completions back under Conn.mu. A parked caller waits on a channel with
// room for one token; whoever clears waiter.waiting, under Conn.mu, sends
// exactly one.
//
// # The read half of a Conn
//
// It is idle or armed. Idle: the kernel's queue is the only queue, and Read
// calls read(2) itself. Finding nothing, it parks and arms a multishot
// receive; from then on only the ring takes bytes from the socket, until the
// receive's terminal completion makes the half idle again. Armed completions
// are copied to the parked Read's slice or queued; Read serves the queue
// before anything else. So every terminal cause (end of file, a reset, the
// window, no buffers, a cancel) has one answer: deliver what it carried, then
// let the next Read ask the kernel, which keeps net's behaviour to the letter.
//
//	idle  -- Read found nothing ------------------> armed
//	armed -- completion without F_MORE -----------> idle
//
// A conn that finds the buffer group empty is not queued for buffers: it arms
// a one-shot poll instead, and its Read receives straight into the caller's
// slice. Nobody can starve for buffers that others hold.
//
// Unix sockets never arm a multishot receive, only the poll: running ahead
// would lose descriptors sent along, and the reset that unread bytes cause.
//
// # The write half
//
// Write calls write(2) itself. When the socket is full, the rest of the
// caller's slice goes to the ring as a send; Write stays parked until its
// completion, so the slice is the kernel's only while Write runs, and goes on
// with what is left. A deadline or Close cancels the send, whose completion
// tells how much was sent.
//
// # Close
//
// A descriptor is closed by whoever drops the last of its references, see
// fdRef; the engine holds one while a request of the conn is in flight. Close
// wakes the waiters, then has the engine cancel what is in flight. It does not
// call shutdown(2), which would be faster: a close that resets, for SO_LINGER
// or for bytes left unread, if only in the ring, must not send a FIN first.
//
// # Locks
//
// Conn.rmu serializes readers, Conn.wmu writers; Conn.mu guards the state
// that callers and the engine share and is held for nanoseconds. Order: rmu
// or wmu, Conn.mu, timers.mu. Engine.mu guards the lists of open conns and
// listeners and is taken alone.
package engine
