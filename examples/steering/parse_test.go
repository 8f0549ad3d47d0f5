package main

import (
	"strings"
	"testing"
)

func TestRefuses(t *testing.T) {
	tests := []struct {
		name string
		args []string
		code int
		want string
	}{
		{"argument", []string{"now"}, 2, `unexpected argument "now"`},
		{"flag", []string{"-policy=x"}, 2, "-policy"},
		{"steering", []string{"-steering=x"}, 2, "want ebpf, hash, cpu, random or none"},
		{"conns", []string{"-conns=0"}, 2, "out of range"},
		{"sources", []string{"-sources=10001"}, 2, "out of range"},
		{"rate", []string{"-rate=NaN"}, 2, "-rate"},
		{"life", []string{"-life=0"}, 2, "-life"},
		{"every", []string{"-every=0"}, 2, "-every"},
		{"phase", []string{"-phase=1ms"}, 2, "-phase"},
		{"for", []string{"-for=-1s"}, 2, "-for"},
		{"rings", []string{"-rings=257"}, 1, "want 0 (default) or 1 to 256"},
		{"no ring", []string{"-rings=0"}, 2, "out of range"},
		{"help", []string{"-help"}, 0, "-tour"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			if code := run(t.Context(), tt.args, strings.NewReader(""), &stdout, &stderr); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if stdout.Len() > 0 || !strings.Contains(stderr.String(), tt.want) {
				t.Errorf("stdout %q, stderr %q, want %q", &stdout, &stderr, tt.want)
			}
		})
	}
}

func TestBar(t *testing.T) {
	for share, want := range map[float64]string{0: "....", 0.1: "....", 0.25: "#...", 0.9: "####", 1: "####"} {
		if got := bar(share, 4); got != want {
			t.Errorf("bar(%v) is %q, want %q", share, got, want)
		}
	}
}

func TestWorst(t *testing.T) {
	x := sample{drained: []bool{false, false, true, false}}
	for _, tt := range []struct {
		v    []float64
		want float64
	}{
		{[]float64{2, 2, 9, 2}, 1},
		{[]float64{6, 0, 9, 0}, 3},
		{[]float64{1, 2, 0, 3}, 1.5},
		{[]float64{0, 0, 9, 0}, 0},
	} {
		if got := x.worst(tt.v); got != tt.want {
			t.Errorf("worst of %v is %v, want %v", tt.v, got, tt.want)
		}
	}
}

// On a terminal each table takes the place of the one before.
func TestScreen(t *testing.T) {
	var b strings.Builder
	s := &screen{w: &b, terminal: true}
	s.show("one\ntwo\n")
	s.show("three\n")
	if want := "\x1b[2J\x1b[Hone\x1b[K\ntwo\x1b[K\n\x1b[J\x1b[Hthree\x1b[K\n\x1b[J"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}
