//go:build !linux

package quoit_test

import (
	"errors"
	"testing"
	"time"

	"github.com/quoit-go/quoit"
)

// It is said where the option is not to be had.
func TestUserTimeoutUnsupported(t *testing.T) {
	lc := quoit.ListenConfig{UserTimeout: time.Second}
	if ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Listen: %v, %v", ln, err)
	}
	d := quoit.Dialer{UserTimeout: time.Second}
	if c, err := d.Dial("tcp", "127.0.0.1:9"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Dial: %v, %v", c, err)
	}
	if err := new(quoit.Conn).SetUserTimeout(time.Second); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("SetUserTimeout: %v", err)
	}
}
