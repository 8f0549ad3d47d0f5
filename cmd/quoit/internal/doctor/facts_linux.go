//go:build linux

package doctor

import (
	"os"
	"os/signal"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// gather asks the system for all that can be known without io_uring. No file
// is opened by package os: that would open Go's netpoller, which ends the
// process where there are no descriptors for it.
func (r *Report) gather() {
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		r.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	_, err := readFile("/proc/self/status")
	r.noProc = err == unix.ENOENT
	r.gatherSysctl()
	r.gatherSeccomp()
	r.gatherCapabilities()
	r.gatherLimits()
	r.Memory = groupMemory()
}

func (r *Report) gatherSysctl() {
	r.Sysctl = Sysctl{Disabled: setting("io_uring_disabled"), Group: setting("io_uring_group")}
	gid, err := strconv.Atoi(r.Sysctl.Group)
	if err != nil || gid < 0 {
		return
	}
	groups, _ := os.Getgroups() // none if it fails
	r.Sysctl.InGroup = gid == os.Getegid() || slices.Contains(groups, gid)
}

// setting reads a setting of the kernel. Others tell one that is not there from
// a directory that is not.
func setting(name string) string {
	const dir = "/proc/sys/kernel/"
	b, err := readFile(dir + name)
	if err == nil {
		return strings.TrimSpace(string(b))
	}
	if _, others := readFile(dir + "ostype"); err == unix.ENOENT && others == nil {
		return absent
	}
	return unreadable
}

func (r *Report) gatherSeccomp() {
	r.Seccomp = Seccomp{Mode: modeUnknown, NoNewPrivs: "unknown"}
	if mode, err := unix.PrctlRetInt(unix.PR_GET_SECCOMP, 0, 0, 0, 0); err == nil {
		switch mode {
		case unix.SECCOMP_MODE_DISABLED:
			r.Seccomp.Mode = modeNone
		case unix.SECCOMP_MODE_STRICT:
			r.Seccomp.Mode = modeStrict
		case unix.SECCOMP_MODE_FILTER:
			r.Seccomp.Mode = modeFilter
		}
	} else if err == unix.EINVAL { // a kernel without seccomp
		r.Seccomp.Mode = modeNone
	}
	if on, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err == nil {
		r.Seccomp.NoNewPrivs = yesNo(on == 1)
	}
}

func (r *Report) gatherCapabilities() {
	r.Namespace = namespace()
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&hdr, &data[0]) != nil {
		return
	}
	have := func(c int) bool {
		return r.Namespace != ownNamespace && data[c/32].Effective>>(c%32)&1 != 0
	}
	for _, c := range []struct {
		number int
		Capability
	}{
		{unix.CAP_BPF, Capability{Name: "CAP_BPF", Use: "engine/steering loads its program"}},
		{unix.CAP_IPC_LOCK, Capability{Name: "CAP_IPC_LOCK", Use: "rings do not count towards RLIMIT_MEMLOCK"}},
		{unix.CAP_SYS_ADMIN, Capability{Name: "CAP_SYS_ADMIN", Use: "kernel.io_uring_disabled=1 does not apply; implies CAP_BPF"}},
	} {
		c.Have = have(c.number)
		r.Capabilities = append(r.Capabilities, c.Capability)
	}
}

// namespace tells the user namespace by its map: the initial one has all users.
func namespace() string {
	b, err := readFile("/proc/self/uid_map")
	switch {
	case err != nil:
		return unknownNamespace
	case slices.Equal(strings.Fields(string(b)), []string{"0", "0", "4294967295"}):
		return initialNamespace
	}
	return ownNamespace
}

func (r *Report) gatherLimits() {
	r.Locked.Soft, r.Locked.Hard = limit(unix.RLIMIT_MEMLOCK)
	r.Locked.Exempt = r.has("CAP_IPC_LOCK")
	if !r.Locked.Exempt {
		r.Locked.Holders, r.Locked.Hidden = holders()
	}
	r.Files = Files{Open: unknown, PerRing: filesPerRing}
	r.Files.Soft, r.Files.Hard = limit(unix.RLIMIT_NOFILE)
	if names, err := dirNames("/proc/self/fd"); err == nil {
		r.Files.Open = Amount(len(names) - 1) // without that of the directory
	}
}

func limit(resource int) (soft, hard Amount) {
	var lim unix.Rlimit
	if unix.Getrlimit(resource, &lim) != nil {
		return unknown, unknown
	}
	amount := func(n uint64) Amount {
		if n > 1<<62 {
			return unlimited
		}
		return Amount(n)
	}
	return amount(lim.Cur), amount(lim.Max)
}

// groupMemory is the smallest of the limits of the process's control group and
// of those around it, of version 2 or 1.
func groupMemory() Memory {
	m := Memory{Limit: unknown, Used: unknown}
	b, err := readFile("/proc/self/cgroup")
	if err != nil {
		return m
	}
	for line := range strings.Lines(string(b)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch {
		case parts[1] == "":
			m.lower("/sys/fs/cgroup", parts[2], "memory.max", "memory.current")
		case slices.Contains(strings.Split(parts[1], ","), "memory"):
			m.lower("/sys/fs/cgroup/memory", parts[2], "memory.limit_in_bytes", "memory.usage_in_bytes")
		}
	}
	return m
}

// lower goes up from a group. A container sees its own as the top, whatever
// the path says.
func (m *Memory) lower(mount, group, limitFile, usedFile string) {
	for group = path.Clean("/" + group); ; group = path.Dir(group) {
		if n := number(path.Join(mount, group, limitFile)); n != unknown {
			lower := m.Limit == unknown || n >= 0 && (m.Limit == unlimited || n < m.Limit)
			if lower {
				m.Limit, m.Used = n, number(path.Join(mount, group, usedFile))
			}
		}
		if group == "/" {
			return
		}
	}
}

// number reads a file with one: "max", and what version 1 has for it, are
// unlimited.
func number(name string) Amount {
	b, err := readFile(name)
	if err != nil {
		return unknown
	}
	s := strings.TrimSpace(string(b))
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case s == "max", err == nil && n > 1<<60:
		return unlimited
	case err != nil || n < 0:
		return unknown
	}
	return Amount(n)
}

// outliveReader has a write to a pipe that nobody reads any more fail, instead
// of ending the program, and its exit status with it.
func outliveReader() { signal.Ignore(unix.SIGPIPE) }
