package overlay

// place is where a hook's code goes.
type place int

const (
	// atStart is before the first statement.
	atStart place = iota

	// afterGuard is after the first statement, which has to be
	//	if !RECEIVER.ok() { return ... }
	afterGuard

	// aroundResult is around all results of the last statement, a return, as
	// the last arguments of a call; code is the call up to there.
	aroundResult

	// atEnd is before the last statement, a return without results.
	atEnd
)

// A hook is what is inserted into one function of package net. In code, $0 is the
// name of the receiver, $1 that of the first parameter, and $r0 that of the first
// result.
type hook struct {
	recv, name string // of the receiver's type, "*conn"
	signature  string // without the names of parameters
	place      place
	code       string
}

// forward is the hook of a method that what has taken over the socket has, too.
// call is the call on it.
func forward(recv, name, signature, call string) hook {
	return hook{recv, name, signature, afterGuard, "if q := $0.fd.quoit; q != nil { return q." + call + " }"}
}

// forwardTCP is forward for methods that only TCP conns have.
func forwardTCP(name, signature, call string) hook {
	return hook{"*TCPConn", name, signature, afterGuard, "if q := $0.fd.quoit; q != nil { return q.(quoitTCP)." + call + " }"}
}

func forwardListener(recv, name, signature, call string) hook {
	return hook{recv, name, signature, afterGuard, "if q := $0.quoit; q != nil { return " + call + " }"}
}

