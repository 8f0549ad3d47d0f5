//go:build linux

package pitfalls

import (
	"errors"
	"testing"
	"time"

	"github.com/quoit-go/quoit"
)

// FuzzConfig wants New to refuse a Config by an error that names the field, or to make
// an engine that serves.
func FuzzConfig(f *testing.F) {
	f.Add(0, 0, 0, int64(0), []byte(nil), byte(0))
	f.Add(16, 1, 1, int64(time.Microsecond), []byte{0}, byte(1))
	f.Add(32768, 256, 2, int64(time.Millisecond), []byte{0, 1, 255}, byte(2))
	f.Add(-1, 257, -3, int64(-1), []byte{200}, byte(7))
	f.Fuzz(func(t *testing.T, entries, rings, gear int, busy int64, affinity []byte, flags byte) {
		cfg := quoit.Config{
			Entries: entries, Rings: rings, Gear: quoit.Gear(gear), BusyPoll: time.Duration(busy),
			Require: flags&1 != 0, AnyArch: flags&2 != 0, DirectWrites: flags&4 != 0,
		}
		if rings > 4 && rings <= 256 {
			cfg.Rings = rings%4 + 1 // as good, and faster
		}
		for _, cpu := range affinity[:min(len(affinity), 4)] {
			cfg.Affinity = append(cfg.Affinity, 8*int(cpu)-2)
		}
		e, err := quoit.New(&cfg)
		if err != nil {
			ce, isConfig := errors.AsType[*quoit.ConfigError](err)
			_, isUnsupported := errors.AsType[*quoit.UnsupportedError](err)
			if e != nil || isConfig == isUnsupported || isConfig && ce.Field == "" || isUnsupported && !cfg.Require {
				t.Errorf("%+v: %v, %v", cfg, e, err)
			}
			return
		}
		if err := errors.Join(pfTraffic(e), e.Close()); err != nil {
			t.Errorf("%+v: %v", cfg, err)
		}
	})
}
