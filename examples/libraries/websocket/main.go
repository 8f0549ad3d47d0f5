// Command websocket is a chat over quoit: each message goes to everybody.
//
//	go run -C examples/libraries ./websocket
//
// Open http://localhost:8080/ in two windows of a browser.
package main

import (
	"context"
	"flag"
	"io"
	"log"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/quoit-go/quoit"
)

const page = `<!doctype html><title>chat</title>
<form><input autofocus placeholder="say something"></form><pre></pre>
<script>
const [form, input, pre] = ["form", "input", "pre"].map(s => document.querySelector(s))
const ws = new WebSocket("ws://" + location.host + "/chat")
ws.onmessage = e => pre.append(e.data + "\n")
ws.onclose = () => pre.append("(the end)")
form.onsubmit = e => { e.preventDefault(); ws.send(input.value); input.value = "" }
</script>
`

func main() {
	addr := flag.String("addr", "localhost:8080", "`address` to listen on")
	flag.Parse()
	ln, err := quoit.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("serving http://%s over %s", ln.Addr(), quoit.Default().Stats().Transport)
	srv := &http.Server{Handler: newHandler(), ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(srv.Serve(ln))
}

func newHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, page) })
	mux.Handle("GET /chat", &room{members: map[chan []byte]bool{}})
	return mux
}

// room passes messages on to its members, each of which has a queue.
type room struct {
	mu      sync.Mutex
	members map[chan []byte]bool
}

func (r *room) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	c, err := websocket.Accept(w, req, nil)
	if err != nil {
		return // Accept has answered
	}
	defer c.CloseNow()
	queue := make(chan []byte, 16)
	r.mu.Lock()
	r.members[queue] = true
	r.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background()) // the request's ends too late: when this returns
	var writer sync.WaitGroup
	writer.Go(func() {
		defer c.CloseNow() // ends the Read below
		write(ctx, c, queue)
	})
	for {
		_, msg, err := c.Read(ctx)
		if err != nil {
			break
		}
		r.say(msg)
	}
	r.mu.Lock()
	delete(r.members, queue)
	r.mu.Unlock()
	cancel()
	writer.Wait()
}

// say queues msg for everybody. Who has a full queue misses it: a member that
// reads slowly must not stop the others.
func (r *room) say(msg []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for queue := range r.members {
		select {
		case queue <- msg:
		default:
		}
	}
}

// write sends what is queued until ctx ends or a client takes nothing for 10
// seconds.
func write(ctx context.Context, c *websocket.Conn, queue <-chan []byte) {
	for {
		select {
		case <-ctx.Done():
			return
		case msg := <-queue:
			limit, cancel := context.WithTimeout(ctx, 10*time.Second)
			err := c.Write(limit, websocket.MessageText, msg)
			cancel()
			if err != nil {
				return
			}
		}
	}
}
