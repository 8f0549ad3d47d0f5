//go:build linux

package engine

import (
	"reflect"
	"sync/atomic"
	"testing"
)

func TestSnapshot(t *testing.T) {
	var c Counters[atomic.Uint64]
	fields := reflect.ValueOf(&c).Elem()
	for i := range fields.NumField() {
		fields.Field(i).Addr().Interface().(*atomic.Uint64).Store(uint64(100 + i))
	}
	got := reflect.ValueOf(snapshot(&c))
	if got.NumField() != fields.NumField() || got.NumField() == 0 {
		t.Fatalf("%d fields of %d", got.NumField(), fields.NumField())
	}
	for i := range got.NumField() {
		if name := fields.Type().Field(i).Name; got.Type().Field(i).Name != name || got.Field(i).Uint() != uint64(100+i) {
			t.Errorf("%s = %d, want %d", name, got.Field(i).Uint(), 100+i)
		}
	}
}
