// Package ring is a binding of Linux io_uring: it sets a ring up, fills
// submission entries, submits, waits and reaps completions, and registers
// resources. It knows nothing about connections and is usable alone.
//
// A request is an entry from [Ring.NextSQE] that one of the Prep methods of
// [SQE] has filled. Submit and its relatives pass entries to the kernel and
// wait; [Ring.CQEs] or [Ring.PeekCQEs] have the completions. README.md lists
// every operation, flag, feature and registration with its first kernel.
//
// # Ownership
//
// A [Ring] has one owner at a time: the goroutine that calls NextSQE, the
// Submit family, PeekCQEs and the Register family. Nothing here locks. In race
// builds each of these calls counts as a write, so that the detector reports
// goroutines that use a ring without handing it over. A ring set up with
// [SetupSingleIssuer] accepts one OS thread only, so its owner calls
// runtime.LockOSThread and keeps the thread until the ring is closed. FD,
// Flags, Features, SQEntries and CQEntries are safe from any goroutine until
// Close, except during ResizeRings.
//
// A request belongs to the OS thread that submitted it. If that thread exits,
// which in Go only the exit of a goroutine locked to it does, a
// [SetupDeferTaskrun] ring never completes anything again. On a plain ring the
// thread's requests end with ECANCELED: those that a worker thread has, because
// of [SQEAsync] or because they block, at once, those it was in the middle of
// with whatever the interruption makes of them; those that wait for a file at
// its next event; timeouts go on. A [SetupSQPoll] ring has a thread of its own.
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
// Race builds look for memory that was forgotten: the Submit family and what
// returns completions panic if the collector has taken memory that a request
// still needs. With QUOIT_RING_COLLECT=1 in the environment they have it run
// before some of these looks, which finds more and takes longer. Requests with
// the same user data at once, and with SQECQESkipSuccess, are looked at until
// their submission.
//
// # Errors
//
// A failed system call is an [*Error] wrapping its syscall.Errno: compare by
// errors.Is. The four that a running ring expects of the Submit family, ETIME,
// EINTR, EBUSY and EAGAIN, are made once and do not allocate.
//
// On systems other than Linux the package is empty. On big-endian machines
// [New] fails.
package ring
