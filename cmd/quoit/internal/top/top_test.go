package top

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
)

// fakePage is the JSON of a process that is n seconds old. It has three rings and two
// listeners.
func fakePage(n int) string {
	st := quoit.Stats{
		Transport: "io_uring", Gear: quoit.GearRing, Conns: 640, Listeners: 2, Accepted: uint64(10 * n),
		RingReads: uint64(15000 * n), DirectReads: uint64(500 * n), BytesReceived: uint64(2e6 * n), BytesSent: uint64(30 * n),
		Enters: uint64(5000 * n), Completions: uint64(16000 * n), RingTime: time.Duration(n) * time.Second, PollTime: time.Duration(n) * time.Second,
		SendsParked: uint64(7 * n),
	}
	st.TurnSizes[3] = uint64(4000 * n)
	st.WakeDelays[5] = uint64(n)
	st.Rings = make([]quoit.RingStats, 3)
	st.Rings[1] = quoit.RingStats{Conns: 213, RingReads: st.RingReads, BytesReceived: st.BytesReceived, Enters: st.Enters,
		Completions: st.Completions, TurnSizes: st.TurnSizes, Gear: quoit.GearRing, Held: true}
	b, err := json.Marshal(map[string]any{
		"clock_ns": int64(n) * int64(time.Second), "program": "shop\x1b[31m", "pid": 77, "kernel": "6.18", "cpu_ns": int64(n) * 4e8, "memory_bytes": 12e6,
		"findings": []map[string]string{{"level": "problem", "text": "Too\nmuch."}, {"level": "good", "text": "Well."}},
		"stats":    st,
	})
	if err != nil {
		panic(err)
	}
	listening := `"listening":[{"network":"tcp","addr":"127.0.0.1:80","accepted":` + fmt.Sprint(10*n) + `,"queue":3,"backlog":128},` +
		`{"network":"unix","addr":"/run/` + strings.Repeat("long", 20) + `","queue":-1,"backlog":-1}]`
	return strings.Replace(string(b), `"listening":null`, listening, 1)
}

func serveFake(t *testing.T, h func(w http.ResponseWriter, r *http.Request, n int)) *httptest.Server {
	t.Helper()
	return serveAt(t, "127.0.0.1:0", h)
}

// serveAt has h answer at addr, and counts.
func serveAt(t *testing.T, addr string, h func(w http.ResponseWriter, r *http.Request, n int)) *httptest.Server {
	t.Helper()
	var n atomic.Int32
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: ln, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h(w, r, int(n.Add(1))) })}}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func page(w http.ResponseWriter, r *http.Request, n int) {
	if r.URL.Path != pagePath || r.Header.Get("Accept") != "application/json" {
		http.NotFound(w, r)
		return
	}
	fmt.Fprint(w, fakePage(n))
}

// asQuoit is set where the test's program is to be quoit.
const asQuoit = "QUOIT_TEST_AS_QUOIT"

func TestMain(m *testing.M) {
	if os.Getenv(asQuoit) != "" {
		os.Exit(Run(os.Args[2:], os.Stdout, os.Stderr))
	}
	os.Exit(testenv.Main(m.Run))
}

