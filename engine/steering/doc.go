// Package steering decides, in the kernel, which ring of a listener a new
// connection comes to. The listener has one SO_REUSEPORT socket a ring, all at
// one address; an SK_REUSEPORT eBPF program, assembled here, picks one of them
// for each SYN. Linux 5.14 and CAP_BPF; see [Config.Fallback] for what to do
// without.
//
// A [Steering] is made with [New] and given to one listener. A program that
// does not import this package does not link cilium/ebpf.
//
// # States
//
//	unused -- Attach --> attached -- Detach --> detached
//
// Attach that fails leaves it unused. Policy, weights and held rings may be
// changed while attached, and are in force for the next SYN; policy and
// weights also before. A detached Steering only answers questions.
//
// # Who owns what
//
// The sockets are the listener's. The array that the program picks from does
// not keep them alive: one that closes leaves it. The program belongs to the
// sockets' group once attached, and to the Steering until Detach; the maps
// belong to the program, to the Steering until Detach, and, as memory, to
// whoever is in a call. Nothing is pinned in a file system, so nothing
// outlives the processes.
//
// The listener calls Load, Accepted, Drained and Hold whenever it likes, even
// when it has called Detach: they store to memory that the program reads, and
// Detach puts other memory in its place.
//
// # The memory
//
// It is one value of one map. The program reads all of it and writes only
// what is marked *.
//
//	0      policy, length of the table of turns, number of rings
//	64     next turn *
//	128    connections left to the hash *
//	256    turns: a round of round robin, one byte a turn, a ring each
//	4352   CPUs: 8 bytes each, the rings that it may choose from
//	8448   slots: 16384 bytes, shared out to the rings by weight
//	24832  rings, 128 bytes each:
//	         0  open connections, accepted, weight, held, base
//	        64  sent *, moved here *
//
// What the program writes and what user space writes lie in different cache
// lines. Slots serve by source, where the hash of an address chooses one, and
// least loaded, which draws two at random. They come from rendezvous hashing:
// see slotTable.
//
// # What counts as load
//
// A ring's load is the number of its open connections plus that of those on
// their way to it: sent, and not yet accepted. The program counts the sent
// ones itself, so that a burst which arrives before anybody has accepted
// anything is spread, too. A handshake that is never finished would stay on
// its way for ever; Drained ends that.
//
// Of two rings whose loads differ by no more than some 12 connections and a
// sixteenth, least loaded may take the one with more, if it was sent fewer since
// the last change of a weight, a hold or the policy: who gets the many short
// connections would otherwise hang on a few long ones.
//
// # Restart without a refused connection
//
// The new process listens at the same address with SO_REUSEPORT, as the same
// user, and attaches a Steering: its program replaces the old one's for the
// whole group, so from then on all SYNs are the new process's. When the old
// one closes its sockets, the kernel asks the new program for each connection
// that is in a handshake or in a queue, and moves it. The old process goes on
// with what it had accepted.
//
// # What it does not do
//
// It does not move connections that have been accepted, and it counts
// connections, not what they cost. By source sees addresses: clients behind
// one NAT are one source. By CPU is of use if the network card spreads its
// interrupts over the CPUs and each ring runs where they arrive.
//
// Compared with this, the kernel's own hash knows nothing of load: of c
// connections over n rings the busiest has some sqrt(2·c·ln(n)/n) more than
// its share, a ring that is full or slow gets as many as the others, and
// connections waiting at a socket that closes are reset. It costs nothing, and
// for many short connections of equal weight it is good enough. Classic BPF is
// as blind, and addresses sockets by their order in the group: while two
// processes share an address it keeps sending to the older one.
package steering
