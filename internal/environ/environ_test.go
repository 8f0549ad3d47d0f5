package environ

import (
	"strings"
	"testing"
	"unicode"
)

func lookup(quoit, rings, debug string) func(string) string {
	return func(name string) string {
		return map[string]string{"QUOIT": quoit, "QUOIT_RINGS": rings, "QUOIT_DEBUG": debug}[name]
	}
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		quoit, rings, debug string
		want                Settings
		forces              string
		bad                 []string // parts of the lines
	}{
		{"", "", "", Settings{}, "", nil},
		{"off", "", "", Settings{Mode: "off"}, "QUOIT=off", nil},
		{"poll", "", "0", Settings{Mode: "poll"}, "QUOIT=poll", nil},
		{"ring", "2", "1", Settings{Mode: "ring", Rings: 2, Debug: true}, "QUOIT=ring QUOIT_RINGS=2", nil},
		{"auto", "256", "", Settings{Mode: "auto", Rings: 256}, "QUOIT_RINGS=256", nil},
		{"off", "2", "", Settings{Mode: "off", Rings: 2}, "QUOIT=off", nil},
		{"OFF", "", "", Settings{}, "", []string{`QUOIT="OFF" is ignored, want off`}},
		{" ring", "", "", Settings{}, "", []string{`QUOIT=" ring" is ignored`}},
		{"", "0", "", Settings{}, "", []string{`QUOIT_RINGS="0" is ignored, want 1 to 256`}},
		{"", "257", "", Settings{}, "", []string{`QUOIT_RINGS="257"`}},
		{"", "-1", "", Settings{}, "", []string{`QUOIT_RINGS="-1"`}},
		{"", "99999999999999999999", "", Settings{}, "", []string{`QUOIT_RINGS="9999`}},
		{"", "0x2", "", Settings{}, "", []string{`QUOIT_RINGS="0x2"`}},
		{"", "", "yes", Settings{}, "", []string{`QUOIT_DEBUG="yes" is ignored, want 0 or 1`}},
		{"1", "one", "2", Settings{}, "", []string{"QUOIT=", "QUOIT_RINGS=", "QUOIT_DEBUG="}},
		{"ring", "x", "1", Settings{Mode: "ring", Debug: true}, "QUOIT=ring", []string{"QUOIT_RINGS="}},
	} {
		s, bad := Parse(lookup(tt.quoit, tt.rings, tt.debug))
		if s != tt.want || s.String() != tt.forces || len(bad) != len(tt.bad) {
			t.Errorf("%q %q %q: %+v %q %q", tt.quoit, tt.rings, tt.debug, s, s, bad)
			continue
		}
		for i, part := range tt.bad {
			if !strings.Contains(bad[i], part) {
				t.Errorf("%q, want %q in it", bad[i], part)
			}
		}
	}
}

// Whatever there is, the settings are in range, and what is said of it is one
// short line for a terminal each.
func FuzzParse(f *testing.F) {
	f.Add("ring", "2", "1")
	f.Add("OFF", "-1", "yes")
	f.Add("\x1b[2J", "1\n", strings.Repeat("é", 1000))
	f.Fuzz(func(t *testing.T, quoit, rings, debug string) {
		s, bad := Parse(lookup(quoit, rings, debug))
		switch s.Mode {
		case "", "off", "poll", "ring", "auto":
		default:
			t.Errorf("Mode %q", s.Mode)
		}
		if s.Mode != quoit && s.Mode != "" || s.Rings < 0 || s.Rings > MaxRings {
			t.Errorf("%+v", s)
		}
		for _, line := range bad {
			if len(line) > 400 || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("line %q", line)
			}
		}
		again, worse := Parse(lookup(s.Mode, "", ""))
		if again.Mode != s.Mode || len(worse) > 0 {
			t.Errorf("%+v after %+v, %q", again, s, worse)
		}
	})
}
