package doctor

import "fmt"

// Finding is one thing that doctor has to say.
type Finding struct {
	ID     string `json:"id"`     // also the anchor of its section in docs/troubleshooting.md
	Effect string `json:"effect"` // one of the effects
	Cause  string `json:"cause"`
	Remedy string `json:"remedy"`
	More   string `json:"more"` // address of its section
}

// Effects of what was found.
const (
	effectNet     = "net"     // package net serves
	effectNothing = "nothing" // nothing serves, or nothing is known
	effectNote    = "note"    // io_uring serves all the same
)

const docs = "https://github.com/quoit-go/quoit/blob/main/docs/troubleshooting.md#"

// IDs of the findings.
const (
	notLinux        = "not-linux"
	architecture    = "architecture"
	sysctl1         = "sysctl-1"
	sysctl2         = "sysctl-2"
	seccompRefuses  = "seccomp-refuses"
	seccompKills    = "seccomp-kills"
	setupRefused    = "setup-refused"
	securityModule  = "security-module"
	noIOURing       = "no-io-uring"
	kernelTooOld    = "kernel-too-old"
	memoryLimit     = "memory-limit"
	noMemory        = "no-memory"
	fewDescriptors  = "few-descriptors"
	descriptorsUsed = "descriptors-used"
	unexplained     = "unexplained"
	noTrial         = "no-trial"
	selfTestFailed  = "self-test-failed"
	smallerRings    = "smaller-rings"
	fewerRings      = "fewer-rings"
	noSteering      = "no-steering"
	noProc          = "no-proc"
	environment     = "environment"
)

// findings has the words of each. Causes are formats of what finding is given.
var findings = map[string]struct{ effect, cause, remedy string }{
	notLinux: {effectNet, "io_uring is a Linux interface and this is %s",
		"none needed: the same calls are served by package net"},
	architecture: {effectNet, "quoit's ring was tried on amd64 and arm64 only, and this is %s",
		"none needed; a program can ask for the ring all the same, by Config.AnyArch"},
	sysctl1: {effectNet, "the sysctl kernel.io_uring_disabled is 1: only CAP_SYS_ADMIN and the group in kernel.io_uring_group, %s, may use io_uring",
		"sysctl -w kernel.io_uring_disabled=0, or set kernel.io_uring_group to a group of this process"},
	sysctl2: {effectNet, "the sysctl kernel.io_uring_disabled is 2: nobody may use io_uring (kernel.io_uring_group is %s)",
		"sysctl -w kernel.io_uring_disabled=0 (to keep it: a file in /etc/sysctl.d)"},
	seccompRefuses: {effectNet, "a seccomp filter refuses %s, as the default profiles of container runtimes do",
		"run with a profile that allows io_uring_setup and io_uring_enter" +
			" (docker, podman: --security-opt seccomp=FILE; Kubernetes: securityContext.seccompProfile;" +
			" systemd: SystemCallFilter=); docs/containers.md has one"},
	seccompKills: {effectNothing, "a seccomp filter ends who calls %s, and so every program that listens by quoit",
		"have the filter allow these calls, or answer EPERM (SCMP_ACT_ERRNO; systemd: SystemCallErrorNumber=EPERM);" +
			" until then start programs with QUOIT=off in the environment; docs/containers.md has a profile"},
	setupRefused: {effectNet, "io_uring_setup is refused by %s: by %s",
		"look at the sysctl on the host, at the profile of the container, and at the kernel's audit log"},
	securityModule: {effectNet, "a security module (SELinux, AppArmor or another) denies io_uring to this process",
		"look for the denial in the kernel's audit log and allow io_uring in its policy"},
	noIOURing: {effectNet, "this kernel has no io_uring: older than Linux 5.1, built without CONFIG_IO_URING, or a sandbox's own (gVisor)",
		"run Linux 6.1 or later with CONFIG_IO_URING=y"},
	kernelTooOld: {effectNet, "this kernel (%s) is too old: %s came with Linux %s",
		"run Linux 6.1 or later"},
	memoryLimit: {effectNet, "no memory for the rings: RLIMIT_MEMLOCK is %s; it is shared with %s",
		"raise it (ulimit -l, systemd LimitMEMLOCK=, docker --ulimit memlock=-1), grant CAP_IPC_LOCK," +
			" or make Config.Entries smaller"},
	noMemory: {effectNet, "the kernel has no memory for the rings (control group: limit %s, used %s); RLIMIT_MEMLOCK, %s, does not count here",
		"give the control group more (docker --memory=, systemd MemoryMax=), end what takes the memory," +
			" or make Config.Rings or Config.Entries smaller"},
	fewDescriptors: {effectNet, "RLIMIT_NOFILE is %v: a ring takes part of 32 descriptors, so that some are left for conns",
		"raise it (ulimit -n, systemd LimitNOFILE=, docker --ulimit nofile=)"},
	descriptorsUsed: {effectNet, "no file descriptor for the ring: %v are open here, and RLIMIT_NOFILE is %v",
		"raise it (ulimit -n, systemd LimitNOFILE=, docker --ulimit nofile=), or the system's fs.file-max"},
	unexplained: {effectNet, "unknown to quoit",
		"please report the lines above, together with the distribution and the container runtime if there is one"},
	noTrial: {effectNothing, "nothing was tried: %v",
		"let doctor start a process of its own program: descriptors (RLIMIT_NOFILE, 16 are enough), RLIMIT_NPROC, and a filter that allows clone and execve"},
	selfTestFailed: {effectNothing, "bytes sent through a listener did not come back: gear %s: %s",
		"if the message names a limit or a filter, that; otherwise please report all of this. QUOIT=off has programs served by package net"},
	smallerRings: {effectNote, "rings are smaller than usual: %s",
		"raise that limit (ulimit -l, systemd LimitMEMLOCK=, docker --ulimit memlock=-1; of the group: docker --memory=, systemd MemoryMax=)"},
	fewerRings: {effectNote, "RLIMIT_NOFILE is %v: that leaves room for %d rings, and there would be %d",
		"raise it to 32 for each ring, and one for each conn (ulimit -n, systemd LimitNOFILE=)"},
	noSteering: {effectNote, "engine/steering cannot load its program: %s",
		"none needed unless a program uses it: then grant CAP_BPF, or set steering.Config.Fallback"},
	noProc: {effectNote, "/proc cannot be read: the sysctl and who holds memory are unknown",
		"none needed by programs; for a better report mount /proc"},
	environment: {effectNote, "the environment has %s, which programs follow that are started with it; the trials ran without",
		"unset it to have programs choose by themselves"},
}

// finding words one, with what its cause wants to know.
func finding(id string, args ...any) Finding {
	f := findings[id]
	return Finding{ID: id, Effect: f.effect, Cause: fmt.Sprintf(f.cause, args...), Remedy: f.remedy, More: docs + id}
}
