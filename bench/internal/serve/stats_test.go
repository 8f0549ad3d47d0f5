package serve

import (
	"net"
	"testing"

	"github.com/quoit-go/quoit/bench/internal/workload"
	"github.com/quoit-go/quoit/internal/testenv"
)

func TestWatchStats(t *testing.T) {
	ln, ready, err := listen(Spec{Kind: workload.ServeEcho, Transport: "quoit", Stats: true})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if ready.Fallback != "" {
		t.Skip(ready.Fallback)
	}
	go acceptEach(echo)(ln)
	c, err := net.Dial("tcp", ready.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	exchange(t, c) // before Begin: it does not count
	w, err := WatchStats(ready.Stats)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Begin(); err != nil {
		t.Fatal(err)
	}
	var before EngineStats
	if err := w.end(&before, new(EngineStats)); err != nil {
		t.Fatal(err)
	}
	if before.RingReads+before.DirectReads == 0 {
		t.Errorf("before: %+v", before)
	}
	// Begin does not wait: the exchanges may all be over before the answer.
	if !testenv.Eventually(func() bool {
		if err := w.Begin(); err != nil {
			t.Fatal(err)
		}
		const exchanges = 10
		for range exchanges {
			exchange(t, c)
		}
		s, err := w.End()
		if err != nil {
			t.Fatal(err)
		}
		if s.RingReads+s.DirectReads > exchanges+1 || len(s.TurnSizes) == 0 || s.RingTime+s.PollTime <= 0 {
			t.Errorf("%+v", s)
		}
		return s.RingReads+s.DirectReads > 0
	}) {
		t.Error("no exchange counts")
	}
}

func TestNobodyIsAsked(t *testing.T) {
	w, err := WatchStats("")
	if w != nil || err != nil {
		t.Fatalf("%v, %v", w, err)
	}
	if s, err := w.End(); s != nil || err != nil || w.Begin() != nil {
		t.Errorf("%v, %v", s, err)
	}
	w.Close()
}
