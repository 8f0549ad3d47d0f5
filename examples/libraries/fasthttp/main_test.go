package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
	"github.com/quoit-go/quoit/internal/testenv/webtest"
)

func TestMain(m *testing.M) {
	os.Exit(enginetest.Main(m, "fasthttp.updateServerDate", "fasthttp.(*workerPool).Start"))
}

func TestServe(t *testing.T) {
	enginetest.Counts(t, 1, 0)
	ln, err := enginetest.Quoit.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	served := testenv.Go(func() error { return serve(ctx, ln) })
	client, tr := webtest.Client(t, testenv.Net, nil)
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			for j := range 10 {
				path := fmt.Sprintf("/%d/%d", i, j)
				got, err := webtest.Get(client, "http://"+ln.Addr().String()+path)
				if want := "you asked for " + path + "\n"; err != nil || got != want {
					t.Errorf("got %q, %v; want %q", got, err, want)
				}
			}
		})
	}
	wg.Wait()
	tr.CloseIdleConnections()
	cancel()
	testenv.Wait(t, served, "the server's end")
}
