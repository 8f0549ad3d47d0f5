package workload

import (
	"bytes"
	"slices"
	"testing"
)

func TestNamesAreUnique(t *testing.T) {
	for _, all := range [][]Workload{All(nil), All([]int{3, 7}), Quick()} {
		seen := map[string]bool{}
		for _, w := range all {
			if seen[w.Name()] {
				t.Errorf("%s is there twice", w.Name())
			}
			seen[w.Name()] = true
			if w.Conns < 1 || w.Depth < 1 || w.About == "" {
				t.Errorf("%s is incomplete: %+v", w.Name(), w)
			}
		}
	}
}

func TestQuickIsPartOfAll(t *testing.T) {
	all := map[string]bool{}
	for _, w := range All(nil) {
		all[w.Name()] = true
	}
	for _, w := range Quick() {
		if !all[w.Name()] {
			t.Errorf("%s is in the quick run only", w.Name())
		}
	}
}

// The quick run is what people compare: it has the loads that differ most.
func TestQuickHas(t *testing.T) {
	quick := map[string]bool{}
	for _, w := range Quick() {
		quick[w.Name()] = true
	}
	for _, name := range []string{
		"http/1", "http/8", "http/64", "http/256", "echo-64B/1", "echo-64B/64", "close/64",
		"https/64", "grpc-unary/64", "download/1", "upload/1",
	} {
		if !quick[name] {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestConnsShareWhatIsInFlight(t *testing.T) {
	for _, w := range All([]int{1, 3, 8, 64, 100}) {
		want := map[int]int{1: 64, 3: 21, 8: 8, 64: 1, 100: 1}[w.Conns]
		if w.Family == "grpc-unary" && w.Depth != want {
			t.Errorf("%s: %d a conn, want %d", w.Name(), w.Depth, want)
		}
	}
}

func TestForeign(t *testing.T) {
	foreign := []string{
		"http", "close", "pipelined", "echo-64B", "echo-1KB", "idle", "skew", "skew-close",
		"burst", "burst-later", "proxy-64B", "proxy-4KB", "proxy-bulk",
	}
	for _, w := range All(nil) {
		if want := slices.Contains(foreign, w.Family); w.Foreign() != want {
			t.Errorf("%s: %t, want %t", w.Name(), w.Foreign(), want)
		}
	}
}

func TestPattern(t *testing.T) {
	whole := make([]byte, 0, 3*patternBytes)
	for len(whole) < cap(whole) {
		whole = append(whole, Pattern(int64(len(whole)), min(1000, cap(whole)-len(whole)))...)
	}
	if !MatchesPattern(whole, 0) || !MatchesPattern(whole[100:], 100) || !MatchesPattern(whole, patternBytes) {
		t.Error("the body does not match itself")
	}
	if MatchesPattern(whole[1:], 0) || MatchesPattern(whole[1<<16:], 0) {
		t.Error("a shifted body matches")
	}
	whole[2*patternBytes+5]++
	if MatchesPattern(whole, 0) {
		t.Error("a changed byte matches")
	}
}

func TestBroadcastMessagesDiffer(t *testing.T) {
	a, b := make([]byte, 100), make([]byte, 100)
	Broadcast(a, 1)
	Broadcast(b, 2)
	if bytes.Equal(a, b) || bytes.Equal(a[8:], b[8:]) {
		t.Error("two messages are alike")
	}
}

func BenchmarkCompute(b *testing.B) {
	for b.Loop() {
		Compute()
	}
}
