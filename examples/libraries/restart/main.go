// Command restart serves HTTP over quoit, and starts its successor on SIGHUP, by
// tableflip, without a request that fails.
//
//	go build -C examples/libraries -o /tmp/restart ./restart && /tmp/restart &
//	curl http://localhost:8080/
//	kill -HUP PID    # that curl has shown; after go build, the new program serves
//	curl http://localhost:8080/
//
// Both processes have the same listening socket. The old one ends when its last
// request has been answered.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/cloudflare/tableflip"

	"github.com/quoit-go/quoit"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "`address` to listen on")
	flag.Parse()
	log.SetPrefix(fmt.Sprintf("process %d: ", os.Getpid()))
	if err := run(*addr); err != nil {
		log.Fatal(err)
	}
}

func run(addr string) error {
	upg, err := tableflip.New(tableflip.Options{UpgradeTimeout: time.Minute})
	if err != nil {
		return err
	}
	defer upg.Stop()
	go obey(upg)

	shared, err := upg.Listen("tcp", addr) // the predecessor's, if there is one
	if err != nil {
		return err
	}
	ln, err := quoit.NewListener(shared)
	if err != nil {
		return err
	}
	var conns sync.WaitGroup
	srv := &http.Server{
		Handler:           http.HandlerFunc(hello),
		ReadHeaderTimeout: 10 * time.Second, // also the longest that a conn without a request delays the end
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				conns.Add(1)
			case http.StateClosed, http.StateHijacked:
				conns.Done()
			}
		},
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	log.Printf("serving http://%s over %s", ln.Addr(), quoit.Default().Stats().Transport)
	if err := upg.Ready(); err != nil { // the predecessor ends
		return err
	}
	select {
	case err := <-served:
		return err
	case <-upg.Exit():
	}

	// Not by Shutdown, which closes a conn whose first request has just come. What
	// waits in the socket's queue is the successor's.
	ln.Close()
	<-served
	srv.SetKeepAlivesEnabled(false) // idle conns are closed, others after their answer
	time.AfterFunc(time.Minute, func() { srv.Close() })
	conns.Wait()
	return nil
}

// obey starts a successor on SIGHUP, and ends the process on SIGTERM or SIGINT.
func obey(upg *tableflip.Upgrader) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, os.Interrupt)
	for s := range signals {
		if s != syscall.SIGHUP {
			upg.Stop()
			return
		}
		if err := upg.Upgrade(); err != nil { // and this process serves on
			log.Print(err)
		}
	}
}

func hello(w http.ResponseWriter, r *http.Request) {
	st := quoit.Default().Stats()
	fmt.Fprintf(w, "process %d, %s, %d conns accepted\n", os.Getpid(), st.Transport, st.Accepted)
}
