//go:build linux

package debug_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/debug"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// busy has conns of e talk until the test ends: some in pipelines, one to a peer that
// does not read. It returns where they came in.
func busy(t *testing.T, e *quoit.Engine) net.Listener {
	t.Helper()
	ln, err := e.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go echoPieces(c)
		}
	}()
	stop := make(chan struct{})
	var ended []<-chan error
	for i := range 16 {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		ended = append(ended, testenv.Go(func() error { talk(c, i, stop); return nil }))
	}
	t.Cleanup(func() {
		close(stop)
		for _, end := range ended {
			testenv.Wait(t, end, "client")
		}
		ln.Close()
	})
	return ln
}

// echoPieces answers each message in pieces, so that some are batched.
func echoPieces(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		for part := buf[:n]; len(part) > 0; {
			k := min(len(part), 256)
			if _, err := c.Write(part[:k]); err != nil {
				return
			}
			part = part[k:]
		}
	}
}

// talk sends messages and waits for the answers, with pauses that change slowly.
func talk(c net.Conn, i int, stop chan struct{}) {
	r := rand.New(rand.NewPCG(uint64(i), 1))
	buf := make([]byte, 1024)
	for round := 0; ; round++ {
		select {
		case <-stop:
			return
		default:
		}
		n := 64 + r.IntN(len(buf)-64)
		c.SetDeadline(time.Now().Add(testenv.Bound))
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
		if _, err := io.ReadFull(c, buf[:n]); err != nil {
			return
		}
		if round%8 == 0 {
			testenv.Pace(time.Duration(1+round/500%9) * time.Millisecond)
		}
	}
}

var widths, schemes = []int{400, 1400}, []string{"light", "dark"}

// fits wants nothing to stick out of the window.
func fits(b *browser, name string) {
	b.t.Helper()
	if w, win := eval[int](b, "document.documentElement.scrollWidth"), eval[int](b, "innerWidth"); w > win {
		b.t.Errorf("%s: the page is %d pixels wide, the window %d", name, w, win)
	}
}

func TestPageInBrowser(t *testing.T) {
	testenv.Watch(t, 4*testenv.Bound)
	b := startBrowser(t)
	e := enginetest.New(t, quoit.Config{Gear: quoit.GearRing})
	busy(t, e)
	server := httptest.NewServer(debug.Handler(e))
	defer server.Close()
	wait := 4 // snapshots
	if n, err := strconv.Atoi(os.Getenv("QUOIT_PICTURES_AFTER")); err == nil {
		wait = n
	}
	backgrounds := map[string]bool{}
	for _, width := range widths {
		for _, scheme := range schemes {
			name := fmt.Sprintf("%s-%d", scheme, width)
			b.open(server.URL+"/debug/quoit", width, scheme)
			b.until(fmt.Sprintf("taken.length >= %d", wait))
			fits(b, name)
			backgrounds[eval[string](b, "getComputedStyle(document.body).backgroundColor")] = true
			if s := eval[string](b, `document.querySelector("#state").textContent`); s != "live" {
				t.Errorf("%s: %q", name, s)
			}
			if n := eval[int](b, `document.querySelectorAll("#findings li").length`); n == 0 {
				t.Errorf("%s: no findings", name)
			}
			checkCharts(b, name, e.Stats().Transport == "io_uring")
			b.quiet()
			b.picture(name)
		}
	}
	if len(backgrounds) != len(schemes) {
		t.Errorf("backgrounds %v", backgrounds)
	}
}

// checkCharts wants every line to have points, on the numbers that there are.
func checkCharts(b *browser, name string, ring bool) {
	b.t.Helper()
	type chart struct {
		Title  string
		Hidden bool
		Points []int // of each line
		Bars   int
		Label  string
		Broken bool // a number that is none
	}
	charts := eval[[]chart](b, `charts.map(c => ({
		title: c.title, hidden: c.card.hidden,
		points: [...c.svg.querySelectorAll("path.s0, path.s1")].map(p => p.getAttribute("d").split(/[ML]/).length - 1),
		bars: [...c.svg.querySelectorAll("rect")].filter(r => r.getAttribute("height") > 0).length,
		label: c.svg.getAttribute("aria-label"),
		broken: /NaN|undefined|Infinity/.test(c.card.outerHTML),
	}))`)
	shown := 0
	for _, c := range charts {
		if c.Hidden {
			if ring {
				b.t.Errorf("%s: %s is hidden", name, c.Title)
			}
			continue
		}
		shown++
		if c.Broken || !strings.HasPrefix(c.Label, c.Title+":") {
			b.t.Errorf("%s: %+v", name, c)
		}
		if len(c.Points) == 0 && c.Bars == 0 && c.Title != "Batched Writes wait to be sent" { // whether there are such, the load decides
			b.t.Errorf("%s: %s is empty", name, c.Title)
		}
		for _, n := range c.Points {
			if n < 3 {
				b.t.Errorf("%s: %s has %d points", name, c.Title, n)
			}
		}
	}
	if shown < 2 || ring && shown < 12 {
		b.t.Errorf("%s: %d charts", name, shown)
	}
	if rows := eval[int](b, `document.querySelectorAll("#rings:not([hidden]) tr").length`); ring && rows < 2 {
		b.t.Errorf("%s: no rings", name)
	}
	if rows := eval[int](b, `document.querySelectorAll("#listening:not([hidden]) tr").length`); ring && rows < 2 {
		b.t.Errorf("%s: no listeners", name)
	}
}

