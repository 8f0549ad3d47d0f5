//go:build linux

package engine

import (
	"errors"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/pbuf"
	"github.com/quoit-go/quoit/engine/ring"
)

const (
	// minEntries is the smallest queue, and group, that the engine shrinks to
	// by itself.
	minEntries = 32

	// cqPerSQ is how many completions there is room for per submission entry.
	// Multishot requests complete many times.
	cqPerSQ = 8

	bufferGroup = 0
)

const setupFlags = ring.SetupSubmitAll | ring.SetupSingleIssuer | ring.SetupDeferTaskrun | ring.SetupTaskrunFlag

// neededFeatures come with every kernel that has DEFER_TASKRUN.
const neededFeatures = ring.FeatNodrop | ring.FeatExtArg | ring.FeatCQESkip

// MissingError says which kernel feature the engine cannot do without.
type MissingError struct {
	Feature   string
	MinKernel string
	Err       error
}

func (e *MissingError) Error() string {
	return e.Feature + " (Linux " + e.MinKernel + "): " + e.Err.Error()
}

func (e *MissingError) Unwrap() error { return e.Err }

// setupMemory sets up a ring and a buffer group, as large as cfg asks for or
// as the memory limit allows.
func setupMemory(cfg Config) (*ring.Ring, *pbuf.Group, error) {
	entries, buffers := fit(cfg.Entries, cfg.Buffers, cfg.Share)
	for {
		r, err := setupRing(entries)
		if err == nil {
			var g *pbuf.Group
			if g, err = pbuf.New(r, bufferGroup, buffers, cfg.BufferBytes); err == nil {
				return r, g, nil
			}
			r.Close()
		}
		if !errors.Is(err, unix.ENOMEM) || entries <= minEntries && buffers <= minEntries {
			return nil, nil, err
		}
		entries, buffers = smaller(entries), smaller(buffers)
		time.Sleep(5 * time.Millisecond) // the kernel gives memory back after a while
	}
}

// fit shrinks a ring and a group to their share of half of RLIMIT_MEMLOCK,
// which all rings of a user share. Who is exempt from the limit has no need of
// one that small.
func fit(entries, buffers, share int) (int, int) {
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &lim) != nil {
		return entries, buffers
	}
	const perEntry, perBuffer = 64 + 16*cqPerSQ, 16 // bytes
	for uint64(share*(entries*perEntry+buffers*perBuffer)) > lim.Cur/2 && (entries > minEntries || buffers > minEntries) {
		entries, buffers = smaller(entries), smaller(buffers)
	}
	return entries, buffers
}

// smaller halves n, but not below what the engine shrinks to.
func smaller(n int) int { return min(n, max(n/2, minEntries)) }

func setupRing(entries int) (*ring.Ring, error) {
	r, err := newRing(entries, setupFlags|ring.SetupNoSQArray)
	if errors.Is(err, unix.EINVAL) { // NO_SQARRAY is Linux 6.6
		r, err = newRing(entries, setupFlags)
	}
	switch {
	case errors.Is(err, unix.EINVAL):
		return nil, &MissingError{"IORING_SETUP_DEFER_TASKRUN", "6.1", err}
	case err != nil:
		return nil, err
	}
	if err := usable(r); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// usable looks for what setup alone does not tell: a filter may let it pass
// and refuse the rest.
func usable(r *ring.Ring) error {
	if missing := neededFeatures &^ r.Features(); missing != 0 {
		return &MissingError{missing.String(), "6.1", errors.ErrUnsupported}
	}
	_, err := r.SubmitAndGet()
	return err
}

func newRing(entries int, flags ring.SetupFlags) (*ring.Ring, error) {
	cq := min(uint32(entries)*cqPerSQ, 65536)
	return ring.New(&ring.Params{Entries: uint32(entries), CQEntries: cq, Flags: flags})
}

// hasOptLen reports whether a multishot receive can be bounded in bytes
// (Linux 6.17), by trying it: older kernels refuse the field.
func hasOptLen(r *ring.Ring, bgid uint16) bool {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(pair[1])
	s := r.NextSQE()
	s.PrepRecvMultishot(int32(pair[0]), bgid, 4096, 0)
	s.SetPollFirst()
	_ = unix.Shutdown(pair[1], unix.SHUT_RDWR) // ends the receive where it is not refused
	_, err = r.SubmitAndWait(1, time.Second)
	var cqe [1]ring.CQE
	ok := err == nil && r.PeekCQEs(cqe[:]) == 1 && cqe[0].Res == 0
	unix.Close(pair[0])
	return ok
}

// Support is what Probe found out.
type Support struct {
	Err      error // why New would fail; nil if it would not
	Kernel   string
	Ring     ring.SetupFlags
	Features ring.Features
	OptLen   bool
	Limited  bool // the memory limit made the ring smaller than asked for
}

// Probe sets up what New(cfg) would, looks at it and takes it down.
func Probe(cfg Config) Support {
	done := make(chan Support, 1)
	go func() { // a thread of its own, which ends with its ring
		runtime.LockOSThread()
		done <- probe(cfg)
	}()
	return <-done
}

func probe(cfg Config) (s Support) {
	s.Kernel = release()
	r, g, err := setupMemory(cfg)
	if err != nil {
		s.Err = err
		return s
	}
	defer r.Close()
	defer g.Close()
	s.Ring, s.Features = r.Flags(), r.Features()
	s.OptLen = hasOptLen(r, g.ID())
	s.Limited = int(r.SQEntries()) < cfg.Entries || g.Entries() < cfg.Buffers
	return s
}

func release() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// NoSQArray reports whether the ring does without an index array.
func (s Support) NoSQArray() bool { return s.Ring&ring.SetupNoSQArray != 0 }

// NoIowait reports whether waiting can be kept out of the iowait statistics.
func (s Support) NoIowait() bool { return s.Features&ring.FeatNoIowait != 0 }

// Sockaddr is where Connect connects to.
type Sockaddr = ring.Sockaddr
