package debug_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/debug"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

const browserAccept = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"

// ask has h answer a request.
func ask(h http.Handler, method, accept string, headers ...string) *http.Response {
	r := httptest.NewRequest(method, "/debug/quoit", nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestHandlerAccept(t *testing.T) {
	h := debug.Handler(enginetest.New(t, quoit.Config{}))
	const html, js = "text/html; charset=utf-8", "application/json"
	for accept, want := range map[string]string{
		"":                                    js,
		"*/*":                                 js,
		"application/json":                    js,
		browserAccept:                         html,
		"text/html":                           html,
		"TEXT/HTML":                           html,
		"text/html, application/json":         html,
		"text/html;q=0.5, application/json":   js,
		"text/html;q=0":                       js,
		"application/json;q=0.1, text/html":   html,
		"text/html;q=x":                       js,
		";;;, text/html":                      html,
		"text/*":                              js,
		"text/html;level=1;q=0.9, image/webp": html,
	} {
		resp := ask(h, "GET", accept)
		if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != want {
			t.Errorf("Accept %q: %s, %q, want %q", accept, resp.Status, got, want)
		}
		if v := resp.Header.Get("Vary"); v != "Accept" {
			t.Errorf("Accept %q: Vary %q", accept, v)
		}
		if v := resp.Header.Get("X-Content-Type-Options"); v != "nosniff" {
			t.Errorf("Accept %q: X-Content-Type-Options %q", accept, v)
		}
	}
}

func TestHandlerMethods(t *testing.T) {
	h := debug.Handler(enginetest.New(t, quoit.Config{}))
	for _, accept := range []string{"application/json", "text/html"} {
		got, head := ask(h, "GET", accept), ask(h, "HEAD", accept)
		if body(t, head) != "" || head.StatusCode != 200 || head.Header.Get("Content-Type") != got.Header.Get("Content-Type") {
			t.Errorf("HEAD, %s: %s, %v", accept, head.Status, head.Header)
		}
		for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "PATCH"} {
			resp := ask(h, method, accept)
			if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s: %s, Allow %q", method, resp.Status, resp.Header.Get("Allow"))
			}
		}
	}
}

// A cache may keep the page, but asks whether it is the same; numbers it may not.
func TestHandlerCaching(t *testing.T) {
	h := debug.Handler(enginetest.New(t, quoit.Config{}))
	if v := ask(h, "GET", "application/json").Header.Get("Cache-Control"); v != "no-store" {
		t.Errorf("JSON: Cache-Control %q", v)
	}
	page := ask(h, "GET", "text/html")
	tag := page.Header.Get("ETag")
	if v := page.Header.Get("Cache-Control"); v != "no-cache" || tag == "" {
		t.Errorf("page: Cache-Control %q, ETag %q", v, tag)
	}
	if again := ask(h, "GET", "text/html", "If-None-Match", tag); again.StatusCode != http.StatusNotModified || body(t, again) != "" {
		t.Errorf("If-None-Match: %s", again.Status)
	}
	if other := ask(h, "GET", "text/html", "If-None-Match", `"x"`); other.StatusCode != 200 {
		t.Errorf("another If-None-Match: %s", other.Status)
	}
}

// decoded is what a program finds in the JSON.
type decoded struct {
	ClockNS    int64  `json:"clock_ns"`
	Go         string `json:"go"`
	PID        int    `json:"pid"`
	MaxFiles   uint64 `json:"max_files"`
	Goroutines int    `json:"goroutines"`
	CPUNS      int64  `json:"cpu_ns"`
	Memory     uint64 `json:"memory_bytes"`
	Findings   []debug.Finding
	Stats      struct {
		Transport, Reason, Gear string
		Accepted                uint64
		Listening               []struct{ Addr string }
		Rings                   []struct{ Gear string }
	}
}