// The number under the pointer is shown, and the last one again when it has left.
func TestPagePointer(t *testing.T) {
	b := startBrowser(t)
	server := httptest.NewServer(canned(debug.Snapshot{Stats: quoit.Stats{Transport: "io_uring", Conns: 3}}))
	defer server.Close()
	b.open(server.URL, 1400, "light")
	b.until("taken.length >= 3")
	where := eval[[2]float64](b, `(() => { const r = charts[2].svg.getBoundingClientRect(); return [r.right - 3, r.top + 20] })()`)
	b.call(nil, "Input.dispatchMouseEvent", map[string]any{"type": "mouseMoved", "x": where[0], "y": where[1]})
	b.until(`charts[2].values.textContent.includes("open 3") && / s ago$/.test(charts[2].values.textContent)`)
	b.call(nil, "Input.dispatchMouseEvent", map[string]any{"type": "mouseMoved", "x": 1, "y": 1})
	b.until(`charts[2].values.textContent == "open 3"`)
	b.quiet()
}

// canned serves the page with a snapshot of ours.
func canned(s debug.Snapshot) http.Handler {
	page := debug.Handler(nil)
	begin := time.Now()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Accept"), "text/html") {
			page.ServeHTTP(w, r)
			return
		}
		s := s
		s.ClockNS = int64(time.Since(begin))
		json.NewEncoder(w).Encode(s)
	})
}

// What is long, much or not what it seems breaks nothing.
func TestPageExtremes(t *testing.T) {
	testenv.Watch(t, 4*testenv.Bound)
	b := startBrowser(t)
	evil := `<img src=x onerror="document.title='broken'"></script><script>document.title='broken'</script>`
	long := strings.Repeat("a-very-long-name", 20)
	many := quoit.Stats{Transport: "io_uring", Gear: quoit.GearRing, Rings: make([]quoit.RingStats, 64)}
	for i := range many.Rings {
		many.Rings[i] = quoit.RingStats{CPU: i, Held: i%2 == 0, Conns: 1e6, BytesReceived: 1e15}
	}
	many.Listening = []quoit.ListenerStats{
		{Addr: &net.UnixAddr{Name: evil, Net: "unix"}, Queue: -1, Backlog: -1},
		{Addr: &net.UnixAddr{Name: long, Net: "unix"}, Queue: 5, Backlog: 4096},
	}
	many.Steering = []quoit.SteeringStats{{Addr: &net.UnixAddr{Name: evil}, Policy: evil, Err: errors.New(long), Decisions: make([]uint64, 64)}}
	for _, tt := range []struct {
		name   string
		s      debug.Snapshot
		charts int
	}{
		{"net", debug.Snapshot{Program: "p", Stats: quoit.Stats{Transport: "net", Reason: errors.New(evil)},
			Findings: []debug.Finding{{Level: debug.LevelProblem, Text: evil + long}}}, 2},
		{"many", debug.Snapshot{Program: long, Stats: many, Findings: []debug.Finding{{Level: debug.LevelNote, Text: long}}}, 12},
		{"nothing", debug.Snapshot{Program: "p", Stats: quoit.Stats{Transport: "io_uring"}, Findings: []debug.Finding{}}, 12},
	} {
		for _, width := range widths {
			name := fmt.Sprintf("%s-%d", tt.name, width)
			server := httptest.NewServer(canned(tt.s))
			b.open(server.URL, width, "dark")
			b.until(`taken.length >= 2 && document.querySelector("#state").textContent == "live"`)
			fits(b, name)
			if n := eval[int](b, `document.querySelectorAll("#charts section:not([hidden])").length`); n != tt.charts {
				t.Errorf("%s: %d charts, want %d", name, n, tt.charts)
			}
			if title := eval[string](b, "document.title"); title != "quoit: "+tt.s.Program {
				t.Errorf("%s: title %q", name, title)
			}
			if s := eval[string](b, "document.body.innerText"); strings.Contains(s, "NaN") || strings.Contains(s, "undefined") {
				t.Errorf("%s: %s", name, s)
			}
			b.quiet()
			b.picture(name)
			server.Close()
		}
	}
}

// A page whose server has gone says so, and goes on when there is one again.
func TestPageWithoutServer(t *testing.T) {
	testenv.Watch(t, 4*testenv.Bound)
	b := startBrowser(t)
	handler := canned(debug.Snapshot{Stats: quoit.Stats{Transport: "io_uring"}})
	addr := testenv.Free(t, "127.0.0.1")
	serve := func() *httptest.Server {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		server := &httptest.Server{Listener: ln, Config: &http.Server{Handler: handler}}
		server.Start()
		return server
	}
	server := serve()
	b.open(server.URL, 1400, "light")
	b.until("taken.length >= 2")
	server.Close()
	b.until(`document.querySelector("#state").textContent.startsWith("no answer")`)
	again := serve()
	defer again.Close()
	b.until(`document.querySelector("#state").textContent == "live"`)
}
