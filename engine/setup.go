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

// setupRing sets up the largest ring that the limits allow, up to entries.
func setupRing(entries int) (*ring.Ring, error) {
	for {
		r, err := newRing(entries, setupFlags|ring.SetupNoSQArray)
		if errors.Is(err, unix.EINVAL) { // NO_SQARRAY is Linux 6.6
			r, err = newRing(entries, setupFlags)
		}
		switch {
		case err == nil:
			if err := usable(r); err != nil {
				r.Close()
				return nil, err
			}
			return r, nil
		case errors.Is(err, unix.EINVAL):
			return nil, &MissingError{"IORING_SETUP_DEFER_TASKRUN", "6.1", err}
		case !errors.Is(err, unix.ENOMEM) || entries <= minEntries:
			return nil, err
		}
		entries /= 2
	}
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

// setupGroup registers the largest buffer group that the limits allow.
func setupGroup(r *ring.Ring, cfg Config) (*pbuf.Group, error) {
	for n := cfg.Buffers; ; n /= 2 {
		g, err := pbuf.New(r, bufferGroup, n, cfg.BufferBytes)
		if err == nil || !errors.Is(err, unix.ENOMEM) || n <= minEntries {
			return g, err
		}
	}
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
	r, err := setupRing(cfg.Entries)
	if err != nil {
		s.Err = err
		return s
	}
	defer r.Close()
	s.Ring, s.Features = r.Flags(), r.Features()
	g, err := setupGroup(r, cfg)
	if err != nil {
		s.Err = err
		return s
	}
	defer g.Close()
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
