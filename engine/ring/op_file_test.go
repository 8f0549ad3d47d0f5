//go:build linux

package ring

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
)

// do runs one request with one completion.
func do(t testing.TB, r *Ring, prep func(s *SQE)) CQE {
	t.Helper()
	prep(r.NextSQE())
	defer runtime.KeepAlive(prep) // and what it uses
	return reap(t, r, 1)[0]
}

// want runs one request that has to complete with res, or with an errno.
func want(t testing.TB, r *Ring, res any, prep func(s *SQE)) {
	t.Helper()
	c := do(t, r, prep)
	switch res := res.(type) {
	case int:
		if c.Res != int32(res) {
			t.Fatalf("res %d (%v), want %d", c.Res, c.Err(), res)
		}
	case syscall.Errno:
		if c.Err() != res {
			t.Fatalf("res %d (%v), want %v", c.Res, c.Err(), res)
		}
	}
}

// tempFile opens a new file to read and write.
func tempFile(t testing.TB, content string) int32 {
	t.Helper()
	fd, err := unix.Open(filepath.Join(t.TempDir(), "f"), unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Pwrite(fd, []byte(content), 0); err != nil {
		t.Fatal(err)
	}
	return closeLater(t, fd)
}

func contents(t testing.TB, fd int32) string {
	t.Helper()
	b := make([]byte, 1<<16)
	n, err := unix.Pread(int(fd), b, 0)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

// cstr is s for the kernel.
func cstr(t testing.TB, s string) *byte {
	t.Helper()
	p, err := unix.BytePtrFromString(s)
	if err != nil {
		t.Fatal(err)
	}
	return kept(t, p)
}

// iovecs are one for each of bs.
func iovecs(bs ...[]byte) []unix.Iovec {
	iov := make([]unix.Iovec, len(bs))
	for i, b := range bs {
		iov[i].Base = unsafe.SliceData(b)
		iov[i].SetLen(len(b))
	}
	return iov
}

// pipePair opens a pipe.
func pipePair(t testing.TB) (r, w int32) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	return closeLater(t, fds[0]), closeLater(t, fds[1])
}

func TestReadWrite(t *testing.T) {
	eachMode(t, Params{Entries: 8}, func(t *testing.T, r *Ring) {
		fd := tempFile(t, "")
		want(t, r, 5, func(s *SQE) { s.PrepWrite(fd, kept(t, []byte("hello")), 0, 1) })
		want(t, r, 6, func(s *SQE) { s.PrepWrite(fd, kept(t, []byte(" world")), 5, 1) })
		b := make([]byte, 20)
		want(t, r, 11, func(s *SQE) { s.PrepRead(fd, b, 0, 1) })
		if string(b[:11]) != "hello world" {
			t.Errorf("read %q", b)
		}
		want(t, r, 0, func(s *SQE) { s.PrepRead(fd, b, 11, 1) })
		for _, word := range []string{"hello", " worl"} { // the position moves
			want(t, r, 5, func(s *SQE) { s.PrepRead(fd, b[:5], CurrentOffset, 1) })
			if string(b[:5]) != word {
				t.Errorf("read %q, want %q", b[:5], word)
			}
		}
		x, y := make([]byte, 3), make([]byte, 4)
		want(t, r, 7, func(s *SQE) { s.PrepReadV(fd, kept(t, iovecs(x, y)), 2, 0, 1) })
		if string(x)+string(y) != "llo wor" {
			t.Errorf("readv %q, %q", x, y)
		}
		want(t, r, 4, func(s *SQE) {
			s.PrepWriteV(fd, kept(t, iovecs([]byte("AB"), kept(t, []byte("CD")))), 1, unix.RWF_DSYNC, 1)
		})
		if got := contents(t, fd); got != "hABCD world" {
			t.Errorf("file %q", got)
		}
		want(t, r, syscall.EOPNOTSUPP, func(s *SQE) { s.PrepReadV(fd, kept(t, iovecs(x)), 0, 1<<30, 1) })
		want(t, r, syscall.EBADF, func(s *SQE) { s.PrepRead(1<<30, b, 0, 1) })
		// Files without protection information say so.
		want(t, r, nil, func(s *SQE) { s.PrepRead(fd, b, 0, 1); s.SetAttrPI(kept(t, &AttrPI{})) })
	})
}

func TestFixedBuffers(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	fd, mem := tempFile(t, "0123456789"), anonymous(t, 8192)
	if err := r.RegisterBuffers(iovecs(mem[:4096], mem[4096:])); err != nil {
		t.Fatal(err)
	}
	want(t, r, 10, func(s *SQE) { s.PrepReadFixed(fd, mem[4096:4196], 0, 1, 1) })
	if string(mem[4096:4106]) != "0123456789" {
		t.Errorf("read %q", mem[4096:4106])
	}
	want(t, r, 3, func(s *SQE) { s.PrepWriteFixed(fd, mem[4098:4101], 7, 1, 1) })
	if got := contents(t, fd); got != "0123456234" {
		t.Errorf("file %q", got)
	}
	want(t, r, syscall.EFAULT, func(s *SQE) { s.PrepReadFixed(fd, mem[4096:4196], 0, 0, 1) })
	testenv.NeedKernel(t, "6.15")
	want(t, r, 6, func(s *SQE) { s.PrepReadVFixed(fd, kept(t, iovecs(mem[10:13], mem[0:3])), 0, 0, 0, 1) })
	if string(mem[:3])+string(mem[10:13]) != "345012" {
		t.Errorf("readv_fixed %q", mem[:13])
	}
	want(t, r, 6, func(s *SQE) { s.PrepWriteVFixed(fd, kept(t, iovecs(mem[0:3], mem[10:13])), 0, 0, 0, 1) })
	if got := contents(t, fd); got != "3450126234" {
		t.Errorf("file %q", got)
	}
}

func TestReadMultishot(t *testing.T) {
	testenv.NeedKernel(t, "6.7")
	r := newRing(t, Params{Entries: 8})
	g := newGroup(t, r, 4, 16)
	pr, pw := pipePair(t)
	r.NextSQE().PrepReadMultishot(pr, 0, CurrentOffset, g.ID(), 1)
	for _, msg := range []string{"one", "two"} {
		if _, err := r.Submit(); err != nil {
			t.Fatal(err)
		}
		unix.Write(int(pw), []byte(msg))
		c := reap(t, r, 1)[0]
		if got := takeBuffer(t, g, c); got != msg || !c.More() {
			t.Errorf("got %q, %v", got, c.Flags)
		}
	}
	cancel(t, r, 1)
	want(t, r, syscall.EBADFD, func(s *SQE) { s.PrepReadMultishot(tempFile(t, "x"), 0, 0, g.ID(), 1) })
}

func TestFileOps(t *testing.T) {
	eachMode(t, Params{Entries: 8}, func(t *testing.T, r *Ring) {
		fd := tempFile(t, "0123456789")
		want(t, r, 0, func(s *SQE) { s.PrepFsync(fd, 0, 1) })
		want(t, r, 0, func(s *SQE) { s.PrepFsync(fd, FsyncDatasync, 1) })
		want(t, r, 0, func(s *SQE) { s.PrepSyncFileRange(fd, 0, 10, unix.SYNC_FILE_RANGE_WRITE, 1) })
		want(t, r, 0, func(s *SQE) { s.PrepFallocate(fd, 0, 0, 100, 1) })
		if got := contents(t, fd); len(got) != 100 {
			t.Errorf("%d bytes after fallocate", len(got))
		}
		want(t, r, 0, func(s *SQE) { s.PrepFadvise(fd, 0, 100, unix.FADV_WILLNEED, 1) })
		mem := anonymous(t, 4096)
		mem[0] = 1
		want(t, r, 0, func(s *SQE) { s.PrepMadvise(mem, unix.MADV_DONTNEED, 1) })
		if mem[0] != 0 {
			t.Error("madvise did nothing")
		}
		want(t, r, syscall.EINVAL, func(s *SQE) { s.PrepFadvise(fd, 0, 0, 99, 1) })
		testenv.NeedKernel(t, "6.9")
		want(t, r, 0, func(s *SQE) { s.PrepFtruncate(fd, 4, 1) })
		if got := contents(t, fd); got != "0123" {
			t.Errorf("file %q", got)
		}
		testenv.NeedKernel(t, "6.11")
		want(t, r, 0, func(s *SQE) { s.PrepFadvise(fd, 0, 1<<33, unix.FADV_NORMAL, 1) })
	})
}

func TestSplice(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	in, out := tempFile(t, "0123456789"), tempFile(t, "")
	pr, pw := pipePair(t)
	pr2, pw2 := pipePair(t)
	want(t, r, 6, func(s *SQE) { s.PrepSplice(in, 2, pw, -1, 6, 0, 1) })
	want(t, r, 6, func(s *SQE) { s.PrepTee(pr, pw2, 100, 0, 1) })
	want(t, r, 6, func(s *SQE) { s.PrepSplice(pr, -1, out, 1, 100, unix.SPLICE_F_MOVE, 1) })
	if got := contents(t, out); got != "\x00234567" {
		t.Errorf("spliced %q", got)
	}
	b := make([]byte, 10)
	if n, _ := unix.Read(int(pr2), b); string(b[:n]) != "234567" {
		t.Errorf("tee %q", b[:n])
	}
	if err := r.RegisterFiles([]int32{in}); err != nil {
		t.Fatal(err)
	}
	want(t, r, 3, func(s *SQE) { s.PrepSplice(0, 7, pw, -1, 6, SpliceFDInFixed, 1) })
	want(t, r, syscall.EINVAL, func(s *SQE) { s.PrepSplice(in, 0, out, 0, 6, 0, 1) })
}

func TestPipe(t *testing.T) {
	testenv.NeedKernel(t, "6.16")
	r := newRing(t, Params{Entries: 8})
	fds := new([2]int32)
	want(t, r, 0, func(s *SQE) { s.PrepPipe(fds, unix.O_CLOEXEC, 1) })
	closeLater(t, int(fds[0]))
	closeLater(t, int(fds[1]))
	want(t, r, 3, func(s *SQE) { s.PrepWrite(fds[1], kept(t, []byte("abc")), CurrentOffset, 1) })
	b := make([]byte, 8)
	want(t, r, 3, func(s *SQE) { s.PrepRead(fds[0], b, CurrentOffset, 1) })
	if err := r.RegisterFilesSparse(4); err != nil {
		t.Fatal(err)
	}
	for _, slot := range []uint32{FileIndexAlloc, 2} {
		want(t, r, 0, func(s *SQE) { s.PrepPipeDirect(fds, 0, slot, 1) })
		if slot == 2 {
			fds[0], fds[1] = 2, 3
		}
		want(t, r, 3, func(s *SQE) { s.PrepWrite(fds[1], kept(t, []byte("abc")), CurrentOffset, 1); s.SetFlags(SQEFixedFile) })
		want(t, r, 3, func(s *SQE) { s.PrepRead(fds[0], b, CurrentOffset, 1); s.SetFlags(SQEFixedFile) })
	}
	want(t, r, syscall.ENFILE, func(s *SQE) { s.PrepPipeDirect(fds, 0, FileIndexAlloc, 1) })
}

func TestPaths(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	dir := t.TempDir()
	dfd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	at := closeLater(t, dfd)
	p := func(s string) *byte { return cstr(t, s) }
	want(t, r, 0, func(s *SQE) { s.PrepMkdirAt(at, p("d"), 0o700, 1) })
	want(t, r, syscall.EEXIST, func(s *SQE) { s.PrepMkdirAt(at, p("d"), 0o700, 1) })
	c := do(t, r, func(s *SQE) { s.PrepOpenAt(at, p("d/f"), unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o640, 1) })
	if c.Res < 0 {
		t.Fatal(c.Err())
	}
	fd := c.Res
	want(t, r, 4, func(s *SQE) { s.PrepWrite(fd, kept(t, []byte("data")), 0, 1) })
	want(t, r, 0, func(s *SQE) { s.PrepClose(fd, 1) })
	want(t, r, syscall.EBADF, func(s *SQE) { s.PrepClose(fd, 1) })
	how := &unix.OpenHow{Flags: unix.O_RDONLY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH}
	c = do(t, r, func(s *SQE) { s.PrepOpenAt2(at, p("d/f"), how, 1) })
	if c.Res < 0 {
		t.Fatal(c.Err())
	}
	want(t, r, 0, func(s *SQE) { s.PrepClose(c.Res, 1) })
	want(t, r, syscall.EXDEV, func(s *SQE) { s.PrepOpenAt2(at, p("/etc/passwd"), how, 1) })
	st := new(unix.Statx_t)
	want(t, r, 0, func(s *SQE) { s.PrepStatx(at, p("d/f"), 0, unix.STATX_SIZE|unix.STATX_MODE, st, 1) })
	if st.Size != 4 || st.Mode&0o777 != 0o640 {
		t.Errorf("statx: %d bytes, mode %o", st.Size, st.Mode)
	}
	want(t, r, 0, func(s *SQE) {
		s.PrepRenameAt(at, p("d/f"), unix.AT_FDCWD, p(filepath.Join(dir, "g")), unix.RENAME_NOREPLACE, 1)
	})
	want(t, r, 0, func(s *SQE) { s.PrepLinkAt(at, p("g"), at, p("h"), 0, 1) })
	want(t, r, 0, func(s *SQE) { s.PrepSymlinkAt(p("g"), at, p("l"), 1) })
	if b, err := os.ReadFile(filepath.Join(dir, "l")); err != nil || string(b) != "data" {
		t.Errorf("through the link: %q, %v", b, err)
	}
	want(t, r, 0, func(s *SQE) { s.PrepUnlinkAt(at, p("h"), 0, 1) })
	want(t, r, 0, func(s *SQE) { s.PrepUnlinkAt(at, p("d"), unix.AT_REMOVEDIR, 1) })
	want(t, r, syscall.ENOENT, func(s *SQE) { s.PrepUnlinkAt(at, p("d"), unix.AT_REMOVEDIR, 1) })
}

func TestXattr(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	closeLater(t, fd)
	file, attr, attr2 := cstr(t, name), cstr(t, "user.one"), cstr(t, "user.two")
	c := do(t, r, func(s *SQE) { s.PrepSetxattr(file, attr, kept(t, []byte("value")), unix.XATTR_CREATE, 1) })
	if c.Err() == syscall.EOPNOTSUPP { // of the file system: tmpfs before Linux 6.6
		t.Log("no user attributes here")
		return
	}
	if c.Res != 0 {
		t.Fatal(c.Err())
	}
	want(t, r, syscall.EEXIST, func(s *SQE) { s.PrepFsetxattr(int32(fd), attr, kept(t, []byte("x")), unix.XATTR_CREATE, 1) })
	want(t, r, 0, func(s *SQE) { s.PrepFsetxattr(int32(fd), attr2, kept(t, []byte("second")), 0, 1) })
	b := make([]byte, 16)
	want(t, r, 5, func(s *SQE) { s.PrepFgetxattr(int32(fd), attr, b, 1) })
	if !bytes.HasPrefix(b, []byte("value")) {
		t.Errorf("fgetxattr %q", b)
	}
	want(t, r, 6, func(s *SQE) { s.PrepGetxattr(file, attr2, b, 1) })
	if !bytes.HasPrefix(b, []byte("second")) {
		t.Errorf("getxattr %q", b)
	}
	want(t, r, 6, func(s *SQE) { s.PrepGetxattr(file, attr2, nil, 1) })
	want(t, r, syscall.ERANGE, func(s *SQE) { s.PrepGetxattr(file, attr2, b[:2], 1) })
	want(t, r, syscall.ENODATA, func(s *SQE) { s.PrepGetxattr(file, cstr(t, "user.none"), b, 1) })
}

// Files that only the ring knows.
func TestDirectFiles(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	name := filepath.Join(t.TempDir(), "f")
	file := cstr(t, name)
	open := func(slot uint32) func(s *SQE) {
		return func(s *SQE) { s.PrepOpenAtDirect(unix.AT_FDCWD, file, unix.O_RDWR|unix.O_CREAT, 0o600, slot, 1) }
	}
	want(t, r, syscall.ENXIO, open(0))
	if err := r.RegisterFilesSparse(3); err != nil {
		t.Fatal(err)
	}
	want(t, r, 0, open(2))
	want(t, r, 0, open(FileIndexAlloc))
	how := &unix.OpenHow{Flags: unix.O_RDONLY}
	want(t, r, 1, func(s *SQE) { s.PrepOpenAt2Direct(unix.AT_FDCWD, file, how, FileIndexAlloc, 1) })
	want(t, r, syscall.ENFILE, open(FileIndexAlloc))
	want(t, r, syscall.EINVAL, open(3))
	want(t, r, 3, func(s *SQE) { s.PrepWrite(2, kept(t, []byte("abc")), 0, 1); s.SetFlags(SQEFixedFile) })
	b := make([]byte, 8)
	want(t, r, 3, func(s *SQE) { s.PrepRead(1, b, 0, 1); s.SetFlags(SQEFixedFile) })
	want(t, r, 0, func(s *SQE) { s.PrepCloseDirect(1, 1) })
	want(t, r, syscall.EBADF, func(s *SQE) { s.PrepCloseDirect(1, 1) })
	fds := []int32{-1, tempFile(t, "other")}
	want(t, r, 2, func(s *SQE) { s.PrepFilesUpdate(fds, 1, 1) })
	want(t, r, 5, func(s *SQE) { s.PrepRead(2, b, 0, 1); s.SetFlags(SQEFixedFile) })
	fds = fds[1:]
	want(t, r, 1, func(s *SQE) { s.PrepFilesUpdate(fds, FileIndexAlloc, 1) })
	if fds[0] != 1 {
		t.Errorf("allocated %d", fds[0])
	}
	testenv.NeedKernel(t, "6.8")
	for _, f := range []InstallFlags{0, InstallNoCloexec} {
		c := do(t, r, func(s *SQE) { s.PrepFixedFDInstall(2, f, 1) })
		if c.Res < 0 {
			t.Fatal(c.Err())
		}
		fl, err := unix.FcntlInt(uintptr(c.Res), unix.F_GETFD, 0)
		if err != nil || (fl == unix.FD_CLOEXEC) != (f == 0) || contents(t, c.Res) != "other" {
			t.Errorf("installed with flags %#x, %v", fl, err)
		}
		unix.Close(int(c.Res))
	}
}
