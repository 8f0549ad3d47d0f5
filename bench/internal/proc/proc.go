// Package proc reads what a process has used from /proc, and places processes
// on CPUs.
package proc

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of CPU time in /proc, the same on every architecture.
const tick = time.Second / 100

// Sample is what a process has used since it started.
type Sample struct {
	CPU         time.Duration // user and system, all threads, ended ones too
	Voluntary   uint64        // context switches of the threads alive
	Involuntary uint64
	PeakRSS     uint64 // bytes
}

// Read samples the process pid.
func Read(pid int) (Sample, error) {
	var s Sample
	dir := fmt.Sprintf("/proc/%d", pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return s, err
	}
	if s.CPU, err = parseStat(stat); err != nil {
		return s, err
	}
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return s, err
	}
	s.PeakRSS = field(status, "VmHWM:") << 10
	tasks, err := filepath.Glob(dir + "/task/*/status")
	if err != nil {
		return s, err
	}
	for _, t := range tasks {
		b, err := os.ReadFile(t)
		if err != nil {
			continue // the thread has ended
		}
		s.Voluntary += field(b, "voluntary_ctxt_switches:")
		s.Involuntary += field(b, "nonvoluntary_ctxt_switches:")
	}
	return s, nil
}

// parseStat adds utime and stime, fields 14 and 15 of proc(5). The command's
// name, field 2, may hold anything but ends at the last parenthesis.
func parseStat(stat []byte) (time.Duration, error) {
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(f) < 13 {
		return 0, fmt.Errorf("proc: stat has %d fields after the name", len(f))
	}
	var sum time.Duration
	for _, s := range f[11:13] {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("proc: stat: %w", err)
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

// field returns the number in the line that starts with name, or 0.
func field(status []byte, name string) uint64 {
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			if f := strings.Fields(rest); len(f) > 0 {
				n, _ := strconv.ParseUint(f[0], 10, 64) // 0 says nothing is known
				return n
			}
		}
	}
	return 0
}

// Since returns what was used after before. Counts of threads that have ended
// meanwhile are lost, so differences stop at zero.
func (s Sample) Since(before Sample) Sample {
	sub := func(a, b uint64) uint64 { return a - min(a, b) }
	return Sample{
		CPU:         s.CPU - before.CPU,
		Voluntary:   sub(s.Voluntary, before.Voluntary),
		Involuntary: sub(s.Involuntary, before.Involuntary),
		PeakRSS:     s.PeakRSS,
	}
}

// Machine describes where a run was made.
type Machine struct {
	Kernel string `json:"kernel"`
	CPU    string `json:"cpu"`
	CPUs   int    `json:"cpus"`
	Memory uint64 `json:"memory_bytes"`
	Load   string `json:"load_average"` // when the run began
}

// Describe reads what it can; what it cannot stays empty.
func Describe() Machine {
	var m Machine
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	cpuinfo, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(cpuinfo)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	meminfo, _ := os.ReadFile("/proc/meminfo")
	m.Memory = field(meminfo, "MemTotal:") << 10
	loadavg, _ := os.ReadFile("/proc/loadavg")
	if f := strings.Fields(string(loadavg)); len(f) >= 3 {
		m.Load = strings.Join(f[:3], " ")
	}
	if cpus, err := Allowed(); err == nil {
		m.CPUs = len(cpus)
	}
	return m
}
