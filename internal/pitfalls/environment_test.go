//go:build linux

package pitfalls

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// The environment decides where the code does not, and says nothing unless it is
// asked to.
func TestEnvironment(t *testing.T) {
	enginetest.NeedRing(t)
	const (
		ring  = `msg="quoit: an engine started: io_uring serves" rings=`
		plain = `msg="quoit: an engine started: package net serves" environment="QUOIT=off" reason=`
		said  = "quoit: QUOIT"
	)
	for _, tt := range []struct {
		env      string
		out      string   // of pfChildEnvironment
		stderr   []string // what the lines contain
		contains string   // the last of them
	}{
		{"", "io_uring auto, io_uring ring 2, io_uring poll 3, true", nil, ""},
		{"QUOIT=auto QUOIT_DEBUG=0", "io_uring auto, io_uring ring 2, io_uring poll 3, true", nil, ""},
		{"QUOIT=off", "net, net, net, false off", nil, ""},
		{"QUOIT=off QUOIT_DEBUG=1", "net, net, net, false off",
			[]string{plain, plain, plain}, "QUOIT=off"},
		{"QUOIT=ring", "io_uring ring, io_uring ring 2, io_uring poll 3, true", nil, ""},
		{"QUOIT=ring QUOIT_TEST_GEAR=poll", "io_uring auto, io_uring ring 2, io_uring poll 3, true", nil, ""},
		{"QUOIT=poll QUOIT_TEST_GEAR=ring", "io_uring ring, io_uring ring 2, io_uring poll 3, true", nil, ""},
		{"QUOIT=poll QUOIT_RINGS=5 QUOIT_DEBUG=1", "io_uring auto 5, io_uring ring 2, io_uring poll 3, true",
			[]string{ring + `5 gear=poll environment="QUOIT=poll QUOIT_RINGS=5"`, ring + "2 gear=ring", ring + "3 gear=poll"}, ""},
		{"QUOIT_RINGS=5 QUOIT_TEST_RINGS=4", "io_uring auto 4, io_uring ring 2, io_uring poll 3, true", nil, ""},
		{"QUOIT=Off QUOIT_RINGS=-1 QUOIT_DEBUG=y", "io_uring auto, io_uring ring 2, io_uring poll 3, true",
			[]string{said, said + "_RINGS", said + "_DEBUG"}, "want 0 or 1"},
	} {
		t.Run(tt.env, func(t *testing.T) {
			testenv.Watch(t, 2*testenv.Bound)
			cmd, stderr := pfChild(t, "environment")
			cmd.Env = append(cmd.Env, "QUOIT_TEST_GEAR=", "QUOIT_TEST_RINGS=")
			cmd.Env = append(cmd.Env, strings.Fields(tt.env)...)
			out, err := cmd.Output()
			if err != nil || string(out) != tt.out {
				t.Errorf("got %q, %v\nwant %q", out, err, tt.out)
			}
			lines := strings.Split(strings.TrimSuffix(stderr.String(), "\n"), "\n")
			if stderr.Len() == 0 {
				lines = nil
			}
			if len(lines) != len(tt.stderr) {
				t.Fatalf("standard error: %q", lines)
			}
			for i, want := range tt.stderr {
				if !strings.Contains(lines[i], want) || i == len(lines)-1 && !strings.Contains(lines[i], tt.contains) {
					t.Errorf("standard error: %q, want %q and %q", lines[i], want, tt.contains)
				}
			}
		})
	}
}

// pfChildEnvironment prints what serves: by default, where the code asks for a gear
// and a number of rings, or for CPUs; and whether the ring may be required.
func pfChildEnvironment([]string) error {
	two, three := quoit.Config{Gear: quoit.GearRing, Rings: 2}, quoit.Config{Gear: quoit.GearPoll, Affinity: []int{0, 0, 0}}
	for i, c := range []*quoit.Config{nil, &two, &three} {
		e, err := quoit.New(c)
		if err != nil {
			return err
		}
		defer e.Close()
		s := e.Stats()
		fmt.Print(s.Transport)
		if s.Transport == "io_uring" {
			gear := s.Gear.String()
			if c == nil && s.Gear == quoit.GearPoll {
				gear = "auto" // or poll: it has no cause to change it
			}
			fmt.Print(" ", gear)
			if n := len(s.Rings); i > 0 || n > 3 {
				fmt.Print(" ", n)
			}
		}
		fmt.Print(", ")
	}
	probe := quoit.Probe()
	fmt.Print(probe.IOUring)
	if probe.IOUring {
		return nil
	}
	_, err := quoit.New(&quoit.Config{Require: true})
	for _, err := range []error{err, probe.Err} {
		if ue, ok := errors.AsType[*quoit.UnsupportedError](err); !ok || ue.Type != "" || !strings.Contains(err.Error(), "QUOIT=off") {
			return fmt.Errorf("the reason is %w", err)
		}
	}
	fmt.Print(" off")
	return nil
}
