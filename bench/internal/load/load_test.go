package load

import (
	"bufio"
	"io"
	"net"
	nethttp "net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quoit-go/quoit/bench/internal/workload"
)

// length is more than a machine that is shared pauses for.
const length = time.Second

func spec(w workload.Workload, addr net.Addr) Spec {
	return Spec{Workload: w, Addr: addr.String(), PID: os.Getpid(), Warmup: 20 * time.Millisecond, Length: length}
}

// serveConns runs serve for each conn until the test ends.
func serveConns(t *testing.T, serve func(net.Conn)) net.Addr {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return ln.Addr()
}

func TestCountsWhatTheServerAnswered(t *testing.T) {
	addr := serveConns(t, func(c net.Conn) { io.Copy(c, c) })
	r, err := Run(spec(workload.Workload{Load: workload.LoadEcho, Conns: 5, Size: 64}, addr))
	if err != nil {
		t.Fatal(err)
	}
	if r.Units == 0 || r.Latency.Count() != r.Units || r.Starved != 0 {
		t.Errorf("%d units, %d latencies, %d starved", r.Units, r.Latency.Count(), r.Starved)
	}
	if r.Elapsed < length || r.Elapsed > time.Minute {
		t.Errorf("measured for %v", r.Elapsed)
	}
	// With one exchange at a time, the median is no more than the time it had.
	if mean := r.Elapsed * 5 / time.Duration(r.Units); r.Latency.Quantile(0.5) > 2*mean {
		t.Errorf("median %v, mean %v", r.Latency.Quantile(0.5), mean)
	}
}

// respond answers every request of a conn with the same bytes.
func respond(response string) func(net.Conn) {
	return func(c net.Conn) {
		for b := bufio.NewReader(c); ; {
			req, err := nethttp.ReadRequest(b)
			if err != nil {
				return
			}
			io.Copy(io.Discard, req.Body)
			io.WriteString(c, response)
			if strings.Contains(response, "close") {
				return
			}
		}
	}
}

// answerWith sends that much of the bulk body for each request.
func answerWith(size int64) func(net.Conn) {
	return func(c net.Conn) {
		for ask := make([]byte, workload.AskBytes); ; {
			if _, err := io.ReadFull(c, ask); err != nil {
				return
			}
			for off := int64(0); off < size; {
				n, err := c.Write(workload.Pattern(off, int(min(1<<15, size-off))))
				if err != nil {
					return
				}
				off += int64(n)
			}
		}
	}
}

const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"

// upgradeWith echoes after one request and that answer.
func upgradeWith(answer string) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := nethttp.ReadRequest(bufio.NewReader(c)); err == nil {
			io.WriteString(c, answer)
			io.Copy(c, c)
		}
	}
}

// allBut serves every conn but the nth, which it closes at once.
func allBut(n int64, serve func(net.Conn)) func(net.Conn) {
	var conns atomic.Int64
	return func(c net.Conn) {
		if conns.Add(1) != n {
			serve(c)
		}
	}
}

const good = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, World!"

