// Command reverseproxy forwards HTTP requests to another server, with quoit's
// conns on both sides.
//
//	go run ./examples/httpserver &
//	go run ./examples/reverseproxy -to http://localhost:8080
//	curl http://localhost:8081/
package main

import (
	"errors"
	"flag"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/quoit-go/quoit"
)

func main() {
	addr := flag.String("addr", "localhost:8081", "`address` to listen on")
	to := flag.String("to", "http://localhost:8080", "`URL` of the server to forward to")
	flag.Parse()
	proxy, err := newProxy(*to)
	if err != nil {
		log.Fatal(err)
	}
	ln, err := quoit.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("http://%s goes to %s over %s", ln.Addr(), *to, quoit.Default().Stats().Transport)
	srv := &http.Server{Handler: proxy, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(srv.Serve(ln))
}

// newProxy returns a handler that asks the server at to. Its Transport has the
// idle conns to that server.
func newProxy(to string) (*httputil.ReverseProxy, error) {
	target, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	if target.Scheme == "" || target.Host == "" {
		return nil, errors.New(to + ": no URL of a server")
	}
	dialer := &quoit.Dialer{Timeout: 5 * time.Second}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.SetXForwarded()
		},
		Transport: &http.Transport{
			DialContext:           dialer.DialContext,
			ForceAttemptHTTP2:     true,
			MaxIdleConnsPerHost:   256, // the default of 2 dials for nearly each request
			IdleConnTimeout:       90 * time.Second,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: time.Minute,
		},
	}, nil
}
