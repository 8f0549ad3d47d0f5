// Package workload is the table of what is measured, and the data that server
// and generator agree on.
package workload

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
)

// Server kinds.
const (
	ServeHTTP      = "http"
	ServeHTTPS     = "https"
	ServeH2        = "h2" // without TLS
	ServeEcho      = "echo"
	ServeBroadcast = "broadcast"
	ServeGRPC      = "grpc"
)

// Load kinds.
const (
	LoadHTTP       = "http"
	LoadClose      = "close"
	LoadMix        = "mix"
	LoadSkew       = "skew"
	LoadSkewClose  = "skew-close"
	LoadEcho       = "echo"
	LoadDownload   = "download"
	LoadUpload     = "upload"
	LoadBroadcast  = "broadcast"
	LoadHTTPS      = "https"
	LoadH2         = "h2"
	LoadGRPCUnary  = "grpc-unary"
	LoadGRPCStream = "grpc-stream"
)

// Workload is one row of the results, for one number of conns.
type Workload struct {
	Family string `json:"family"`
	About  string `json:"about"`
	Server string `json:"server"`
	Load   string `json:"load"`
	Path   string `json:"path,omitempty"`
	Conns  int    `json:"conns"` // that carry load
	Depth  int    `json:"depth"` // requests or streams in flight on each conn
	Size   int    `json:"size"`  // of an echo's message, in bytes
	Idle   int    `json:"idle"`  // further conns that stay idle

	Timeouts bool `json:"timeouts"` // the server's read, write and idle timeouts are set
}

// Name is unique in a run.
func (w Workload) Name() string { return fmt.Sprintf("%s/%d", w.Family, w.Conns) }

// Unit is what is counted as a request.
func (w Workload) Unit() string {
	switch w.Load {
	case LoadDownload, LoadUpload:
		return "MiB"
	case LoadEcho, LoadBroadcast, LoadGRPCStream:
		return "message"
	}
	return "request"
}

// Files is the number of descriptors that the larger of server and generator
// needs.
func (w Workload) Files() int { return w.Conns + w.Idle + 64 }

type family struct {
	Workload
	conns    []int
	quick    []int // of these, in the quick run
	inFlight int   // what the conns share, in place of a Depth
}

var (
	manyConns = []int{1, 8, 16, 32, 64, 256, 1024}
	skewConns = []int{256, 1024}
)

var families = []family{
	{Workload{Family: "http", About: "HTTP/1.1 keep-alive, 13-byte response", Server: ServeHTTP, Load: LoadHTTP, Path: "/"},
		manyConns, []int{1, 8, 64, 256}, 0},
	{Workload{Family: "http-timeouts", About: "the same, server timeouts set", Server: ServeHTTP, Load: LoadHTTP, Path: "/", Timeouts: true},
		manyConns, nil, 0},
	{Workload{Family: "close", About: "a conn for each request (Connection: close)", Server: ServeHTTP, Load: LoadClose, Path: "/"},
		[]int{64}, []int{64}, 0},
	{Workload{Family: "pipelined", About: "16 pipelined requests a conn", Server: ServeHTTP, Load: LoadHTTP, Path: "/", Depth: 16},
		[]int{8, 64}, nil, 0},
	{Workload{Family: "echo-64B", About: "64 bytes back and forth, no protocol", Server: ServeEcho, Load: LoadEcho, Size: 64},
		manyConns, []int{1, 64}, 0},
	{Workload{Family: "echo-1KB", About: "1 KB back and forth, no protocol", Server: ServeEcho, Load: LoadEcho, Size: 1 << 10},
		manyConns, nil, 0},
	{Workload{Family: "download", About: "1 GB response from memory", Server: ServeHTTP, Load: LoadDownload, Path: "/bulk"},
		[]int{1}, []int{1}, 0},
	{Workload{Family: "download-file", About: "1 GB response from a file (sendfile)", Server: ServeHTTP, Load: LoadDownload, Path: PathFile},
		[]int{1}, nil, 0},
	{Workload{Family: "upload", About: "1 GB request body", Server: ServeHTTP, Load: LoadUpload, Path: "/upload"},
		[]int{1}, []int{1}, 0},
	{Workload{Family: "https", About: "HTTPS keep-alive, 13-byte response", Server: ServeHTTPS, Load: LoadHTTPS, Path: "/"},
		[]int{64}, []int{64}, 0},
	{Workload{Family: "h2", About: "HTTP/2, 32 streams a conn", Server: ServeH2, Load: LoadH2, Path: "/", Depth: 32},
		[]int{8}, nil, 0},
	{Workload{Family: "grpc-serial", About: "gRPC calls one after the other", Server: ServeGRPC, Load: LoadGRPCUnary, Size: 64},
		[]int{1}, nil, 0},
	{Workload{Family: "grpc-unary", About: "gRPC calls, 64 in flight that the conns share", Server: ServeGRPC, Load: LoadGRPCUnary, Size: 64},
		[]int{8, 64}, []int{64}, 64},
	{Workload{Family: "grpc-stream", About: "gRPC streams, 8 a conn, message by message", Server: ServeGRPC, Load: LoadGRPCStream, Depth: 8, Size: 64},
		[]int{8}, nil, 0},
	{Workload{Family: "idle", About: "64 active conns beside 10,000 idle ones", Server: ServeHTTP, Load: LoadHTTP, Path: "/", Idle: 10000},
		[]int{64}, nil, 0},
	{Workload{Family: "broadcast", About: "100 bytes to each of 5,000 conns", Server: ServeBroadcast, Load: LoadBroadcast, Size: 100},
		[]int{5000}, nil, 0},
	{Workload{Family: "mix", About: "one conn in 16 asks a handler that computes for a millisecond", Server: ServeHTTP, Load: LoadMix, Path: "/"},
		[]int{64}, nil, 0},
	{Workload{Family: "skew", About: "one conn in 64 asks 100 times as often as each other; latencies are the others'", Server: ServeHTTP, Load: LoadSkew, Path: "/"},
		skewConns, nil, 0},
	{Workload{Family: "skew-close", About: "the same, and the others have a conn for each request", Server: ServeHTTP, Load: LoadSkewClose, Path: "/"},
		skewConns, nil, 0},
}

