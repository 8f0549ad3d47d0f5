// Package counters counts what a process makes the processor and the kernel do,
// by perf_event_open(2): what `perf stat` shows, without it.
package counters

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Hardware lists the counters of the processor. Virtual machines often have none.
func Hardware() []string { return slices.Sorted(maps.Keys(hardware)) }

var hardware = map[string]uint64{
	"cache-misses": unix.PERF_COUNT_HW_CACHE_MISSES,
	"cycles":       unix.PERF_COUNT_HW_CPU_CYCLES,
	"instructions": unix.PERF_COUNT_HW_INSTRUCTIONS,
}

const (
	// AllCalls counts system calls of every name.
	AllCalls = "raw_syscalls:sys_enter"

	callPrefix = "syscalls:sys_enter_"
)

// Call is the counter of the system calls of that name.
func Call(name string) string { return callPrefix + name }

// Calls lists the counters of the system calls that network servers in Go make,
// and first that of all.
func Calls() []string {
	out := []string{AllCalls}
	for _, name := range []string{
		"read", "write", "readv", "writev", "recvfrom", "sendto", "recvmsg", "sendmsg", "accept4", "close",
		"epoll_pwait", "epoll_wait", "epoll_ctl", "io_uring_enter", "futex", "nanosleep", "sched_yield",
		"clock_nanosleep", "tgkill", "madvise",
	} {
		out = append(out, Call(name))
	}
	return out
}

// CallName returns the system call that a counter is of, if it is of one.
func CallName(event string) (string, bool) { return strings.CutPrefix(event, callPrefix) }

// Set counts events of all threads of a process, those that they start included.
type Set struct {
	fds map[string][]int
}

// Open starts to count. An event that this machine does not have is left out, and
// so is one that this kernel has no such system call for. No counter at all, as
// without the right to it, is an error. The process should be at rest: a thread
// that a thread not yet seen starts meanwhile is missed.
func Open(pid int, events []string) (*Set, error) {
	s := &Set{fds: map[string][]int{}}
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil, err
	}
	var first error
	for _, e := range events {
		if err := s.open(e, tasks); err != nil && first == nil {
			first = err
		}
	}
	if len(s.fds) == 0 && first != nil {
		return nil, first
	}
	return s, nil
}

func (s *Set) open(event string, tasks []os.DirEntry) error {
	attr, err := attribute(event)
	if err != nil {
		return err
	}
	var fds []int
	for _, t := range tasks {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			return err
		}
		fd, err := unix.PerfEventOpen(attr, tid, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if err == unix.ESRCH {
			continue // the thread has ended
		}
		if err != nil {
			closeAll(fds)
			return fmt.Errorf("counters: %s: %w", event, os.NewSyscallError("perf_event_open", err))
		}
		fds = append(fds, fd)
	}
	s.fds[event] = fds
	return nil
}

func attribute(event string) (*unix.PerfEventAttr, error) {
	attr := &unix.PerfEventAttr{Size: unix.PERF_ATTR_SIZE_VER5, Bits: unix.PerfBitInherit}
	if config, ok := hardware[event]; ok {
		attr.Type, attr.Config = unix.PERF_TYPE_HARDWARE, config
		return attr, nil
	}
	system, name, ok := strings.Cut(event, ":")
	if !ok {
		return nil, fmt.Errorf("counters: no event %q", event)
	}
	id, err := traceID(filepath.Join(system, name))
	attr.Type, attr.Config = unix.PERF_TYPE_TRACEPOINT, id
	return attr, err
}

// traceID returns the kernel's number of a tracepoint.
func traceID(path string) (uint64, error) {
	var errs []error
	for _, dir := range []string{"/sys/kernel/tracing/events", "/sys/kernel/debug/tracing/events"} {
		b, err := os.ReadFile(filepath.Join(dir, path, "id"))
		if err == nil {
			return strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
		}
		errs = append(errs, err)
	}
	return 0, errors.Join(errs...)
}

// Read returns what was counted since Open. A nil Set has counted nothing.
func (s *Set) Read() (map[string]uint64, error) {
	if s == nil {
		return nil, nil
	}
	out := map[string]uint64{}
	for e, fds := range s.fds {
		for _, fd := range fds {
			var b [8]byte
			if n, err := unix.Read(fd, b[:]); err != nil || n != len(b) {
				return nil, fmt.Errorf("counters: %s: read %d bytes: %w", e, n, err)
			}
			out[e] += binary.NativeEndian.Uint64(b[:])
		}
	}
	return out, nil
}

// Since returns what was counted after before.
func Since(after, before map[string]uint64) map[string]uint64 {
	out := map[string]uint64{}
	for e, n := range after {
		out[e] = n - before[e]
	}
	return out
}

// Close ends the counting. It may be called on a nil Set.
func (s *Set) Close() {
	if s == nil {
		return
	}
	for _, fds := range s.fds {
		closeAll(fds)
	}
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
