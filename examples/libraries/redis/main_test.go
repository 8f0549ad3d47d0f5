package main

import (
	"bytes"
	"os"
	"sync"
	"testing"

	"github.com/alicebob/miniredis/v2"

	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

func TestCount(t *testing.T) {
	enginetest.Counts(t, 0, 1)
	server := miniredis.RunT(t)
	client := newClient(server.Addr())
	defer client.Close()
	var out bytes.Buffer
	if err := count(t.Context(), &out, client); err != nil {
		t.Fatal(err)
	}
	if want := "one more: 1\na hundred more: 101\n"; out.String() != want {
		t.Errorf("got %q, want %q", &out, want)
	}
	if got, err := server.Get("quoit:count"); err != nil || got != "101" {
		t.Errorf("the server has %q, %v", got, err)
	}
}

// Many at once use many conns, and a subscriber hears what is published.
func TestPublish(t *testing.T) {
	enginetest.Counts(t, 0, 2)
	server := miniredis.RunT(t)
	client := newClient(server.Addr())
	defer client.Close()
	sub := client.Subscribe(t.Context(), "news")
	defer sub.Close()
	if _, err := sub.Receive(t.Context()); err != nil { // it is subscribed
		t.Fatal(err)
	}
	const n = 50
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if err := client.Publish(t.Context(), "news", "hello").Err(); err != nil {
				t.Error(err)
			}
		})
	}
	for range n {
		if msg, err := sub.ReceiveMessage(t.Context()); err != nil || msg.Payload != "hello" {
			t.Fatalf("%v, %v", msg, err)
		}
	}
	wg.Wait()
}
