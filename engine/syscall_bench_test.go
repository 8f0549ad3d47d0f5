//go:build linux

package engine

import (
	"net"
	"os"
	"reflect"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// An end makes a call on fd with p, which lies at at; -1 is an error.
type end func(b *testing.B, fd int, p []byte, at uintptr) (call func() int)

type syscallFunc func(nr, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2 uintptr, errno syscall.Errno)

func by(call syscallFunc, nr uintptr) end {
	return func(_ *testing.B, fd int, p []byte, at uintptr) func() int {
		return func() int {
			n, _, errno := call(nr, uintptr(fd), at, uintptr(len(p)), 0, 0, 0)
			if errno != 0 {
				return -1
			}
			return int(n)
		}
	}
}

func byUnix(call func(int, []byte) (int, error)) end {
	return func(_ *testing.B, fd int, p []byte, _ uintptr) func() int {
		return func() int { n, _ := call(fd, p); return n }
	}
}

// viaFile wraps read in the RawConn of an os.File.
func viaFile(read end) end {
	return func(b *testing.B, fd int, p []byte, at uintptr) func() int {
		file := os.NewFile(uintptr(must(b)(unix.Dup(fd))), "")
		b.Cleanup(func() { file.Close() })
		rc, _ := file.SyscallConn()
		n, read := 0, read(b, fd, p, at)
		f := func(uintptr) bool { n = read(); return true }
		return func() int { try(b, rc.Read(f)); return n }
	}
}

// BenchmarkSocketCalls times one 64-byte write, read, and read of nothing, as
// medians of batches.
func BenchmarkSocketCalls(b *testing.B) {
	for _, bb := range []struct {
		by          string
		write, read end
	}{
		{"unix", byUnix(unix.Write), byUnix(unix.Read)},
		{"syscall", by(syscall.Syscall6, unix.SYS_WRITE), by(syscall.Syscall6, unix.SYS_READ)},
		{"raw", by(syscall.RawSyscall6, unix.SYS_WRITE), by(syscall.RawSyscall6, unix.SYS_READ)},
		{"syscall-sendrecv", by(syscall.Syscall6, unix.SYS_SENDTO), by(syscall.Syscall6, unix.SYS_RECVFROM)},
		{"raw-sendrecv", by(syscall.RawSyscall6, unix.SYS_SENDTO), by(syscall.RawSyscall6, unix.SYS_RECVFROM)},
		{"rawconn-unix", byUnix(unix.Write), viaFile(byUnix(unix.Read))},
		{"rawconn-raw", by(syscall.RawSyscall6, unix.SYS_WRITE), viaFile(by(syscall.RawSyscall6, unix.SYS_READ))},
	} {
		b.Run("by="+bb.by, func(b *testing.B) {
			c, s := tcpPair(b)
			p := make([]byte, 64)
			at := reflect.ValueOf(p).Pointer() // p is kept by the calls
			const batch = 16
			times := func(call func() int, want int, into *[]int64) {
				start := time.Now()
				for range batch {
					if n := call(); n != want {
						b.Fatalf("%d, want %d", n, want)
					}
				}
				*into = append(*into, int64(time.Since(start)))
			}
			write, read := bb.write(b, c, p, at), bb.read(b, s, p, at)
			var tw, tr, te []int64
			for b.Loop() {
				times(write, len(p), &tw)
				times(read, len(p), &tr)
				times(read, -1, &te)
			}
			b.ReportMetric(median(tw)/batch, "write-ns")
			b.ReportMetric(median(tr)/batch, "read-ns")
			b.ReportMetric(median(te)/batch, "eagain-ns")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkAcceptClose times what a server does for a connection it only
// accepts and closes (median).
func BenchmarkAcceptClose(b *testing.B) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	try(b, err)
	defer ln.Close()
	file, err := ln.(*net.TCPListener).File()
	try(b, err)
	defer file.Close()
	bare := func() int {
		fd, _, err := unix.Accept4(int(file.Fd()), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		return must(b)(fd, err)
	}
	sa := &unix.SockaddrInet4{Port: ln.Addr().(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}
	for _, bb := range []struct {
		by  string
		run func() error
	}{
		{"bare", func() error { return unix.Close(bare()) }},
		{"newfile", func() error { return os.NewFile(uintptr(bare()), "").Close() }},
		{"net", func() error { c, err := ln.Accept(); try(b, err); return c.Close() }},
	} {
		b.Run("by="+bb.by, func(b *testing.B) {
			var took []int64
			for b.Loop() {
				fd := connected(b, sa)
				start := time.Now()
				err := bb.run()
				took = append(took, int64(time.Since(start)))
				try(b, err)
				try(b, unix.Close(fd))
			}
			b.ReportMetric(median(took), "accept+close-ns")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkSocketQuery times asking a socket about its queues.
func BenchmarkSocketQuery(b *testing.B) {
	_, s := tcpPair(b)
	buf, size := make([]byte, 256), []uint32{0}
	at, sizeAt := reflect.ValueOf(buf).Pointer(), reflect.ValueOf(size).Pointer()
	getsockopt := func(level, opt uintptr, n uint32) [6]uintptr {
		return [6]uintptr{unix.SYS_GETSOCKOPT, level, opt, at, sizeAt, uintptr(n)}
	}
	ioctl := func(nr uintptr) [6]uintptr { return [6]uintptr{unix.SYS_IOCTL, nr, at} }
	for _, bb := range []struct {
		of   string
		args [6]uintptr
	}{
		{"SO_MEMINFO", getsockopt(unix.SOL_SOCKET, unix.SO_MEMINFO, 36)},
		{"SO_ERROR", getsockopt(unix.SOL_SOCKET, unix.SO_ERROR, 4)},
		{"TCP_INFO", getsockopt(unix.IPPROTO_TCP, unix.TCP_INFO, 248)},
		{"SIOCOUTQ", ioctl(unix.SIOCOUTQ)},
		{"SIOCINQ", ioctl(unix.SIOCINQ)},
		{"nothing", [6]uintptr{unix.SYS_GETPPID}},
	} {
		a := bb.args
		for by, call := range map[string]syscallFunc{
			"raw": syscall.RawSyscall6, "syscall": syscall.Syscall6,
		} {
			b.Run("of="+bb.of+"/by="+by, func(b *testing.B) {
				for b.Loop() {
					size[0] = uint32(a[5])
					if _, _, errno := call(a[0], uintptr(s), a[1], a[2], a[3], a[4], 0); errno != 0 {
						b.Fatal(errno)
					}
				}
			})
		}
	}
}
