package debug

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/quoit-go/quoit"
)

func TestFindings(t *testing.T) {
	addr := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}
	have := quoit.Support{Kernel: "6.18", Features: []quoit.Feature{{Name: "f", Have: true}}}
	listening := func(l quoit.ListenerStats) Snapshot {
		l.Addr = addr
		return Snapshot{MaxFiles: 5000, Stats: quoit.Stats{Transport: "io_uring", Listening: []quoit.ListenerStats{l}}}
	}
	stats := func(st quoit.Stats) Snapshot {
		st.Transport = "io_uring"
		return Snapshot{Stats: st}
	}
	for _, tt := range []struct {
		name    string
		s       Snapshot
		support quoit.Support
		level   Level // of the first
		text    string
	}{
		{"well", stats(quoit.Stats{}), have, LevelGood, "io_uring serves"},
		{"net", Snapshot{Stats: quoit.Stats{Transport: "net", Reason: errors.New("seccomp")}}, have, LevelProblem, "not io_uring: seccomp."},
		{"lost ring", stats(quoit.Stats{RingsLost: 2, SetupError: errors.New("EIO")}), have, LevelProblem, "2 so far, the last because of this: EIO."},
		{"failures", listening(quoit.ListenerStats{AcceptFailures: 7}), have, LevelProblem, "127.0.0.1:80: 7 accepts failed. The process may have 5000"},
		{"queue", listening(quoit.ListenerStats{Queue: 64, Backlog: 128}), have, LevelProblem, "64 connections wait"},
		{"short queue", listening(quoit.ListenerStats{Queue: 63, Backlog: 128}), have, LevelGood, ""},
		{"queue of 1", listening(quoit.ListenerStats{Queue: 1, Backlog: 1}), have, LevelProblem, "1 connections wait"},
		{"unix queue", listening(quoit.ListenerStats{Queue: -1, Backlog: -1}), have, LevelGood, ""},
		{"steering", stats(quoit.Stats{Steering: []quoit.SteeringStats{{Addr: addr, Policy: "hash", Err: errors.New("no BPF")}}}), have, LevelProblem, "steered hash, not as asked for: no BPF"},
		{"late Write", stats(quoit.Stats{WorstWriteDelay: 12 * time.Millisecond}), have, LevelProblem, "waited 12ms"},
		{"Write in time", stats(quoit.Stats{WorstWriteDelay: 9 * time.Millisecond}), have, LevelGood, ""},
		{"held", stats(quoit.Stats{Rings: []quoit.RingStats{{}, {Held: true}}}), have, LevelNote, "Ring 1 "},
		{"overflow", stats(quoit.Stats{Overflows: 3}), have, LevelNote, "3 times"},
		{"feature", stats(quoit.Stats{}), quoit.Support{Kernel: "6.1", Features: []quoit.Feature{{Name: "NO_X", MinKernel: "6.6", Use: "saves X"}}}, LevelNote, "lacks NO_X, which came with Linux 6.6: saves X."},
		{"no kernel's feature", stats(quoit.Stats{}), quoit.Support{Features: []quoit.Feature{{Name: "large rings", Without: "more calls"}}}, LevelNote, "no large rings here: more calls."},
		{"few files", Snapshot{MaxFiles: 256, Stats: quoit.Stats{Transport: "io_uring"}}, have, LevelNote, "256 descriptors"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := find(&tt.s.Stats, tt.s.MaxFiles, tt.support)
			if len(got) == 0 || got[0].Level != tt.level || !strings.Contains(got[0].Text, tt.text) {
				t.Fatalf("%+v, want %s: ...%s...", got, tt.level, tt.text)
			}
			for i, f := range got { // a problem, or that there is none
				if f.Level == LevelGood && i < len(got)-1 || f.Level == LevelProblem && i > 0 && got[i-1].Level != LevelProblem {
					t.Errorf("not in order: %+v", got)
				}
			}
			if tt.level != LevelProblem && got[len(got)-1].Level != LevelGood {
				t.Errorf("nothing good in %+v", got)
			}
		})
	}
}
