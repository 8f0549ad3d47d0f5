package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

// patience bounds what should take milliseconds, on a busy machine.
const patience = 30 * time.Second

type testServer struct {
	*http.Server
	url    string
	client *http.Client
}

// start serves until the test ends.
func start(t *testing.T, o options) *testServer {
	t.Helper()
	o.addr = "127.0.0.1:0"
	srv, err := newServer(o, log.New(t.Output(), "", 0))
	if err != nil {
		t.Fatal(err)
	}
	ln, over, err := listen(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("over %s", over)
	tr := &http.Transport{}
	s := &testServer{Server: srv, url: "http://" + ln.Addr().String(), client: &http.Client{Transport: tr, Timeout: patience}}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if !o.tls {
			srv.Serve(ln)
			return
		}
		srv.ServeTLS(ln, "", "")
	}()
	if o.tls {
		pool := x509.NewCertPool()
		pool.AddCert(srv.TLSConfig.Certificates[0].Leaf)
		tr.TLSClientConfig = &tls.Config{RootCAs: pool}
		tr.ForceAttemptHTTP2 = true
		s.url = "https" + strings.TrimPrefix(s.url, "http")
	}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		srv.Close()
		<-served
	})
	return s
}

func eachTransport(t *testing.T, f func(t *testing.T, o options)) {
	for _, transport := range []string{"net", "quoit"} {
		t.Run(transport, func(t *testing.T) { f(t, options{transport: transport}) })
	}
}

func (s *testServer) get(t *testing.T, path string) (*http.Response, []byte) {
	t.Helper()
	resp, err := s.client.Get(s.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s: %v after %d bytes", path, err, len(body))
	}
	return resp, body
}

func TestGreeting(t *testing.T) {
	eachTransport(t, func(t *testing.T, o options) {
		s := start(t, o)
		resp, body := s.get(t, "/")
		if string(body) != greeting || resp.ContentLength != 13 || resp.StatusCode != 200 {
			t.Errorf("got %d %q, Content-Length %d", resp.StatusCode, body, resp.ContentLength)
		}
		if resp, _ := s.get(t, "/nowhere"); resp.StatusCode != 404 {
			t.Errorf("unknown path: %d", resp.StatusCode)
		}
		if resp, _ := s.get(t, "/static/"); resp.StatusCode != 404 {
			t.Errorf("/static/ without -dir: %d", resp.StatusCode)
		}
	})
}

// Each part comes back before the next one is sent.
func TestEchoStreams(t *testing.T) {
	eachTransport(t, func(t *testing.T, o options) {
		for _, withTLS := range []bool{false, true} {
			o.tls = withTLS
			s := start(t, o)
			pr, pw := io.Pipe()
			sent := make(chan error, 1)
			go func() {
				_, err := pw.Write([]byte("part 0")) // Post answers only after it
				sent <- err
			}()
			resp, err := s.client.Post(s.url+"/echo", "", pr)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			for i := range 5 {
				got := make([]byte, len("part 0"))
				if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != "part "+strconv.Itoa(i) {
					t.Fatalf("part %d: got %q, %v", i, got, err)
				}
				if i < 4 {
					pw.Write([]byte("part " + strconv.Itoa(i+1)))
				}
			}
			pw.Close()
			if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil {
				t.Errorf("after the end: %q, %v", rest, err)
			}
		}
	})
}

func TestEchoLarge(t *testing.T) {
	eachTransport(t, func(t *testing.T, o options) {
		s := start(t, o)
		for _, size := range []int{0, 1, 4096, 8 << 20} {
			want := randomBytes(size)
			resp, err := s.client.Post(s.url+"/echo", "", bytes.NewReader(want))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes: got %d, %v", size, len(got), err)
			}
		}
	})
}

func randomBytes(n int) []byte {
	var seed [32]byte
	b := make([]byte, n)
	rand.NewChaCha8(seed).Read(b)
	return b
}

func TestBytes(t *testing.T) {
	eachTransport(t, func(t *testing.T, o options) {
		s := start(t, o)
		for _, n := range []int{0, 1, 251, 256 * 251, 16<<20 + 7} {
			resp, body := s.get(t, "/bytes?n="+strconv.Itoa(n))
			if len(body) != n || resp.ContentLength != int64(n) {
				t.Errorf("n=%d: %d bytes, Content-Length %d", n, len(body), resp.ContentLength)
			}
			for i, b := range body {
				if b != byte(i%period) {
					t.Errorf("n=%d: byte %d is %d", n, i, b)
					break
				}
			}
		}
		for _, n := range []string{"", "-1", "x", "1e3", strconv.FormatInt(maxBytes+1, 10)} {
			if resp, _ := s.get(t, "/bytes?n="+n); resp.StatusCode != 400 {
				t.Errorf("n=%q: %d, want 400", n, resp.StatusCode)
			}
		}
	})
}

