package load

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/quoit-go/quoit/bench/internal/workload"
)

// late is what each part but the first says to have been on the way for longer.
const late = 70 * time.Millisecond

// flushLate answers at once, with times of Writes that are longer ago each.
func flushLate(c net.Conn) {
	var p [workload.FlushBytes]byte
	for {
		if _, err := io.ReadFull(c, p[:]); err != nil {
			return
		}
		for i := range workload.FlushParts {
			workload.PutDuration(p[:], workload.Clock()-time.Duration(i)*late)
			c.Write(p[:])
		}
	}
}

// A third of the Writes each are one, two and no times late.
func TestFlushTakesEachWrite(t *testing.T) {
	s := spec(workload.Workload{Load: workload.LoadFlush, Conns: 3, Busy: 1, Computing: 1}, serveConns(t, flushLate))
	r, err := Run(s)
	if err != nil {
		t.Fatal(err)
	}
	if n := r.Latency.Count(); n == 0 || n >= r.Units {
		t.Errorf("%d latencies of %d Writes, some of them a quiet conn's", n, r.Units)
	}
	if q := r.Latency.Quantile(0.5); q < late*99/100 || r.Latency.Quantile(0.9) < 2*late*99/100 || r.Latency.Quantile(0.2) >= late {
		t.Errorf("quantiles are %v, %v, %v", r.Latency.Quantile(0.2), q, r.Latency.Quantile(0.9))
	}
}

func TestFlushAsks(t *testing.T) {
	for _, one := range []int{1, 8} {
		f, computing := newFlush(1, 0, one), 0
		const asks = 8000
		for range asks {
			switch d := workload.Duration(f.next()); {
			case d == 0:
			case d < workload.FlushLeast || d > workload.FlushMost:
				t.Fatalf("asks to compute for %v", d)
			default:
				computing++
			}
		}
		if want := asks / one; computing < want*9/10 || computing > want*11/10 {
			t.Errorf("%d of %d compute, want one in %d", computing, asks, one)
		}
	}
}

func TestFlushRefuses(t *testing.T) {
	f := newFlush(1, 0, 1)
	f.next()
	if _, _, err := f.feed(make([]byte, len(f.answer)+1)); err == nil {
		t.Error("bytes after the answer are taken")
	}
	part := make([]byte, workload.FlushBytes)
	workload.PutDuration(part, workload.Clock()+time.Minute)
	if _, _, err := f.feed(part); err == nil {
		t.Error("a Write of the future is taken")
	}
}
