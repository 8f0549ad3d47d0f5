//go:build linux

package ring

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// product says where the descriptors are that a request makes or receives. They
// belong to whoever sees its completion.
type product uint8

const (
	makesNone   product = iota
	makesResult         // Res
	makesPipe           // a [2]int32 in memory
	makesRights         // the control data of a Msghdr in memory
)

// productOf returns what e makes, and the memory that it will be in. It leaves out
// direct descriptors, which the kernel closes with the ring.
func productOf(e *SQE) (product, unsafe.Pointer) {
	switch e.Opcode {
	case OpAccept, OpOpenAt, OpOpenAt2, OpSocket:
		if e.FileIndex == 0 {
			return makesResult, nil
		}
	case OpFixedFDInstall:
		return makesResult, nil
	case OpPipe:
		if e.FileIndex == 0 {
			return makesPipe, *pointerIn(&e.Addr)
		}
	case OpRecvMsg:
		if e.Flags&SQEBufferSelect == 0 || e.Ioprio&recvMultishot == 0 {
			return makesRights, *pointerIn(&e.Addr)
		}
	}
	return makesNone, nil
}

// pointerIn returns field as the pointer that a Prep has put there, whose memory
// Request.Keep keeps.
func pointerIn(field *uint64) *unsafe.Pointer {
	return (*unsafe.Pointer)(unsafe.Pointer(field))
}

// discard closes the descriptors of a completion that nobody sees.
func (p product) discard(c *CQE, memory unsafe.Pointer) {
	if c.Res < 0 {
		return
	}
	switch p {
	case makesResult:
		_ = unix.Close(int(c.Res))
	case makesPipe:
		for _, fd := range (*[2]int32)(memory) {
			_ = unix.Close(int(fd))
		}
	case makesRights:
		m := (*unix.Msghdr)(memory)
		if m.Control == nil {
			return
		}
		msgs, err := unix.ParseSocketControlMessage(unsafe.Slice(m.Control, m.Controllen))
		if err != nil {
			return
		}
		for i := range msgs {
			fds, _ := unix.ParseUnixRights(&msgs[i])
			for _, fd := range fds {
				_ = unix.Close(fd)
			}
		}
	}
}
