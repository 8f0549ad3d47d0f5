//go:build linux

package pbuf_test

import (
	"fmt"
	"log"

	"github.com/quoit-go/quoit/engine/pbuf"
)

// One receive of a program that has a *ring.Ring in the place of nil. Here
// Consume plays the kernel, which would name the buffer in a completion.
func ExampleNew() {
	g, err := pbuf.New(nil, 1, 8, 4096)
	if err != nil {
		log.Fatal(err)
	}
	defer g.Close()
	bid, buf, ok := g.Consume()
	if !ok {
		log.Fatal("no buffers") // ENOBUFS
	}
	n := copy(buf, "hello")

	g.Take(bid)
	fmt.Printf("%s, %d buffers are left\n", g.Bytes(bid, n), g.Free())
	g.Return(bid) // by any goroutine, when it has read the bytes
	g.Refill()    // by the owner, once a turn
	fmt.Printf("%d buffers\n", g.Free())
	// Output:
	// hello, 7 buffers are left
	// 8 buffers
}
