// Package ring is a binding of Linux io_uring: it sets a ring up, fills
// submission entries, submits, waits and reaps completions, and registers
// resources. It knows nothing about connections and is usable alone.
//
// # Ownership
//
// A [Ring] has one owner at a time: the goroutine that calls NextSQE, the
// Submit family, PeekCQEs and the Register family. Nothing here locks. A ring
// set up with [SetupSingleIssuer] accepts one OS thread only, so its owner
// calls runtime.LockOSThread and keeps the thread until the ring is closed.
// If that thread exits, a [SetupDeferTaskrun] ring never completes anything
// again. FD, Flags, Features, SQEntries and CQEntries are safe from any
// goroutine until Close.
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
// A failed system call is an [*Error] wrapping its syscall.Errno. The four
// that a running ring expects, ETIME, EINTR, EBUSY and EAGAIN, are returned
// by the Submit family as bare syscall.Errno values and do not allocate.
//
// On systems other than Linux the package is empty. On big-endian machines
// [New] fails.
package ring