// hooks is every change to a function of package net.
var hooks = []hook{
	// Sockets that are made.
	{"*sysListener", "listenTCPProto", "func(context.Context, *TCPAddr, int) (*TCPListener, error)", aroundResult, "quoitListenTCP($1, $0, "},
	{"*sysListener", "listenUnix", "func(context.Context, *UnixAddr) (*UnixListener, error)", aroundResult, "quoitListenUnix($1, $0, "},
	{"*sysDialer", "doDialTCPProto", "func(context.Context, *TCPAddr, *TCPAddr, int) (*TCPConn, error)", aroundResult, "quoitDialTCP($1, $0, "},
	{"*sysDialer", "dialUnix", "func(context.Context, *UnixAddr, *UnixAddr) (*UnixConn, error)", aroundResult, "quoitDialUnix($1, $0, "},
	{"", "FileListener", "func(*os.File) (Listener, error)", atEnd, "$r0, $r1 = quoitFileListener($1, $r0, $r1);"},
	{"", "FileConn", "func(*os.File) (Conn, error)", atEnd, "$r0, $r1 = quoitFileConn($1, $r0, $r1);"},

	// Conns of both kinds.
	forward("*conn", "Read", "func([]byte) (int, error)", "Read($1)"),
	forward("*conn", "Write", "func([]byte) (int, error)", "Write($1)"),
	forward("*conn", "Close", "func() error", "Close()"),
	forward("*conn", "LocalAddr", "func() Addr", "LocalAddr()"),
	forward("*conn", "RemoteAddr", "func() Addr", "RemoteAddr()"),
	forward("*conn", "SetDeadline", "func(time.Time) error", "SetDeadline($1)"),
	forward("*conn", "SetReadDeadline", "func(time.Time) error", "SetReadDeadline($1)"),
	forward("*conn", "SetWriteDeadline", "func(time.Time) error", "SetWriteDeadline($1)"),
	forward("*conn", "SetReadBuffer", "func(int) error", "SetReadBuffer($1)"),
	forward("*conn", "SetWriteBuffer", "func(int) error", "SetWriteBuffer($1)"),
	{"*conn", "File", "func() (*os.File, error)", atStart, "if $0.ok() && $0.fd.quoit != nil { return $0.fd.quoit.File() };"},
	forward("*conn", "writeBuffers", "func(*Buffers) (int64, error)", "WriteBuffers($1)"),

	// TCP conns.
	forward("*TCPConn", "SyscallConn", "func() (syscall.RawConn, error)", "SyscallConn()"),
	forward("*TCPConn", "CloseRead", "func() error", "CloseRead()"),
	forward("*TCPConn", "CloseWrite", "func() error", "CloseWrite()"),
	forwardTCP("SetLinger", "func(int) error", "SetLinger($1)"),
	forwardTCP("SetNoDelay", "func(bool) error", "SetNoDelay($1)"),
	forwardTCP("SetKeepAlive", "func(bool) error", "SetKeepAlive($1)"),
	forwardTCP("SetKeepAlivePeriod", "func(time.Duration) error", "SetKeepAlivePeriod($1)"),
	forwardTCP("SetKeepAliveConfig", "func(KeepAliveConfig) error", "SetKeepAliveConfig($1)"),
	forwardTCP("MultipathTCP", "func() (bool, error)", "MultipathTCP()"),
	{"*TCPConn", "ReadFrom", "func(io.Reader) (int64, error)", afterGuard, "if q := $0.fd.quoit; q != nil { return quoitReadFrom(q.(quoitTCP), $1) }"},
	{"*TCPConn", "WriteTo", "func(io.Writer) (int64, error)", afterGuard, "if q := $0.fd.quoit; q != nil { return quoitWriteTo(q.(quoitTCP), $1) }"},

	// A conn that has its socket, and another one that has not.
	{"*TCPConn", "readFrom", "func(io.Reader) (int64, error)", atStart, "if quoitSource($1) != nil { return genericReadFrom($0, $1) };"},
	{"*TCPConn", "writeTo", "func(io.Writer) (int64, error)", atStart, "if quoitOf($1) != nil { return genericWriteTo($0, $1) };"},

	// Unix conns.
	forward("*UnixConn", "SyscallConn", "func() (syscall.RawConn, error)", "SyscallConn()"),
	forward("*UnixConn", "CloseRead", "func() error", "CloseRead()"),
	forward("*UnixConn", "CloseWrite", "func() error", "CloseWrite()"),
	{"*UnixConn", "ReadMsgUnix", "func([]byte, []byte) (int, int, int, *UnixAddr, error)", afterGuard, "if q := $0.fd.quoit; q != nil { return q.(quoitUnix).ReadMsgUnix($1, $2) }"},
	{"*UnixConn", "WriteMsgUnix", "func([]byte, []byte, *UnixAddr) (int, int, error)", afterGuard, "if q := $0.fd.quoit; q != nil { return q.(quoitUnix).WriteMsgUnix($1, $2, $3) }"},
	{"*netFD", "readFrom", "func([]byte) (int, syscall.Sockaddr, error)", atStart, "if $0.quoit != nil { return quoitRecvfrom($0.quoit, $1) };"},
	{"*netFD", "writeTo", "func([]byte, syscall.Sockaddr) (int, error)", atStart, "if $0.quoit != nil { return quoitSendto($0.quoit, $1, $2) };"},

	// Listeners.
	forwardListener("*TCPListener", "SyscallConn", "func() (syscall.RawConn, error)", "q.SyscallConn()"),
	forwardListener("*TCPListener", "AcceptTCP", "func() (*TCPConn, error)", "quoitAcceptTCP($0)"),
	{"*TCPListener", "Accept", "func() (Conn, error)", afterGuard, "if $0.quoit != nil { c, err := quoitAcceptTCP($0); if err != nil { return nil, err }; return c, nil }"},
	forwardListener("*TCPListener", "Close", "func() error", "q.Close()"),
	forwardListener("*TCPListener", "SetDeadline", "func(time.Time) error", "q.SetDeadline($1)"),
	forwardListener("*TCPListener", "File", "func() (*os.File, error)", "q.File()"),
	forwardListener("*UnixListener", "SyscallConn", "func() (syscall.RawConn, error)", "q.SyscallConn()"),
	forwardListener("*UnixListener", "AcceptUnix", "func() (*UnixConn, error)", "quoitAcceptUnix($0)"),
	{"*UnixListener", "Accept", "func() (Conn, error)", afterGuard, "if $0.quoit != nil { c, err := quoitAcceptUnix($0); if err != nil { return nil, err }; return c, nil }"},
	forwardListener("*UnixListener", "Close", "func() error", "q.Close()"),
	forwardListener("*UnixListener", "SetDeadline", "func(time.Time) error", "q.SetDeadline($1)"),
	forwardListener("*UnixListener", "File", "func() (*os.File, error)", "q.File()"),
	{"*UnixListener", "SetUnlinkOnClose", "func(bool)", atStart, "if $0.quoit != nil { $0.quoit.SetUnlinkOnClose($1) };"},
}

// A field is added to a struct of package net.
type field struct {
	structName string
	code       string
	beside     []string // fields that the added file uses
}

var fields = []field{
	{"netFD", "quoit quoitConn", []string{"pfd poll.FD", "family int", "sotype int", "isConnected bool", "net string", "laddr Addr", "raddr Addr"}},
	{"TCPListener", "quoit quoitListener", []string{"fd *netFD", "lc ListenConfig"}},
	{"UnixListener", "quoit quoitListener", []string{"fd *netFD", "path string", "unlink bool"}},
}

// uses are what the added file calls of package net beyond its exported names.
var uses = []struct{ recv, name, signature string }{
	{"", "genericReadFrom", "func(*TCPConn, io.Reader) (int64, error)"},
	{"", "genericWriteTo", "func(*TCPConn, io.Writer) (int64, error)"},
	{"", "wrapSyscallError", "func(string, error) error"},
	{"*conn", "ok", "func() bool"},
}
