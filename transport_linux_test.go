//go:build linux

package quoit

import (
	"context"
	"math"
	"net"
	"testing"
	"time"
)

// Where the listening socket does not take all of the options, each accepted conn gets
// them, as far as it takes them.
func TestOptionsEach(t *testing.T) {
	e := gearEngine(t, Config{})
	for _, tt := range []struct {
		name string
		ka   net.KeepAliveConfig
		each bool
	}{
		{"taken", net.KeepAliveConfig{Enable: true, Idle: 11 * time.Second, Interval: 7 * time.Second, Count: 5}, false},
		{"refused", net.KeepAliveConfig{Enable: true, Idle: 11 * time.Second, Interval: 7 * time.Second, Count: 1000}, true},
	} {
		for _, steering := range []Steering{nil, SteerByHash()} {
			lc := ListenConfig{Engine: e, KeepAliveConfig: tt.ka, Steering: steering}
			ln, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			if each := ln.(*Listener).backlog.Load() > math.MaxInt64/2; each != tt.each {
				t.Errorf("%s, %v: each on its own: %t", tt.name, steering, each)
			}
			ln.Close()
		}
	}
}
