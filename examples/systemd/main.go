// Command systemd serves HTTP over quoit on sockets that systemd has opened, so
// that connections wait, and are not refused, while the service restarts.
//
//	go build -o /tmp/hello ./examples/systemd
//	systemd-socket-activate -l 8080 /tmp/hello &
//	curl http://localhost:8080/
//
// As units, hello.socket and hello.service:
//
//	[Socket]                          [Service]
//	ListenStream=8080                 ExecStart=/usr/local/bin/hello
//
//	[Install]
//	WantedBy=sockets.target
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/quoit-go/quoit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	listeners, err := inherited()
	if err != nil {
		log.Fatal(err)
	}
	if err := serve(ctx, listeners); err != nil {
		log.Fatal(err)
	}
}

// inherited returns the listeners that systemd has opened for this process:
// descriptors from 3 on, see sd_listen_fds(3).
func inherited() ([]net.Listener, error) {
	const first = 3
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, errors.New("LISTEN_PID is not this process: start it by systemd or systemd-socket-activate")
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 1 {
		return nil, fmt.Errorf("LISTEN_FDS=%q: no sockets", os.Getenv("LISTEN_FDS"))
	}
	os.Unsetenv("LISTEN_PID") // not for children of ours
	os.Unsetenv("LISTEN_FDS")
	var all []net.Listener
	for fd := first; fd < first+n; fd++ {
		f := os.NewFile(uintptr(fd), fmt.Sprintf("LISTEN_FD_%d", fd))
		ln, err := quoit.FileListener(f) // a copy of the descriptor
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("descriptor %d: %w", fd, err)
		}
		all = append(all, ln)
	}
	return all, nil
}

// serve serves until ctx ends. What comes in from then on waits in the sockets,
// which systemd has open, for the next process.
func serve(ctx context.Context, listeners []net.Listener) error {
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			st := quoit.Default().Stats()
			fmt.Fprintf(w, "process %d, %s, %d conns accepted\n", os.Getpid(), st.Transport, st.Accepted)
		}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	served := make(chan error, len(listeners))
	for _, ln := range listeners {
		log.Printf("serving %s over %s", ln.Addr(), quoit.Default().Stats().Transport)
		go func() { served <- srv.Serve(ln) }()
	}
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return srv.Shutdown(ctx)
}
