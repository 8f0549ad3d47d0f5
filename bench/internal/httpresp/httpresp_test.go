package httpresp

import (
	"strings"
	"testing"
)

const (
	ok13   = "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 13\r\n\r\nHello, World!"
	closed = "HTTP/1.1 200 OK\r\nconnection: Close\r\nCONTENT-LENGTH:13\r\n\r\nHello, World!"
)

func checker(closes bool) *Checker {
	body, n := Exactly("Hello, World!")
	return New(body, n, closes)
}

func TestEverySplit(t *testing.T) {
	stream := strings.Repeat(ok13, 3)
	for piece := 1; piece <= len(stream); piece++ {
		c := checker(false)
		var responses int
		var bytes int64
		for p := stream; p != ""; {
			n := min(piece, len(p))
			r, b, err := c.Feed([]byte(p[:n]))
			if err != nil {
				t.Fatalf("pieces of %d: %v", piece, err)
			}
			responses, bytes, p = responses+r, bytes+b, p[n:]
		}
		if responses != 3 || bytes != 39 || !c.Between() {
			t.Fatalf("pieces of %d: %d responses, %d bytes", piece, responses, bytes)
		}
	}
}

func TestRefused(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"status", strings.Replace(ok13, "200 OK", "500 No", 1), "status"},
		{"version", strings.Replace(ok13, "1.1", "1.0", 1), "status"},
		{"length", strings.Replace(ok13, "13", "12", 1), "Content-Length is 12"},
		{"no length", strings.Replace(ok13, "Content-Length: 13", "A: b", 1), "Content-Length is -1"},
		{"two lengths", strings.Replace(ok13, "Date: x", "Content-Length: 13", 1), "bad Content-Length"},
		{"chunked", strings.Replace(ok13, "Date: x", "Transfer-Encoding: chunked", 1), "Transfer-Encoding"},
		{"close", closed, "the close is true"},
		{"no colon", strings.Replace(ok13, "Date: x", "Date", 1), "colon"},
		{"body", strings.Replace(ok13, "World", "world", 1), "wrong body at offset 0"},
		{"garbage after", ok13 + "xHTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n", "status"},
		{"endless", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 5000), "too long"},
	}
	for _, tt := range tests {
		for _, piece := range []int{1, 7, len(tt.in)} {
			c := checker(false)
			var err error
			for p := tt.in; p != "" && err == nil; {
				n := min(piece, len(p))
				_, _, err = c.Feed([]byte(p[:n]))
				p = p[n:]
			}
			// Byte by byte, only the place of a wrong body differs.
			if err == nil || !strings.Contains(err.Error(), strings.TrimSuffix(tt.want, " at offset 0")) {
				t.Errorf("%s, pieces of %d: error %v, want %q in it", tt.name, piece, err, tt.want)
			}
		}
	}
}

func TestCloseAndReset(t *testing.T) {
	c := checker(true)
	if n, _, err := c.Feed([]byte(closed)); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	for _, part := range []int{5, len(closed) - 2} {
		if _, _, err := c.Feed([]byte(closed[:part])); err != nil || c.Between() {
			t.Errorf("after %d bytes: between=%t, %v", part, c.Between(), err)
		}
		c.Reset()
		if n, _, err := c.Feed([]byte(closed)); n != 1 || err != nil {
			t.Errorf("after Reset: %d, %v", n, err)
		}
	}
}

func TestFeedDoesNotAllocate(t *testing.T) {
	c, p := checker(false), []byte(ok13+ok13)
	if n := testing.AllocsPerRun(100, func() { c.Feed(p) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzFeed(f *testing.F) {
	f.Add([]byte(ok13), uint8(3))
	f.Add([]byte(closed), uint8(100))
	f.Fuzz(func(t *testing.T, in []byte, at uint8) {
		whole, split := checker(false), checker(false)
		n1, b1, err1 := whole.Feed(in)
		k := min(int(at), len(in))
		n2, b2, err2 := split.Feed(in[:k])
		if err2 == nil {
			n, b, err := split.Feed(in[k:])
			n2, b2, err2 = n2+n, b2+b, err
		}
		if (err1 == nil) != (err2 == nil) {
			t.Fatalf("whole: %v, split at %d: %v", err1, k, err2)
		}
		if err1 == nil && (n1 != n2 || b1 != b2) {
			t.Fatalf("whole: %d, %d; split at %d: %d, %d", n1, b1, k, n2, b2)
		}
	})
}
