//go:build linux

package doctor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// trialBound is how long a trial may take before it counts as hung. It is more
// than the self-test gives itself.
const trialBound = 15 * time.Second

// trial runs a step in a process of its own, and reads its result. It uses
// neither timers nor package os's files, which need descriptors for Go's
// netpoller. A *startError says that there was no such process.
func trial(step string, result any) error {
	exe, err := executable()
	if err != nil {
		return &startError{err}
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return &startError{os.NewSyscallError("pipe2", err)}
	}
	defer unix.Close(p[0])
	pid, err := syscall.ForkExec(exe, []string{os.Args[0], TrialCommand, step}, &syscall.ProcAttr{
		Env:   append(unforced(os.Environ()), "GOTRACEBACK=none"),
		Files: []uintptr{0, uintptr(p[1]), uintptr(p[1])},
	})
	unix.Close(p[1])
	if err != nil {
		return &startError{os.NewSyscallError("execve", err)}
	}
	out, late := readBound(p[0], trialBound)
	if late {
		unix.Kill(pid, unix.SIGKILL)
	}
	ws, err := wait(pid)
	switch {
	case err != nil:
		return &startError{os.NewSyscallError("wait4", err)}
	case late:
		return &endedError{how: fmt.Sprintf("nothing for %v", trialBound)}
	case ws.Signaled():
		return &endedError{how: "killed by " + unix.SignalName(ws.Signal()), killed: ws.Signal() == unix.SIGSYS}
	case ws.ExitStatus() != 0:
		text, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		return &endedError{
			how:    fmt.Sprintf("exit status %d: %s", ws.ExitStatus(), text),
			killed: strings.Contains(string(out), "SIGSYS"),
		}
	}
	return json.Unmarshal(lastLine(out), result)
}

// lastLine is where the result is, whatever the runtime had to say before.
func lastLine(out []byte) []byte {
	out = bytes.TrimSpace(out)
	return out[bytes.LastIndexByte(out, '\n')+1:]
}

// executable is the path of this program, also where there is no /proc.
func executable() (string, error) {
	const self = "/proc/self/exe" // whose directory may be closed to this user
	if unix.Access(self, unix.X_OK) == nil {
		return self, nil
	}
	if exe, err := os.Executable(); err == nil {
		return exe, nil
	}
	exe, err := exec.LookPath(os.Args[0])
	if errors.Is(err, exec.ErrDot) {
		err = nil
	}
	return exe, err
}

// unforced leaves out what forces something on engines: the trials are about
// what is possible.
func unforced(env []string) []string {
	return slices.DeleteFunc(env, func(s string) bool {
		name, _, _ := strings.Cut(s, "=")
		return name == "QUOIT" || name == "QUOIT_RINGS" || name == "QUOIT_DEBUG"
	})
}

// readBound reads until the end, or reports that there is none in time.
func readBound(fd int, bound time.Duration) (out []byte, late bool) {
	buf := make([]byte, 16<<10)
	for end := time.Now().Add(bound); ; {
		left := time.Until(end)
		if left <= 0 {
			return out, true
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if err == unix.EINTR || n == 0 {
			continue
		}
		n, err = unix.Read(fd, buf)
		switch {
		case err == unix.EINTR:
		case err != nil || n == 0:
			return out, false
		default:
			out = append(out, buf[:n]...)
		}
	}
}

func wait(pid int) (ws unix.WaitStatus, err error) {
	for {
		if _, err = unix.Wait4(pid, &ws, 0, nil); err != unix.EINTR {
			return ws, err
		}
	}
}
