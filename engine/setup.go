//go:build linux

package engine

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/ring"
)

// AffinityError says that an engine's thread cannot run on its Options.CPU.
type AffinityError struct {
	CPU int
	Err error
}

func (e *AffinityError) Error() string { return fmt.Sprintf("engine: CPU %d: %v", e.CPU, e.Err) }
func (e *AffinityError) Unwrap() error { return e.Err }

const (
	// minEntries is the smallest queue that the engine shrinks to by itself.
	minEntries = 32

	// cqPerSQ is how many completions there is room for per submission entry.
	// Multishot requests complete many times.
	cqPerSQ = 8

	sqeBytes, cqeBytes = 64, 16 // of one entry
)

const setupFlags = ring.SetupSubmitAll | ring.SetupSingleIssuer | ring.SetupDeferTaskrun | ring.SetupTaskrunFlag

// neededFeatures come with every kernel that has DEFER_TASKRUN.
const neededFeatures = ring.FeatNodrop | ring.FeatExtArg | ring.FeatCQESkip

// setupRing sets up a ring, as large as cfg asks for or as the memory limit
// allows.
func setupRing(cfg Options) (*ring.Ring, error) {
	for entries := fit(cfg.Entries, cfg.Share); ; entries = smaller(entries) {
		r, err := tryRing(entries)
		if !errors.Is(err, unix.ENOMEM) || entries <= minEntries {
			return r, err
		}
		time.Sleep(5 * time.Millisecond) // the kernel gives memory back after a while
	}
}

// fit shrinks a ring to its share of half of RLIMIT_MEMLOCK, which all rings of
// a user share. A user exempt from the limit has no need of one that small.
func fit(entries, share int) int {
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &lim) != nil {
		return entries
	}
	const perEntry = sqeBytes + cqeBytes*cqPerSQ
	for uint64(share*entries*perEntry) > lim.Cur/2 && entries > minEntries {
		entries = smaller(entries)
	}
	return entries
}

// smaller halves n, but not below what the engine shrinks to.
func smaller(n int) int { return min(n, max(n/2, minEntries)) }

func tryRing(entries int) (*ring.Ring, error) {
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

// newRing sets up a ring that is restricted if that is possible. A refusal of only that,
// such as a security module's, does not keep the ring from being made.
func newRing(entries int, flags ring.SetupFlags) (*ring.Ring, error) {
	p := ring.Params{Entries: uint32(entries), CQEntries: min(uint32(entries)*cqPerSQ, 65536), Flags: flags}
	if mayRestrict() {
		p.Flags |= ring.SetupRDisabled
		r, err := ring.New(&p)
		if err != nil {
			return nil, err
		}
		if restrict(r) == nil {
			return r, nil
		}
		r.Close()
		p.Flags = flags
	}
	return ring.New(&p)
}

// Found is what Probe found out.
type Found struct {
	Err      error // why New would fail; nil if it would not
	Ring     ring.SetupFlags
	Features ring.Features
	Limited  bool // the memory limit made the ring smaller than asked for
	Entries  int  // of the submission queue
	Bytes    int  // of memory that the queues take
}

// Probe sets up what New(cfg) would, looks at it and takes it down.
func Probe(cfg Options) Found {
	done := make(chan Found, 1)
	go func() { // not on a thread that the caller has changed
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		done <- probe(cfg)
	}()
	return <-done
}

func probe(cfg Options) (s Found) {
	if s.Err = checkFiles(); s.Err != nil {
		return s
	}
	r, err := setupRing(cfg)
	if err != nil {
		s.Err = err
		return s
	}
	defer r.Close()
	s.Ring, s.Features = r.Flags(), r.Features()
	s.Entries = int(r.SQEntries())
	s.Bytes = s.Entries*sqeBytes + int(r.CQEntries())*cqeBytes
	s.Limited = s.Entries < cfg.Entries
	return s
}

// KernelRelease is uname(2)'s, "" if that failed.
func KernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// NoSQArray reports whether the ring does without an index array.
func (s Found) NoSQArray() bool { return s.Ring&ring.SetupNoSQArray != 0 }

// Restricted reports whether the ring takes none but the engine's requests.
func (s Found) Restricted() bool { return s.Ring&ring.SetupRDisabled != 0 }

// NoIowait reports whether waiting can be kept out of the iowait statistics.
func (s Found) NoIowait() bool { return s.Features&ring.FeatNoIowait != 0 }
