// Package ring is a binding of Linux io_uring: it sets a ring up, fills
// submission entries, submits, waits and reaps completions, and registers
// resources. It knows nothing about connections and is usable alone.
//
// A request is an entry from [Ring.NextSQE] that one of the Prep methods of
// [SQE] has filled. Submit and its relatives pass entries to the kernel and
// wait, [Ring.WaitCQEs] also through signals; [Ring.CQEs] or [Ring.PeekCQEs] have
// the completions. [BufRing] and [Iovecs] are memory for requests. README.md lists
// every operation, flag, feature and registration with its first kernel.
//
// # Ownership
//
// A [Ring] has one owner at a time: the goroutine that calls NextSQE, the
// Submit family, PeekCQEs and the Register family. A Ring takes no locks. In race
// builds each of these calls counts as a write, so that the detector reports
// goroutines that use a ring without handing it over. A ring set up with
// [SetupSingleIssuer] accepts one OS thread only, so its owner calls
// runtime.LockOSThread and keeps the thread until the ring is closed. FD,
// Flags, Features, SQEntries and CQEntries are safe from any goroutine until
// Close, except during ResizeRings.
//
// A request belongs to the OS thread that submitted it. If that thread exits,
// which in Go only the exit of a goroutine locked to it does, a
// [SetupDeferTaskrun] ring never completes anything again. On a plain ring this
// becomes of the thread's requests:
//
//   - One that a worker thread has, because of [SQEAsync] or because it blocks,
//     ends at once with ECANCELED, or, if the worker was in the middle of it,
//     with whatever the interruption makes of it.
//   - One that waits for a file to become ready ends with ECANCELED at the
//     file's next event.
//   - Timeouts go on.
//
// The requests of a [SetupSQPoll] ring belong to the kernel's thread, which
// lives as long as the ring.
//
// A [Shared] wraps a ring for many goroutines.
//
// # Memory
//
// The garbage collector does not see what the kernel holds. Memory named by a
// submission entry is mapped, or on the heap and referenced by the caller
// until its completion; each Prep says which. A [UserData] never carries a
// pointer.
//
// Race builds look for memory that the caller forgot to keep: the Submit family
// and the methods that return completions panic if the collector has taken
// memory that a request still needs. With QUOIT_RING_COLLECT=1 in the
// environment they have the collector run before some of these looks, which
// finds more and takes longer. After their submission, requests that share their
// user data with another one in flight, and those with SQECQESkipSuccess, are
// not looked at.
//
// # Errors
//
// A failed system call is an [*Error] wrapping its syscall.Errno: compare by
// errors.Is. The four that a running ring expects of the Submit family, ETIME,
// EINTR, EBUSY and EAGAIN, are made once, so returning them does not allocate.
//
// On systems other than Linux the package is empty. On big-endian machines
// [New] fails.
package ring
