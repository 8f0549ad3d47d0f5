//go:build linux

package doctor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
)

// restrict does what words say, in their order, and then executes this program
// as the command that its arguments name. Words are "nofile=5", "memlock=0",
// "uid=65534", "EPERM=CALL,CALL" and the like (see actions), "userns", "noproc",
// "nosysctl", "set=QUOIT=off", "group=" with a testenv.Group, and "filter=FILE".
func restrict(words string) error {
	for word := range strings.FieldsSeq(words) {
		what, arg, _ := strings.Cut(word, "=")
		if err := restrictBy(what, arg); err != nil {
			return fmt.Errorf("%s: %w", word, err)
		}
	}
	exe, err := executable()
	if err != nil {
		return err
	}
	os.Unsetenv(restrictEnv)
	return syscall.Exec(exe, os.Args, os.Environ())
}

// actions are what a filter does.
var actions = map[string]uint32{
	"EPERM":  unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM),
	"EACCES": unix.SECCOMP_RET_ERRNO | uint32(unix.EACCES),
	"ENOMEM": unix.SECCOMP_RET_ERRNO | uint32(unix.ENOMEM),
	"ENOSYS": unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS),
	"kill":   unix.SECCOMP_RET_KILL_PROCESS,
	"thread": unix.SECCOMP_RET_KILL_THREAD,
	"trap":   unix.SECCOMP_RET_TRAP,
}

var callNumbers = map[string]uint32{
	"io_uring_setup":    unix.SYS_IO_URING_SETUP,
	"io_uring_enter":    unix.SYS_IO_URING_ENTER,
	"io_uring_register": unix.SYS_IO_URING_REGISTER,
	"bpf":               unix.SYS_BPF,
}

func restrictBy(what, arg string) error {
	n, _ := strconv.ParseUint(arg, 10, 64)
	switch what {
	case "nofile":
		return syscall.Setrlimit(unix.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n})
	case "memlock":
		return syscall.Setrlimit(unix.RLIMIT_MEMLOCK, &syscall.Rlimit{Cur: n, Max: n})
	case "uid":
		return errors.Join(syscall.Setgroups(nil), syscall.Setgid(int(n)), syscall.Setuid(int(n)))
	case "set":
		name, value, _ := strings.Cut(arg, "=")
		return os.Setenv(name, value)
	case "group":
		return testenv.JoinGroup(arg)
	case "userns": // command has made one
		return nil
	case "filter":
		return applyFile(arg)
	case "noproc":
		return unix.Mount("tmpfs", "/proc", "tmpfs", 0, "")
	case "nosysctl":
		return unix.Mount("tmpfs", "/proc/sys/kernel", "tmpfs", 0, "")
	}
	action, ok := actions[what]
	if !ok {
		return errors.New("unknown")
	}
	f := filter{Actions: map[uint32]uint32{}, Others: unix.SECCOMP_RET_ALLOW}
	for name := range strings.SplitSeq(arg, ",") {
		f.Actions[callNumbers[name]] = action
	}
	return f.apply()
}

// filter is a seccomp filter: what is done for calls by number, and for the
// others.
type filter struct {
	Actions map[uint32]uint32
	Others  uint32
}

func (f filter) apply() error { return testenv.Filter(f.Actions, f.Others) }

// applyFile applies a filter that a file has, as JSON.
func applyFile(name string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var f filter
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	return f.apply()
}

// hold keeps a ring until the test closes standard input.
func hold() int {
	e, err := quoit.New(&quoit.Config{Require: true})
	if err == nil { // a ring without conns ends after a while
		var ln net.Listener
		if ln, err = e.Listen("tcp", "127.0.0.1:0"); err == nil {
			defer ln.Close()
			var c net.Conn
			if c, err = e.Dialer().Dial("tcp", ln.Addr().String()); err == nil {
				defer c.Close()
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("holds")
	os.Stdin.Read(make([]byte, 1))
	return 0
}

// command is the command under restrictions. It ends with the test.
func command(t *testing.T, words string, args ...string) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	t.Helper()
	needRoot := strings.Contains(words, "uid=") || strings.Contains(words, "noproc") || strings.Contains(words, "nosysctl")
	if needRoot && os.Getuid() != 0 {
		t.Skip("only root can become another user, and mount")
	}
	cmd, stderr = testenv.Command(t, restrictEnv+"="+words, "QUOIT=", "QUOIT_RINGS=", "QUOIT_DEBUG=")
	cmd.Args = append([]string{os.Args[0]}, args...)
	if strings.Contains(words, "userns") {
		own := func(id int) []syscall.SysProcIDMap { return []syscall.SysProcIDMap{{HostID: id, Size: 1}} }
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWUSER, UidMappings: own(os.Getuid()), GidMappings: own(os.Getgid()),
		}
	}
	if strings.Contains(words, "noproc") || strings.Contains(words, "nosysctl") {
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	}
	return cmd, stderr
}

// run runs the command under restrictions, and returns what it says and its
// exit status.
func run(t *testing.T, words string, args ...string) (out string, status int) {
	t.Helper()
	cmd, stderr := command(t, words, append([]string{"doctor"}, args...)...)
	b, err := cmd.Output()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	for line := range strings.Lines(stderr.String()) {
		if !strings.Contains(line, "reading executable name failed") { // the race detector, without /proc
			t.Errorf("on standard error: %s", line)
		}
	}
	return string(b), cmd.ProcessState.ExitCode()
}
