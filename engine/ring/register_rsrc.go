//go:build linux

package ring

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// RegisterBuffers pins iov's memory as the buffers 0 to len(iov)-1 of
// PrepReadFixed and its like. iov is read before it returns; the memory must
// be mapped, or referenced heap, until UnregisterBuffers. It counts against
// RLIMIT_MEMLOCK. At most 16384 buffers of up to 1 GiB. Only the ring's owner
// may call it. EBUSY means that there are some already, EFAULT that a buffer
// is not accessible, ENOMEM that the limit is reached. Linux 5.1.
func (r *Ring) RegisterBuffers(iov []unix.Iovec) error {
	return r.register(registerBuffers, unsafe.Pointer(unsafe.SliceData(iov)), uint32(len(iov)))
}

// RegisterBuffersTagged is RegisterBuffers with a tag for each buffer, or nil
// for none. When a buffer has been replaced and no request uses it any longer, a
// completion with the buffer's tag as UserData says so, unless the tag is 0.
// Since Linux 6.13 UnregisterBuffers brings about such completions, too; older
// kernels then drop the tags. Only the ring's owner may call it. Linux 5.13.
func (r *Ring) RegisterBuffersTagged(iov []unix.Iovec, tags []uint64) error {
	return r.registerTagged(registerBuffers2, unsafe.Pointer(unsafe.SliceData(iov)), len(iov), tags)
}

// RegisterBuffersSparse makes n empty places for UpdateBuffers to fill. Only
// the ring's owner may call it. Linux 5.19.
func (r *Ring) RegisterBuffersSparse(n int) error {
	return r.registerSparse(registerBuffers2, n)
}

// UpdateBuffers replaces the buffers from index first on, with tags or nil, and
// returns how many it replaced; an iov without memory empties a place. Memory,
// tags and other errors are RegisterBuffersTagged's. Only the ring's owner may call
// it. ENXIO means that no buffers are registered. Linux 5.13.
func (r *Ring) UpdateBuffers(first int, iov []unix.Iovec, tags []uint64) (int, error) {
	return r.updateTagged(registerBuffersUpdate, first, unsafe.Pointer(unsafe.SliceData(iov)), len(iov), tags)
}

// UnregisterBuffers ends the registration of all buffers. Before Linux 6.13 it
// waits until no request uses any of them; EINTR means that a signal came first,
// and that all are still registered. Since 6.13 it does not wait: the memory of a
// buffer must stay until the requests that use it have completed. Only the
// ring's owner may call it. ENXIO means that there are none. Linux 5.1.
func (r *Ring) UnregisterBuffers() error { return r.register(unregisterBuffers, nil, 0) }

// CloneFlags qualify CloneBuffers.
type CloneFlags uint32

// CloneReplace lets buffers replace those that are there:
// IORING_REGISTER_DST_REPLACE. Linux 6.13.
const CloneReplace CloneFlags = cloneDstReplace

// CloneBuffers makes n buffers of src from index srcFirst on this ring's too,
// from index first on; n of 0 means all. src must be another ring, and not in
// use elsewhere meanwhile. Only the ring's owner may call it. EBUSY means that
// this ring has buffers already, ENXIO that src has none. Linux 6.12; with
// indices or flags 6.13.
func (r *Ring) CloneBuffers(src *Ring, first, srcFirst, n int, flags CloneFlags) error {
	arg := cloneBuffers{
		srcFd: uint32(src.fd), flags: uint32(flags),
		srcOff: uint32(srcFirst), dstOff: uint32(first), nr: uint32(n),
	}
	if src.fd < 0 {
		arg.srcFd, arg.flags = uint32(src.enterFD), arg.flags|cloneSrcRegistered
	}
	return r.register(registerCloneBuffers, unsafe.Pointer(&arg), 1)
}

// RegisterFiles makes fds the registered files 0 to len(fds)-1, which requests
// with SQEFixedFile name by index; -1 leaves a place empty. The ring keeps
// each file open for itself: fds may be closed. Only the ring's owner may call
// it. EBUSY means that there are some already, EBADF that an fd is not open,
// EMFILE that there are more than RLIMIT_NOFILE. Linux 5.1.
func (r *Ring) RegisterFiles(fds []int32) error {
	return r.register(registerFiles, unsafe.Pointer(unsafe.SliceData(fds)), uint32(len(fds)))
}

// RegisterFilesTagged is RegisterFiles with a tag for each file, or nil for
// none: as for RegisterBuffersTagged. Only the ring's owner may call it.
// Linux 5.13.
func (r *Ring) RegisterFilesTagged(fds []int32, tags []uint64) error {
	return r.registerTagged(registerFiles2, unsafe.Pointer(unsafe.SliceData(fds)), len(fds), tags)
}

// RegisterFilesSparse makes n empty places, for UpdateFiles or requests that
// make direct files. Only the ring's owner may call it. Linux 5.19.
func (r *Ring) RegisterFilesSparse(n int) error {
	return r.registerSparse(registerFiles2, n)
}

// UpdateFiles replaces the files from index first on and returns how many places
// it did; -1 empties a place, FileSkip leaves it as it is. Only the ring's owner
// may call it. ENXIO means that no files are registered. Linux 5.5.
func (r *Ring) UpdateFiles(first int, fds []int32) (int, error) {
	arg := rsrcUpdate{offset: uint32(first), data: address(unsafe.Pointer(unsafe.SliceData(fds)))}
	n, err := r.registerRes(registerFilesUpdate, unsafe.Pointer(&arg), uint32(len(fds)))
	runtime.KeepAlive(fds)
	return n, err
}