func runTop(args ...string) (code int, stdout, stderr string) {
	var out, errs strings.Builder
	code = Run(args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestPrints(t *testing.T) {
	s := serveFake(t, page)
	code, stdout, stderr := runTop("-every", "100ms", s.Listener.Addr().String())
	if code != exitOK || stderr != "" {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	for _, want := range []string{
		"quoit: shop?[31m 77 · io_uring, gear ring · 3 rings · 640 conns · 12 MB · Linux 6.18\n",
		"\n! Too?much.\n",
		"\nReads/s         15.5 k",
		"\nreceived/s        2 MB",
		"\nsent/s            30 B",
		"\nnew conns/s         10",
		"\nper turn             4",
		"\ngear ring         50 %",
		"\nslow readers         7",
		"\nCPU               40 %",
		"\nwake delay   half under 32µs, 99 % under 32µs\n",
		"\nWrite delay  none\n",
		"\n1     ring      213      15 k       2 MB        0 B       5 k        4 held\n",
		"\ntcp 127.0.0.1:80                            10         20        0    3 of 128\n",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	if strings.Contains(stdout, "Well.") || strings.ContainsAny(stdout, "\x1b\r") {
		t.Errorf("%q", stdout)
	}
}

func TestCount(t *testing.T) {
	s := serveFake(t, page)
	code, stdout, stderr := runTop("-n", "3", "-every", "100ms", s.URL+pagePath)
	if n := strings.Count(stdout, "quoit: shop"); code != exitOK || n != 3 {
		t.Errorf("%d times, exit code %d, %s", n, code, stderr)
	}
}

// Where there is no page expvar may have the numbers, under any name.
func TestExpvar(t *testing.T) {
	vars := func(w http.ResponseWriter, r *http.Request, n int) {
		if r.URL.Path != varsPath {
			http.NotFound(w, r)
			return
		}
		var p struct{ Stats json.RawMessage }
		if err := json.Unmarshal([]byte(fakePage(n)), &p); err != nil {
			t.Error(err)
		}
		fmt.Fprintf(w, `{"cmdline":["/usr/bin/shop","-x"],"memstats":{"Alloc":1},"other":{"transport":7},"ring":%s}`, p.Stats)
	}
	code, stdout, stderr := runTop("-every", "100ms", serveFake(t, vars).Listener.Addr().String())
	if code != exitOK || !strings.HasPrefix(stdout, "quoit: shop · io_uring, gear ring · 3 rings") || !strings.Contains(stdout, "Reads/s") || strings.Contains(stdout, "\nCPU") {
		t.Errorf("exit code %d, %s\n%s", code, stderr, stdout)
	}
}

func TestNet(t *testing.T) {
	s := serveFake(t, func(w http.ResponseWriter, r *http.Request, n int) {
		fmt.Fprintf(w, `{"quoit":{"transport":"net","reason":"seccomp"}}`)
	})
	code, stdout, stderr := runTop("-every", "100ms", s.URL)
	if code != exitOK || stdout != "quoit: ? · package net\n! Package net serves: seccomp\n" {
		t.Errorf("exit code %d, %s\n%q", code, stderr, stdout)
	}
}

func TestErrors(t *testing.T) {
	answer := func(status int, body string) string {
		return serveFake(t, func(w http.ResponseWriter, r *http.Request, n int) {
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}).URL
	}
	obeyed := serveFake(t, func(w http.ResponseWriter, r *http.Request, n int) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		fmt.Fprint(c, "HTTP/1.1 500 \x1b[2J\u0085gone\r\nContent-Length: 0\r\n\r\n")
	}).URL
	for _, tt := range []struct {
		name   string
		args   []string
		code   int
		stderr string
	}{
		{"no address", nil, exitUsage, "usage: quoit top"},
		{"two", []string{"a:1", "b:2"}, exitUsage, "usage: quoit top"},
		{"flag", []string{"-x", "a:1"}, exitUsage, "-x"},
		{"help", []string{"-help"}, exitOK, "usage: quoit top"},
		{"count", []string{"-n", "-1", "a:1"}, exitUsage, "usage: quoit top"},
		{"often", []string{"-every", "1ms", "a:1"}, exitUsage, "usage: quoit top"},
		{"scheme", []string{"ftp://a/"}, exitUsage, "neither HOST:PORT nor a URL"},
		{"no host", []string{"http:///x"}, exitUsage, "neither HOST:PORT nor a URL"},
		{"port", []string{"a:b:c"}, exitUsage, "a:b:c"},
		{"nobody", []string{testenv.Refused(t)}, exitUnusable, "refused"},
		{"nothing there", []string{answer(404, "")}, exitUnusable, "/debug/quoit and "},
		{"no such page", []string{answer(404, "") + "/x"}, exitUnusable, "nothing at "},
		{"forbidden", []string{answer(403, "")}, exitUnusable, "403 Forbidden"},
		{"escapes", []string{obeyed}, exitUnusable, "500 ?[2J?gone\n"},
		{"HTML", []string{answer(200, "<html>")}, exitUnusable, "not the JSON of package debug"},
		{"empty", []string{answer(200, "")}, exitUnusable, "not the JSON of package debug"},
		{"other JSON", []string{answer(200, `{"a":{"b":1}}`)}, exitUnusable, "vars.Publish"},
		{"array", []string{answer(200, `[1]`)}, exitUnusable, "not the JSON of package debug"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := runTop(tt.args...)
			if code != tt.code || stdout != "" || !strings.Contains(stderr, tt.stderr) {
				t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
			}
		})
	}
}

// lines keeps within its bounds, whatever they are.
func TestFits(t *testing.T) {
	var v view
	for n := 1; n <= 70; n++ {
		p, err := parse([]byte(fakePage(n)))
		if err != nil {
			t.Fatal(err)
		}
		v.add(p)
		if n > 1 && n < 70 {
			continue
		}
		for _, width := range []int{1, 2, 20, 80, 400} {
			for _, height := range []int{1, 2, 10, 24, 25, 100} {
				lines := v.lines(width, height)
				if len(lines) > height || len(lines) == 0 {
					t.Errorf("%d lines of %d", len(lines), height)
				}
				for _, l := range lines {
					if k := utf8.RuneCountInString(l); k > width {
						t.Errorf("%d characters of %d: %q", k, width, l)
					}
				}
			}
		}
	}
	full := strings.Join(v.lines(80, 24), "\n")
	for _, want := range []string{"shop", "Reads/s", "Write delay", "\nRING", "\n1     ring", "\nLISTENER", "127.0.0.1:80"} {
		if !strings.Contains(full, want) {
			t.Errorf("no %q in 80x24:\n%s", want, full)
		}
	}
	// What has no room is counted.
	v.now.Stats.Rings = append(v.now.Stats.Rings, make([]ringStats, 61)...)
	if s := strings.Join(v.lines(80, 24), "\n"); !strings.Contains(s, "and 61 more") || !strings.Contains(s, "LISTENER") {
		t.Errorf("64 rings:\n%s", s)
	}
}

// Another process under the same address begins anew.
func TestRestart(t *testing.T) {
	var v view
	for _, n := range []int{100, 101, 1} {
		p, err := parse([]byte(fakePage(n)))
		if err != nil {
			t.Fatal(err)
		}
		v.add(p)
	}
	if v.last != nil || !strings.Contains(strings.Join(v.lines(80, 24), "\n"), "Reads/s            ...") {
		t.Errorf("%+v", v)
	}
}
