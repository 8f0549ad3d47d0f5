// Package workload is the table of what is measured, and the data that server
// and generator agree on.
package workload

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"
)

// Server kinds.
const (
	ServeHTTP      = "http"
	ServeHTTPS     = "https"
	ServeH2        = "h2" // without TLS
	ServeEcho      = "echo"
	ServeBroadcast = "broadcast"
	ServeGRPC      = "grpc"
	ServeProxy     = "proxy"   // of TCP, in front of a backend
	ServeAnswer    = "answer"  // AnswerBytes for each AskBytes
	ServeTunnel    = "tunnel"  // a proxy of HTTP, in front of a backend
	ServeUpgrade   = "upgrade" // echo, after an upgrade from HTTP
	ServeFlush     = "flush"   // answers in pieces, and computes between them
)

// Load kinds.
const (
	LoadHTTP       = "http"
	LoadClose      = "close"
	LoadMix        = "mix"
	LoadSkew       = "skew"
	LoadSkewClose  = "skew-close"
	LoadBurst      = "burst"       // latencies are those of first answers
	LoadBurstLater = "burst-later" // latencies are each conn's longest of later answers
	LoadEcho       = "echo"
	LoadTunnel     = "tunnel" // echo, after an upgrade from HTTP
	LoadDownload   = "download"
	LoadFlush      = "flush" // latencies are those from Write to arrival
	LoadUpload     = "upload"
	LoadAnswer     = "answer"
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
	Conns  int    `json:"conns"`          // that carry load
	Depth  int    `json:"depth"`          // requests or streams in flight on each conn
	Size   int    `json:"size"`           // of an echo's message, in bytes
	Idle   int    `json:"idle"`           // further conns that stay idle
	Busy   int    `json:"busy,omitempty"` // further conns, which ask all the time

	// Computing says for LoadFlush that one request in so many has the handler
	// compute after its first Writes.
	Computing int `json:"computing,omitempty"`

	Timeouts bool `json:"timeouts"` // the server's read, write and idle timeouts are set

	// Backend is the kind of a second server, to which the measured one
	// connects. It is on package net whatever is compared, and not measured.
	Backend string `json:"backend,omitempty"`
}

// Name is unique in a run.
func (w Workload) Name() string { return fmt.Sprintf("%s/%d", w.Family, w.Conns) }

// Unit is what is counted as a request.
func (w Workload) Unit() string {
	switch w.Load {
	case LoadDownload, LoadUpload, LoadAnswer:
		return "MiB"
	case LoadEcho, LoadTunnel, LoadBroadcast, LoadGRPCStream, LoadFlush:
		return "message"
	}
	return "request"
}

// Files is the number of descriptors that the larger of server and generator
// needs.
func (w Workload) Files() int {
	each := 1
	if w.Backend != "" {
		each = proxiedFiles
	}
	return each*w.Conns + w.Busy + w.Idle + 64
}

// Foreign reports whether a server that is not ours can be asked for it: one
// that answers with Hello at "/", an echo server or a proxy of TCP.
func (w Workload) Foreign() bool {
	switch w.Server {
	case ServeHTTP:
		return w.Path == "/" && !w.Timeouts && w.Load != LoadMix
	case ServeEcho, ServeProxy:
		return true
	}
	return false
}

// proxiedFiles are two conns and, for splice in each direction, a pipe's ends.
const proxiedFiles = 6

const (
	// Hello is the small response.
	Hello = "Hello, World!"
	// BulkBytes is the length of a bulk body.
	BulkBytes = 1 << 30
	// AskBytes is the length of a request for AnswerBytes of bulk, without a
	// protocol.
	AskBytes    = 64
	AnswerBytes = 20 * MiB
	// MiB is the unit of bulk transfers.
	MiB = 1 << 20
	// MixEvery is the number of conns of which one asks for PathCPU.
	MixEvery = 16
	// SkewEvery is the number of conns of which one is busy in a skewed load,
	// and SkewTimes how much busier than the others it is.
	SkewEvery = 64
	SkewTimes = 100
	// UpgradeTo is the protocol that is echo after an upgrade from HTTP.
	UpgradeTo = "echo"
	// BurstEvery is the time from one burst to the next, if it is over by then,
	// and BurstLater the number of answers that each of its conns gets after
	// the first.
	BurstEvery = 100 * time.Millisecond
	BurstLater = 8
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