func TestStatic(t *testing.T) {
	eachTransport(t, func(t *testing.T, o options) {
		o.dir = t.TempDir()
		want := randomBytes(4<<20 + 1)
		if err := os.WriteFile(filepath.Join(o.dir, "big.bin"), want, 0o644); err != nil {
			t.Fatal(err)
		}
		s := start(t, o)
		if _, body := s.get(t, "/static/big.bin"); !bytes.Equal(body, want) {
			t.Errorf("got %d bytes, not the file's %d", len(body), len(want))
		}
		for _, path := range []string{"/static/none", "/static/../main.go", "/static/%2e%2e/main.go"} {
			if resp, _ := s.get(t, path); resp.StatusCode != 404 {
				t.Errorf("%s: %d, want 404", path, resp.StatusCode)
			}
		}
	})
}

func TestStats(t *testing.T) {
	eachTransport(t, func(t *testing.T, o options) {
		s := start(t, o)
		_, body := s.get(t, "/stats")
		var st struct{ Transport, Reason string }
		if err := json.Unmarshal(body, &st); err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		want := o.stats()
		if st.Transport != want.Transport || (st.Reason == "") != (want.Reason == nil) {
			t.Errorf("got %+v, want transport %q and reason %v", st, want.Transport, want.Reason)
		}
		if os.Getenv("QUOIT_TEST_REQUIRE") == "1" && o.transport == "quoit" && st.Transport != "io_uring" {
			t.Errorf("QUOIT_TEST_REQUIRE=1 and transport %q: %s", st.Transport, st.Reason)
		}
		resp, err := s.client.Get(s.url + "/debug/quoit")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if (resp.StatusCode == http.StatusOK) != (o.transport != "net") {
			t.Errorf("the page: %s", resp.Status)
		}
	})
}

func TestHTTP2(t *testing.T) {
	eachTransport(t, func(t *testing.T, o options) {
		t.Run("TLS", func(t *testing.T) {
			o.tls = true
			checkHTTP2(t, start(t, o))
		})
		t.Run("cleartext", func(t *testing.T) {
			o.tls = false
			s := start(t, o)
			p := new(http.Protocols)
			p.SetUnencryptedHTTP2(true)
			s.client.Transport.(*http.Transport).Protocols = p
			checkHTTP2(t, s)
		})
	})
}

func checkHTTP2(t *testing.T, s *testServer) {
	t.Helper()
	resp, body := s.get(t, "/")
	if resp.ProtoMajor != 2 || string(body) != greeting {
		t.Errorf("got %s %q", resp.Proto, body)
	}
	if _, body := s.get(t, "/bytes?n=4000000"); len(body) != 4e6 {
		t.Errorf("/bytes: %d bytes", len(body))
	}
	if resp, _ := s.get(t, "/upgrade-echo"); resp.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("/upgrade-echo: %d", resp.StatusCode)
	}
}

// dialUpgraded returns a conn past the 101, with "early" sent right behind
// the request.
func dialUpgraded(t *testing.T, s *testServer) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, "GET /upgrade-echo HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: echo\r\n\r\nearly")
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got %s", resp.Status)
	}
	expect(t, br, "early")
	return c, br
}

func expect(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("got %q, %v, want %q", got, err, want)
	}
}

