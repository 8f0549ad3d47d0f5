package conformance

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	mrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

func TestMain(m *testing.M) {
	st := engine.Stats()
	if os.Getenv("QUOIT_TEST_REQUIRE") == "1" && st.Transport != "io_uring" {
		fmt.Fprintf(os.Stderr, "QUOIT_TEST_REQUIRE=1 and transport %q: %v\n", st.Transport, st.Reason)
		os.Exit(1)
	}
	code := m.Run()
	if err := settled(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// settled waits until the engine has let go of everything. Closing is
// asynchronous to it and has no event to wait for.
func settled() error {
	deadline := time.After(testenv.Bound)
	for tick := time.Tick(10 * time.Millisecond); ; {
		st := engine.Stats()
		if st.Conns == 0 && st.Listeners == 0 {
			return nil
		}
		select {
		case <-tick:
		case <-deadline:
			return fmt.Errorf("after the tests: %d conns, %d listeners",
				st.Conns, st.Listeners)
		}
	}
}

// callContext bounds one call. Unlike t.Context it serves clean-ups too.
func callContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Bound)
	t.Cleanup(cancel)
	return ctx
}

// engine is in the gear that enginetest has been asked for.
var engine = func() *quoit.Engine {
	e, err := quoit.New(nil)
	if err != nil {
		panic(err)
	}
	return e
}()

// quoitStack serves one end of a conn, or both.
var quoitStack = enginetest.On(engine)

// onRing checks that what quoit returned is on the ring whenever the engine is.
func onRing(t testing.TB, v any) {
	t.Helper()
	st := engine.Stats()
	t.Logf("transport %s, %T", st.Transport, v)
	if st.Transport != "io_uring" {
		if os.Getenv("QUOIT_TEST_REQUIRE") == "1" {
			t.Errorf("QUOIT_TEST_REQUIRE=1 and transport %q: %v", st.Transport, st.Reason)
		}
		return
	}
	if pkg := reflect.TypeOf(v).Elem().PkgPath(); pkg != "github.com/quoit-go/quoit" {
		t.Errorf("transport is io_uring, but got a %T", v)
	}
}

// newListener listens on loopback or on a fresh path until the test ends.
func newListener(t testing.TB, s testenv.Transport, network string) net.Listener {
	t.Helper()
	ln, err := s.Listen(network, newAddress(t, network))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	if s.Name == quoitStack.Name {
		onRing(t, ln)
	}
	return ln
}

func newAddress(t testing.TB, network string) string {
	t.Helper()
	switch network {
	case "tcp", "tcp4":
		return "127.0.0.1:0"
	case "tcp6":
		return "[::1]:0"
	}
	dir, err := os.MkdirTemp("", "quoit") // t.TempDir is too long for sun_path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// payload returns n bytes that only seed decides.
func payload(seed uint64, n int) []byte {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	b := make([]byte, n)
	mrand.NewChaCha8(key).Read(b)
	return b
}

// tlsConfigs returns a server's configuration and one of clients that trust
// it under the name localhost.
var tlsConfigs = sync.OnceValues(func() (server, client *tls.Config) {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	tmpl := &x509.Certificate{
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	must(err)
	leaf, err := x509.ParseCertificate(der)
	must(err)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}}},
		&tls.Config{RootCAs: pool, ServerName: "localhost"}
})
