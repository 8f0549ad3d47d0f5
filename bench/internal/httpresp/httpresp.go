// Package httpresp checks a stream of HTTP/1.1 responses as it arrives, in
// pieces of any size, without allocating.
package httpresp

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// Body compares p with the body at offset off.
type Body func(p []byte, off int64) bool

// Exactly is a Body that must equal want.
func Exactly(want string) (Body, int64) {
	w := []byte(want)
	return func(p []byte, off int64) bool {
		return off+int64(len(p)) <= int64(len(w)) && bytes.Equal(p, w[off:off+int64(len(p))])
	}, int64(len(w))
}

// maxHeader bounds a response's header, in bytes.
const maxHeader = 4096

// Checker follows one conn's responses. All of them must have status 200, the
// same length and the same body.
type Checker struct {
	body   Body
	length int64
	closes bool

	header []byte // a header's beginning that came without its end
	left   int64  // of the body; -1: in the header
}

// New returns a Checker for responses of that body and length. closes says
// that each must announce the end of the conn, else none may.
func New(body Body, length int64, closes bool) *Checker {
	return &Checker{body: body, length: length, closes: closes, header: make([]byte, 0, maxHeader), left: -1}
}

// Reset forgets a response that has begun, for a new conn.
func (c *Checker) Reset() { c.header, c.left = c.header[:0], -1 }

// Between reports whether the stream is at the end of a response.
func (c *Checker) Between() bool { return c.left == -1 && len(c.header) == 0 }

var headerEnd = []byte("\r\n\r\n")

// Feed checks what has arrived: p follows the bytes of the last call. It
// returns how many responses p completes and how many body bytes it holds.
func (c *Checker) Feed(p []byte) (responses int, bodyBytes int64, err error) {
	for len(p) > 0 {
		if c.left == -1 {
			n, err := c.feedHeader(p)
			if err != nil {
				return responses, bodyBytes, err
			}
			p = p[n:]
		}
		if c.left == -1 {
			break // p ended within the header
		}
		n := min(c.left, int64(len(p)))
		if !c.body(p[:n], c.length-c.left) {
			return responses, bodyBytes, fmt.Errorf("wrong body at offset %d: %.60q", c.length-c.left, p[:n])
		}
		p, c.left, bodyBytes = p[n:], c.left-n, bodyBytes+n
		if c.left == 0 {
			c.left = -1
			responses++
		}
	}
	return responses, bodyBytes, nil
}

// feedHeader returns how many bytes of p belong to the header.
func (c *Checker) feedHeader(p []byte) (int, error) {
	if len(c.header) == 0 { // mostly it comes in one piece
		if i := bytes.Index(p, headerEnd); i >= 0 {
			return i + len(headerEnd), c.parse(p[:i+2])
		}
	}
	had := len(c.header)
	c.header = append(c.header, p[:min(len(p), maxHeader-had)]...)
	i := bytes.Index(c.header, headerEnd)
	if i < 0 {
		if len(c.header) == maxHeader {
			return 0, errors.New("the header is too long")
		}
		return len(p), nil
	}
	err := c.parse(c.header[:i+2])
	c.header = c.header[:0]
	return i + len(headerEnd) - had, err
}

// parse checks a header, whose every line ends in CRLF.
func (c *Checker) parse(h []byte) error {
	if !bytes.HasPrefix(h, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("unexpected status: %.60q", h)
	}
	length, closes := int64(-1), false
	_, rest, _ := bytes.Cut(h, []byte("\r\n"))
	for len(rest) > 0 {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			return fmt.Errorf("a header line without colon: %.60q", line)
		}
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			n, err := strconv.ParseInt(string(value), 10, 64)
			if err != nil || n < 0 || length >= 0 {
				return fmt.Errorf("bad Content-Length: %.60q", line)
			}
			length = n
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			return fmt.Errorf("unexpected %.60q", line)
		case bytes.EqualFold(name, []byte("Connection")):
			closes = bytes.EqualFold(value, []byte("close"))
		}
	}
	switch {
	case length != c.length:
		return fmt.Errorf("the Content-Length is %d, want %d", length, c.length)
	case closes != c.closes:
		return fmt.Errorf("announcing the close is %t, want %t", closes, c.closes)
	}
	c.left = length
	return nil
}
