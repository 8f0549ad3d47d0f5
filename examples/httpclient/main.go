// Command httpclient fetches URLs, all at the same time, through a client whose
// connections are quoit's.
//
//	go run ./examples/httpclient https://go.dev https://pkg.go.dev https://go.dev/dl/
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/quoit-go/quoit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) < 2 {
		log.Fatal("usage: httpclient URL...")
	}
	client := newClient()
	if !fetchAll(ctx, os.Stdout, client, os.Args[1:]) {
		os.Exit(1)
	}
	st := quoit.Default().Stats()
	fmt.Printf("%d conns over %s\n", st.Adopted, st.Transport)
}

// newClient returns a client like http.DefaultClient, with its proxies, HTTP/2 and
// idle conns, that dials with quoit. quoit.DialContext has no limit of time of its
// own; a Dialer has one, as net.Dialer.
func newClient() *http.Client {
	dialer := &quoit.Dialer{Timeout: 10 * time.Second}
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.DialContext = dialer.DialContext
	tr.MaxIdleConnsPerHost = 64 // the default of 2 closes the conns of a busy client again and again
	return &http.Client{Transport: tr, Timeout: time.Minute}
}

// fetchAll writes a line for each URL and reports whether all were fetched.
func fetchAll(ctx context.Context, w io.Writer, client *http.Client, urls []string) (ok bool) {
	lines, errs := make([]string, len(urls)), make([]error, len(urls))
	var wg sync.WaitGroup
	for i, url := range urls {
		wg.Go(func() { lines[i], errs[i] = fetch(ctx, client, url) })
	}
	wg.Wait()
	ok = true
	for i, url := range urls {
		if errs[i] != nil {
			ok = false
			fmt.Fprintln(w, errs[i]) // names the URL
			continue
		}
		fmt.Fprintf(w, "%s: %s\n", url, lines[i])
	}
	return ok
}

func fetch(ctx context.Context, client *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body) // to the end, or the conn cannot be used again
	if err != nil {
		return "", fmt.Errorf("%s: after %d bytes: %w", url, n, err)
	}
	return fmt.Sprintf("%s, %s, %d bytes", resp.Proto, resp.Status, n), nil
}
