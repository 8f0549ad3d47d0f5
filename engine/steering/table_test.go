package steering

import (
	"fmt"
	"slices"
	"testing"
)

func count(table []byte, n int) []int {
	counts := make([]int, n)
	for _, ring := range table {
		counts[ring]++
	}
	return counts
}

func TestSlotTable(t *testing.T) {
	for _, weights := range [][]int{
		{5}, {100, 100}, {100, 100, 100, 100}, {1000, 1}, {100, 0, 50, 25}, slices.Repeat([]int{DefaultWeight}, 32),
	} {
		all := 0
		for _, w := range weights {
			all += w
		}
		table := slotTable(weights)
		for ring, n := range count(table, len(weights)) {
			want := slots * weights[ring] / all
			if weights[ring] == 0 && n != 0 || n < want*7/10-10 || n > want*13/10+10 {
				t.Errorf("weights %v: ring %d has %d slots, want about %d", weights, ring, n, want)
			}
		}
		if !slices.Equal(table, slotTable(weights)) {
			t.Errorf("weights %v: two tables", weights)
		}
	}
}

// Whoever loses weight loses slots, and the others nothing.
func FuzzSlotTable(f *testing.F) {
	f.Add([]byte{100, 100, 100, 100}, byte(1), byte(0))
	f.Add([]byte{1, 255, 0, 3}, byte(3), byte(1))
	f.Add([]byte{9}, byte(0), byte(0))
	f.Fuzz(func(t *testing.T, in []byte, which, less byte) {
		weights, all := weightsOf(in)
		if all == 0 {
			return
		}
		before := slotTable(weights)
		ring := int(which) % len(weights)
		now := slices.Clone(weights)
		now[ring] = min(now[ring], int(less))
		if all -= weights[ring] - now[ring]; all == 0 {
			return
		}
		for slot, r := range slotTable(now) {
			if now[r] == 0 {
				t.Fatalf("weights %v: slot %d has ring %d", now, slot, r)
			}
			if was := before[slot]; r != was && int(was) != ring {
				t.Fatalf("weights %v, then %v: slot %d moved from ring %d to %d", weights, now, slot, was, r)
			}
		}
	})
}

func weightsOf(in []byte) (weights []int, all int) {
	for _, b := range in[:min(len(in), 16)] {
		weights = append(weights, int(b)*MaxWeight/255)
		all += weights[len(weights)-1]
	}
	return weights, all
}

func TestTurnTable(t *testing.T) {
	for _, tt := range []struct {
		weights []int
		want    string
	}{
		{[]int{100}, "[0]"},
		{[]int{7, 7, 7}, "[0 1 2]"},
		{[]int{100, 50}, "[0 1 0]"},
		{[]int{0, 100, 0, 100}, "[1 3]"},
		{[]int{300, 100, 100}, "[0 1 0 2 0]"},
	} {
		if got := fmt.Sprint(turnTable(tt.weights)); got != tt.want {
			t.Errorf("weights %v: %s, want %s", tt.weights, got, tt.want)
		}
	}
}

// However odd the weights, the round fits and everybody has the turns due.
func FuzzTurnTable(f *testing.F) {
	f.Add([]byte{100, 100, 100, 50}, 1)
	f.Add([]byte{255, 254, 253, 1}, 16)
	f.Add([]byte{0, 1}, 1)
	f.Fuzz(func(t *testing.T, in []byte, repeat int) {
		some, all := weightsOf(in)
		if all == 0 {
			return
		}
		weights := slices.Repeat(some, 1+repeat&15)
		all *= 1 + repeat&15
		table := turnTable(weights)
		if len(table) == 0 || len(table) > maxTurns {
			t.Fatalf("weights %v: %d turns", weights, len(table))
		}
		for ring, n := range count(table, len(weights)) {
			due := float64(len(table)) * float64(weights[ring]) / float64(all)
			if (n == 0) != (weights[ring] == 0) || float64(n) < due-0.1*due-1 || float64(n) > due+0.1*due+1 {
				t.Errorf("weights %v: %d of %d turns for ring %d, due %.1f", weights, n, len(table), ring, due)
			}
		}
	})
}

func TestCPUTable(t *testing.T) {
	for _, tt := range []struct {
		cpus []int
		want [][]byte // by CPU, whom it may choose from
	}{
		{[]int{-1}, [][]byte{{0}, {0}, {0}}},
		{[]int{-1, -1, -1}, [][]byte{{0}, {1}, {2}, {0}}},
		{[]int{1, 0}, [][]byte{{1}, {0}, {0}, {1}, {0}}},
		{[]int{0, 1, 0, 1}, [][]byte{{0, 2}, {1, 3}, {0}, {1}, {2}, {3}, {0}}},
		{[]int{3, maxCPUs}, [][]byte{{1}, {0}, {1}, {0}, {0}}},
	} {
		table := cpuTable(tt.cpus)
		if len(table) != maxCPUs*perCPU {
			t.Fatalf("%d entries", len(table))
		}
		for cpu, want := range tt.want {
			got := slices.Compact(slices.Sorted(slices.Values(table[cpu*perCPU : (cpu+1)*perCPU])))
			if !slices.Equal(got, want) {
				t.Errorf("rings pinned to %v: CPU %d has %v, want %v", tt.cpus, cpu, got, want)
			}
		}
	}
}

func TestEffective(t *testing.T) {
	for _, tt := range []struct{ in, want []int }{
		{[]int{0, 0}, []int{DefaultWeight, DefaultWeight}},
		{[]int{0, 5}, []int{0, 5}},
	} {
		if got := effective(tt.in); !slices.Equal(got, tt.want) {
			t.Errorf("%v: %v", tt.in, got)
		}
	}
}

// The offsets that the package comment gives; an instruction has 16 bits for
// one, and the two sides write to different cache lines.
func TestLayout(t *testing.T) {
	for name, at := range map[string][2]int{
		"turns": {offTurn, 256}, "CPUs": {offCPU, 4352}, "slots": {offSlot, 8448}, "rings": {offRing, 24832},
		"end": {memoryBytes, 24832 + 256*128}, "sent of ring 2": {8 * word(2, ringSent), 24832 + 2*128 + 64},
	} {
		if at[0] != at[1] {
			t.Errorf("%s: at %d, want %d", name, at[0], at[1])
		}
	}
	if offRing > 1<<15-1 || offRing%64 != 0 || ringSent/64 == ringBase/64 || offTicket/64 == offPolicy/64 {
		t.Error("the offsets do not fit")
	}
}