func TestWrongServersAreFound(t *testing.T) {
	h := workload.Workload{Load: workload.LoadHTTP, Path: "/", Conns: 3, Depth: 1}
	closing := workload.Workload{Load: workload.LoadClose, Path: "/", Conns: 3, Depth: 1}
	echo := workload.Workload{Load: workload.LoadEcho, Conns: 3, Size: 64}
	answer := workload.Workload{Load: workload.LoadAnswer, Conns: 3}
	tunnel := workload.Workload{Load: workload.LoadTunnel, Path: "/", Conns: 3, Size: 64}
	burst := workload.Workload{Load: workload.LoadBurst, Path: "/", Conns: 3, Busy: 2}
	skew := workload.Workload{Load: workload.LoadSkew, Path: "/", Conns: 3, Depth: 1}
	skewClose := workload.Workload{Load: workload.LoadSkewClose, Path: "/", Conns: 3, Depth: 1}
	tests := []struct {
		name  string
		w     workload.Workload
		serve func(net.Conn)
		want  string
	}{
		{"good", h, respond(good), ""},
		{"wrong body", h, respond(strings.ToUpper(good)), "wrong body"},
		{"two for one", h, respond(good + good), "more responses"},
		{"closes early", h, func(c net.Conn) { c.Read(make([]byte, 1)) }, "conn "},
		{"close not announced", closing, respond(good), "announcing the close"},
		{"close without response", closing, func(c net.Conn) { c.Read(make([]byte, 1000)) }, "EOF"},
		{"silent", h, func(c net.Conn) { io.Copy(io.Discard, c) }, "not one request"},
		{"skew", skew, respond(good), ""},
		{"skew, wrong body", skew, respond(strings.ToUpper(good)), "wrong body"},
		{"skew, close not announced", skewClose, respond(good), "announcing the close"},
		{"skew, closes who does not ask", skewClose, allBut(4, newAsked().serve), "conn "},
		{"echo too long", echo, func(c net.Conn) { io.WriteString(c, strings.Repeat("x", 65)) }, "echo differs"},
		{"answer", answer, answerWith(workload.AnswerBytes), ""},
		{"answer too long", answer, answerWith(workload.AnswerBytes + 1), "answer differs"},
		{"answer cut off", answer, allBut(2, answerWith(workload.AnswerBytes)), "conn "},
		{"tunnel", tunnel, upgradeWith(switching), ""},
		{"tunnel refused", tunnel, respond(good), "unexpected status"},
		{"tunnel that talks first", tunnel, upgradeWith(switching + "x"), "bytes before"},
		{"tunnel without an end", tunnel, upgradeWith(strings.Repeat("x", 2*maxUpgrade)), "too long"},
		{"tunnel cut off", tunnel, func(c net.Conn) { io.WriteString(c, switching[:20]) }, "conn 0"},
		{"burst", burst, respond(good), ""},
		{"burst, wrong body", burst, allBut(4, respond(good)), "conn "},
		{"broadcast refused", workload.Workload{Load: workload.LoadBroadcast, Conns: 2, Size: 100}, func(net.Conn) {}, "conn "},
		{"no such load", workload.Workload{Load: "bogus", Conns: 1}, respond(good), "unknown kind"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := spec(tt.w, serveConns(t, tt.serve))
			if tt.want != "" && tt.name != "silent" {
				s.Length = time.Minute // what is wrong ends it
			}
			_, err := Run(s)
			switch {
			case err == nil && tt.want == "":
			case err == nil || tt.want == "", !strings.Contains(err.Error(), tt.want):
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestServerGone(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	for _, kind := range []string{workload.LoadHTTP, workload.LoadHTTPS, workload.LoadH2} {
		if _, err := Run(spec(workload.Workload{Load: kind, Path: "/", Conns: 1, Depth: 1}, ln.Addr())); err == nil {
			t.Errorf("%s: no error", kind)
		}
	}
}

// The loop must not wait for its own collector.
func TestScriptsDoNotAllocate(t *testing.T) {
	h := newHTTP("/", workload.Hello, 2)
	response := []byte(good + good)
	e := &echo{msg: workload.Pattern(0, 64)}
	a := &answer{}
	d := newDownload("/bulk")
	d.feed([]byte("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n"))
	n := testing.AllocsPerRun(100, func() {
		h.next()
		e.next()
		if units, done, err := h.feed(response); units != 2 || !done || err != nil {
			t.Fatalf("http: %d, %t, %v", units, done, err)
		}
		if units, done, err := e.feed(e.msg); units != 1 || !done || err != nil {
			t.Fatalf("echo: %d, %t, %v", units, done, err)
		}
		if _, _, err := d.feed(workload.Pattern(d.got, 60000)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := a.feed(workload.Pattern(a.got, 60000)); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestUploadSendsTheWholeBody(t *testing.T) {
	u := newUpload("/upload")
	sent, units := int64(0), 0
	for p := u.next(); p != nil; p = u.more() {
		if sent > 0 && !workload.MatchesPattern(p, sent-int64(len(u.header))) {
			t.Fatalf("wrong bytes at %d", sent)
		}
		sent += int64(len(p))
		units += u.sent(len(p))
	}
	if sent != workload.BulkBytes+int64(len(u.header)) || units != workload.BulkBytes/workload.MiB {
		t.Errorf("%d bytes, %d MiB", sent, units)
	}
	if _, done, err := u.feed([]byte(good)); !done || err != nil {
		t.Errorf("%t, %v", done, err)
	}
}
