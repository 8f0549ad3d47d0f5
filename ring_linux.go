//go:build linux

package quoit

import (
	"cmp"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quoit-go/quoit/engine"
)

// ring is one of a transport's: an engine, and after its io_uring has failed another
// one. The conns and listeners of the old one stay with it, without a ring.
type ring struct {
	cfg    engine.Options
	log    *slog.Logger    // with the ring's number
	loaded func(conns int) // is told of those of now; with a lock of the engine's held
	now    atomic.Pointer[engine.Engine]
	round  atomic.Uint64 // how many engines there have been
	again  backoff

	logNext atomic.Int64 // when the next Accept that fails is logged, Unix nanoseconds

	mu            sync.Mutex       // guards the rest
	before        []*engine.Engine // that have failed, and may have conns
	past          RingStats        // of those that are gone
	lost, retries uint64
	err           error // why the last one failed, or is not replaced
}

func newRing(cfg engine.Options, log *slog.Logger, loaded func(conns int)) *ring {
	r := &ring{cfg: cfg, log: log, loaded: loaded}
	r.cfg.Compared, r.cfg.AcceptFailed = r.compared, r.acceptFailed
	r.cfg.Died = func(err error) {
		attrs := []any{"error", err}
		if p, ok := errors.AsType[*engine.PanicError](err); ok {
			attrs = append(attrs, "stack", string(p.Stack))
		}
		log.Error("quoit: a ring failed: its conns go on without it", attrs...)
	}
	r.again.due.Store(1) // at once, when it fails for the first time
	return r
}

// start sets up the first engine.
func (r *ring) start() error {
	e, err := r.next()
	if err == nil {
		r.now.Store(e)
	}
	return err
}

// next sets up another engine.
func (r *ring) next() (*engine.Engine, error) {
	cfg, round := r.cfg, r.round.Load()+1
	cfg.Loaded = func(conns int) {
		if r.round.Load() == round {
			r.loaded(conns)
		}
	}
	e, err := engine.New(cfg)
	if err == nil {
		r.round.Store(round)
	}
	return e, err
}

// replace sets up another engine in place of one that has failed. It returns what logs
// that.
func (r *ring) replace() (report func()) {
	e, err := r.next()
	r.again.begin()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.retries++
	if err != nil {
		r.err = err
		return func() { r.log.Warn("quoit: no ring in place of the one that failed", "error", err) }
	}
	dead := r.now.Swap(e)
	e.TellLoad()
	r.sweep()
	r.before, r.err = append(r.before, dead), dead.Death()
	r.lost++
	return func() { r.log.Info("quoit: another ring in place of the one that failed") }
}

// compared logs what a comparison of the gears found.
func (r *ring) compared(found engine.Report) {
	what := "quoit: gear ring compared with poll"
	if found.Looking {
		what = "quoit: looking before a wait compared with not"
	}
	r.log.Info(what, "pays", found.Pays, "cpu", found.Cost, "rate", found.Rate, "tail", found.Tail)
}

// logEvery is how often an Accept that fails is logged: a server that is short of
// descriptors tries again and again.
const logEvery = time.Second

// acceptFailed logs the error of an Accept, now and then.
func (r *ring) acceptFailed(err error) {
	now, due := time.Now().UnixNano(), r.logNext.Load()
	if now >= due && r.logNext.CompareAndSwap(due, now+int64(logEvery)) {
		r.log.Warn("quoit: an Accept failed", "error", err)
	}
}

// sweep ends the engines that failed before the last one did and have nothing left:
// that is a while ago, so that nobody is about to open a conn there. Called with mu
// held.
func (r *ring) sweep() {
	kept := r.before[:0]
	for _, e := range r.before {
		s := e.Stats()
		if s.Conns > 0 || s.Listeners > 0 {
			kept = append(kept, e)
			continue
		}
		addCounters(&r.past, &s)
		_ = e.Close()
	}
	clear(r.before[len(kept):])
	r.before = kept
}

// engines returns those before, and that of now.
func (r *ring) engines() []*engine.Engine {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append(slices.Clone(r.before), r.now.Load())
}

// stats returns what the ring did, with those in its place before it, and adds that to
// s.
func (r *ring) stats(s *Stats) RingStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now.Load()
	out := r.past
	out.CPU, out.Gear = r.cfg.CPU, GearPoll
	if now.Hot() {
		out.Gear, s.Gear = GearRing, GearRing
	}
	addCounters(s, &r.past)
	for _, e := range append(slices.Clone(r.before), now) {
		es := e.Stats()
		addCounters(&out, &es)
		addCounters(s, &es)
	}
	s.RingsLost += r.lost
	s.SetupRetries += r.retries
	err := r.err
	if why := now.Death(); why != nil {
		s.RingsLost++
		err = cmp.Or(err, why)
	}
	s.SetupError = cmp.Or(err, s.SetupError)
	return out
}

// addCounters adds to each counter of to, a struct, the one of the same name
// in another one, if it has one. Of what is the worst it keeps the worst.
func addCounters(to, from any) {
	sum, part := reflect.ValueOf(to).Elem(), reflect.ValueOf(from).Elem()
	for _, f := range sameCounters(sum.Type(), part.Type()) {
		n := part.FieldByIndex(f.from)
		switch sum := sum.Field(f.to).Addr().Interface().(type) {
		case *int:
			*sum += int(n.Int())
		case *uint64:
			*sum += n.Uint()
		case *[engine.Buckets]uint64:
			for i := range sum {
				sum[i] += n.Index(i).Uint()
			}
		case *time.Duration:
			if f.worst {
				*sum = max(*sum, time.Duration(n.Int()))
			} else {
				*sum += time.Duration(n.Int())
			}
		}
	}
}

// sameCounter is a field that two structs have.
type sameCounter struct {
	to    int
	from  []int
	worst bool
}

// sameCounters finds those of two types once, for there are many names and rings.
func sameCounters(to, from reflect.Type) []sameCounter {
	key := [2]reflect.Type{to, from}
	if known, ok := countersFound.Load(key); ok {
		return known.([]sameCounter)
	}
	var same []sameCounter
	for i := range to.NumField() {
		name := to.Field(i).Name
		if f, ok := from.FieldByName(name); ok {
			same = append(same, sameCounter{i, f.Index, strings.HasPrefix(name, "Worst")})
		}
	}
	countersFound.Store(key, same)
	return same
}

var countersFound sync.Map // of [2]reflect.Type: []sameCounter
