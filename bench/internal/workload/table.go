package workload

import "slices"

type family struct {
	Workload
	conns    []int
	quick    []int // of these, in the quick run
	inFlight int   // what the conns share, in place of a Depth
}

var (
	manyConns  = []int{1, 8, 16, 32, 64, 256, 1024}
	skewConns  = []int{256, 1024}
	flushConns = []int{1, 64}
	proxyConns = []int{1, 8, 64, 512}
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
	{Workload{Family: "burst", About: "256 conns opened at once, ten times a second, beside 64 active ones; latencies are their first answers'", Server: ServeHTTP, Load: LoadBurst, Path: "/", Busy: 64},
		[]int{256}, nil, 0},
	{Workload{Family: "burst-later", About: "the same; latencies are the longest that each of the 256 has after the first", Server: ServeHTTP, Load: LoadBurstLater, Path: "/", Busy: 64},
		[]int{256}, nil, 0},
	{Workload{Family: "flush-compute", About: "handlers write twice, compute 1 to 50 ms and write once more, beside 4 others; latencies are from Write to arrival", Server: ServeFlush, Load: LoadFlush, Computing: 1, Busy: 4},
		flushConns, nil, 0},
	{Workload{Family: "flush-mixed", About: "the same, where they compute after one request in 8", Server: ServeFlush, Load: LoadFlush, Computing: 8, Busy: 4},
		flushConns, nil, 0},
	{Workload{Family: "proxy-64B", About: "64 bytes back and forth through a TCP proxy", Server: ServeProxy, Load: LoadEcho, Size: 64, Backend: ServeEcho},
		proxyConns, nil, 0},
	{Workload{Family: "proxy-4KB", About: "4 KB back and forth through a TCP proxy", Server: ServeProxy, Load: LoadEcho, Size: 4 << 10, Backend: ServeEcho},
		proxyConns, nil, 0},
	{Workload{Family: "proxy-bulk", About: "20 MB answers to 64-byte requests through a TCP proxy", Server: ServeProxy, Load: LoadAnswer, Backend: ServeAnswer},
		[]int{1, 8}, nil, 0},
	{Workload{Family: "tunnel", About: "64 bytes back and forth through httputil.ReverseProxy, after an upgrade as WebSocket's", Server: ServeTunnel, Load: LoadTunnel, Path: "/", Size: 64, Backend: ServeUpgrade},
		[]int{64}, nil, 0},
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

// Select returns those of all for which match holds.
func Select(all []Workload, match func(name string) bool) []Workload {
	return slices.DeleteFunc(slices.Clone(all), func(w Workload) bool { return !match(w.Name()) })
}
