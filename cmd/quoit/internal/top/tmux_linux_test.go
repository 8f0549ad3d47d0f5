//go:build linux

package top

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quoit-go/quoit/internal/testenv"
)

// tmux is a terminal of 80x24 with a shell in it.
type tmux struct {
	t      *testing.T
	socket string
}

// startTmux skips the test where there is no tmux.
func startTmux(t *testing.T) tmux {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("no tmux here")
	}
	x := tmux{t, filepath.Join(t.TempDir(), "s")}
	x.do("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "env", "PS1=shell> ", "TERM=screen", "sh")
	t.Cleanup(func() { x.do("kill-server") })
	x.until("the shell", func(s string) bool { return strings.Contains(s, "shell>") })
	return x
}

func (x tmux) do(args ...string) string {
	x.t.Helper()
	cmd := exec.Command("tmux", append([]string{"-u", "-S", x.socket}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		x.t.Fatalf("tmux %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func (x tmux) screen() string { return x.do("capture-pane", "-p") }

// until waits for the screen to be right.
func (x tmux) until(what string, right func(screen string) bool) string {
	x.t.Helper()
	var s string
	if !testenv.Eventually(func() bool { s = x.screen(); return right(s) }) {
		x.t.Fatalf("not on the screen: %s\n%s", what, s)
	}
	return s
}

// run has the shell run quoit with these arguments, and say how it ended.
func (x tmux) run(args string) {
	x.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		x.t.Fatal(err)
	}
	x.do("send-keys", asQuoit+"=1 "+exe+" "+args+`; echo "ended: $?"`, "Enter")
}

// back wants the terminal to be as it was.
func (x tmux) back(code string) {
	x.t.Helper()
	x.until("the end", func(s string) bool { return strings.Contains(s, "ended: "+code) })
	x.do("send-keys", "echo he''re", "Enter") // what is typed shows, once the terminal echoes
	s := x.until("the echo", func(s string) bool { return strings.Contains(s, "here") && strings.Contains(s, "echo he''re") })
	if strings.Contains(s, "RING  GEAR") {
		x.t.Errorf("it has left its screen behind:\n%s", s)
	}
	if c := strings.TrimSpace(x.do("display-message", "-p", "#{cursor_flag}")); c != "1" {
		x.t.Errorf("no cursor: %s", c)
	}
	x.do("send-keys", "clear", "Enter")
	x.until("a clear screen", func(s string) bool { return !strings.Contains(s, "ended: ") }) // or the next end would be there already
}

func TestInTerminal(t *testing.T) {
	testenv.Watch(t, 4*testenv.Bound)
	x := startTmux(t)
	s := serveFake(t, page)
	for _, end := range []string{"q", "C-c"} {
		x.run("top -every 100ms " + s.Listener.Addr().String())
		screen := x.until("all", func(s string) bool {
			return strings.Contains(s, "Reads/s         15.5 k") && strings.Contains(s, "LISTENER")
		})
		lines := strings.Split(strings.TrimRight(screen, "\n"), "\n")
		if !strings.HasPrefix(lines[0], "quoit: shop?[31m 77 · io_uring, gear ring") || len(lines) > 24 {
			t.Errorf("%d lines\n%s", len(lines), screen)
		}
		t.Log("\n" + screen)
		x.do("resize-window", "-x", "60", "-y", "12")
		x.until("less of it", func(s string) bool {
			return strings.Contains(s, "Linu…") || strings.Contains(s, "12 MB …") || !strings.Contains(s, "LISTENER") && strings.HasPrefix(s, "quoit: shop")
		})
		x.do("resize-window", "-x", "80", "-y", "24")
		x.until("all again", func(s string) bool { return strings.Contains(s, "LISTENER") })
		x.do("send-keys", "x", end) // x does nothing
		x.back("0")
	}
	// Where the output goes elsewhere it is printed once.
	file := filepath.Join(t.TempDir(), "out")
	x.run("top -every 100ms " + s.Listener.Addr().String() + " > " + file)
	x.back("0")
	if b, err := os.ReadFile(file); err != nil || strings.Count(string(b), "quoit: shop") != 1 {
		t.Errorf("%v, %s", err, b)
	}
}

// A process that goes away is waited for, with its last numbers on the screen.
func TestWaits(t *testing.T) {
	testenv.Watch(t, 4*testenv.Bound)
	x := startTmux(t)
	addr := testenv.Free(t, "127.0.0.1")
	s := serveAt(t, addr, page)
	x.run("top -every 100ms " + addr)
	x.until("numbers", func(s string) bool { return strings.Contains(s, "Reads/s         15.5 k") })
	s.Close()
	x.until("why there are none", func(s string) bool {
		return strings.Contains(s, "! no answer: ") && strings.Contains(s, "Reads/s         15.5 k")
	})
	serveAt(t, addr, page)
	x.until("newer ones", func(s string) bool { return !strings.Contains(s, "no answer") })
	x.do("send-keys", "q")
	x.back("0")
	// Whoever is not there at first is not waited for.
	x.run("top localhost:1")
	x.back("1")
}
