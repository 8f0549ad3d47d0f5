package doctor

import (
	"fmt"
	"strings"
	"syscall"
	"unicode"
)

// errnoName is the name of an errno that a refused call gives.
func errnoName(errno syscall.Errno) string {
	switch errno {
	case syscall.EPERM:
		return "EPERM"
	case syscall.EACCES:
		return "EACCES"
	case syscall.ENOSYS:
		return "ENOSYS"
	}
	return errno.Error()
}

func answerText(c Call) string {
	switch c.Answer {
	case refused:
		return "refused by " + errnoName(c.Errno)
	case kills:
		return "killed"
	}
	return c.Answer
}

// heldBy says who has part of the limit on locked memory.
func (r *Report) heldBy() string {
	const most = 3
	var out []string
	for i, h := range r.Locked.Holders {
		if i == most {
			out = append(out, fmt.Sprintf("%d more", len(r.Locked.Holders)-most))
			break
		}
		out = append(out, h.String())
	}
	if n := r.Locked.Hidden; n > 0 {
		out = append(out, fmt.Sprintf("what %d processes of this user have that cannot be looked into", n))
	}
	if len(out) == 0 {
		return "no other process of this user"
	}
	return strings.Join(out, ", ")
}

func (h Holder) String() string {
	s := fmt.Sprintf("%s (pid %d) %s", plain(h.Command), h.PID, Amount(h.bytes()).size())
	if h.Rings > 0 {
		s += " in " + count(h.Rings, "ring")
	}
	return s
}

// plain replaces what a terminal might obey: the text is another process's.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
