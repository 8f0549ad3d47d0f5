package prometheus

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/quoit-go/quoit"
)

var allDescs []*prometheus.Desc

// desc makes the description of quoit_name, for Describe too.
func desc(name, help string, labels ...string) *prometheus.Desc {
	d := prometheus.NewDesc("quoit_"+name, help, labels, nil)
	allDescs = append(allDescs, d)
	return d
}

// Of an engine.
var (
	transportInfo  = desc("transport_info", "1, with what serves, io_uring or net, and why if it is net.", "transport", "reason")
	listeners      = desc("listeners", "Open listeners.")
	comparisons    = desc("gear_comparisons_total", "Comparisons of the two gears under load, by all engines of the process.")
	ringCost       = desc("ring_cost_ratio", "CPU time for the same work in gear ring by that in gear poll, in the last comparison; 0 before.")
	acceptFailures = desc("accept_failures_total", "Accepts that failed: descriptor limits and the like.")
)

// Of an engine, also while package net serves it.
var (
	lostRings    = desc("lost_rings_total", "Rings that failed.")
	setupRetries = desc("setup_retries_total", "Set-ups of rings that were tried again.")
)

// Of a ring, with more labels or more values.
var (
	reads           = desc("reads_total", "Reads that brought something, by whether they had waited on the ring.", "ring", "way")
	gearTime        = desc("gear_seconds_total", "Time in each gear.", "ring", "gear")
	turnCompletions = desc("turn_completions", "Completions handled in a turn of the ring's thread.", "ring")
	wakeDelay       = desc("wake_delay_seconds", "How long a woken caller took to run again, of one in 64.", "ring")
	writeDelay      = desc("write_delay_seconds", "How long what batched Writes accepted waited to be sent.", "ring")
)

// Of a listener, or of listeners that share an address.
var (
	listenerAccepted  = desc("listener_accepted_conns_total", "Connections accepted.", "network", "address")
	listenerFailures  = desc("listener_accept_failures_total", "Accepts that failed: descriptor limits and the like.", "network", "address")
	listenerQueue     = desc("listener_queue_conns", "Connections that are established and not accepted.", "network", "address")
	listenerBacklog   = desc("listener_backlog_conns", "Connections that may be so.", "network", "address")
	steeringDecisions = desc("steering_decisions_total", "Connections that the listener's steering sent to a ring.", "address", "ring")
)

// ringMetrics are numbers of a ring.
var ringMetrics = []ringMetric{
	ringGauge("conns", "Open connections.", func(r *quoit.RingStats) float64 { return float64(r.Conns) }),
	ringGauge("ring_held", "1 if the ring gets no new connections where there is a choice, because it has much more to do than others.", func(r *quoit.RingStats) float64 { return flag(r.Held) }),
	ringGauge("gear_ring", "1 in gear ring, 0 in gear poll.", func(r *quoit.RingStats) float64 { return flag(r.Gear == quoit.GearRing) }),
	ringGauge("worst_write_delay_seconds", "The longest of write_delay_seconds within the last second or two.", func(r *quoit.RingStats) float64 { return r.WorstWriteDelay.Seconds() }),

	ringCounter("accepted_conns_total", "Connections accepted.", func(r *quoit.RingStats) uint64 { return r.Accepted }),
	ringCounter("adopted_conns_total", "Connections dialed or taken over.", func(r *quoit.RingStats) uint64 { return r.Adopted }),
	ringCounter("enters_total", "Calls of io_uring_enter.", func(r *quoit.RingStats) uint64 { return r.Enters }),
	ringCounter("wakeups_total", "Times that another thread woke the ring's.", func(r *quoit.RingStats) uint64 { return r.Wakeups }),
	ringCounter("overflows_total", "Times that the completion queue overflowed.", func(r *quoit.RingStats) uint64 { return r.Overflows }),
	ringCounter("gear_changes_total", "Changes between the gears.", func(r *quoit.RingStats) uint64 { return r.GearChanges }),
	ringCounter("received_bytes_total", "Bytes received.", func(r *quoit.RingStats) uint64 { return r.BytesReceived }),
	ringCounter("sent_bytes_total", "Bytes sent, or accepted to be sent.", func(r *quoit.RingStats) uint64 { return r.BytesSent }),
	ringCounter("forwarded_bytes_total", "Bytes that the ring's thread forwarded from one connection to another; in both others.", func(r *quoit.RingStats) uint64 { return r.BytesForwarded }),
	ringCounter("busy_reads_total", "Reads that found something by looking before they waited.", func(r *quoit.RingStats) uint64 { return r.BusyReads }),
	ringCounter("batched_writes_total", "Writes that returned before they were sent.", func(r *quoit.RingStats) uint64 { return r.WritesBatched }),
	ringCounter("batches_total", "Sends of batched Writes that the ring made, and no call of the connection's.", func(r *quoit.RingStats) uint64 { return r.Batches }),
	ringCounter("parked_sends_total", "Writes that met a full socket and waited: readers that are slow.", func(r *quoit.RingStats) uint64 { return r.SendsParked }),
}

type ringMetric struct {
	desc  *prometheus.Desc
	typ   prometheus.ValueType
	value func(*quoit.RingStats) float64
}

func ringGauge(name, help string, value func(*quoit.RingStats) float64) ringMetric {
	return ringMetric{desc(name, help, "ring"), prometheus.GaugeValue, value}
}

func ringCounter(name, help string, value func(*quoit.RingStats) uint64) ringMetric {
	return ringMetric{desc(name, help, "ring"), prometheus.CounterValue, func(r *quoit.RingStats) float64 { return float64(value(r)) }}
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
