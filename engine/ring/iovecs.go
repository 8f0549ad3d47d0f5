//go:build linux

package ring

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Iovecs is the memory of a vectored request, such as PrepReadV, PrepSendV and
// RegisterBuffers take it. It is pinned from NewIovecs until Unpin: it stays where
// it is, and there, although nothing else refers to it.
//
// Its bytes are the caller's until the request is submitted, then the kernel's
// until the request's last completion, or of RegisterBuffers until
// UnregisterBuffers; then they are the caller's again, who calls Unpin. An
// Iovecs may serve another request before that. If one is forgotten, nothing refers to
// it any more and Unpin was not called, the collector panics: the kernel may still
// use the memory.
type Iovecs struct {
	iov    []unix.Iovec
	pinner runtime.Pinner
}

// NewIovecs makes an Iovecs of bufs' memory, in their order, and pins it. A buf may
// be empty, and may lie in the heap, in mapped memory or in a variable; bufs itself
// is not kept. Linux takes up to 1024 in one request.
func NewIovecs(bufs ...[]byte) *Iovecs {
	v := &Iovecs{iov: make([]unix.Iovec, len(bufs))}
	for i, b := range bufs {
		base := unsafe.SliceData(b)
		if v.iov[i].SetLen(len(b)); len(b) == 0 {
			continue
		}
		v.iov[i].Base = base
		v.pinner.Pin(base)
	}
	if len(bufs) > 0 {
		v.pinner.Pin(unsafe.SliceData(v.iov))
	}
	return v
}

// Slice returns the list for a Prep or a registration. It is valid until Unpin,
// and the caller must not append to it.
func (v *Iovecs) Slice() []unix.Iovec { return v.iov }

// Unpin ends the pinning; a second call does nothing. No request may use the
// memory any longer. v is empty after it. Only one goroutine at a time may call it.
func (v *Iovecs) Unpin() {
	v.pinner.Unpin()
	v.iov = nil
}
