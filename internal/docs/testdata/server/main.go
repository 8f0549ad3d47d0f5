// Command server stands for a reader's program: it listens, and says what serves.
package main

import (
	"fmt"
	"log"

	"github.com/quoit-go/quoit"
)

func main() {
	ln, err := quoit.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	s := quoit.Default().Stats()
	fmt.Printf("%s gear=%s rings=%d\n", s.Transport, s.Gear, len(s.Rings))
	if err := ln.Close(); err != nil {
		log.Fatal(err)
	}
}
