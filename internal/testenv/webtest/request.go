package webtest

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/quoit-go/quoit/internal/testenv"
)

// Hello answers with a line.
func Hello(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello, world\n") }

// Echo answers with the body as it comes in.
func Echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := http.NewResponseController(w).EnableFullDuplex(); err != nil && r.ProtoMajor == 1 {
		panic(err)
	}
	if _, err := io.Copy(w, r.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// Sum answers with length and checksum of the body it got.
func Sum(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	n, err := io.Copy(h, r.Body)
	fmt.Fprintf(w, "%d %x %v %s", n, h.Sum(nil), err, r.Trailer.Get("Sum"))
}

// Trailer is a request body that calls At when its reader has ended: the time
// to set the trailer.
type Trailer struct {
	io.Reader
	At func()
}

func (r *Trailer) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if err == io.EOF {
		r.At()
	}
	return n, err
}

// Close does nothing.
func (*Trailer) Close() error { return nil }

// Ask sends one request and wants one whole response, then EOF.
func Ask(addr, req, want string) error {
	c, err := net.DialTimeout("tcp", addr, testenv.Bound)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(testenv.Bound)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, req); err != nil {
		return err
	}
	b, err := io.ReadAll(c)
	if err != nil {
		return fmt.Errorf("after %q: %w", b, err)
	}
	head, body, _ := bytes.Cut(b, []byte("\r\n\r\n"))
	if !bytes.Contains(head, []byte(" 200 OK")) || string(body) != want {
		return fmt.Errorf("got %q", b)
	}
	return nil
}

// RoundTrip sends one request and reads its response.
func RoundTrip(c io.Writer, br *bufio.Reader, req string) error {
	if _, err := io.WriteString(c, req); err != nil {
		return err
	}
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// Hijacker answers 101 and hands the conn to serve.
func Hijacker(t *testing.T, serve func(net.Conn, *bufio.ReadWriter) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(testenv.Bound)); err != nil {
			t.Error(err)
		}
		io.WriteString(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		if err := rw.Flush(); err != nil {
			t.Error(err)
		}
		if err := serve(c, rw); err != nil {
			t.Errorf("%s: %v", r.URL, err)
		}
	})
}

// Upgrade is a request for Hijacker, with a path to fill in.
const Upgrade = "GET /%s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"

// Switched reads Hijacker's answer.
func Switched(br *bufio.Reader) error {
	resp, err := http.ReadResponse(br, nil)
	if err == nil && resp.StatusCode != http.StatusSwitchingProtocols {
		err = errors.New(resp.Status)
	}
	return err
}
