// Command postgres asks a PostgreSQL server for its version, through pgx on
// quoit's conns.
//
//	docker run --rm -p 5432:5432 -e POSTGRES_PASSWORD=secret postgres &
//	go run -C examples/libraries ./postgres -url postgres://postgres:secret@localhost:5432/postgres
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quoit-go/quoit"
)

func main() {
	url := flag.String("url", "postgres://postgres@localhost:5432/postgres", "`URL` of the database")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	pool, err := newPool(ctx, *url)
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	if err := ask(ctx, os.Stdout, pool, "hello"); err != nil {
		log.Fatal(err)
	}
	st := quoit.Default().Stats()
	fmt.Printf("%d conns over %s\n", st.Adopted, st.Transport)
}

// newPool returns a pool whose conns quoit dials. pgx has a limit of time in
// ConnConfig.ConnectTimeout, does TLS itself, and looks names up itself.
func newPool(ctx context.Context, url string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.ConnConfig.DialFunc = quoit.DialContext
	return pgxpool.NewWithConfig(ctx, config)
}

func ask(ctx context.Context, w io.Writer, pool *pgxpool.Pool, greeting string) error {
	var echo, version string
	if err := pool.QueryRow(ctx, "select $1::text, version()", greeting).Scan(&echo, &version); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s from %s\n", echo, version)
	return err
}
