package paired

import (
	"math"
	"slices"
	"testing"
)

func TestSummarize(t *testing.T) {
	tests := []struct {
		name string
		in   []float64
		want Summary
	}{
		{"empty", nil, Summary{}},
		{"one", []float64{3}, Summary{3, 3, 3, 1}},
		{"two", []float64{2, 1}, Summary{1.5, 1.25, 1.75, 2}},
		{"odd", []float64{5, 1, 3, 2, 4}, Summary{3, 2, 4, 5}},
		{"outlier", []float64{1, 1, 1, 1, 100}, Summary{1, 1, 1, 5}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := slices.Clone(tt.in)
			if got := Summarize(in); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if !slices.Equal(in, tt.in) {
				t.Error("the sample was reordered")
			}
		})
	}
}

func TestRatios(t *testing.T) {
	got := Ratios([]float64{2, 0, 4, math.NaN(), 5}, []float64{3, 7, 2, 1})
	if want := []float64{1.5, 0.5}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Pairing is what makes the median immune to drift.
func TestRatiosCancelDrift(t *testing.T) {
	var base, other []float64
	for speed := 100.0; speed > 50; speed -= 3 {
		base, other = append(base, speed), append(other, speed*1.2)
	}
	s := Summarize(Ratios(base, other))
	if math.Abs(s.Median-1.2) > 1e-9 || s.Q3-s.Q1 > 1e-9 {
		t.Errorf("got %v, want 1.2 without spread", s)
	}
}

func TestOrderIsBalanced(t *testing.T) {
	var first, base int
	for round := range 4 {
		o := Order(round)
		if o[0] == o[1] || o[2] == o[3] {
			t.Errorf("round %d: a pair holds one server twice: %v", round, o)
		}
		if o[0] {
			first++
		}
		for _, b := range o {
			if b {
				base++
			}
		}
	}
	if first != 2 || base != 8 {
		t.Errorf("base is first in %d of 4 rounds and has %d of 16 runs", first, base)
	}
}
