package oneline

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"

	"connectrpc.com/connect"
	"github.com/alicebob/miniredis/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/miekg/dns"
	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"
	"golang.org/x/crypto/ssh"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

func testGRPC(t *testing.T) {
	enginetest.Counts(t, 1, 0)
	ln := listen(t)
	srv := grpc.NewServer()
	healthpb.RegisterHealthServer(srv, health.NewServer())
	served := testenv.Go(func() error {
		return srv.Serve(ln)
	})
	client, err := grpc.NewClient(ln.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := healthpb.NewHealthClient(client).Check(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil || resp.Status != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("got %v, %v", resp, err)
	}
	client.Close()
	srv.Stop()
	testenv.Wait(t, served, "the server's end")
}

func testConnect(t *testing.T) {
	enginetest.Counts(t, 1, 1)
	ln := listen(t)
	mux := http.NewServeMux()
	mux.Handle("/greet", connect.NewUnaryHandler("/greet", func(_ context.Context, r *connect.Request[wrapperspb.StringValue]) (*connect.Response[wrapperspb.StringValue], error) {
		return connect.NewResponse(wrapperspb.String("hello, " + r.Msg.Value)), nil
	}))
	served := testenv.Go(func() error {
		return http.Serve(ln, mux)
	})
	tr := &http.Transport{DialContext: quoit.DialContext}
	client := connect.NewClient[wrapperspb.StringValue, wrapperspb.StringValue](&http.Client{Transport: tr}, "http://"+ln.Addr().String()+"/greet")
	resp, err := client.CallUnary(t.Context(), connect.NewRequest(wrapperspb.String("world")))
	if err != nil || resp.Msg.Value != "hello, world" {
		t.Errorf("got %v, %v", resp, err)
	}
	tr.CloseIdleConnections()
	ln.Close()
	testenv.Recv(t, served, "the server's end")
}

func testMQTT(t *testing.T) {
	enginetest.Counts(t, 1, 0)
	ln := listen(t)
	srv := mqtt.New(&mqtt.Options{Logger: slog.New(slog.DiscardHandler)})
	err := errors.Join(
		srv.AddHook(new(auth.AllowHook), nil),
		srv.AddListener(listeners.NewNet("quoit", ln)),
		srv.Serve(), // does not wait
	)
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	c := testenv.Dial(t, ln.Addr().String())
	defer c.Close()
	for _, step := range []struct{ name, send, want string }{
		{"CONNECT", "\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04test", "\x20\x02\x00\x00"},
		{"PINGREQ", "\xc0\x00", "\xd0\x00"},
	} {
		if _, err := io.WriteString(c, step.send); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(step.want))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != step.want {
			t.Fatalf("%s: got %q, %v", step.name, got, err)
		}
	}
}

func testDNS(t *testing.T) {
	enginetest.Counts(t, 1, 0)
	ln := listen(t)
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg).SetReply(r)
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "quoit.test.", Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(192, 0, 2, 1)}}
		w.WriteMsg(m)
	})
	srv := &dns.Server{Listener: ln, Handler: handler}
	served := testenv.Go(srv.ActivateAndServe)
	client := &dns.Client{Net: "tcp", Timeout: testenv.Bound}
	resp, _, err := client.ExchangeContext(t.Context(), new(dns.Msg).SetQuestion("quoit.test.", dns.TypeA), ln.Addr().String())
	if err != nil || len(resp.Answer) != 1 || resp.Answer[0].(*dns.A).A.String() != "192.0.2.1" {
		t.Errorf("got %v, %v", resp, err)
	}
	if err := srv.ShutdownContext(t.Context()); err != nil {
		t.Error(err)
	}
	testenv.Wait(t, served, "the server's end")
}

func testSSH(t *testing.T) {
	enginetest.Counts(t, 1, 1)
	ln := listen(t)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	served := testenv.Go(func() error {
		config := &ssh.ServerConfig{NoClientAuth: true}
		config.AddHostKey(signer)
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		conn, channels, requests, err := ssh.NewServerConn(c, config)
		if err != nil {
			return err
		}
		go ssh.DiscardRequests(requests)
		for ch := range channels {
			ch.Reject(ssh.Prohibited, "hello")
		}
		return conn.Wait()
	})
	c, err := quoit.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ClientConfig{HostKeyCallback: ssh.FixedHostKey(signer.PublicKey())}
	conn, channels, requests, err := ssh.NewClientConn(c, "quoit.test", config)
	if err != nil {
		t.Fatal(err)
	}
	client := ssh.NewClient(conn, channels, requests)
	_, _, err = client.OpenChannel("session", nil)
	if open, ok := errors.AsType[*ssh.OpenChannelError](err); !ok || open.Message != "hello" {
		t.Errorf("got %v", err)
	}
	client.Close()
	testenv.Recv(t, served, "the server's end")
}

func testRedis(t *testing.T) {
	enginetest.Counts(t, 0, 1)
	addr := miniredis.RunT(t).Addr()
	client := redis.NewClient(&redis.Options{Addr: addr, Dialer: quoit.DialContext})
	defer client.Close()
	if got, err := client.Incr(t.Context(), "n").Result(); err != nil || got != 1 {
		t.Errorf("got %d, %v", got, err)
	}
}

func testPgx(t *testing.T) {
	enginetest.Counts(t, 0, 1)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	served := testenv.Go(func() error { return ping(ln) })
	config, err := pgx.ParseConfig("postgres://quoit@" + ln.Addr().String() + "/db?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	config.DialFunc = quoit.DialContext
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Error(err)
	}
	testenv.Wait(t, served, "the server's end")
}

// ping is a PostgreSQL server for one client that sends an empty query.
func ping(ln net.Listener) error {
	c, err := ln.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	backend := pgproto3.NewBackend(c, c)
	if _, err := backend.ReceiveStartupMessage(); err != nil {
		return err
	}
	backend.Send(&pgproto3.AuthenticationOk{})
	for {
		backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		if err := backend.Flush(); err != nil {
			return err
		}
		msg, err := backend.Receive()
		if err != nil {
			return err
		}
		if _, ok := msg.(*pgproto3.Terminate); ok {
			return nil
		}
		backend.Send(&pgproto3.EmptyQueryResponse{})
	}
}

func testNATS(t *testing.T) {
	enginetest.Counts(t, 0, 1)
	srv, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	defer srv.WaitForShutdown()
	defer srv.Shutdown()
	url := srv.ClientURL()
	conn, err := nats.Connect(url, nats.SetCustomDialer(&quoit.Dialer{}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sub, err := conn.SubscribeSync("news")
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Publish("news", []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if msg, err := sub.NextMsg(testenv.Bound); err != nil || !bytes.Equal(msg.Data, []byte("hello")) {
		t.Errorf("got %v, %v", msg, err)
	}
}
