package quoit

import (
	"encoding/json"
	"errors"
	"flag"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write testdata/stats.json anew")

// filled returns a Stats in which no field is zero.
func filled() Stats {
	var s Stats
	next := 0
	fill(reflect.ValueOf(&s).Elem(), &next)
	return s
}

// fill numbers all that v holds.
func fill(v reflect.Value, next *int) {
	*next++
	switch x := v.Addr().Interface().(type) {
	case *error:
		*x = errors.New("error " + strings.Repeat("i", *next%7))
		return
	case *net.Addr:
		*x = &net.TCPAddr{IP: net.IPv6loopback, Port: *next}
		return
	case *Gear:
		*x = GearRing
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), next)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), next)
	case reflect.Array:
		for i := range v.Len() {
			v.Index(i).SetUint(uint64(*next + i))
		}
	case reflect.String:
		v.SetString("s" + strings.Repeat("i", *next%7))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(0.5 + float64(*next))
	default:
		if v.CanInt() {
			v.SetInt(int64(*next))
		} else {
			v.SetUint(uint64(*next))
		}
	}
}

// The keys are an interface: dashboards and scripts have them.
func TestStatsJSON(t *testing.T) {
	got, err := json.MarshalIndent(filled(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(regexp.MustCompile(`,\n +(\d)`).ReplaceAll(got, []byte(", $1")), '\n') // arrays on a line
	golden := filepath.Join("testdata", "stats.json")
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("not as in %s: look at it, and run with -update if that is right\n%s", golden, got)
	}
	if !json.Valid(want) {
		t.Errorf("%s is no JSON", golden)
	}
}

// Every field has a key that its name makes, with the unit of a duration, and none is
// left out.
func TestStatsKeys(t *testing.T) {
	word := regexp.MustCompile(`[A-Z]+[a-z]*`)
	for _, s := range []any{Stats{}, RingStats{}, ListenerStats{}, SteeringStats{}} {
		encoded, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var keys map[string]any
		if err := json.Unmarshal(encoded, &keys); err != nil {
			t.Fatal(err)
		}
		typ := reflect.TypeOf(s)
		for _, f := range reflect.VisibleFields(typ) {
			want := strings.ToLower(strings.Join(word.FindAllString(f.Name, -1), "_"))
			if f.Type == reflect.TypeFor[time.Duration]() {
				want += "_ns"
			}
			if _, ok := keys[want]; !ok || f.Tag.Get("json") != want {
				t.Errorf("%v.%s has key %q, want %q; encoded: %v", typ, f.Name, f.Tag.Get("json"), want, ok)
			}
			delete(keys, want)
		}
		delete(keys, "network") // of ListenerStats.Addr
		for k := range keys {
			t.Errorf("%v: key %q is of no field", typ, k)
		}
	}
}

func TestStatsWithoutValues(t *testing.T) {
	for _, s := range []any{Stats{}, ListenerStats{}, SteeringStats{}} {
		if _, err := json.Marshal(s); err != nil {
			t.Errorf("%T: %v", s, err)
		}
	}
	b, err := json.Marshal(Stats{Reason: &UnsupportedError{Feature: "io_uring", Err: errors.ErrUnsupported}})
	if want := `"reason":"quoit: io_uring not available: unsupported operation"`; err != nil || !strings.Contains(string(b), want) {
		t.Errorf("%s, %v, want %s", b, err, want)
	}
}

func TestGearText(t *testing.T) {
	for g := GearAuto; g <= GearPoll; g++ {
		text, err := g.MarshalText()
		if err != nil || string(text) != g.String() {
			t.Errorf("%v: %q, %v", g, text, err)
		}
		back := Gear(-1)
		if err := back.UnmarshalText(text); err != nil || back != g {
			t.Errorf("%q: %v, %v", text, back, err)
		}
	}
	for _, g := range []Gear{-1, GearPoll + 1} {
		if text, err := g.MarshalText(); err == nil {
			t.Errorf("%d is %q", int(g), text)
		}
	}
	for _, name := range []string{"", "Ring", "ring ", "Gear(7)"} {
		g := GearPoll
		if err := g.UnmarshalText([]byte(name)); err == nil || g != GearPoll {
			t.Errorf("%q is %v, %v", name, g, err)
		}
	}
}
