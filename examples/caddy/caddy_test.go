package caddy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
	"github.com/quoit-go/quoit/internal/testenv/webtest"
)

func TestMain(m *testing.M) {
	os.Exit(enginetest.Main(m))
}

// load runs Caddy with the Caddyfile beside this file on another port, and with
// another answer.
func load(t *testing.T, port, answer string) {
	t.Helper()
	b, err := os.ReadFile("Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.ReplaceAll(b, []byte("8080"), []byte(port))
	b = bytes.ReplaceAll(b, []byte("hello from"), []byte(answer))
	b = append([]byte("{\n\tadmin off\n\tpersist_config off\n\tgrace_period 10s\n}\n"), b...)
	adapter := caddyfile.Adapter{ServerType: httpcaddyfile.ServerType{}}
	config, warnings, err := adapter.Adapt(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		t.Log(w)
	}
	if err := caddy.Load(config, true); err != nil {
		t.Fatal(err)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	_, port, err := net.SplitHostPort(testenv.Free(t, "localhost"))
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// Caddy serves by quoit, and goes on to while its configuration changes.
func TestCaddy(t *testing.T) {
	enginetest.Counts(t, 20, 0)
	port := freePort(t)
	url := "http://localhost:" + port
	load(t, port, "hello from")
	defer func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	}()
	client, tr := webtest.Client(t, testenv.Net, nil)
	if got, err := webtest.Get(client, url+"/some/path"); err != nil || got != "hello from /some/path" {
		t.Fatalf("got %q, %v", got, err)
	}
	if st := quoit.Default().Stats(); st.Transport == "io_uring" && st.Conns == 0 {
		t.Error("quoit has no conn")
	}
	tr.DisableKeepAlives = true
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				// EOF is how net/http's Shutdown, by which Caddy ends a server, may end
				// what it has just read. No conn is refused, nor reset in the queue.
				got, err := webtest.Get(client, url+"/")
				if !errors.Is(err, io.EOF) && (err != nil || !strings.HasPrefix(got, "hello ")) {
					t.Errorf("while the configuration changes: %q, %v", got, err)
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for i := range 10 {
		answer := fmt.Sprintf("hello %d from", i)
		load(t, port, answer)
		testenv.Poll(t, "the new configuration answers", func() bool { // until the old one has ended, both do
			got, err := webtest.Get(client, url+"/x")
			return err == nil && got == answer+" /x"
		})
	}
	close(stop)
	wg.Wait()
}

// An address in use is an error of the configuration.
func TestInUse(t *testing.T) {
	ln, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	host, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listen(t.Context(), "quoit", host, port, 0, net.ListenConfig{}); err == nil {
		t.Error("listens on an address in use")
	}
	if _, err := listen(t.Context(), "quoit", host, "http", 0, net.ListenConfig{}); err == nil {
		t.Error("listens on a port that is no number")
	}
}

// The README has the Caddyfile's line.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile("Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(readme)) {
		if strings.HasPrefix(line, "| Caddy | ") {
			_, code, _ := strings.Cut(line, "`")
			code, _, _ = strings.Cut(code, "`")
			if !strings.Contains(string(config), code) || code == "" {
				t.Errorf("the Caddyfile has no %q", code)
			}
			return
		}
	}
	t.Error("README.md has no row for Caddy")
}
