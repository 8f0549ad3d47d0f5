//go:build linux

package sock

import (
	"os"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Words is memory shared with the kernel, as 64-bit words in the machine's
// byte order. Its methods are for any goroutine.
type Words struct {
	mem []byte
	w   []atomic.Uint64
}

// MapWords maps the first n words of fd, such as that of a BPF map made with
// BPF_F_MMAPABLE (Linux 5.5). fd may be closed afterwards; what it refers to
// lives until Release, or until the Words is collected.
func MapWords(fd, n int) (*Words, error) {
	mem, err := unix.Mmap(fd, 0, 8*n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	w := &Words{mem: mem, w: unsafe.Slice((*atomic.Uint64)(unsafe.Pointer(unsafe.SliceData(mem))), n)}
	runtime.AddCleanup(w, func(mem []byte) { _ = unix.Munmap(mem) }, mem)
	return w, nil
}

// Release lets go of what was mapped at once, and puts zeroed private memory
// into its place: calls that come too late do no harm, so nobody needs to know
// whether there are any. That memory goes when the Words is collected.
func (w *Words) Release() error {
	_, err := unix.MmapPtr(-1, 0, unsafe.Pointer(unsafe.SliceData(w.mem)), uintptr(len(w.mem)),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_FIXED)
	runtime.KeepAlive(w)
	return os.NewSyscallError("mmap", err)
}

// Len returns how many words there are.
func (w *Words) Len() int { return len(w.w) }

// The collector does not see that a word belongs to w: hence KeepAlive.

func (w *Words) Load(i int) uint64 {
	v := w.w[i].Load()
	runtime.KeepAlive(w)
	return v
}

func (w *Words) Store(i int, v uint64) {
	w.w[i].Store(v)
	runtime.KeepAlive(w)
}

func (w *Words) Add(i int, delta uint64) uint64 {
	v := w.w[i].Add(delta)
	runtime.KeepAlive(w)
	return v
}
