//go:build linux

package programs

import (
	"fmt"

	"github.com/quoit-go/quoit/internal/testenv"
)

// grpcCases are test cases of grpc-go's interop client.
var grpcCases = []string{
	"empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream",
	"timeout_on_sleeping_server", "cancel_after_begin", "cancel_after_first_response",
	"status_code_and_message", "special_status_message", "custom_metadata", "unimplemented_method",
	"unimplemented_service", "rpc_soak", "channel_soak",
}

// grpcInterop has the plain client ask the build's server, and then the build's own.
var grpcInterop = trial{
	name: fmt.Sprintf("interop server and client, %d cases, with TLS, too", len(grpcCases)),
	run: func(r *running) {
		for _, tls := range []string{"false", "true"} {
			addr := testenv.Free(r, "127.0.0.1")
			r.start("server", "-port", port(addr), "-use_tls="+tls).listens(addr)
			for _, c := range grpcCases {
				args := []string{"-server_host", "127.0.0.1", "-server_port", port(addr), "-test_case", c, "-use_tls=" + tls}
				if tls == "true" {
					args = append(args, "-use_test_ca", "-server_host_override", "foo.test.google.fr")
				}
				r.client("client", args...)
				r.answer("%s, TLS %s: done", c, tls)
				_, err := command{dir: r.dir, env: r.env, bound: 2 * testenv.Bound}.run(r.bin["client"], args...)
				r.must(err)
				r.answer("%s, TLS %s, own client: done", c, tls)
			}
		}
	},
}