func decode(t *testing.T, resp *http.Response) (d decoded) {
	t.Helper()
	if err := json.Unmarshal([]byte(body(t, resp)), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestHandlerJSON(t *testing.T) {
	e := enginetest.New(t, quoit.Config{})
	ln, err := e.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	h := debug.Handler(e)
	first := decode(t, ask(h, "GET", ""))
	second := decode(t, ask(h, "GET", ""))
	if first.ClockNS <= 0 || second.ClockNS <= first.ClockNS {
		t.Errorf("the clock went from %d to %d", first.ClockNS, second.ClockNS)
	}
	if first.Go != runtime.Version() || first.PID == 0 || first.Goroutines == 0 || first.Memory == 0 {
		t.Errorf("%+v", first)
	}
	if runtime.GOOS == "linux" && (first.MaxFiles == 0 || first.CPUNS == 0) {
		t.Errorf("%+v", first)
	}
	if len(first.Findings) == 0 {
		t.Error("no findings")
	}
	st := first.Stats
	if st.Transport != e.Stats().Transport {
		t.Errorf("transport %q", st.Transport)
	}
	if st.Transport == "io_uring" && (len(st.Rings) == 0 || len(st.Listening) != 1 || st.Listening[0].Addr != ln.Addr().String()) {
		t.Errorf("%+v", st)
	}
	if (st.Reason == "") != (st.Transport == "io_uring") {
		t.Errorf("reason %q", st.Reason)
	}
}

// With no engine it is the default one.
func TestHandlerDefault(t *testing.T) {
	if got := decode(t, ask(debug.Handler(nil), "GET", "")); got.Stats.Transport != quoit.Default().Stats().Transport {
		t.Errorf("%+v", got)
	}
}

// A closed engine has its last numbers.
func TestHandlerClosed(t *testing.T) {
	e := enginetest.New(t, quoit.Config{})
	h := debug.Handler(e)
	e.Close()
	if got := decode(t, ask(h, "GET", "")); got.Stats.Transport == "" {
		t.Errorf("%+v", got)
	}
}

func TestHandlerConcurrent(t *testing.T) {
	e := enginetest.New(t, quoit.Config{})
	h := debug.Handler(e)
	var wg sync.WaitGroup
	for i := range 8 {
		accept := []string{"text/html", ""}[i%2]
		wg.Go(func() {
			for range 20 {
				if resp := ask(h, "GET", accept); resp.StatusCode != 200 {
					t.Error(resp.Status)
				}
			}
		})
	}
	for range 20 {
		ln, err := e.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Error(err)
			break
		}
		ln.Close()
	}
	wg.Wait()
}

// The page needs nothing from elsewhere, and nothing that its policy forbids.
func TestPageIsSelfContained(t *testing.T) {
	resp := ask(debug.Handler(enginetest.New(t, quoit.Config{})), "GET", "text/html")
	page := body(t, resp)
	if !strings.HasPrefix(page, "<!DOCTYPE html>\n<html lang=\"en\">") {
		t.Error("it does not begin like HTML")
	}
	for _, bad := range []string{`\ssrc=`, `href="[^d]`, `@import`, `url\(`, `\sstyle=`, `\son[a-z]+=`, `innerHTML`, `\beval\(`, `\bFunction\(`, `\.style\b`} {
		if m := regexp.MustCompile(bad).FindString(page); m != "" {
			t.Errorf("it has %q", m)
		}
	}
	for _, tag := range []string{"script", "style"} {
		if n := strings.Count(page, "<"+tag); n != 1 {
			t.Errorf("%d %s elements, want 1", n, tag)
		}
	}
	if page = regexp.MustCompile(`http://www\.w3\.org/2000/svg`).ReplaceAllString(page, ""); strings.Contains(page, "://") {
		t.Error("it names an address")
	}
	policy := resp.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || strings.Count(policy, "'sha256-") != 2 {
		t.Errorf("policy %q", policy)
	}
}

// What is opened is closed, in its order: a browser would guess otherwise.
func TestPageIsValid(t *testing.T) {
	page := body(t, ask(debug.Handler(enginetest.New(t, quoit.Config{})), "GET", "text/html"))
	for _, tag := range []string{"script", "style"} { // whose text is no HTML
		page = regexp.MustCompile(`(?s)<`+tag+`>.*</`+tag+`>`).ReplaceAllString(page, "")
	}
	var open []string
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(`<(/?)([a-z0-9]+)([^>]*)>`).FindAllStringSubmatch(page, -1) {
		name := m[2]
		for _, id := range regexp.MustCompile(`id="([^"]*)"`).FindAllStringSubmatch(m[3], -1) {
			if ids[id[1]] {
				t.Errorf("two have the id %q", id[1])
			}
			ids[id[1]] = true
		}
		switch {
		case name == "meta", name == "link":
		case m[1] == "":
			open = append(open, name)
		case len(open) == 0 || open[len(open)-1] != name:
			t.Fatalf("</%s> while %v are open", name, open)
		default:
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("not closed: %v", open)
	}
}
