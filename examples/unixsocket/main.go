// Command unixsocket serves HTTP on a unix socket over quoit, and is its client.
//
//	go run ./examples/unixsocket &
//	go run ./examples/unixsocket -get /some/path
//	curl --unix-socket /tmp/quoit-example.sock http://localhost/some/path
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/quoit-go/quoit"
)

func main() {
	socket := flag.String("socket", filepath.Join(os.TempDir(), "quoit-example.sock"), "`file` of the socket")
	path := flag.String("get", "", "be the client and ask for this `path`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	var err error
	if *path != "" {
		err = get(ctx, os.Stdout, *socket, *path)
	} else {
		err = serve(ctx, *socket)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// serve serves until ctx ends. Closing the listener removes the socket's file; a
// file that is there already is an error, as with package net.
func serve(ctx context.Context, socket string) error {
	ln, err := quoit.Listen("unix", socket)
	if err != nil {
		return err
	}
	log.Printf("serving %s over %s", ln.Addr(), quoit.Default().Stats().Transport)
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "you asked for %s\n", r.URL.Path)
		}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	done := make(chan error, 1)
	go func() {
		<-ctx.Done()
		done <- srv.Shutdown(context.Background()) // lets requests finish
	}()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-done
}

// newClient returns a client of whoever serves at socket, whatever host its URLs
// name.
func newClient(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return quoit.DialContext(ctx, "unix", socket)
		},
	}}
}

func get(ctx context.Context, w io.Writer, socket, path string) error {
	client := newClient(socket)
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(w, resp.Body)
	return err
}
