//go:build linux

package ring

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"os"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// Params choose a ring's size and mode.
type Params struct {
	// Entries is the size of the submission queue, 1 to 32768, rounded up to
	// a power of two.
	Entries uint32

	// CQEntries is the size of the completion queue, Entries to 65536,
	// rounded up to a power of two. 0 means the kernel's default of twice
	// Entries; anything else implies SetupCQSize.
	CQEntries uint32

	Flags SetupFlags

	// SQThreadIdle is how long the kernel's thread of a SetupSQPoll ring looks
	// for work before it sleeps, in whole milliseconds. 0 means the kernel's
	// default of a second.
	SQThreadIdle time.Duration

	// SQThreadCPU is the CPU that SetupSQAff ties that thread to.
	SQThreadCPU uint32

	// AttachFD is the fd of the ring whose worker threads, and with
	// SetupSQPoll whose submission thread, SetupAttachWQ shares.
	AttachFD int

	// Memory holds the queues of a SetupNoMmap ring: MemoryBytes bytes, mapped
	// by the caller and aligned to a page. Before Linux 6.14 it has to be one
	// page or one huge page. It must stay mapped until after Close, and a
	// while longer: the kernel ends a ring some time after its fd is closed.
	Memory []byte

	ignore Features // those of the kernel that New leaves out, for tests of older kernels
}

// check refuses by name what the kernel would answer with a bare EINVAL.
func (p *Params) check() *Error {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		return &Error{Op: opSetup, Errno: syscall.ENOSYS, Hint: "big-endian machines are not supported"}
	}
	why := p.checkSizes()
	if why == "" {
		why = p.checkFlags()
	}
	if why == "" {
		why = p.checkFields()
	}
	if why == "" {
		return nil
	}
	return refuse(opSetup, why)
}

func (p *Params) checkSizes() string {
	f := p.allFlags()
	switch {
	case p.Entries == 0:
		return "Entries is 0"
	case f&SetupCQSize != 0 && p.CQEntries == 0:
		return "CQSIZE needs CQEntries"
	case f&SetupClamp == 0 && p.Entries > maxEntries:
		return "Entries is over 32768, and CLAMP is not set"
	case f&SetupClamp == 0 && p.CQEntries > maxCQEntries:
		return "CQEntries is over 65536, and CLAMP is not set"
	case f&SetupCQSize != 0 && roundUp(p.CQEntries, maxCQEntries) < roundUp(p.Entries, maxEntries):
		return "CQEntries is less than Entries"
	}
	return ""
}

func (p *Params) checkFlags() string {
	f := p.allFlags()
	switch {
	case f>>len(setupNames) != 0:
		return "unknown flags in " + f.String()
	case f&SetupDeferTaskrun != 0 && f&SetupSingleIssuer == 0:
		return "DEFER_TASKRUN needs SINGLE_ISSUER"
	case f&SetupSQPoll != 0 && f&(SetupCoopTaskrun|SetupTaskrunFlag|SetupDeferTaskrun) != 0:
		return "SQPOLL excludes COOP_TASKRUN, TASKRUN_FLAG and DEFER_TASKRUN"
	case f&SetupTaskrunFlag != 0 && f&(SetupCoopTaskrun|SetupDeferTaskrun) == 0:
		return "TASKRUN_FLAG needs COOP_TASKRUN or DEFER_TASKRUN"
	case f&SetupSQAff != 0 && f&SetupSQPoll == 0:
		return "SQ_AFF needs SQPOLL"
	case f&SetupHybridIOPoll != 0 && f&SetupIOPoll == 0:
		return "HYBRID_IOPOLL needs IOPOLL"
	case f&SetupRegisteredFDOnly != 0 && f&SetupNoMmap == 0:
		return "REGISTERED_FD_ONLY needs NO_MMAP"
	case f&SetupCQE32 != 0 && f&SetupCQEMixed != 0:
		return "CQE32 excludes CQE_MIXED"
	}
	return ""
}

func (p *Params) checkFields() string {
	f := p.Flags
	switch {
	case p.SQThreadIdle < 0 || p.SQThreadIdle.Milliseconds() > 1<<32-1:
		return "SQThreadIdle is negative or over 49 days"
	case p.SQThreadIdle != 0 && f&SetupSQPoll == 0:
		return "SQThreadIdle needs SQPOLL"
	case p.SQThreadCPU != 0 && f&SetupSQAff == 0:
		return "SQThreadCPU needs SQ_AFF"
	case p.AttachFD != 0 && f&SetupAttachWQ == 0:
		return "AttachFD needs ATTACH_WQ"
	case p.Memory != nil && f&SetupNoMmap == 0:
		return "Memory needs NO_MMAP"
	case f&SetupNoMmap != 0 && len(p.Memory) < p.MemoryBytes():
		return fmt.Sprintf("NO_MMAP needs Memory of %d bytes", p.MemoryBytes())
	case f&SetupNoMmap != 0 && uintptr(unsafe.Pointer(unsafe.SliceData(p.Memory)))%uintptr(os.Getpagesize()) != 0:
		return "Memory is not aligned to a page"
	}
	return ""
}

