package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"testing"

	"github.com/coder/websocket"

	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
	"github.com/quoit-go/quoit/internal/testenv/webtest"
)

func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

// Everybody in the room gets what one says, in order.
func TestChat(t *testing.T) {
	const members = 10
	enginetest.Counts(t, members, 0)
	addr := webtest.Serve(t, enginetest.Quoit, &http.Server{Handler: newHandler()})
	client, _ := webtest.Client(t, testenv.Net, nil)
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Bound)
	defer cancel()
	var all []*websocket.Conn
	for i := range members {
		c, _, err := websocket.Dial(ctx, "ws://"+addr+"/chat", &websocket.DialOptions{HTTPClient: client})
		if err != nil {
			t.Fatal(err)
		}
		defer c.CloseNow()
		all = append(all, c)
		hello := fmt.Sprint("hello from ", i) // what it hears itself, it is in the room for
		if err := c.Write(ctx, websocket.MessageText, []byte(hello)); err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			want(ctx, t, c, hello)
		}
	}
	for i := range 100 {
		said := fmt.Sprint("message ", i)
		if err := all[i%members].Write(ctx, websocket.MessageText, []byte(said)); err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			want(ctx, t, c, said)
		}
	}
	for _, c := range all {
		if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Error(err)
		}
	}
}

func want(ctx context.Context, t *testing.T, c *websocket.Conn, message string) {
	t.Helper()
	if _, got, err := c.Read(ctx); err != nil || string(got) != message {
		t.Fatalf("got %q, %v; want %q", got, err, message)
	}
}

func TestPage(t *testing.T) {
	addr := webtest.Serve(t, enginetest.Quoit, &http.Server{Handler: newHandler()})
	client, _ := webtest.Client(t, testenv.Net, nil)
	if got, err := webtest.Get(client, "http://"+addr+"/"); err != nil || got != page {
		t.Errorf("got %q, %v", got, err)
	}
}
