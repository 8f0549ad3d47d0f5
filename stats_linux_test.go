//go:build linux

package quoit

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/quoit-go/quoit/engine"
)

// number returns a counter's value.
func number(v reflect.Value) uint64 {
	switch {
	case v.CanInt():
		return uint64(v.Int())
	case v.Kind() == reflect.Array:
		return number(v.Index(v.Len() - 1))
	}
	return v.Uint()
}

// Every number that a ring has is in Stats, and added up there; RingStats has
// all that Stats says of it.
func TestStatsAddUp(t *testing.T) {
	var es engine.Snapshot
	ring := reflect.ValueOf(&es).Elem()
	var names []string
	for _, f := range reflect.VisibleFields(ring.Type()) {
		v := ring.FieldByIndex(f.Index)
		switch {
		case f.Anonymous || f.Name == "Hot":
			continue
		case v.CanInt():
			v.SetInt(int64(1000 + len(names)))
		case v.Kind() == reflect.Array:
			v.Index(v.Len() - 1).SetUint(uint64(1000 + len(names)))
		default:
			v.SetUint(uint64(1000 + len(names)))
		}
		names = append(names, f.Name)
	}
	var s Stats
	var r RingStats
	addCounters(&s, &es)
	addCounters(&r, &es)
	addCounters(&s, &es)

	sum, part := reflect.ValueOf(s), reflect.ValueOf(r)
	for i, name := range names {
		want := uint64(1000 + i)
		total := 2 * want
		if strings.HasPrefix(name, "Worst") {
			total = want
		}
		if v := sum.FieldByName(name); !v.IsValid() || number(v) != total {
			t.Errorf("Stats.%s = %v, want %d", name, v, total)
		}
		if v := part.FieldByName(name); !v.IsValid() {
			if name != "Listeners" && name != "AcceptFailures" { // of the engine as a whole
				t.Errorf("RingStats has no %s", name)
			}
		} else if number(v) != want {
			t.Errorf("RingStats.%s = %v, want %d", name, v, want)
		}
	}
	for i := range part.NumField() {
		name := part.Type().Field(i).Name
		if !slices.Contains(names, name) && !slices.Contains([]string{"CPU", "Held", "Gear"}, name) {
			t.Errorf("RingStats.%s comes from nowhere", name)
		}
	}
	for i := range sum.NumField() {
		name := sum.Type().Field(i).Name
		if !slices.Contains(names, name) && !slices.Contains([]string{
			"Transport", "Reason", "Gear", "Comparisons", "RingCost", "Rings", "Steering",
		}, name) {
			t.Errorf("Stats.%s comes from nowhere", name)
		}
	}
}
