//go:build linux

package programs

import "time"

var programs = []program{
	{
		name:    "grpc-go",
		modules: []module{{path: "google.golang.org/grpc", version: "v1.85.0"}},
		mains:   map[string]string{"server": "./interop/server", "client": "./interop/client"},
		trials:  []trial{grpcInterop, grpcStall},
		expect:  3 * time.Minute,
		quick:   true,
	},
	{
		name:    "echo",
		modules: []module{{path: "github.com/labstack/echo/v4", version: "v4.16.4"}},
		suites:  []suite{{pkgs: []string{"."}}},
		expect:  time.Minute,
		quick:   true,
	},
	{
		name:    "hashicorp/raft",
		modules: []module{{path: "github.com/hashicorp/raft", version: "v1.8.0"}},
		suites:  []suite{{pkgs: []string{"."}, run: "Transport"}},
		expect:  time.Minute,
		quick:   true,
	},
	{
		name:    "gorilla/websocket",
		modules: []module{{path: "github.com/gorilla/websocket", version: "v1.5.3"}},
		suites:  []suite{{pkgs: []string{"."}}},
		expect:  time.Minute,
		quick:   true,
	},
	{
		name:    "gliderlabs/ssh",
		modules: []module{{path: "github.com/gliderlabs/ssh", version: "v0.3.8"}},
		suites:  []suite{{pkgs: []string{"."}}},
		expect:  time.Minute,
	},
	{
		name:    "inetaf/tcpproxy",
		modules: []module{{path: "github.com/inetaf/tcpproxy", version: "v0.0.0-20260515195445-c159a6051109"}},
		suites:  []suite{{pkgs: []string{"."}}},
		expect:  time.Minute,
	},
}
