package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

// The client gets the server's answer, and the server leaves no file.
func TestGet(t *testing.T) {
	enginetest.Counts(t, 1, 1)
	dir, err := os.MkdirTemp("", "quoit") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	served := testenv.Go(func() error { return serve(ctx, socket) })
	testenv.Poll(t, "the socket is there", func() bool {
		_, err := os.Stat(socket)
		return err == nil
	})
	var answer bytes.Buffer
	testenv.Poll(t, "the server listens", func() bool { // bind(2) has come before that
		answer.Reset()
		return get(ctx, &answer, socket, "/some/path") == nil
	})
	if answer.String() != "you asked for /some/path\n" {
		t.Errorf("answer %q", &answer)
	}
	cancel()
	testenv.Wait(t, served, "the server's end")
	if _, err := os.Stat(socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket stays: %v", err)
	}
}
