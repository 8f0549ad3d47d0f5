//go:build linux

package engine

import (
	"time"

	"github.com/quoit-go/quoit/engine/internal/gear"
)

// Options size an engine. There are no defaults: Entries and Share are 1 or more, CPU is
// -1 for none. The functions may be nil.
type Options struct {
	Entries  int // submission queue, requests, a power of two
	Gear     Mode
	BusyPoll time.Duration // how long the thread, or a Read in GearPoll, looks before it sleeps
	Direct   bool          // no Write is batched
	CPU      int           // that the thread is pinned to, or -1
	Share    int           // engines that share the process's memory limit

	// Loaded is told the number of open conns whenever that changes, in order,
	// with a lock held. It must not block. May be nil.
	Loaded func(conns int)

	// Compared is told what a comparison of the gears found, Died what the ring died
	// of, on a goroutine that has nothing else to do. May be nil.
	Compared func(Report)
	Died     func(error)

	// AcceptFailed is told the error of an Accept that failed, by its caller. May be
	// nil.
	AcceptFailed func(error)
}

// Mode and Report are package gear's, for the root, which cannot import that.
type (
	Mode   = gear.Mode
	Report = gear.Report
)
