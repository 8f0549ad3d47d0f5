package doctor

import (
	"fmt"
	"strings"
	"syscall"
)

// diagnose lists what doctor has to say: what stands in the way of io_uring
// first. It asks nobody but r.
func (r *Report) diagnose() []Finding {
	out := r.obstacles()
	if t, failed := r.firstFailed(); failed {
		out = append(out, finding(selfTestFailed, t.Gear, t.Error.Text))
	}
	for _, f := range r.Features {
		if f.Name == "full-size rings" && !f.Have {
			out = append(out, finding(smallerRings, r.shortOf()))
		}
	}
	if want := wantedRings(r.CPUs); r.Error == nil && r.Engine.Rings > 0 && r.Engine.Rings < want {
		out = append(out, finding(fewerRings, r.Files.Soft, r.Engine.Rings, want))
	}
	if why := r.cannotSteer(); why != "" {
		out = append(out, finding(noSteering, why))
	}
	if r.noProc {
		out = append(out, finding(noProc))
	}
	if r.Forced != "" {
		out = append(out, finding(environment, r.Forced))
	}
	return out
}

// ringsCount reports whether the kernel counts rings towards RLIMIT_MEMLOCK: since
// Linux 6.14, and not those of a process that is exempt.
func (r *Report) ringsCount() bool {
	return !r.Locked.Exempt && r.Locked.Soft != unlimited && !r.olderThan(6, 14)
}

// shortOf names the limit that rings have been made smaller for: half of
// RLIMIT_MEMLOCK, for everybody, or what memory there is.
func (r *Report) shortOf() string {
	if r.Locked.Soft == unlimited {
		return fmt.Sprintf("the kernel has no memory for larger ones (control group: limit %s, used %s)", r.Memory.Limit.size(), r.Memory.Used.size())
	}
	return fmt.Sprintf("RLIMIT_MEMLOCK is %s; it is shared with %s", r.Locked.Soft.size(), r.heldBy())
}

// cannotSteer says why engine/steering loads no program, or nothing.
func (r *Report) cannotSteer() string {
	c := r.call("bpf")
	switch {
	case r.OS != "linux":
		return ""
	case r.Namespace == ownNamespace:
		return "it takes CAP_BPF in the initial user namespace, and this process is in one of its own"
	case !r.has("CAP_BPF") && !r.has("CAP_SYS_ADMIN"):
		return "the process lacks CAP_BPF"
	case c.Answer == refused, c.Answer == kills:
		return "bpf(2) is " + answerText(c)
	}
	return ""
}

// firstFailed returns the first gear whose bytes did not come back.
func (r *Report) firstFailed() (Trip, bool) {
	for _, t := range r.SelfTest {
		if !t.Skipped && t.Error != nil {
			return t, true
		}
	}
	return Trip{}, false
}

// obstacles says why package net serves, or nothing does.
func (r *Report) obstacles() []Finding {
	setup, enter := r.call("io_uring_setup"), r.call("io_uring_enter")
	few := r.Files.Soft >= 0 && r.Files.Soft < filesPerRing
	switch {
	case r.child != nil && few:
		return []Finding{finding(fewDescriptors, r.Files.Soft), finding(noTrial, r.child)}
	case r.child != nil:
		return []Finding{finding(noTrial, r.child)}
	case r.deadly():
		return []Finding{finding(seccompKills, strings.Join(r.deadlyCalls(), " and "))}
	case r.Error == nil:
		return nil
	case r.OS != "linux":
		return []Finding{finding(notLinux, r.OS)}
	case strings.HasSuffix(r.Error.Feature, "linux/"+r.Arch):
		return []Finding{finding(architecture, r.Arch)}
	case few:
		return []Finding{finding(fewDescriptors, r.Files.Soft)}
	case setup.Answer == refused || enter.Answer == refused:
		return r.refusals(setup, enter)
	case r.Error.isAny(syscall.ENOMEM) && r.ringsCount():
		return []Finding{finding(memoryLimit, r.Locked.Soft.size(), r.heldBy())}
	case r.Error.isAny(syscall.ENOMEM):
		return []Finding{finding(noMemory, r.Memory.Limit.size(), r.Memory.Used.size(), r.Locked.Soft.size())}
	case r.Error.isAny(syscall.EMFILE, syscall.ENFILE):
		return []Finding{finding(descriptorsUsed, r.Files.Open, r.Files.Soft)}
	case r.Error.isAny(syscall.EPERM, syscall.EACCES):
		return []Finding{finding(securityModule)}
	case r.Error.MinKernel != "":
		return []Finding{finding(kernelTooOld, orUnknown(r.Kernel), r.Error.Feature, r.Error.MinKernel)}
	}
	return []Finding{finding(unexplained)}
}

