// Command redis counts in a Redis server, through go-redis on quoit's conns.
//
//	docker run --rm -p 6379:6379 redis &
//	go run -C examples/libraries ./redis
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/quoit-go/quoit"
)

func main() {
	addr := flag.String("addr", "localhost:6379", "`address` of the server")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client := newClient(*addr)
	defer client.Close()
	if err := count(ctx, os.Stdout, client); err != nil {
		log.Fatal(err)
	}
	st := quoit.Default().Stats()
	fmt.Printf("%d conns over %s\n", st.Adopted, st.Transport)
}

// newClient returns a client that dials with quoit. With a Dialer of one's own,
// go-redis leaves the limit of time and TLS to that: Options.DialTimeout and
// TLSConfig are for its own.
func newClient(addr string) *redis.Client {
	dialer := &quoit.Dialer{Timeout: 5 * time.Second}
	return redis.NewClient(&redis.Options{Addr: addr, Dialer: dialer.DialContext})
}

// count adds one, and then a hundred in one round trip.
func count(ctx context.Context, w io.Writer, client *redis.Client) error {
	const key = "quoit:count"
	n, err := client.Incr(ctx, key).Result()
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "one more:", n)
	cmds, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for range 100 {
			p.Incr(ctx, key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "a hundred more:", cmds[len(cmds)-1].(*redis.IntCmd).Val())
	if _, err := client.Get(ctx, key+":missing").Result(); !errors.Is(err, redis.Nil) {
		return fmt.Errorf("a key that is not there: %w", err)
	}
	return nil
}
