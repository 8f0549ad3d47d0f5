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
// thread's requests end with ECANCELED: those that worker threads have, as with
// [SQEAsync], at once, those that wait for a file at its next event; timeouts
// go on. A [SetupSQPoll] ring has a thread of its own.
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
// # Errors
//
// A failed system call is an [*Error] wrapping its syscall.Errno: compare by
// errors.Is. The four that a running ring expects of the Submit family, ETIME,
// EINTR, EBUSY and EAGAIN, are made once and do not allocate.
//
// On systems other than Linux the package is empty. On big-endian machines
// [New] fails.
package ring
