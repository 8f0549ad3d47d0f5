// Package quoit implements net.Listener and net.Conn on Linux io_uring.
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
// # When package net serves instead
//
// Where io_uring cannot be set up (an older kernel, a sysctl, a container's
// seccomp filter, a limit on memory or descriptors, another operating system),
// and on architectures other than amd64 and arm64 (see [Config].AnyArch), the
// same calls return package net's own listeners and conns. [Engine.Stats] and
// [Probe] say so, and why; [Config.Require] makes it an [UnsupportedError]
// instead. The environment can ask for it, by QUOIT=off, and decides some more: see
// [Config].
//
// # Seeing what it does
//
// [Engine.Stats] has what serves, and counters, which encode as JSON. Package debug shows
// them on a page, and programs as JSON, for quoit top; package debug/vars has
// expvar show them, and the module metrics/prometheus is a collector for Prometheus.
//
// # Differences from package net
//
// This list is complete as far as we know; what is missing in it is a bug. Page
// docs/differences.md has each by the same name, with what it costs and what to do.
//
// Always:
//
//   - Types: *[Listener], *[Conn] and *[UnixConn], not *net.TCPListener, *net.TCPConn
//     and so on. They have the same methods, but for AcceptTCP, AcceptUnix and the
//     datagram calls of *net.UnixConn. Code that asserts package net's types does
//     something else for ours, mostly silently: grpc-go sets TCP_USER_TIMEOUT on
//     *net.TCPConn only, so that without it a server keeps clients that vanish or
//     read nothing longer. Set [ListenConfig].UserTimeout. Programs that quoit build
//     has built keep package net's types.
//   - net.Buffers: its WriteTo, and so io.Copy from one, uses writev on package net's
//     own types only, and issues one Write per slice on others. Call [Conn.ReadFrom],
//     which makes one writev on *net.TCPConn, too, or WriteBuffers.
//   - Socket options: TCP_NODELAY and keep-alive are set on the listening socket and
//     inherited, where net sets them on each accepted conn. Those of a listener that is
//     taken over get a keep-alive of 15 s, whatever its ListenConfig had.
//   - Files: File of an accepted conn takes a second descriptor for a moment; where
//     there is none, or the socket is in blocking mode already, Fd of the result leaves
//     the mode as it is. It is called "tcp:...", and never "tcp4:..." or "tcp6:...".
//   - Descriptors: a listener has two, and so has each ring.
//   - Threads: each ring has an operating system thread while there are conns.
//   - Memory: a conn takes some 0.7 KB of heap more.
//   - Copies: io.Copy between two Conns waits in a channel receive, as stack dumps and
//     profiles show, and the thread of a ring forwards small messages for it. Urgent
//     data does not end it, as it does where splice(2) meets that, and a destination
//     that is shut brings no SIGPIPE.
//   - Copies from unix sockets: io.Copy between a UnixConn and a file or a conn of
//     package net goes by Read and Write, and so do its errors. So does io.CopyN from
//     a Conn to either.
//   - Blocking mode: where somebody has set a conn's socket to it, deadlines and Close
//     still end Read and Write; package net's wait for the system call.
//   - Bubbles: in one of testing/synctest a deadline that was made outside, with a
//     reading of the real clock, is compared with that and not with the bubble's.
//   - Taking over: [NewListener] and [NewConn] refuse what is not package net's own.
//   - Networks: only tcp, tcp4, tcp6 and unix are on the ring. Others go to package net
//     as they are.
//   - Dialers: [Dialer] and [ListenConfig] are types of their own, with package net's
//     fields but for Cancel and DualStack, and without DialTCP, DialUDP, DialIP, DialUnix
//     and ListenPacket. The context that a ControlContext gets ends with the dial.
//
// In [GearRing], also while [GearAuto] has chosen it:
//
//   - Delayed Writes: a Write of up to 8 KB may return when the conn has copied it, but
//     for the first one after each Read that brought something. It is sent with those
//     that follow by the conn's next Read, or by the ring's thread, mostly within
//     microseconds. So it is only on a conn that has read on within half a
//     millisecond after its last Writes: a conn whose caller computes after a Write
//     writes directly. The first time that such a conn does compute, its peer waits
//     for that, or for the ring's thread, which needs a processor. Never with
//     [Config].DirectWrites, nor on a conn that others may reach (SyscallConn, File,
//     [FileConn], [NewConn], a Dialer's Control). [Stats] has the delays.
//   - Lost Writes: what has been copied and not sent is lost if the process ends without
//     closing the conn: by os.Exit, a panic, a signal, exec, or when main
//     returns. Read, Close, CloseWrite, ReadFrom, SyscallConn and File have the
//     kernel take it first, but where that is short of memory: then it is sent for
//     up to a minute after Close has returned. It is lost with a ring that fails, too,
//     if it was on its way through it; nothing else is.
//   - Late errors: that such bytes cannot be delivered is the error of the next Read,
//     Write or Close, and a program that asked for SIGPIPE gets it with the next Write.
//   - Waiting: a Read that waits shows as a channel receive in stack dumps and profiles.
//
// In programs that quoit build has made the types are package net's, and the rest of
// the list holds for them. Besides:
//
//   - Private fields: a conn or listener of package net has no descriptor in its own.
//   - Early sockets: what listens or dials before the variables of the main package are
//     initialized, as a package may in its init, has package net's own sockets.
//   - Late options: TCP_NODELAY and keep-alive are set on a listening socket right after
//     it listens, and on what was established before that when it is accepted.
//   - Limited copies: ReadFrom of an *os.File copies from a conn behind an
//     io.LimitedReader; package net's is spliced. So does io.Copy between a conn of an
//     engine and one that package net serves.
//   - Versions: the program's module build list has quoit's requirements in it, which
//     may be newer versions than the program asks for.
package quoit