func (r *Report) deadlyCalls() (names []string) {
	for _, c := range r.Calls {
		if c.Answer == kills && strings.HasPrefix(c.Name, "io_uring") {
			names = append(names, c.Name)
		}
	}
	return names
}

// refusals tells who refuses setup or enter. The sysctl and security modules
// are asked by io_uring_setup only, so that a refused io_uring_enter is a
// filter's doing.
func (r *Report) refusals(setup, enter Call) (out []Finding) {
	filtered := r.Seccomp.Mode == modeFilter
	sysctl := r.sysctlRefuses() && setup.Answer == refused && setup.Errno == syscall.EPERM
	if sysctl {
		out = append(out, finding("sysctl-"+r.Sysctl.Disabled, r.Sysctl.Group))
	}
	switch {
	case setup.Errno == syscall.ENOSYS || enter.Errno == syscall.ENOSYS:
		if r.kernelLacksIt() {
			return append(out, finding(noIOURing))
		}
		return append(out, finding(seccompRefuses, r.refusedCalls()))
	case enter.Answer == refused && r.Seccomp.Mode != modeNone:
		return append(out, finding(seccompRefuses, r.refusedCalls()))
	case enter.Answer == refused:
		return append(out, finding(securityModule))
	case sysctl:
		return out
	case r.Sysctl.Disabled == unreadable, filtered && setup.Errno == syscall.EACCES:
		return append(out, finding(setupRefused, errnoName(setup.Errno), r.suspects()))
	case filtered:
		return append(out, finding(seccompRefuses, r.refusedCalls()))
	}
	return append(out, finding(securityModule))
}

// sysctlRefuses reports whether kernel.io_uring_disabled is against this
// process.
func (r *Report) sysctlRefuses() bool {
	switch r.Sysctl.Disabled {
	case "1":
		return !r.Sysctl.InGroup && !r.has("CAP_SYS_ADMIN")
	case "2":
		return true
	}
	return false
}

// kernelLacksIt reports whether ENOSYS is the kernel's own word. Where there is
// a filter and nothing else to go by, it is taken for the filter's.
func (r *Report) kernelLacksIt() bool {
	switch {
	case r.Seccomp.Mode == modeNone, r.olderThan(5, 1):
		return true
	case r.Sysctl.Disabled == absent:
		return !r.olderThan(6, 6) // which would have the sysctl
	}
	return false
}

// olderThan reports whether the kernel is. One whose release cannot be read is
// not.
func (r *Report) olderThan(major, minor int) bool {
	var x, y int
	if _, err := fmt.Sscanf(r.Kernel, "%d.%d", &x, &y); err != nil {
		return false
	}
	return x < major || x == major && y < minor
}

func (r *Report) refusedCalls() string {
	var out []string
	for _, c := range r.Calls {
		if c.Answer == refused && strings.HasPrefix(c.Name, "io_uring") {
			out = append(out, c.Name+" by "+errnoName(c.Errno))
		}
	}
	return strings.Join(out, ", ")
}

// suspects are who may refuse io_uring_setup alone.
func (r *Report) suspects() string {
	var out []string
	if r.Sysctl.Disabled == unreadable {
		out = append(out, "the sysctl kernel.io_uring_disabled, which cannot be read here")
	}
	if r.Seccomp.Mode != modeNone {
		out = append(out, "a seccomp filter")
	}
	return strings.Join(append(out, "a security module"), ", or ")
}

// wantedRings is the default of quoit.Config's Rings.
func wantedRings(cpus int) int { return min((cpus+2)/3, 256) }
