package steering

import (
	"errors"
	"os"
	"testing"
)

func TestConfigErrors(t *testing.T) {
	for _, tt := range []struct {
		cfg   *Config
		field string // "" if it is valid
	}{
		{nil, ""},
		{&Config{}, ""},
		{&Config{Policy: ByCPU, Fallback: FallbackHash, NoMigration: true, Seed: 1}, ""},
		{&Config{Policy: -1}, "Config.Policy"},
		{&Config{Policy: ByCPU + 1}, "Config.Policy"},
		{&Config{Fallback: -1}, "Config.Fallback"},
		{&Config{Fallback: FallbackHash + 1}, "Config.Fallback"},
	} {
		_, err := New(tt.cfg)
		var ce *ConfigError
		if errors.As(err, &ce) != (tt.field != "") || ce != nil && ce.Field != tt.field {
			t.Errorf("%+v: %v", tt.cfg, err)
		}
	}
	s, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		s.SetPolicy(-1), s.SetPolicy(ByCPU + 1),
		s.SetWeight(0, -1), s.SetWeight(0, MaxWeight+1), s.SetWeight(-1, 1), s.SetWeight(MaxRings, 1),
		s.Attach(nil, nil), s.Attach(make([]int, MaxRings+1), nil),
	} {
		if _, ok := errors.AsType[*ConfigError](err); !ok {
			t.Errorf("got %v", err)
		}
	}
	if w := s.Weight(3); w != DefaultWeight || s.Weight(-1) != 0 {
		t.Errorf("weight %d", w)
	}
	if got := s.String(); got != "least loaded (not attached)" {
		t.Error(got)
	}
	s.Detach()
	if got := s.String(); got != "least loaded (not attached)" || s.Decisions(nil) != nil {
		t.Errorf("after Detach: %s, %v", got, s.Decisions(nil))
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		err, is error
		text    string
	}{
		{&UnsupportedError{Feature: "f", Capability: "CAP_BPF", Err: os.ErrPermission}, os.ErrPermission,
			"steering: f cannot be used, it needs CAP_BPF: permission denied"},
		{&UnsupportedError{Feature: "f", MinKernel: "5.14"}, errors.ErrUnsupported, "steering: f cannot be used, it needs Linux 5.14"},
		{&SocketError{Ring: 2, Reason: "is odd", Err: os.ErrInvalid}, os.ErrInvalid, "steering: the socket of ring 2 is odd: invalid argument"},
		{&SocketError{Reason: "is odd"}, nil, "steering: the socket of ring 0 is odd"},
		{&ConfigError{Field: "the weight", Value: -1, Max: 1000}, nil, "steering: the weight is -1, want 0 to 1000"},
	} {
		if tt.err.Error() != tt.text {
			t.Errorf("got %q, want %q", tt.err, tt.text)
		}
		if tt.is != nil && !errors.Is(tt.err, tt.is) {
			t.Errorf("%v is no %v", tt.err, tt.is)
		}
	}
}
