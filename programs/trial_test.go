//go:build linux

package programs

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"github.com/quoit-go/quoit/internal/testenv"
)

// A trial has a client drive a program's servers, and compares the answers that it
// gets from the plain build, from quoit's, and from quoit's with QUOIT=off.
type trial struct {
	name     string // what is asked, for the report
	parallel bool   // most of the time passes waiting
	run      func(r *running)
}

// running is a trial with one build.
type running struct {
	*testing.T
	kind
	bin, plainBin map[string]string
	dir           string // for the servers' files
	answers       []string
	ns            *netns.NsHandle // the servers' network, if not the process's
}

// answer notes what a client got.
func (r *running) answer(format string, args ...any) {
	r.answers = append(r.answers, fmt.Sprintf(format, args...))
}

// must ends the trial on an error.
func (r *running) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// try runs the trial with the programs that are at bins, by whether quoit has
// built them.
func (tr *trial) try(t *testing.T, p *program, bins map[bool]map[string]string) {
	kinds := []kind{plain, ours, off}
	runs := make([]*running, len(kinds))
	t.Run("all", func(t *testing.T) {
		for i, k := range kinds {
			t.Run(k.name, func(t *testing.T) {
				if tr.parallel {
					t.Parallel()
				}
				r := &running{T: t, kind: k, bin: bins[k.quoit], plainBin: bins[false], dir: t.TempDir()}
				tr.run(r)
				runs[i] = r
			})
		}
	})
	res := &result{Program: p.name, Modules: p.names(), What: tr.name}
	if runs[0] == nil {
		return // skipped, or failed
	}
	want := runs[0].answers
	if len(want) == 0 {
		t.Error("the client has asked nothing")
	}
	res.Plain.Passed = len(want)
	for _, r := range runs[1:] {
		if r == nil {
			continue
		}
		if !slices.Equal(r.answers, want) {
			t.Errorf("%s: answers\n%s\nplain:\n%s", r.name, strings.Join(r.answers, "\n"), strings.Join(want, "\n"))
		}
	}
	if runs[1] != nil {
		res.Quoit.Passed = len(runs[1].answers)
	}
	record(t, res)
}

// build builds p's main packages.
func (p *program) build(t *testing.T, k kind, dir string) map[string]string {
	t.Helper()
	out, bins := t.TempDir(), map[string]string{}
	start := time.Now()
	for name, pkg := range p.mains {
		bins[name] = filepath.Join(out, name)
		c := command{dir: filepath.Join(dir, pkg), env: []string{noWorkspace}, bound: buildBound}
		if _, err := c.run(k.goTool(t), "build", "-o", bins[name], "."); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s build: %v", k.name, time.Since(start).Round(time.Second))
	return bins
}

// server is a process of the program's.
type server struct {
	r     *running
	name  string
	cmd   *exec.Cmd
	ended chan error
	log   *logBuffer
}

// start has a server of the trial's build run until the trial ends.
func (r *running) start(name string, args ...string) *server {
	r.Helper()
	s := &server{r: r, name: name, ended: make(chan error, 1), log: &logBuffer{}}
	s.cmd = exec.Command(r.bin[name], args...)
	s.cmd.Dir = r.dir
	s.cmd.Env = append(append(os.Environ(), "HOME="+r.dir, "XDG_CONFIG_HOME="+r.dir, "XDG_DATA_HOME="+r.dir), r.env...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	ownGroup(s.cmd)
	s.cmd.Cancel = nil
	s.cmd.WaitDelay = 10 * time.Second
	r.must(r.within(s.cmd.Start))
	go func() { s.ended <- s.cmd.Wait() }()
	r.Cleanup(s.stop)
	return s
}

// within calls fn in the servers' network.
func (r *running) within(fn func() error) error {
	if r.ns == nil {
		return fn()
	}
	return inside(*r.ns, fn)
}

// stop ends the server, and wants what it said of who serves.
func (s *server) stop() {
	if s.cmd == nil {
		return
	}
	pid := s.cmd.Process.Pid
	s.cmd = nil
	syscall.Kill(pid, syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(testenv.Bound / 2):
		syscall.Kill(-pid, syscall.SIGKILL)
		<-s.ended
	}
	says := s.r.says
	if says != "" && (rings(s.r.T) || s.r.name == off.name) && !strings.Contains(s.log.String(), says) {
		s.r.Errorf("%s does not say %q", s.name, says)
	}
	if s.r.Failed() {
		s.r.Logf("%s has said:\n%s", s.name, tail([]byte(s.log.String())))
	}
}

// kill ends the server without a word to it.
func (s *server) kill() {
	syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	<-s.ended
	s.cmd = nil
}

// dialBound is the longest that connecting to loopback may take.
const dialBound = time.Second

// pause is between two looks at something that has no event.
func pause() { testenv.Pace(20 * time.Millisecond) }

// listens waits until the server takes conns at addr.
func (s *server) listens(addr string) {
	s.r.Helper()
	s.until("it listens at "+addr, func() bool {
		c, err := net.DialTimeout("tcp", addr, dialBound)
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
}

// until waits for a state of the server's.
func (s *server) until(what string, cond func() bool) {
	s.r.Helper()
	for end := time.Now().Add(2 * testenv.Bound); time.Now().Before(end); pause() {
		select {
		case err := <-s.ended:
			s.ended <- err
			s.r.Fatalf("%s has ended: %v\n%s", s.name, err, tail([]byte(s.log.String())))
		default:
		}
		if cond() {
			return
		}
	}
	s.r.Fatalf("%s: not in time: %s\n%s", s.name, what, tail([]byte(s.log.String())))
}

// client runs a client to its end, as the plain build has it, and returns its
// standard output.
func (r *running) client(name string, args ...string) string {
	r.Helper()
	out, err := command{dir: r.dir, bound: 2 * testenv.Bound}.run(r.plainBin[name], args...)
	r.must(err)
	return string(out)
}

// logBuffer collects what a server writes.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func port(addr string) string { return addr[strings.LastIndex(addr, ":")+1:] }

// write puts a file into the servers' directory, and returns its name.
func (r *running) write(name, text string) string {
	r.Helper()
	file := filepath.Join(r.dir, name)
	r.must(os.MkdirAll(filepath.Dir(file), 0o777))
	r.must(os.WriteFile(file, []byte(text), 0o666))
	return file
}
