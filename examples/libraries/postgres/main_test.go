package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

// server knows one query. It answers the greeting "silence" not at all, until it
// is asked to cancel that.
type server struct{ canceled chan struct{} }

// serve returns the URL of a server.
func serve(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{canceled: make(chan struct{}, 1)}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close()
				backend := pgproto3.NewBackend(c, c)
				switch msg, err := backend.ReceiveStartupMessage(); msg.(type) {
				case *pgproto3.CancelRequest:
					s.canceled <- struct{}{}
					return
				case nil:
					t.Error(err)
					return
				}
				backend.Send(&pgproto3.AuthenticationOk{})
				backend.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte("1234")})
				backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
				for s.answer(backend) {
				}
			})
		}
	})
	t.Cleanup(func() { ln.Close(); conns.Wait() })
	return "postgres://quoit@" + ln.Addr().String() + "/db?sslmode=disable"
}

// answer answers what comes next, and reports whether to go on.
func (s *server) answer(backend *pgproto3.Backend) bool {
	if backend.Flush() != nil {
		return false
	}
	msg, err := backend.Receive()
	if err != nil {
		return false
	}
	const text = 25 // its OID
	columns := []pgproto3.FieldDescription{
		{Name: []byte("text"), DataTypeOID: text, DataTypeSize: -1, TypeModifier: -1},
		{Name: []byte("version"), DataTypeOID: text, DataTypeSize: -1, TypeModifier: -1},
	}
	switch msg := msg.(type) {
	case *pgproto3.Parse:
		backend.Send(&pgproto3.ParseComplete{})
	case *pgproto3.Describe:
		backend.Send(&pgproto3.ParameterDescription{ParameterOIDs: []uint32{text}})
		backend.Send(&pgproto3.RowDescription{Fields: columns})
	case *pgproto3.Bind:
		if string(msg.Parameters[0]) == "silence" {
			<-s.canceled
			return false
		}
		backend.Send(&pgproto3.BindComplete{})
		backend.Send(&pgproto3.RowDescription{Fields: columns})
		backend.Send(&pgproto3.DataRow{Values: [][]byte{msg.Parameters[0], []byte("a stub")}})
		backend.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
	case *pgproto3.Sync:
		backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	case *pgproto3.Terminate:
		return false
	}
	return true
}

func TestAsk(t *testing.T) {
	enginetest.Counts(t, 0, 1)
	pool, err := newPool(t.Context(), serve(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			var out bytes.Buffer
			if err := ask(t.Context(), &out, pool, "hello"); err != nil {
				t.Error(err)
			} else if out.String() != "hello from a stub\n" {
				t.Errorf("got %q", &out)
			}
		})
	}
	wg.Wait()
}

// A query ends with its context, whether the server answers or not, which is told
// by another conn.
func TestSilence(t *testing.T) {
	enginetest.Counts(t, 0, 2)
	pool, err := newPool(t.Context(), serve(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	done := testenv.Go(func() error { return ask(ctx, new(bytes.Buffer), pool, "silence") })
	if err := testenv.Recv(t, done, "the end of the query"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
