package serve

import (
	"net"
	"testing"

	"github.com/quoit-go/quoit/bench/internal/workload"
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
	// Begin does not wait: another exchange could be over before the answer.
	var before EngineStats
	if err := w.end(&before, new(EngineStats)); err != nil {
		t.Fatal(err)
	}
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
	if before.RingReads+before.DirectReads == 0 || s.RingReads+s.DirectReads == 0 || s.RingReads+s.DirectReads > exchanges+1 {
		t.Errorf("before: %+v, since: %+v", before, s)
	}
	if len(s.TurnSizes) == 0 || s.RingTime+s.PollTime <= 0 {
		t.Errorf("%+v", s)
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
