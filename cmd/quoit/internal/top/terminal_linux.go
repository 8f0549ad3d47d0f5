//go:build linux

package top

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// terminal is the one that standard input and output are connected to.
type terminal struct {
	out     *os.File
	keys    chan byte
	changes chan os.Signal // its size has
	old     *unix.Termios
}

// openTerminal returns nil where stdout, or standard input, is none.
func openTerminal(stdout io.Writer) *terminal {
	out, ok := stdout.(*os.File)
	if !ok {
		return nil
	}
	for _, f := range []*os.File{out, os.Stdin} {
		if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil {
			return nil
		}
	}
	return &terminal{out: out, keys: make(chan byte), changes: make(chan os.Signal, 1)}
}

const (
	showScreen = "\x1b[?1049h\x1b[?25l" // another one than the shell's, without a cursor
	hideScreen = "\x1b[?25h\x1b[?1049l"
)

// begin takes the terminal over: keys come at once, and none is echoed.
func (t *terminal) begin() error {
	if err := t.raw(); err != nil {
		return err
	}
	signal.Notify(t.changes, syscall.SIGWINCH)
	go func() {
		var key [1]byte
		for {
			n, err := os.Stdin.Read(key[:])
			if n == 1 {
				t.keys <- key[0]
			}
			if err != nil {
				return
			}
		}
	}()
	return nil
}

func (t *terminal) raw() error {
	fd := int(os.Stdin.Fd())
	old, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return os.NewSyscallError("ioctl", err)
	}
	t.old = old
	now := *old
	now.Lflag &^= unix.ICANON | unix.ECHO | unix.ISIG // ^Z would leave it so
	now.Cc[unix.VMIN], now.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &now); err != nil {
		return os.NewSyscallError("ioctl", err)
	}
	io.WriteString(t.out, showScreen)
	return nil
}

// end gives the terminal back as it was.
func (t *terminal) end() {
	signal.Stop(t.changes)
	io.WriteString(t.out, hideScreen)
	_ = unix.IoctlSetTermios(int(os.Stdin.Fd()), unix.TCSETS, t.old)
}

// draw fills the screen with what lines returns for its size.
func (t *terminal) draw(lines func(width, height int) []string) {
	width, height := 80, 24
	if ws, err := unix.IoctlGetWinsize(int(t.out.Fd()), unix.TIOCGWINSZ); err == nil && ws.Col > 0 && ws.Row > 0 {
		width, height = int(ws.Col), int(ws.Row)
	}
	var b strings.Builder
	b.WriteString("\x1b[H")
	for i, line := range lines(width, height) {
		if i > 0 {
			b.WriteString("\r\n")
		}
		switch {
		case i == 0:
			fmt.Fprintf(&b, "\x1b[1m%s\x1b[0m\x1b[K", line)
		case strings.HasPrefix(line, mark("problem")):
			fmt.Fprintf(&b, "\x1b[31m%s\x1b[0m\x1b[K", line)
		default:
			b.WriteString(line + "\x1b[K")
		}
	}
	b.WriteString("\x1b[J")
	io.WriteString(t.out, b.String())
}
