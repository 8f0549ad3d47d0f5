//go:build linux

package doctor

import (
	"cmp"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// holders are the other processes of this user that have rings or locked
// memory, the largest first, and how many may not be looked into. The kernel
// counts the rings of all of them against the limit of whoever asks next.
func holders() (all []Holder, hidden int) {
	names, err := dirNames("/proc")
	if err != nil {
		return nil, 0
	}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == os.Getpid() {
			continue
		}
		h, open := holder(pid)
		if h.Rings > 0 || h.bytes() > 0 {
			all = append(all, h)
		}
		if !open {
			hidden++
		}
	}
	slices.SortFunc(all, func(a, b Holder) int { return cmp.Compare(b.bytes(), a.bytes()) })
	return all, hidden
}

// holder has nothing of a process of another user. It reports whether the
// descriptors of one of this user may be listed: not where it has changed its
// identity.
func holder(pid int) (h Holder, open bool) {
	dir := "/proc/" + strconv.Itoa(pid)
	b, err := readFile(dir + "/status")
	if err != nil {
		return h, true // it has ended
	}
	status := string(b)
	uid, _, _ := strings.Cut(field(status, "Uid:"), " ")
	if uid != strconv.Itoa(os.Getuid()) {
		return h, true
	}
	h = Holder{
		PID: pid, Command: field(status, "Name:"),
		Locked: kilobytes(field(status, "VmLck:")), Pinned: kilobytes(field(status, "VmPin:")),
	}
	fds, err := dirNames(dir + "/fd")
	if err == unix.EACCES || err == unix.EPERM {
		return h, false
	}
	for _, fd := range fds {
		var target [64]byte
		n, err := unix.Readlink(dir+"/fd/"+fd, target[:])
		if err != nil || string(target[:n]) != "anon_inode:[io_uring]" {
			continue
		}
		h.Rings++
		if info, err := readFile(dir + "/fdinfo/" + fd); err == nil {
			h.RingBytes += 64*entries(string(info), "SqMask:") + 16*entries(string(info), "CqMask:")
		}
	}
	return h, true
}

// field returns the rest of the line that starts with prefix, single-spaced.
func field(text, prefix string) string {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			return strings.Join(strings.Fields(rest), " ")
		}
	}
	return ""
}

// kilobytes is "12 kB" in bytes, or 0 where that is no amount that there can be.
func kilobytes(s string) int {
	n, err := strconv.ParseInt(strings.TrimSuffix(s, " kB"), 10, strconv.IntSize-10)
	if err != nil {
		return 0
	}
	return max(int(n), 0) << 10
}

// entries is the length of a queue whose mask a line of fdinfo has.
func entries(info, prefix string) int {
	mask, err := strconv.ParseUint(field(info, prefix), 0, 30) // far more than the kernel allows
	if err != nil {
		return 0
	}
	return int(mask) + 1
}
