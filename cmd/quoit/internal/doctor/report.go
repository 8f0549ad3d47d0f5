package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/environ"
)

// Exit statuses.
const (
	exitRing  = 0 // io_uring serves
	exitNet   = 1 // package net serves
	exitUsage = 2 // nothing was found out, or nothing serves
)

// Report is what doctor found. Its JSON is documented in
// docs/troubleshooting.md.
type Report struct {
	Version string `json:"version"` // of quoit
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	Kernel  string `json:"kernel"` // release, "" if unknown
	CPUs    int    `json:"cpus"`   // that the program may use, GOMAXPROCS
	Forced  string `json:"forced"` // what the environment has, such as QUOIT=off

	Serves string   `json:"serves"`      // one of the Serves constants
	Status int      `json:"exit_status"` // of the command
	Error  *Failure `json:"error"`       // what stands in the way of io_uring, or nil

	Calls        []Call       `json:"system_calls"`
	Sysctl       Sysctl       `json:"sysctl"`
	Seccomp      Seccomp      `json:"seccomp"`
	Namespace    string       `json:"user_namespace"` // one of the namespaces
	Capabilities []Capability `json:"capabilities"`
	Locked       Locked       `json:"locked_memory"`
	Memory       Memory       `json:"memory"`
	Files        Files        `json:"files"`
	Engine       Engine       `json:"engine"`
	Features     []Feature    `json:"features"`
	SelfTest     []Trip       `json:"self_test"`
	Findings     []Finding    `json:"findings"`

	noProc bool  // /proc cannot be read
	child  error // why no trial could be started, or nil
	env    environ.Settings
}

// What serves the listeners of a program here.
const (
	ServesRing    = "io_uring"
	ServesNet     = "net"
	ServesNothing = "nothing" // the self-test failed, or io_uring ends the program
)

// Failure is an error, in a form that crosses to another process.
type Failure struct {
	Text      string        `json:"text"`
	Errno     syscall.Errno `json:"errno"`      // 0 if the system gave none
	Feature   string        `json:"feature"`    // of a quoit.UnsupportedError
	MinKernel string        `json:"min_kernel"` // of the same
}

func (f *Failure) isAny(errnos ...syscall.Errno) bool {
	return f != nil && slices.Contains(errnos, f.Errno)
}

// Call is a system call that was tried with arguments that do nothing.
type Call struct {
	Name   string        `json:"name"`
	Answer string        `json:"answer"` // one of the answers
	Errno  syscall.Errno `json:"errno"`  // of a call that was refused, or 0
}

// Answers to a Call.
const (
	allowed  = "allowed"
	refused  = "refused"
	kills    = "kills" // its thread or the process
	notTried = "not tried"
)

// Sysctl has the values of settings: a number, [absent] or [unreadable].
type Sysctl struct {
	Disabled string `json:"io_uring_disabled"`
	Group    string `json:"io_uring_group"`
	InGroup  bool   `json:"in_io_uring_group"` // this process is
}

const (
	absent     = "absent" // the kernel has no such setting
	unreadable = "unreadable"
)

// Seccomp is how system calls of this process are filtered.
type Seccomp struct {
	Mode       string `json:"mode"`         // one of the modes
	NoNewPrivs string `json:"no_new_privs"` // yes, no or unknown
}

// Modes of [Seccomp].
const (
	modeNone    = "none"
	modeStrict  = "strict"
	modeFilter  = "filter"
	modeUnknown = "unknown"
)

// User namespaces that a process can be in.
const (
	initialNamespace = "initial"
	ownNamespace     = "own" // as in rootless containers: its capabilities are worth nothing here
	unknownNamespace = "unknown"
)

// Capability is one that quoit can use. Only the initial user namespace's counts.
type Capability struct {
	Name string `json:"name"`
	Have bool   `json:"have"`
	Use  string `json:"use"`
}

// Locked is RLIMIT_MEMLOCK, and which processes of the user take part of it.
type Locked struct {
	Soft    Amount   `json:"soft_bytes"`
	Hard    Amount   `json:"hard_bytes"`
	Exempt  bool     `json:"exempt"` // CAP_IPC_LOCK
	Holders []Holder `json:"holders"`
	Hidden  int      `json:"hidden_processes"` // that this one may not look into
}

// Holder is a process with rings or locked memory.
type Holder struct {
	PID       int    `json:"pid"`
	Command   string `json:"command"`
	Rings     int    `json:"rings"`
	RingBytes int    `json:"ring_bytes"`
	Locked    int    `json:"locked_bytes"` // VmLck
	Pinned    int    `json:"pinned_bytes"` // VmPin
}

func (h Holder) bytes() int { return h.RingBytes + h.Locked + h.Pinned }