// All returns the table; conns, if not empty, replaces the numbers of conns
// of families that have several.
func All(conns []int) []Workload {
	return expand(func(f family) []int {
		if len(conns) > 0 && len(f.conns) > 1 {
			return conns
		}
		return f.conns
	})
}

// Quick returns the representative part of the table.
func Quick() []Workload { return expand(func(f family) []int { return f.quick }) }

func expand(counts func(family) []int) []Workload {
	var out []Workload
	for _, f := range families {
		for _, n := range counts(f) {
			w := f.Workload
			w.Conns, w.Depth = n, max(f.Depth, f.inFlight/n, 1)
			out = append(out, w)
		}
	}
	return out
}

const (
	// Hello is the small response.
	Hello = "Hello, World!"
	// BulkBytes is the length of a bulk body.
	BulkBytes = 1 << 30
	// MiB is the unit of bulk transfers.
	MiB = 1 << 20
	// MixEvery is the number of conns of which one asks for PathCPU.
	MixEvery = 16
	// SkewEvery is the number of conns of which one is busy in a skewed load,
	// and SkewTimes how much busier than the others it is.
	SkewEvery = 64
	SkewTimes = 100
	// PathCPU computes for about a millisecond.
	PathCPU = "/cpu"
	// PathFile is a bulk body out of a file.
	PathFile = "/file"
)

// patternBytes is a prime, so that no power of two repeats the pattern and a
// misplaced block shows.
const patternBytes = 65521

// pattern holds the pattern twice: any window of up to patternBytes is one slice.
var pattern = func() []byte {
	p := make([]byte, patternBytes)
	x := uint32(1)
	for i := range p {
		x = x*1664525 + 1013904223
		p[i] = byte(x >> 24)
	}
	return append(p, p...)
}()

// Pattern returns up to n bytes of the bulk body from offset off on: at least
// one, at most patternBytes. The caller must not change them.
func Pattern(off int64, n int) []byte {
	at := int(off % patternBytes)
	return pattern[at : at+min(n, patternBytes)]
}

// MatchesPattern reports whether p is the bulk body from offset off on.
func MatchesPattern(p []byte, off int64) bool {
	for len(p) > 0 {
		want := Pattern(off, len(p))
		if !bytes.Equal(p[:len(want)], want) {
			return false
		}
		p, off = p[len(want):], off+int64(len(want))
	}
	return true
}

// Broadcast fills msg with the message of that number.
func Broadcast(msg []byte, seq uint64) {
	copy(msg, Pattern(int64(seq%patternBytes), len(msg)))
	binary.BigEndian.PutUint64(msg, seq)
}

// cpuRounds makes Compute take a millisecond or so.
const cpuRounds = 5

// Compute is the handler that keeps a processor busy.
func Compute() string {
	var sum [sha256.Size]byte
	for range cpuRounds {
		h := sha256.New()
		h.Write(sum[:])
		h.Write(pattern[:patternBytes])
		h.Sum(sum[:0])
	}
	return hex.EncodeToString(sum[:])
}

// Select returns those of all for which match holds.
func Select(all []Workload, match func(name string) bool) []Workload {
	return slices.DeleteFunc(slices.Clone(all), func(w Workload) bool { return !match(w.Name()) })
}
