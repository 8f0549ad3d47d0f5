package steering

import "math"

// effective is what the weights come to: if all are 0, none is.
func effective(weights []int) []int {
	out := make([]int, len(weights))
	all := 0
	for i, w := range weights {
		out[i] = w
		all += w
	}
	if all == 0 {
		for i := range out {
			out[i] = DefaultWeight
		}
	}
	return out
}

// slotTable shares the slots out in proportion to the weights, not all 0, by
// rendezvous hashing: each ring bids for each slot, and its bid does not
// depend on other rings. So a ring that leaves, or whose weight is reduced,
// changes only slots that it had, and gets the same ones when it returns.
func slotTable(weights []int) []byte {
	table := make([]byte, slots)
	for slot := range table {
		best := math.Inf(1)
		var bestHash uint64
		var bestWeight int
		for ring, w := range weights {
			hash := mix(uint64(slot)<<32 | uint64(ring))
			if w == 0 || w == bestWeight && hash <= bestHash { // as below, but faster
				continue
			}
			// The least of exponential variables of these rates is each one's
			// in proportion to its rate.
			u := (float64(hash>>11) + 0.5) / (1 << 53)
			if bid := -math.Log(u) / float64(w); bid < best {
				best, bestHash, bestWeight, table[slot] = bid, hash, w, byte(ring)
			}
		}
	}
	return table
}

// mix is splitmix64's output function.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// turnTable is a round of round robin, no longer than maxTurns: exact if the
// weights, divided by what they have in common, fit, else rounded. A ring's
// turns are spread over the round.
func turnTable(weights []int) []byte {
	turns, total := quotas(weights)
	table := make([]byte, 0, total)
	credit := make([]int, len(turns))
	for range total {
		best := -1
		for ring, n := range turns {
			if credit[ring] += n; n > 0 && (best < 0 || credit[ring] > credit[best]) {
				best = ring
			}
		}
		credit[best] -= total
		table = append(table, byte(best))
	}
	return table
}

// quotas returns how many turns each ring has in a round, and their sum.
func quotas(weights []int) (turns []int, total int) {
	common, sum := 0, 0
	for _, w := range weights {
		common = gcd(common, w)
		sum += w
	}
	turns = make([]int, len(weights))
	for ring, w := range weights {
		switch {
		case w == 0:
		case sum/common <= maxTurns:
			turns[ring] = w / common
		default: // rounding up adds a turn a ring at most
			turns[ring] = 1 + w*(maxTurns-len(weights))/sum
		}
		total += turns[ring]
	}
	return turns, total
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// cpuTable holds perCPU rings for each CPU: those pinned to it in turn, or, if
// there are none, the ring whose turn it is among such CPUs.
func cpuTable(cpus []int) []byte {
	pinned := map[int][]byte{}
	for ring, cpu := range cpus {
		if cpu >= 0 {
			pinned[cpu%maxCPUs] = append(pinned[cpu%maxCPUs], byte(ring))
		}
	}
	table := make([]byte, 0, maxCPUs*perCPU)
	dealt := 0
	for cpu := range maxCPUs {
		rings := pinned[cpu]
		if rings == nil {
			rings = []byte{byte(dealt % len(cpus))}
			dealt++
		}
		for i := range perCPU {
			table = append(table, rings[i%len(rings)])
		}
	}
	return table
}
