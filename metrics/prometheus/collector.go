// Package prometheus exports the counters of an engine of package quoit to Prometheus.
//
//	prometheus.MustRegister(quoitprom.NewCollector(nil))
//
// It is a module of its own, so that Prometheus' client is a dependency of those
// programs only that use it.
//
// Names and meanings are listed in docs/operations.md. What a ring counts has the
// label ring, its number: sum over it for the engine. Programs with several engines
// register each with a label of their own, by prometheus.WrapRegistererWith.
package prometheus

import (
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quoit-go/quoit"
)

// NewCollector returns a collector of the counters of e. With nil they are those of
// [quoit.Default], which the first scrape starts.
//
// A scrape takes one [quoit.Stats]. It may be done by several goroutines at once.
func NewCollector(e *quoit.Engine) prometheus.Collector { return collector{e} }

type collector struct{ e *quoit.Engine }

func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range allDescs {
		ch <- d
	}
}

func (c collector) Collect(ch chan<- prometheus.Metric) {
	e := c.e
	if e == nil {
		e = quoit.Default()
	}
	collect(e.Stats(), ch)
}

// collect sends what st has. Where package net serves that is why, and whether it was
// tried to change it.
func collect(st quoit.Stats, ch chan<- prometheus.Metric) {
	reason := ""
	if st.Reason != nil {
		reason = st.Reason.Error()
	}
	ch <- gauge(transportInfo, 1, st.Transport, utf8(reason))
	ch <- counter(lostRings, float64(st.RingsLost))
	ch <- counter(setupRetries, float64(st.SetupRetries))
	if st.Transport != "io_uring" {
		return
	}
	ch <- gauge(listeners, float64(st.Listeners))
	ch <- counter(comparisons, float64(st.Comparisons))
	ch <- gauge(ringCost, st.RingCost)
	ch <- counter(acceptFailures, float64(st.AcceptFailures))
	for i := range st.Rings {
		collectRing(&st.Rings[i], strconv.Itoa(i), ch)
	}
	collectListeners(st.Listening, ch)
	collectSteering(st.Steering, ch)
}

func collectRing(r *quoit.RingStats, ring string, ch chan<- prometheus.Metric) {
	for _, m := range ringMetrics {
		ch <- prometheus.MustNewConstMetric(m.desc, m.typ, m.value(r), ring)
	}
	ch <- counter(reads, float64(r.RingReads), ring, "ring")
	ch <- counter(reads, float64(r.DirectReads), ring, "direct")
	ch <- counter(gearTime, r.RingTime.Seconds(), ring, "ring")
	ch <- counter(gearTime, r.PollTime.Seconds(), ring, "poll")
	ch <- histogram(turnCompletions, r.TurnSizes, float64(r.Completions), func(bound uint64) float64 { return float64(bound - 1) }, ring)
	ch <- histogram(wakeDelay, r.WakeDelays, r.WakeDelaySum.Seconds(), micros, ring)
	ch <- histogram(writeDelay, r.WriteDelays, r.WriteDelaySum.Seconds(), micros, ring)
}

// collectListeners adds up listeners that share an address, by SO_REUSEPORT or
// because they have none: a metric must not come twice.
func collectListeners(all []quoit.ListenerStats, ch chan<- prometheus.Metric) {
	type key struct{ network, address string }
	sums := map[key]quoit.ListenerStats{}
	for _, l := range all {
		k := key{l.Addr.Network(), utf8(l.Addr.String())}
		s := sums[k]
		s.Accepted += l.Accepted
		s.AcceptFailures += l.AcceptFailures
		s.Queue += l.Queue
		s.Backlog += l.Backlog
		sums[k] = s
	}
	for k, s := range sums {
		ch <- counter(listenerAccepted, float64(s.Accepted), k.network, k.address)
		ch <- counter(listenerFailures, float64(s.AcceptFailures), k.network, k.address)
		if s.Backlog >= 0 { // else the kernel does not say
			ch <- gauge(listenerQueue, float64(s.Queue), k.network, k.address)
			ch <- gauge(listenerBacklog, float64(s.Backlog), k.network, k.address)
		}
	}
}

func collectSteering(all []quoit.SteeringStats, ch chan<- prometheus.Metric) {
	sums := map[string][]uint64{}
	for _, s := range all {
		address := utf8(s.Addr.String())
		sum := sums[address]
		for i, n := range s.Decisions {
			if i == len(sum) {
				sum = append(sum, 0)
			}
			sum[i] += n
		}
		sums[address] = sum
	}
	for address, sum := range sums {
		for ring, n := range sum {
			ch <- counter(steeringDecisions, float64(n), address, strconv.Itoa(ring))
		}
	}
}

func gauge(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func counter(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

// histogram has bound turn 2^i, which the values of bucket i are less than, into the
// bucket's upper bound.
func histogram(d *prometheus.Desc, counts [20]uint64, sum float64, bound func(uint64) float64, labels ...string) prometheus.Metric {
	buckets := map[float64]uint64{}
	total := uint64(0)
	for i, n := range counts {
		total += n
		if i < len(counts)-1 {
			buckets[bound(1<<i)] = total
		}
	}
	return prometheus.MustNewConstHistogram(d, total, sum, buckets, labels...)
}

func micros(n uint64) float64 { return (time.Duration(n) * time.Microsecond).Seconds() }

// utf8 is for what a label must be and the name of a unix socket need not.
func utf8(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
