// Package quoit gives net.Listener and net.Conn on Linux io_uring.
//
// A server replaces net.Listen by [Listen]; net/http, crypto/tls, gRPC and
// WebSocket libraries run on the result unchanged. A client replaces
// net.Dialer by [Dialer]. Networks other than tcp, tcp4, tcp6 and unix go to
// package net as they are.
//
// # Engine
//
// Connections belong to an [Engine]: one io_uring and one operating system
// thread, or several of both on machines with many cores, see [Config].Rings.
// Each connection stays on the ring that it came to: the one with the fewest,
// or the one that a [Steering] chose. The package-level calls use [Default],
// which starts on first use.
//
// With few busy connections io_uring costs more than it saves, so an engine
// has two gears: connections wait in Go's netpoller, as package net's do, and
// on the ring while the engine finds that this serves many of them at once.
// See [Gear].
//
// # What Write promises
//
// Write returns when the kernel has the bytes, or, for a small one in
// [GearRing], when the engine has: it sends them within microseconds, those of
// many connections in one system call. Bytes are in order, and in the kernel
// when Close, CloseWrite or a later call of SyscallConn, File or ReadFrom goes
// on. As with bytes in a socket's send buffer, that they cannot be delivered
// is the next Read's, Write's or Close's error. A process that exits without
// Close may take the bytes of its last microseconds with it.
//
// # When package net serves instead
//
// Where io_uring cannot be set up (an older kernel, a sysctl, a container's
// seccomp filter, a memory limit, another operating system) the same calls
// return package net's own listeners and conns. [Engine.Stats] and [Probe]
// say so, and why; [Config.Require] makes it an [UnsupportedError] instead.
//
// # Differences from package net
//
//   - The dynamic types are *[Listener], *[Conn] and *[UnixConn], not
//     *net.TCPListener, *net.TCPConn and so on; they have the same methods, but
//     for AcceptTCP, AcceptUnix and the datagram calls of *net.UnixConn.
//   - net.Buffers cannot use writev on a foreign conn: it issues one Write
//     per slice. Join small slices first.
//   - Bytes, or a reset, that the ring received before a call of SyscallConn's
//     Read or of File stay with the Conn and are returned by its next Read.
//   - In GearRing the error of a small Write may come with the next call.
//   - TCP_NODELAY and keep-alive are set on the listening socket and inherited,
//     where net sets them on each accepted conn.
package quoit
