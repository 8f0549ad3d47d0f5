// Package paired compares two servers by the ratios of neighbouring runs. A
// machine's speed drifts; within one pair it has little time to.
package paired

import (
	"math"
	"slices"
)

// Summary is the middle of a sample and its spread.
type Summary struct {
	Median float64 `json:"median"`
	Q1     float64 `json:"q1"` // lower quartile
	Q3     float64 `json:"q3"` // upper quartile
	N      int     `json:"n"`
}

// Summarize does not change xs. Without values it returns the zero Summary.
func Summarize(xs []float64) Summary {
	s := slices.Clone(xs)
	slices.Sort(s)
	return Summary{Median: quantile(s, 0.5), Q1: quantile(s, 0.25), Q3: quantile(s, 0.75), N: len(s)}
}

// quantile interpolates linearly between the two nearest of sorted.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	at := q * float64(len(sorted)-1)
	lo := int(math.Floor(at))
	hi := min(lo+1, len(sorted)-1)
	return sorted[lo] + (at-float64(lo))*(sorted[hi]-sorted[lo])
}

// Ratios returns other[i]/base[i], without the pairs where base is zero or
// one of the two is not a number.
func Ratios(base, other []float64) []float64 {
	out := make([]float64, 0, len(base))
	for i := range min(len(base), len(other)) {
		r := other[i] / base[i]
		if base[i] > 0 && !math.IsNaN(r) && !math.IsInf(r, 0) {
			out = append(out, r)
		}
	}
	return out
}

// Order says for each of a round's four runs whether it is the base's. Every
// second round starts with the other, so that being first favours neither.
func Order(round int) [4]bool {
	if round%2 == 0 {
		return [4]bool{true, false, false, true}
	}
	return [4]bool{false, true, true, false}
}