func TestUpgradeEcho(t *testing.T) {
	eachTransport(t, func(t *testing.T, o options) {
		o.readTimeout, o.writeTimeout = time.Hour, time.Hour
		s := start(t, o)
		if resp, _ := s.get(t, "/upgrade-echo"); resp.StatusCode != http.StatusUpgradeRequired {
			t.Errorf("without Upgrade: %d", resp.StatusCode)
		}
		c, br := dialUpgraded(t, s)
		for range 3 {
			want := string(randomBytes(100_000))
			go io.WriteString(c, want)
			expect(t, br, want)
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := br.ReadByte(); err != io.EOF {
			t.Errorf("after half close: %v, want EOF", err)
		}
	})
}

func TestShutdown(t *testing.T) {
	eachTransport(t, func(t *testing.T, o options) {
		s := start(t, o)
		down := make(chan struct{})
		s.RegisterOnShutdown(func() { close(down) })
		_, upgraded := dialUpgraded(t, s)
		idle, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer idle.Close()
		idle.SetDeadline(time.Now().Add(patience))
		io.WriteString(idle, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		idleReader := bufio.NewReader(idle)
		resp, err := http.ReadResponse(idleReader, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)

		pr, pw := io.Pipe()
		go pw.Write([]byte("before"))
		resp, err = s.client.Post(s.url+"/echo", "", pr)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		expect(t, resp.Body, "before")

		code := make(chan int, 1)
		go func() { code <- shutdown(s.Server, patience, log.New(t.Output(), "", 0)) }()
		<-down
		if _, err := idleReader.ReadByte(); err != io.EOF {
			t.Errorf("idle conn: %v, want EOF", err)
		}
		if _, err := upgraded.ReadByte(); err != io.EOF {
			t.Errorf("upgraded conn: %v, want EOF", err)
		}
		pw.Write([]byte("during"))
		expect(t, resp.Body, "during")
		pw.Close()
		if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil {
			t.Errorf("request in flight: %q, %v", rest, err)
		}
		if c := <-code; c != 0 {
			t.Errorf("exit code %d", c)
		}
	})
}

func TestShutdownTimeLimit(t *testing.T) {
	eachTransport(t, func(t *testing.T, o options) {
		s := start(t, o)
		pr, pw := io.Pipe()
		defer pw.Close()
		go pw.Write([]byte("stuck"))
		resp, err := s.client.Post(s.url+"/echo", "", pr)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		expect(t, resp.Body, "stuck")
		if code := shutdown(s.Server, time.Millisecond, log.New(t.Output(), "", 0)); code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
		if _, err := resp.Body.Read(make([]byte, 1)); err == nil {
			t.Error("the response goes on")
		}
	})
}

func TestRunRefuses(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	addr := busy.Addr().String()
	tests := []struct {
		name string
		args []string
		code int
		want string
	}{
		{"transport", []string{"-transport=tcp"}, 2, "want quoit or net"},
		{"argument", []string{"now"}, 2, `unexpected argument "now"`},
		{"flag", []string{"-port=1"}, 2, "-port"},
		{"timeout", []string{"-read-timeout=-1s"}, 2, "negative"},
		{"port in use", []string{"-addr", addr}, 1, addr},
		{"port in use, net", []string{"-transport=net", "-addr", addr}, 1, addr},
		{"bad address", []string{"-addr=127.0.0.1:http:x"}, 1, "too many colons"},
		{"bad address, TLS", []string{"-tls", "-addr=127.0.0.1"}, 1, "missing port"},
		{"help", []string{"-help"}, 0, "-transport"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			if code := run(t.Context(), tt.args, &stdout, &stderr); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if stdout.Len() > 0 || !strings.Contains(stderr.String(), tt.want) {
				t.Errorf("stdout %q, stderr %q, want %q", &stdout, &stderr, tt.want)
			}
		})
	}
}

var startLine = regexp.MustCompile(`^serving (https?://\S+:\d+) over (io_uring \(Linux \S+\)|net: .+)\n$`)

// TestBinary runs the program as a user does.
func TestBinary(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no SIGTERM on windows")
	}
	bin := filepath.Join(t.TempDir(), "httpserver")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, args := range [][]string{{"-transport=quoit"}, {"-transport=net"}, {"-tls"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
			defer cancel()
			cmd := exec.CommandContext(ctx, bin, append(args, "-addr=127.0.0.1:0", "-shutdown-timeout=10s")...)
			cmd.Stderr = t.Output()
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(stdout).ReadString('\n')
			m := startLine.FindStringSubmatch(line)
			if m == nil {
				t.Fatalf("first line %q, %v", line, err)
			}
			t.Log(strings.TrimSpace(line))
			if os.Getenv("QUOIT_TEST_REQUIRE") == "1" && args[0] != "-transport=net" && !strings.HasPrefix(m[2], "io_uring") {
				t.Errorf("QUOIT_TEST_REQUIRE=1 and %q", line)
			}

			client := &http.Client{Timeout: patience, Transport: &http.Transport{
				TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // made by a process whose key we cannot know
			}}
			for range 20 {
				resp, err := client.Get(m[1] + "/")
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || string(body) != greeting {
					t.Fatalf("got %q, %v", body, err)
				}
			}

			// The client's idle conn is still open.
			began := time.Now()
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("after SIGTERM: %v", err)
			}
			if d := time.Since(began); d > 8*time.Second {
				t.Errorf("took %v to end", d)
			}
		})
	}
}
