//go:build linux

package doctor

import (
	"encoding/binary"
	"reflect"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tryCall makes a system call with arguments that every kernel refuses, by
// other errors than those that say that the call itself is not for this
// process. io_uring_enter and io_uring_register know no sysctl and no security
// module before they look at their descriptor: what refuses them is a filter.
func tryCall(name string) Call {
	const none = ^uintptr(0) // no descriptor
	load := progLoad()
	args := map[string][4]uintptr{
		"io_uring_setup":    {unix.SYS_IO_URING_SETUP, 0, 0},
		"io_uring_enter":    {unix.SYS_IO_URING_ENTER, none},
		"io_uring_register": {unix.SYS_IO_URING_REGISTER, none},
		"bpf":               {unix.SYS_BPF, unix.BPF_PROG_LOAD, reflect.ValueOf(load).Pointer(), uintptr(len(load))},
	}[name]
	done := make(chan syscall.Errno, 1)
	go func() {
		_, _, errno := unix.Syscall6(args[0], args[1], args[2], args[3], 0, 0, 0)
		runtime.KeepAlive(load)
		done <- errno
	}()
	select {
	case errno := <-done:
		c := Call{Name: name, Answer: allowed}
		switch errno {
		case unix.EPERM, unix.EACCES, unix.ENOSYS:
			c.Answer, c.Errno = refused, errno
		}
		return c
	case <-time.After(callBound):
		return Call{Name: name, Answer: kills}
	}
}

// progLoad asks for a program of the kind that steering loads, with its
// instructions nowhere: who may load one is told EFAULT. What reflect has seen is
// on the heap, and does not move.
func progLoad() *[48]byte {
	attr := new([48]byte)
	binary.NativeEndian.PutUint32(attr[0:], unix.BPF_PROG_TYPE_SK_REUSEPORT)
	binary.NativeEndian.PutUint32(attr[4:], 1) // instruction
	return attr
}

// callBound is how long a call may take. None of them waits, but a filter may
// end the thread alone, which nobody else hears of.
const callBound = 2 * time.Second
