// Command types uses package net in the ways that programs do, and prints what
// it sees. It knows nothing of quoit, but for what serves: with WANT=quoit or
// WANT=net in the environment it fails if a conn is the other's.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// trace prints a step and what came of it, without what differs between runs.
func trace(step string, results ...any) {
	var out []string
	for _, r := range results {
		switch r := r.(type) {
		case error:
			out = append(out, describe(r))
		case []byte:
			out = append(out, fmt.Sprintf("%q", r))
		default:
			out = append(out, fmt.Sprint(r))
		}
	}
	fmt.Println(step+":", clean(strings.Join(out, " | ")))
}

var (
	ports = regexp.MustCompile(`(127\.0\.0\.1|\[::1?\]):[0-9]+`)
	files = regexp.MustCompile(`/[^ ]*types[0-9]+/`)
)

func clean(s string) string {
	return files.ReplaceAllString(ports.ReplaceAllString(s, "$1:PORT"), "/TMP/")
}

// describe is an error's text and the types that it wraps.
func describe(err error) string {
	var types []string
	for e := err; e != nil; e = errors.Unwrap(e) {
		types = append(types, fmt.Sprintf("%T", e))
	}
	is := ""
	for name, target := range map[string]error{"EOF": io.EOF, "ErrClosed": net.ErrClosed, "Deadline": os.ErrDeadlineExceeded} {
		if errors.Is(err, target) {
			is += " is " + name
		}
	}
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		is += " timeout"
	}
	return fmt.Sprintf("%v (%s%s)", err, strings.Join(types, ","), is)
}

func check(err error) {
	if err != nil {
		_, file, line, _ := runtime.Caller(1)
		fmt.Printf("%s:%d: %s\n", file, line, describe(err))
		os.Exit(1)
	}
}

// served says by whom v, a conn or listener of package net, is served.
func served(v any) string {
	s := reflect.ValueOf(v).Elem()
	if c := s.FieldByName("conn"); c.IsValid() {
		s = c
	}
	f := s.FieldByName("quoit")
	if !f.IsValid() {
		f = s.FieldByName("fd").Elem().FieldByName("quoit")
	}
	if f.IsValid() && !f.IsNil() {
		return "quoit"
	}
	return "net"
}

// want fails unless v is served as the environment has it.
func want(v any) {
	if w := os.Getenv("WANT"); w != "" && served(v) != w {
		_, file, line, _ := runtime.Caller(1)
		fmt.Printf("%s:%d: a %T is served by %s, not %s\n", file, line, v, served(v), w)
		os.Exit(1)
	}
}

// pair returns both ends of a connection.
func pair(network, addr string) (client, server net.Conn) {
	ln, err := net.Listen(network, addr)
	check(err)
	defer ln.Close()
	want(ln)
	client, err = net.Dial(network, ln.Addr().String())
	check(err)
	server, err = ln.Accept()
	check(err)
	want(client)
	want(server)
	for _, c := range []net.Conn{client, server} {
		check(c.SetDeadline(time.Now().Add(20 * time.Second)))
	}
	return client, server
}

func tcpPair() (client, server *net.TCPConn) {
	c, s := pair("tcp", "127.0.0.1:0")
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

func main() {
	dir, err := os.MkdirTemp("", "types")
	check(err)
	defer os.RemoveAll(dir)
	language()
	listeners(dir)
	conns()
	options()
	raw()
	ends()
	errorTexts(dir)
	zero()
	copies(dir)
	buffers(dir)
	unixConns(dir)
	descriptors(dir)
	dials(dir)
	others(dir)
	layers()
}

// language is what a go line of 1.20 means.
func language() {
	var fs []func() int
	for i := 0; i < 3; i++ {
		fs = append(fs, func() int { return i })
	}
	trace("loop variable", fs[0]())
	func() {
		defer func() { trace("panic of nil", recover() == nil) }()
		panic(nil)
	}()
}
