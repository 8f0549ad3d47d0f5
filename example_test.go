package quoit_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/quoit-go/quoit"
)

// greet listens and sends "hello" to who connects.
func greet() net.Listener {
	ln, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "hello\n")
			c.Close()
		}
	}()
	return ln
}

// The quick start, with a client.
func ExampleListen() {
	ln, err := quoit.Listen("tcp", "localhost:0") // was net.Listen
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	go http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "Hello, World!")
	}))

	defer http.DefaultClient.CloseIdleConnections()
	resp, err := http.Get("http://" + ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", body)
	// Output: Hello, World!
}

func ExampleListenConfig() {
	lc := quoit.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: time.Minute}}
	ln, err := lc.Listen(context.Background(), "tcp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	fmt.Println(ln.Addr().Network())
	// Output: tcp
}

// A listener that something else has opened, such as a library.
func ExampleNewListener() {
	nl, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	ln, err := quoit.NewListener(nl) // nl belongs to ln from here on
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	fmt.Println(ln.Addr().Network())
	// Output: tcp
}

// A conn that something else has dialed, such as a proxy's client.
func ExampleNewConn() {
	server := greet()
	defer server.Close()
	nc, err := net.Dial("tcp", server.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	c, err := quoit.NewConn(nc) // nc belongs to c from here on
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	greeting, err := io.ReadAll(c)
	fmt.Printf("%s%v\n", greeting, err)
	// Output:
	// hello
	// <nil>
}

func ExampleDial() {
	server := greet()
	defer server.Close()
	c, err := quoit.Dial("tcp", server.Addr().String()) // was net.Dial
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	greeting, err := io.ReadAll(c)
	fmt.Printf("%s%v\n", greeting, err)
	// Output:
	// hello
	// <nil>
}

func ExampleDialTimeout() {
	server := greet()
	defer server.Close()
	c, err := quoit.DialTimeout("tcp", server.Addr().String(), 10*time.Second)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	greeting, err := io.ReadAll(c)
	fmt.Printf("%s%v\n", greeting, err)
	// Output:
	// hello
	// <nil>
}

func ExampleDialContext() {
	server := greet()
	defer server.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel() // once connected, c does not care
	c, err := quoit.DialContext(ctx, "tcp", server.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	greeting, err := io.ReadAll(c)
	fmt.Printf("%s%v\n", greeting, err)
	// Output:
	// hello
	// <nil>
}

// A client of net/http dials by the Dialer.
func ExampleDialer() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "Hello, World!")
	}))
	defer server.Close()

	d := quoit.Dialer{Timeout: 10 * time.Second}
	client := http.Client{Transport: &http.Transport{DialContext: d.DialContext}}
	defer client.CloseIdleConnections()
	resp, err := client.Get(server.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", body)
	// Output: Hello, World!
}

// An engine of its own has rings and options of its own, and ends with all
// its listeners and conns.
func ExampleNew() {
	e, err := quoit.New(&quoit.Config{Rings: 2, BusyPoll: 20 * time.Microsecond})
	if err != nil {
		log.Fatal(err)
	}
	ln, err := e.Listen("tcp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()

	if err := e.Close(); err != nil {
		log.Fatal(err)
	}
	_, err = e.Listen("tcp", "localhost:0")
	fmt.Println(errors.Is(err, quoit.ErrEngineClosed))
	// Output: true
}

// A program that must not be served by package net says so.
func ExampleNew_require() {
	e, err := quoit.New(&quoit.Config{Require: true})
	if ue, ok := errors.AsType[*quoit.UnsupportedError](err); ok {
		log.Printf("io_uring is required: %v", ue)
		return
	}
	if err != nil {
		log.Fatal(err)
	}
	e.Close()
	// Output:
}

func ExampleDefault() {
	s := quoit.Default().Stats()
	log.Printf("transport: %s", s.Transport) // and s.Reason if it is "net"
	// Output:
}

func ExampleProbe() {
	s := quoit.Probe()
	if !s.IOUring {
		log.Printf("package net will serve: %v", s.Err)
	}
	for _, f := range s.Features {
		if !f.Have {
			log.Printf("Linux %s has %s: %s", f.MinKernel, f.Name, f.Use)
		}
	}
	// Output:
}

func ExampleEngine_Stats() {
	e, err := quoit.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	s := e.Stats()
	if s.Transport == "net" {
		log.Printf("package net serves: %v", s.Reason)
	}
	fmt.Println(s.Listeners, s.Conns, s.AcceptFailures)
	// Output: 0 0 0
}

func ExampleEngine_Dialer() {
	server := greet()
	defer server.Close()
	e, err := quoit.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	c, err := e.Dialer().Dial("tcp", server.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	greeting, err := io.ReadAll(c)
	fmt.Printf("%s%v\n", greeting, err)
	// Output:
	// hello
	// <nil>
}

// What the ring would not serve is told apart, by its type.
func ExampleEngine_NewListener() {
	e, err := quoit.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	nl, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	_, err = e.NewListener(tls.NewListener(nl, &tls.Config{}))
	if ue, ok := errors.AsType[*quoit.UnsupportedError](err); ok {
		fmt.Println(ue.Type)
	}
	ln, err := e.NewListener(nl) // wrap this one
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	fmt.Println(ln.Addr().Network())
	// Output:
	// *tls.listener
	// tcp
}

func ExampleSteerByHash() {
	lc := quoit.ListenConfig{Steering: quoit.SteerByHash()} // a socket for each ring
	ln, err := lc.Listen(context.Background(), "tcp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	fmt.Println(lc.Steering)
	// Output: hash
}

func ExampleSteerByCPU() {
	lc := quoit.ListenConfig{Steering: quoit.SteerByCPU()} // of use with Config.Affinity
	ln, err := lc.Listen(context.Background(), "tcp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	fmt.Println(lc.Steering)
	// Output: by CPU (classic BPF)
}

func ExampleSteerAtRandom() {
	lc := quoit.ListenConfig{Steering: quoit.SteerAtRandom()}
	ln, err := lc.Listen(context.Background(), "tcp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	fmt.Println(lc.Steering)
	// Output: at random (classic BPF)
}

func ExampleSteerByIncomingCPU() {
	lc := quoit.ListenConfig{Steering: quoit.SteerByIncomingCPU()} // of use with Config.Affinity
	ln, err := lc.Listen(context.Background(), "tcp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	fmt.Println(lc.Steering)
	// Output: by CPU (SO_INCOMING_CPU)
}