// Memory is the limit of the process's control group.
type Memory struct {
	Limit Amount `json:"limit_bytes"`
	Used  Amount `json:"used_bytes"` // of the same group
}

// Files is RLIMIT_NOFILE. Go raises the soft limit to the hard one.
type Files struct {
	Soft    Amount `json:"soft"`
	Hard    Amount `json:"hard"`
	Open    Amount `json:"open"` // in this process
	PerRing int    `json:"per_ring"`
}

const filesPerRing = 32

// Engine is what one with the default Config gets here.
type Engine struct {
	Rings   int `json:"rings"`
	Entries int `json:"entries"` // of each submission queue
	Bytes   int `json:"bytes"`   // of all queues
}

// Feature is a quoit.Feature.
type Feature struct {
	Name      string `json:"name"`
	MinKernel string `json:"min_kernel"`
	Have      bool   `json:"have"`
	Required  bool   `json:"required"`
	Use       string `json:"use"`
	Without   string `json:"without"`
}

// Trip is the self-test in one gear.
type Trip struct {
	Gear       string   `json:"gear"`      // auto, ring, poll; or net, for package net itself
	Transport  string   `json:"transport"` // that served, "" if none did
	RoundTrips int      `json:"round_trips"`
	Bytes      int      `json:"bytes"`           // both ways, all compared
	Median     int      `json:"median_us"`       // of the round trips, in microseconds
	Error      *Failure `json:"error"`           // nil if all came back right
	Reason     *Failure `json:"fallback_reason"` // why package net served
	Skipped    bool     `json:"skipped"`         // not tried, since a trial of its calls was killed
}

// Amount is a number of bytes or files, or one of the two below.
type Amount int64

const (
	unlimited Amount = -1
	unknown   Amount = -2
)

// MarshalJSON gives a number, "unlimited" or null.
func (a Amount) MarshalJSON() ([]byte, error) {
	switch {
	case a >= 0:
		return json.Marshal(int64(a))
	case a == unlimited:
		return []byte(`"unlimited"`), nil
	}
	return []byte("null"), nil
}

func (a Amount) String() string {
	switch {
	case a >= 0:
		return fmt.Sprint(int64(a))
	case a == unlimited:
		return "unlimited"
	}
	return "unknown"
}

// size is a in words of bytes.
func (a Amount) size() string {
	switch {
	case a >= 10<<30:
		return fmt.Sprintf("%d GiB", a>>30)
	case a >= 10<<20:
		return fmt.Sprintf("%d MiB", a>>20)
	case a >= 10<<10:
		return fmt.Sprintf("%d KiB", a>>10)
	case a >= 0:
		return fmt.Sprintf("%d bytes", int64(a))
	}
	return a.String()
}

func (r *Report) call(name string) Call {
	for _, c := range r.Calls {
		if c.Name == name {
			return c
		}
	}
	return Call{Name: name, Answer: notTried}
}

func (r *Report) trip(gear string) Trip {
	for _, t := range r.SelfTest {
		if t.Gear == gear {
			return t
		}
	}
	return Trip{Gear: gear, Skipped: true}
}

func (r *Report) has(capability string) bool {
	return slices.ContainsFunc(r.Capabilities, func(c Capability) bool { return c.Name == capability && c.Have })
}

func (r *Report) finding(id string) *Finding {
	for i := range r.Findings {
		if r.Findings[i].ID == id {
			return &r.Findings[i]
		}
	}
	return nil
}

// deadly reports whether a filter ends who calls what a ring needs.
func (r *Report) deadly() bool {
	return r.call("io_uring_setup").Answer == kills || r.call("io_uring_enter").Answer == kills
}

func (t Trip) ok() bool { return !t.Skipped && t.Error == nil }

// failure is err for another process, and nil for nil.
func failure(err error) *Failure {
	if err == nil {
		return nil
	}
	f := &Failure{Text: strings.ReplaceAll(err.Error(), "\n", "; ")}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		f.Errno = errno
	}
	if ue, ok := errors.AsType[*quoit.UnsupportedError](err); ok {
		f.Feature, f.MinKernel = ue.Feature, ue.MinKernel
	}
	return f
}

func (r *Report) writeJSON(w io.Writer) error {
	out := *r
	orEmpty(&out.Calls)
	orEmpty(&out.Capabilities)
	orEmpty(&out.Locked.Holders)
	orEmpty(&out.Features)
	orEmpty(&out.SelfTest)
	orEmpty(&out.Findings)
	b, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// orEmpty has an empty list be one in JSON, too, and not null.
func orEmpty[T any](list *[]T) {
	if *list == nil {
		*list = []T{}
	}
}