// UpdateFilesTagged is UpdateFiles with tags, or nil for none. Only the ring's
// owner may call it. Linux 5.13.
func (r *Ring) UpdateFilesTagged(first int, fds []int32, tags []uint64) (int, error) {
	return r.updateTagged(registerFilesUpdate2, first, unsafe.Pointer(unsafe.SliceData(fds)), len(fds), tags)
}

// UnregisterFiles ends all registered files: each is closed once nothing uses
// it. Before Linux 6.13 it waits for that, as UnregisterBuffers does. Only the
// ring's owner may call it. ENXIO means that there are none. Linux 5.1.
func (r *Ring) UnregisterFiles() error { return r.register(unregisterFiles, nil, 0) }

// RegisterFileAllocRange has FileIndexAlloc choose among the n places from
// first on. Only the ring's owner may call it. EINVAL means that there are no
// such places. Linux 6.0.
func (r *Ring) RegisterFileAllocRange(first, n int) error {
	arg := fileIndexRange{off: uint32(first), len: uint32(n)}
	return r.register(registerFileAllocRange, unsafe.Pointer(&arg), 0)
}

func (r *Ring) registerTagged(op registerOp, data unsafe.Pointer, n int, tags []uint64) error {
	if tags != nil && len(tags) != n {
		return refuse(opRegister, "not as many tags as files or buffers")
	}
	arg := rsrcRegister{nr: uint32(n), data: address(data), tags: address(unsafe.Pointer(unsafe.SliceData(tags)))}
	err := r.register(op, unsafe.Pointer(&arg), uint32(unsafe.Sizeof(arg)))
	runtime.KeepAlive(data)
	runtime.KeepAlive(tags)
	return err
}

func (r *Ring) registerSparse(op registerOp, n int) error {
	arg := rsrcRegister{nr: uint32(n), flags: rsrcRegisterSparse}
	return r.register(op, unsafe.Pointer(&arg), uint32(unsafe.Sizeof(arg)))
}

func (r *Ring) updateTagged(op registerOp, first int, data unsafe.Pointer, n int, tags []uint64) (int, error) {
	if tags != nil && len(tags) != n {
		return 0, refuse(opRegister, "not as many tags as files or buffers")
	}
	arg := rsrcUpdate2{
		offset: uint32(first), nr: uint32(n),
		data: address(data), tags: address(unsafe.Pointer(unsafe.SliceData(tags))),
	}
	done, err := r.registerRes(op, unsafe.Pointer(&arg), uint32(unsafe.Sizeof(arg)))
	runtime.KeepAlive(data)
	runtime.KeepAlive(tags)
	return done, err
}

// RegisterBufRing makes mem, page-aligned memory for entries descriptors of
// 16 bytes, the ring of provided-buffer group bgid. entries is a power of two
// up to 32768. mem must not be Go heap, and must stay mapped until
// UnregisterBufRing or the ring's end; package pbuf does all this. EEXIST
// means that bgid is taken, or that this is not the issuer's thread. Only the
// ring's owner may call it. Linux 5.19.
func (r *Ring) RegisterBufRing(mem unsafe.Pointer, entries uint32, bgid uint16) error {
	return r.RegisterBufRingFlags(mem, entries, bgid, 0)
}

// RegisterBufRingFlags is RegisterBufRing with flags. With BufRingInc buffers are
// used up in parts: CQE.BufMore says of each completion whether the kernel goes on
// with its buffer. Only the ring's owner may call it. Linux 5.19; with
// BufRingInc 6.12.
func (r *Ring) RegisterBufRingFlags(mem unsafe.Pointer, entries uint32, bgid uint16, flags BufRingFlags) error {
	reg := bufReg{ringAddr: uint64(uintptr(mem)), ringEntries: entries, bgid: bgid, flags: uint16(flags)}
	return r.register(registerPbufRing, unsafe.Pointer(&reg), 1)
}

// MapBufRing is RegisterBufRingFlags in memory that the kernel allocates and
// MapBufRing maps, entries*16 bytes. The caller unmaps it after UnregisterBufRing.
// Only the ring's owner may call it, and not on a SetupRegisteredFDOnly ring.
// Linux 6.4.
func (r *Ring) MapBufRing(entries uint32, bgid uint16, flags BufRingFlags) ([]byte, error) {
	reg := bufReg{ringEntries: entries, bgid: bgid, flags: uint16(flags | bufRingMmap)}
	if err := r.register(registerPbufRing, unsafe.Pointer(&reg), 1); err != nil {
		return nil, err
	}
	mem, err := unix.Mmap(r.fd, offPbufRing|int64(bgid)<<offPbufShift, int(entries)*int(sizeofBuf),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		_ = r.UnregisterBufRing(bgid)
		return nil, wrapError(opMmap, err)
	}
	return mem, nil
}

const sizeofBuf = unsafe.Sizeof(buf{})

// BufRingHead returns how many buffers the kernel has taken from group bgid's
// ring, modulo 1<<16. Only the ring's owner may call it. ENOENT means that
// there is no such group, EINVAL that it is not a ring. Linux 6.8.
func (r *Ring) BufRingHead(bgid uint16) (uint16, error) {
	st := bufStatus{bufGroup: uint32(bgid)}
	err := r.register(registerPbufStatus, unsafe.Pointer(&st), 1)
	return uint16(st.head), err
}

// UnregisterBufRing ends group bgid: the kernel takes no more buffers from
// it. Those whose completions are not reaped stay valid. Only the ring's
// owner may call it. ENOENT means that there is no such group. Linux 5.19.
func (r *Ring) UnregisterBufRing(bgid uint16) error {
	reg := bufReg{bgid: bgid}
	return r.register(unregisterPbufRing, unsafe.Pointer(&reg), 1)
}
