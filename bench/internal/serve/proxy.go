package serve

import (
	"context"
	"io"
	"net"
)

// proxy gives each conn one of its own to the backend.
type proxy struct {
	stack
	backend string // its address
}

func (p proxy) serve(client net.Conn) {
	defer client.Close()
	backend, err := p.dial(context.Background(), "tcp", p.backend)
	if err != nil {
		return // the client finds its conn closed
	}
	defer backend.Close()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		forward(client, backend)
	}()
	forward(backend, client)
	<-answered
}

// forward copies what from sends, and passes on that it sends no more. A conn
// that failed ends the other direction, too, which uses it as well.
func forward(to, from net.Conn) {
	io.Copy(to, from)
	to.(interface{ CloseWrite() error }).CloseWrite()
}
