package quoit_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/quoit-go/quoit"
)

// Steps of a conn's work, side by side with package net's. The client is
// always net's. Whole servers are compared by the module bench/.

var benchListens = []struct {
	name   string
	listen func(network, address string) (net.Listener, error)
}{{"net", net.Listen}, {"quoit", quoit.Listen}}

// benchEach runs f for both servers with a conn that they accepted and the
// client's end of it.
func benchEach(b *testing.B, name string, f func(b *testing.B, server, client net.Conn)) {
	for _, s := range benchListens {
		b.Run("server="+s.name+name, func(b *testing.B) {
			ln, err := s.listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer ln.Close()
			client, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			defer client.Close()
			server, err := ln.Accept()
			if err != nil {
				b.Fatal(err)
			}
			defer server.Close()
			b.ReportAllocs()
			f(b, server, client)
		})
	}
}

// Park and wake: the server's Read waits for each message.
func BenchmarkRoundTrip(b *testing.B) {
	for _, size := range []int{64, 64 << 10} {
		benchEach(b, fmt.Sprintf("/size=%d", size), func(b *testing.B, server, client net.Conn) {
			go func() {
				buf := make([]byte, size)
				for {
					n, err := server.Read(buf)
					if err != nil {
						return
					}
					if _, err := server.Write(buf[:n]); err != nil {
						return
					}
				}
			}()
			b.SetBytes(int64(2 * size))
			out, in := make([]byte, size), make([]byte, size)
			for b.Loop() {
				if _, err := client.Write(out); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(client, in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A server with an idle timeout: it moves its deadline before each Read, which waits.
func BenchmarkRoundTripDeadline(b *testing.B) {
	for _, conns := range []int{1, 64} {
		for _, s := range benchListens {
			b.Run(fmt.Sprintf("server=%s/conns=%d", s.name, conns), func(b *testing.B) {
				ln, err := s.listen("tcp", "127.0.0.1:0")
				if err != nil {
					b.Fatal(err)
				}
				defer ln.Close()
				var clients []net.Conn
				for range conns {
					client, err := net.Dial("tcp", ln.Addr().String())
					if err != nil {
						b.Fatal(err)
					}
					defer client.Close()
					clients = append(clients, client)
					server, err := ln.Accept()
					if err != nil {
						b.Fatal(err)
					}
					go echoWithin(server, time.Minute)
				}
				msg := make([]byte, 64)
				b.ReportAllocs()
				for b.Loop() {
					for _, c := range clients {
						if _, err := c.Write(msg); err != nil {
							b.Fatal(err)
						}
					}
					for _, c := range clients {
						if _, err := io.ReadFull(c, msg); err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		}
	}
}

// echoWithin answers until the conn has been idle for d.
func echoWithin(c net.Conn, d time.Duration) {
	defer c.Close()
	for buf := make([]byte, 64); c.SetReadDeadline(time.Now().Add(d)) == nil; {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

// Mostly data is there before it is asked for.
func BenchmarkReadQueued(b *testing.B) {
	benchEach(b, "", func(b *testing.B, server, client net.Conn) {
		go func() {
			for out := make([]byte, 64<<10); ; {
				if _, err := client.Write(out); err != nil {
					return
				}
			}
		}()
		in := make([]byte, 64)
		b.SetBytes(int64(len(in)))
		for b.Loop() {
			if _, err := io.ReadFull(server, in); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{64, 4 << 10, 64 << 10} {
		benchEach(b, fmt.Sprintf("/size=%d", size), func(b *testing.B, server, client net.Conn) {
			go io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{client}, make([]byte, 256<<10))
			out := make([]byte, size)
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := server.Write(out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// An answer of three buffers, 20 KB together, to a small request: ReadFrom makes one
// system call of them, WriteTo on quoit one for each.
func BenchmarkBuffers(b *testing.B) {
	for _, way := range []struct {
		name  string
		write func(c net.Conn, v *net.Buffers) (int64, error)
	}{
		{"WriteTo", func(c net.Conn, v *net.Buffers) (int64, error) { return v.WriteTo(c) }},
		{"ReadFrom", func(c net.Conn, v *net.Buffers) (int64, error) { return c.(io.ReaderFrom).ReadFrom(v) }},
	} {
		benchEach(b, "/way="+way.name, func(b *testing.B, server, client net.Conn) {
			head, body, tail := make([]byte, 300), make([]byte, 20_000), make([]byte, 180)
			go func() {
				for buf, parts := make([]byte, 64), make(net.Buffers, 3); ; {
					if _, err := io.ReadFull(server, buf); err != nil {
						return
					}
					parts[0], parts[1], parts[2] = head, body, tail
					v := parts
					if _, err := way.write(server, &v); err != nil {
						return
					}
				}
			}()
			out, in := make([]byte, 64), make([]byte, len(head)+len(body)+len(tail))
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				if _, err := client.Write(out); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(client, in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A far deadline, moved again and again, as net/http does.
func BenchmarkSetReadDeadline(b *testing.B) {
	benchEach(b, "", func(b *testing.B, server, _ net.Conn) {
		far := time.Now().Add(time.Hour)
		for b.Loop() {
			if err := server.SetReadDeadline(far); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// A deadline in the past wakes a parked Read: net/http ends its background
// read so, once a request.
func BenchmarkDeadlineWakesRead(b *testing.B) {
	benchEach(b, "", func(b *testing.B, server, _ net.Conn) {
		past := time.Unix(1, 0)
		begin, ended := make(chan struct{}), make(chan error)
		defer close(begin)
		go func() {
			buf := make([]byte, 1)
			for range begin {
				_, err := server.Read(buf)
				ended <- err
			}
		}()
		for b.Loop() {
			if err := server.SetReadDeadline(time.Time{}); err != nil {
				b.Fatal(err)
			}
			begin <- struct{}{}
			if err := server.SetReadDeadline(past); err != nil {
				b.Fatal(err)
			}
			if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
				b.Fatal(err)
			}
		}
	})
}

// Connect, accept and close, both ends.
func BenchmarkAccept(b *testing.B) {
	for _, s := range benchListens {
		b.Run("server="+s.name, func(b *testing.B) {
			ln, err := s.listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer ln.Close()
			b.ReportAllocs()
			for b.Loop() {
				client, err := net.Dial("tcp", ln.Addr().String())
				if err != nil {
					b.Fatal(err)
				}
				server, err := ln.Accept()
				if err != nil {
					b.Fatal(err)
				}
				// A reset leaves no TIME_WAIT behind to run out of ports.
				if err := client.(*net.TCPConn).SetLinger(0); err != nil {
					b.Fatal(err)
				}
				client.Close()
				server.Close()
			}
		})
	}
}
