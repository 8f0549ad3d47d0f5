//go:build linux

package docs

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// The functions that docs/operations.md has users look for are in the stacks, and
// states there are what it says.
func TestStacks(t *testing.T) {
	enginetest.NeedRing(t)
	page := read(t, "docs/operations.md")
	for _, tt := range []struct {
		gear          quoit.Gear
		names, states []string
	}{
		{quoit.GearRing, []string{"engine.(*half).sleep", "engine.(*Engine).setupAndRun", "ring.(*Ring).enter"}, []string{"chan receive", "locked to thread"}},
		{quoit.GearPoll, []string{"internal/poll.(*FD).RawRead"}, []string{"IO wait"}},
	} {
		t.Run(tt.gear.String(), func(t *testing.T) {
			e := enginetest.New(t, quoit.Config{Gear: tt.gear})
			ln, err := e.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			client, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			server, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			read := testenv.Go(func() error { _, err := server.Read(make([]byte, 1)); return err })
			for _, name := range append(tt.names, tt.states...) {
				testenv.Poll(t, name, func() bool { return bytes.Contains(testenv.Stacks(), []byte(name)) })
				if !strings.Contains(page, name) {
					t.Errorf("docs/operations.md has no %s", name)
				}
			}
			client.Close()
			if err := testenv.Recv(t, read, "the Read"); err != io.EOF {
				t.Error(err)
			}
		})
	}
}
