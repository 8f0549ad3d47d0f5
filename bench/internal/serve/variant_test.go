package serve

import (
	"strings"
	"testing"

	"github.com/quoit-go/quoit/bench/internal/workload"
)

func TestCheck(t *testing.T) {
	tests := []struct{ transport, variant, want string }{
		{"net", "", ""}, {"quoit", "", ""}, {"quoit", "auto", ""},
		{"net", "ring", "net has no variants"}, {"quoit", "bogus", `"bogus" is none of`},
		{"epoll", "", `"epoll" is none of net, quoit`},
		{"quoit", "1ring", ""}, {"quoit", "poll+256rings", ""}, {"quoit", "4rings+ring", ""},
		{"quoit", "2rings+least", ""}, {"quoit", "classic-cpu+auto+3rings", ""},
		{"quoit", "poll+busy30us", ""}, {"quoit", "busy", `"busy" has no time`}, {"quoit", "busy-1us", `has no time`},
		{"quoit", "busy1us+busy2us", `"busy2us" comes after busy1µs`},
		{"quoit", "ring+direct", ""}, {"quoit", "direct+2rings", ""}, {"quoit", "direct+ring+direct", `"direct" comes twice`},
		{"net", "2rings", "net has no variants"},
		{"quoit", "0rings", `"0rings" is not 1ring, or 2rings to 256rings`},
		{"quoit", "257rings", `"257rings" is not`}, {"quoit", "1rings", `"1rings" is not`}, {"quoit", "2ring", `"2ring" is not`},
		{"quoit", "02rings", `"02rings" is not`}, {"quoit", "+2rings", `"" is none of`}, {"quoit", "-2rings", `"-2rings" is not`},
		{"quoit", "rings", `"rings" is not`}, {"quoit", "2rings+", `"" is none of auto, ring, poll, 1ring`},
		{"quoit", "2rings+most", `"most" is none of`}, {"quoit", "2Rings", `"2Rings" is none of`},
		{"quoit", "ring+poll", `"ring" and "poll" are both gears`},
		{"quoit", "2rings+4rings", `"2rings" and "4rings" are both numbers of rings`},
		{"quoit", "2rings+hash+hash", `"hash" and "hash" are both steering`},
		{"quoit", "ring+least", `"ring+least" has no number of rings, as in 2rings+least`},
	}
	for _, tt := range tests {
		err := Check(tt.transport, tt.variant)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s:%s: %v, want %q", tt.transport, tt.variant, err, tt.want)
		}
	}
}

func TestWithGear(t *testing.T) {
	tests := []struct{ variant, gear, want string }{
		{"", "", ""}, {"", "ring", "ring"}, {"poll", "ring", "poll"}, {"2rings", "", "2rings"},
		{"2rings", "ring", "ring+2rings"}, {"2rings+least", "poll", "poll+2rings+least"}, {"2rings+auto", "ring", "2rings+auto"},
		{"another build's", "ring", "another build's"},
	}
	for _, tt := range tests {
		if got := WithGear(tt.variant, tt.gear); got != tt.want {
			t.Errorf("%q with %q is %q, want %q", tt.variant, tt.gear, got, tt.want)
		}
	}
}

func TestHelp(t *testing.T) {
	for _, name := range append(append([]string{"1ring", "busy", "direct"}, Gears...), steeringNames()...) {
		if !strings.Contains(Help(), name) {
			t.Errorf("%q is missing in\n%s", name, Help())
		}
	}
}

func TestListen(t *testing.T) {
	for _, transport := range Transports {
		s := Spec{Kind: workload.ServeEcho, Transport: transport}
		ln, ready, err := listen(s)
		if err != nil {
			t.Fatal(err)
		}
		if ready.Addr != ln.Addr().String() || ready.GOMAXPROCS < 1 {
			t.Errorf("%s: %+v", transport, ready)
		}
		ln.Close()
		s.Variant = "bogus"
		if _, _, err := listen(s); err == nil {
			t.Errorf("%s serves a variant that it does not have", transport)
		}
	}
}

func TestDirect(t *testing.T) {
	for variant, want := range map[string]bool{"": false, "ring": false, "direct": true, "ring+direct+2rings": true} {
		if v, err := parseVariant(variant); err != nil || v.direct != want {
			t.Errorf("%q: %t, %v", variant, v.direct, err)
		}
	}
}
