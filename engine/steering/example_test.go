package steering_test

import (
	"context"
	"fmt"
	"log"
	"net"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/engine/steering"
)

// The kernel sends each connection to the ring with the fewer of two drawn at
// random, or, where it may not be told so, where its hash says.
func ExampleNew() {
	s, err := steering.New(&steering.Config{Policy: steering.LeastLoaded, Fallback: steering.FallbackHash})
	if err != nil {
		log.Fatal(err)
	}
	e, err := quoit.New(&quoit.Config{Rings: 2})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	lc := quoit.ListenConfig{Engine: e, Steering: s}
	ln, err := lc.Listen(context.Background(), "tcp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	if err := s.Err(); err != nil {
		log.Printf("%s serves: %v", s, err)
	}

	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	c, err := ln.Accept()
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	fmt.Println(c.RemoteAddr().String() == client.LocalAddr().String())
	// Output: true
}

// Ring 2 is drained: it keeps the connections that it has, and gets no others.
func ExampleSteering_SetWeight() {
	s, err := steering.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := s.SetWeight(2, 0); err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Weight(2), s.Weight(1) == steering.DefaultWeight)
	// Output: 0 true
}
