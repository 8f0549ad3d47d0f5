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
	}
	for _, tt := range tests {
		err := Check(tt.transport, tt.variant)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s:%s: %v, want %q", tt.transport, tt.variant, err, tt.want)
		}
	}
}

func TestListen(t *testing.T) {
	for _, transport := range Transports {
		s := Spec{Kind: workload.ServeEcho, Transport: transport}
		ln, ready, err := s.listen()
		if err != nil {
			t.Fatal(err)
		}
		if ready.Addr != ln.Addr().String() || ready.GOMAXPROCS < 1 {
			t.Errorf("%s: %+v", transport, ready)
		}
		ln.Close()
		s.Variant = "bogus"
		if _, _, err := s.listen(); err == nil {
			t.Errorf("%s serves a variant that it does not have", transport)
		}
	}
}