// allFlags returns the flags that were asked for and those implied.
func (p *Params) allFlags() SetupFlags {
	if p.CQEntries != 0 {
		return p.Flags | SetupCQSize
	}
	return p.Flags
}

// kernel returns p as io_uring_setup takes it. It names p.Memory by address, so
// p must stay referenced until the call.
func (p *Params) kernel() *setupParams {
	idle := p.SQThreadIdle.Milliseconds()
	if idle == 0 && p.SQThreadIdle != 0 {
		idle = 1 // 0 would be the default
	}
	sp := &setupParams{
		flags: p.allFlags(), cqEntries: p.CQEntries,
		sqThreadCPU: p.SQThreadCPU, sqThreadIdle: uint32(idle),
	}
	if p.Flags&SetupAttachWQ != 0 {
		sp.wqFd = uint32(p.AttachFD)
	}
	if p.Flags&SetupNoMmap != 0 {
		sizes := p.sizes()
		base := unsafe.Pointer(unsafe.SliceData(p.Memory))
		sp.sqOff.userAddr = uint64(uintptr(base))
		sp.cqOff.userAddr = uint64(uintptr(unsafe.Add(base, sqeBytes(sizes))))
	}
	return sp
}

// MemoryBytes returns how long the Memory of a SetupNoMmap ring has to be.
func (p *Params) MemoryBytes() int {
	sp := p.sizes()
	rings := uintptr(ringHeaderBytes) + cqeBytes(sp)
	if sp.flags&SetupNoSQArray == 0 {
		rings += uintptr(sp.sqEntries) * 4
	}
	return int(sqeBytes(sp) + pageUp(rings))
}

// sizes returns the sizes that the kernel will choose.
func (p *Params) sizes() *setupParams {
	sp := &setupParams{flags: p.allFlags(), sqEntries: roundUp(p.Entries, maxEntries)}
	if sp.cqEntries = 2 * sp.sqEntries; p.CQEntries != 0 {
		sp.cqEntries = roundUp(p.CQEntries, maxCQEntries)
	}
	return sp
}

// roundUp returns the power of two that the kernel makes of n.
func roundUp(n, limit uint32) uint32 {
	if n >= limit {
		return limit
	}
	return 1 << bits.Len32(n-1)
}

func pageUp(n uintptr) uintptr {
	page := uintptr(os.Getpagesize())
	return (n + page - 1) &^ (page - 1)
}

// shiftSQ returns the binary logarithm of how many times 64 bytes one entry of
// the submission queue takes.
func shiftSQ(f SetupFlags) uint8 {
	if f&SetupSQE128 != 0 {
		return 1
	}
	return 0
}

// shiftCQ is shiftSQ for the completion queue and 16 bytes.
func shiftCQ(f SetupFlags) uint8 {
	if f&SetupCQE32 != 0 {
		return 1
	}
	return 0
}

// sqeBytes returns the size of the submission entries, in whole pages.
func sqeBytes(sp *setupParams) uintptr {
	return pageUp(uintptr(sp.sqEntries) * sizeofSQE << shiftSQ(sp.flags))
}

// cqeBytes returns the size of the completion entries.
func cqeBytes(sp *setupParams) uintptr {
	return uintptr(sp.cqEntries) * sizeofCQE << shiftCQ(sp.flags)
}

// Info is what the kernel made of Params.
type Info struct {
	SQEntries, CQEntries uint32
	Flags                SetupFlags
	Features             Features
	SQThreadCPU          uint32
	SQThreadIdle         time.Duration // what was asked for: 0 is the default
}

func newInfo(sp *setupParams) Info {
	return Info{
		SQEntries: sp.sqEntries, CQEntries: sp.cqEntries,
		Flags: sp.flags, Features: sp.features, SQThreadCPU: sp.sqThreadCPU,
		SQThreadIdle: time.Duration(sp.sqThreadIdle) * time.Millisecond,
	}
}

// String describes the ring for a person, such as
// "sq 8, cq 16, flags SQPOLL|CLAMP (idle 1s), features SINGLE_MMAP|NODROP".
func (i Info) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "sq %d, cq %d, flags %v", i.SQEntries, i.CQEntries, i.Flags)
	if i.Flags&SetupSQPoll != 0 {
		idle := i.SQThreadIdle
		if idle == 0 {
			idle = time.Second
		}
		fmt.Fprintf(&b, " (idle %v", idle)
		if i.Flags&SetupSQAff != 0 {
			fmt.Fprintf(&b, ", CPU %d", i.SQThreadCPU)
		}
		b.WriteByte(')')
	}
	fmt.Fprintf(&b, ", features %v", i.Features)
	return b.String()
}
