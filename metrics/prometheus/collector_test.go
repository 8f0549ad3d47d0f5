package prometheus

import (
	"errors"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// snapshot collects a Stats of ours.
type snapshot quoit.Stats

func (s snapshot) Describe(ch chan<- *prometheus.Desc) { collector{}.Describe(ch) }
func (s snapshot) Collect(ch chan<- prometheus.Metric) { collect(quoit.Stats(s), ch) }

// gather wants what c collects to agree with what it describes.
func gather(t *testing.T, c prometheus.Collector) []*dto.MetricFamily {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	if err := r.Register(c); err != nil {
		t.Fatal(err)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// values are all numbers in families.
func values(families []*dto.MetricFamily) (out []float64) {
	for _, f := range families {
		for _, m := range f.Metric {
			switch {
			case m.Counter != nil:
				out = append(out, m.Counter.GetValue())
			case m.Gauge != nil:
				out = append(out, m.Gauge.GetValue())
			case m.Histogram != nil:
				out = append(out, m.Histogram.GetSampleSum(), float64(m.Histogram.GetSampleCount()))
			}
		}
	}
	return out
}

// full has a number of its own in every field of a ring, and of those of the engine
// that no ring has.
func full() quoit.Stats {
	next := uint64(1000)
	fill := func(v reflect.Value, skip reflect.Type) {
		for i := range v.NumField() {
			if skip != nil {
				if _, both := skip.FieldByName(v.Type().Field(i).Name); both {
					continue
				}
			}
			next++
			switch f := v.Field(i); {
			case f.Type() == reflect.TypeFor[time.Duration]():
				f.SetInt(int64(time.Duration(next) * time.Second))
			case f.Type() == reflect.TypeFor[quoit.Gear]():
			case f.CanInt():
				f.SetInt(int64(next))
			case f.CanUint():
				f.SetUint(next)
			case f.CanFloat():
				f.SetFloat(float64(next))
			case f.Kind() == reflect.Array:
				f.Index(3).SetUint(next)
			}
		}
	}
	st := quoit.Stats{Transport: "io_uring", Rings: make([]quoit.RingStats, 1), Listening: make([]quoit.ListenerStats, 1)}
	fill(reflect.ValueOf(&st).Elem(), reflect.TypeFor[quoit.RingStats]())
	fill(reflect.ValueOf(&st.Rings[0]).Elem(), nil)
	fill(reflect.ValueOf(&st.Listening[0]).Elem(), nil)
	st.Listening[0].Addr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}
	st.Steering = []quoit.SteeringStats{{Addr: st.Listening[0].Addr, Decisions: []uint64{next + 1}}}
	return st
}

// Whatever Stats counts is exported.
func TestEveryField(t *testing.T) {
	st := full()
	got := values(gather(t, snapshot(st)))
	check := func(v reflect.Value, skip []string) {
		for i := range v.NumField() {
			name := v.Type().Name() + "." + v.Type().Field(i).Name
			var want float64
			switch f := v.Field(i); {
			case f.Type() == reflect.TypeFor[time.Duration]():
				want = time.Duration(f.Int()).Seconds()
			case f.Type() == reflect.TypeFor[quoit.Gear]():
				continue
			case f.CanInt():
				want = float64(f.Int())
			case f.CanUint():
				want = float64(f.Uint())
			case f.CanFloat():
				want = f.Float()
			case f.Kind() == reflect.Array:
				want = float64(f.Index(3).Uint())
			}
			if want != 0 && !slices.Contains(got, want) && !slices.Contains(skip, name) {
				t.Errorf("%s is in no metric", name)
			}
		}
	}
	check(reflect.ValueOf(st), nil)
	check(reflect.ValueOf(st.Rings[0]), []string{"RingStats.CPU"}) // a setting, no number
	check(reflect.ValueOf(st.Listening[0]), nil)
	if n := float64(st.Steering[0].Decisions[0]); !slices.Contains(got, n) {
		t.Error("decisions are in no metric")
	}
}

// Names follow Prometheus' conventions.
func TestLint(t *testing.T) {
	problems, err := testutil.CollectAndLint(snapshot(full()))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestHistogram(t *testing.T) {
	st := quoit.Stats{Transport: "io_uring", Rings: make([]quoit.RingStats, 1)}
	st.Rings[0].WriteDelays = [20]uint64{0: 1, 2: 3, 19: 5}
	st.Rings[0].WriteDelaySum = 1500 * time.Millisecond
	st.Rings[0].TurnSizes = [20]uint64{1: 4, 3: 2}
	st.Rings[0].Completions = 12
	for _, f := range gather(t, snapshot(st)) {
		var want map[float64]uint64
		var sum float64
		switch f.GetName() {
		case "quoit_write_delay_seconds":
			want, sum = map[float64]uint64{1e-6: 1, 2e-6: 1, 4e-6: 4, 0.262144: 4}, 1.5
		case "quoit_turn_completions":
			want, sum = map[float64]uint64{0: 0, 1: 4, 3: 4, 7: 6, 1<<18 - 1: 6}, 12
		default:
			continue
		}
		h := f.Metric[0].Histogram
		total := map[string]uint64{"quoit_write_delay_seconds": 9, "quoit_turn_completions": 6}[f.GetName()]
		if len(h.Bucket) != 19 || h.GetSampleCount() != total || h.GetSampleSum() != sum {
			t.Errorf("%s: %v", f.GetName(), h)
		}
		for _, b := range h.Bucket {
			if n, ok := want[b.GetUpperBound()]; ok && n != b.GetCumulativeCount() {
				t.Errorf("%s: up to %v %d, want %d", f.GetName(), b.GetUpperBound(), b.GetCumulativeCount(), n)
			}
			delete(want, b.GetUpperBound())
		}
		if len(want) > 0 {
			t.Errorf("%s: no buckets %v", f.GetName(), want)
		}
	}
}

// Listeners may share an address, and have a name that is no text.
func TestAddresses(t *testing.T) {
	a := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}
	u := &net.UnixAddr{Name: "/run/\xff.sock", Net: "unix"}
	st := quoit.Stats{
		Transport: "io_uring",
		Listening: []quoit.ListenerStats{
			{Addr: a, Accepted: 1, Queue: 2, Backlog: 10}, {Addr: a, Accepted: 4, Queue: 3, Backlog: 10},
			{Addr: u, Accepted: 7, Queue: -1, Backlog: -1}, {Addr: u, Queue: -1, Backlog: -1},
		},
		Steering: []quoit.SteeringStats{
			{Addr: a, Decisions: []uint64{1, 2}}, {Addr: a, Decisions: []uint64{3, 4}}, {Addr: u, Err: errors.New("x")},
		},
	}
	want := `
# HELP quoit_listener_accepted_conns_total Connections accepted.
# TYPE quoit_listener_accepted_conns_total counter
quoit_listener_accepted_conns_total{address="/run/` + "\uFFFD" + `.sock",network="unix"} 7
quoit_listener_accepted_conns_total{address="127.0.0.1:80",network="tcp"} 5
# HELP quoit_listener_queue_conns Connections that are established and not accepted.
# TYPE quoit_listener_queue_conns gauge
quoit_listener_queue_conns{address="127.0.0.1:80",network="tcp"} 5
# HELP quoit_steering_decisions_total Connections that the listener's steering sent to a ring.
# TYPE quoit_steering_decisions_total counter
quoit_steering_decisions_total{address="127.0.0.1:80",ring="0"} 4
quoit_steering_decisions_total{address="127.0.0.1:80",ring="1"} 6
`
	err := testutil.CollectAndCompare(snapshot(st), strings.NewReader(want),
		"quoit_listener_accepted_conns_total", "quoit_listener_queue_conns", "quoit_steering_decisions_total")
	if err != nil {
		t.Error(err)
	}
}

// Where package net serves, that is said, and why.
func TestNet(t *testing.T) {
	st := quoit.Stats{Transport: "net", Reason: errors.New("seccomp says \"no\"\n"), SetupRetries: 3}
	want := `
# HELP quoit_lost_rings_total Rings that failed.
# TYPE quoit_lost_rings_total counter
quoit_lost_rings_total 0
# HELP quoit_setup_retries_total Set-ups of rings that were tried again.
# TYPE quoit_setup_retries_total counter
quoit_setup_retries_total 3
# HELP quoit_transport_info 1, with what serves, io_uring or net, and why if it is net.
# TYPE quoit_transport_info gauge
quoit_transport_info{reason="seccomp says \"no\"\n",transport="net"} 1
`
	if err := testutil.CollectAndCompare(snapshot(st), strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestCollectors(t *testing.T) {
	for name, e := range map[string]*quoit.Engine{"own": enginetest.New(t, quoit.Config{}), "default": nil} {
		families := gather(t, NewCollector(e))
		info := families[slices.IndexFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == "quoit_transport_info" })]
		transport := ""
		for _, l := range info.Metric[0].Label {
			if l.GetName() == "transport" {
				transport = l.GetValue()
			}
		}
		if want := quoit.Default().Stats().Transport; transport != want {
			t.Errorf("%s: %q, want %q", name, transport, want)
		}
	}
}

// Two engines are told apart by a label of the program's.
func TestTwoEngines(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	for _, name := range []string{"public", "backend"} {
		labelled := prometheus.WrapRegistererWith(prometheus.Labels{"engine": name}, r)
		if err := labelled.Register(NewCollector(enginetest.New(t, quoit.Config{}))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Gather(); err != nil {
		t.Error(err)
	}
}
