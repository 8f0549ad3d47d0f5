//go:build linux

package programs

import "time"

const etcdVersion = "v3.7.3"

var programs = []program{
	{
		name:    "grpc-go",
		modules: []module{{path: "google.golang.org/grpc", version: "v1.85.0"}},
		mains:   map[string]string{"server": "interop/server", "client": "interop/client"},
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
		name:    "grpc-go transport",
		modules: []module{{path: "google.golang.org/grpc", version: "v1.85.0"}},
		suites:  []suite{{pkgs: []string{"./internal/transport"}}},
		expect:  5 * time.Minute,
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
	{
		name: "etcd",
		modules: []module{
			{path: "go.etcd.io/etcd/server/v3", version: etcdVersion, dir: "server"},
			{path: "go.etcd.io/etcd/etcdctl/v3", version: etcdVersion, dir: "etcdctl"},
			{path: "go.etcd.io/etcd/etcdutl/v3", version: etcdVersion, dir: "etcdutl"},
			{path: "go.etcd.io/etcd/api/v3", version: etcdVersion, dir: "api"},
			{path: "go.etcd.io/etcd/pkg/v3", version: etcdVersion, dir: "pkg"},
			{path: "go.etcd.io/etcd/client/pkg/v3", version: etcdVersion, dir: "client/pkg"},
			{path: "go.etcd.io/etcd/client/v3", version: etcdVersion, dir: "client/v3"},
		},
		mains:  map[string]string{"etcd": ".", "etcdctl": "../etcdctl"},
		trials: []trial{etcdCluster},
		expect: 10 * time.Minute,
	},
	{
		name:    "etcd client/pkg",
		modules: []module{{path: "go.etcd.io/etcd/client/pkg/v3", version: etcdVersion}},
		suites:  []suite{{pkgs: []string{"./transport", "./tlsutil"}}},
		expect:  time.Minute,
	},
	{
		name:    "Caddy",
		modules: []module{{path: "github.com/caddyserver/caddy/v2", version: "v2.11.9"}},
		mains:   map[string]string{"caddy": "cmd/caddy"},
		trials:  []trial{caddyTrial},
		expect:  10 * time.Minute,
	},
	{
		name:    "CoreDNS",
		modules: []module{{path: "github.com/coredns/coredns", version: "v1.15.0"}},
		mains:   map[string]string{"coredns": "."},
		trials:  []trial{coreDNS},
		expect:  15 * time.Minute,
	},
	{
		name:    "Hertz",
		modules: []module{{path: "github.com/cloudwego/hertz", version: "v0.10.4"}},
		suites:  []suite{{pkgs: []string{"./pkg/network/...", "./pkg/protocol/http1/...", "./pkg/app/server/..."}}},
		expect:  3 * time.Minute,
	},
	{
		name:    "gin",
		modules: []module{{path: "github.com/gin-gonic/gin", version: "v1.12.0"}},
		suites:  []suite{{pkgs: []string{"."}, skip: "TestSaveUploadedCreateFailed"}}, // as root it makes / mode 0750
		expect:  2 * time.Minute,
	},
	{
		name:    "chi",
		modules: []module{{path: "github.com/go-chi/chi/v5", version: "v5.5.0"}},
		suites:  []suite{{pkgs: []string{"./..."}}},
		expect:  time.Minute,
	},
	{
		name:    "fasthttp",
		modules: []module{{path: "github.com/valyala/fasthttp", version: "v1.78.0"}},
		suites:  []suite{{pkgs: []string{"."}}},
		expect:  3 * time.Minute,
	},
	{
		name:    "nats-server",
		modules: []module{{path: "github.com/nats-io/nats-server/v2", version: "v2.15.3"}},
		suites:  []suite{{pkgs: []string{"./test"}, skip: "OCSP|ServiceLatency|Bench"}}, // OCSP's fail at random, plainly too
		expect:  15 * time.Minute,
	},
	{
		name:    "Prometheus",
		modules: []module{{path: "github.com/prometheus/prometheus", version: "v0.316.0"}},
		mains:   map[string]string{"prometheus": "cmd/prometheus"},
		suites:  []suite{{pkgs: []string{"./web"}}},
		trials:  []trial{prometheusTrial},
		expect:  20 * time.Minute,
	},
	{
		name:    "Hugo",
		modules: []module{{path: "github.com/gohugoio/hugo", version: "v0.165.0"}},
		mains:   map[string]string{"hugo": "."},
		trials:  []trial{hugoServer},
		expect:  10 * time.Minute,
	},
	{
		name:    "oauth2-proxy",
		modules: []module{{path: "github.com/oauth2-proxy/oauth2-proxy/v7", version: "v7.15.6"}},
		suites:  []suite{{pkgs: []string{"./pkg/proxyhttp", "./pkg/upstream"}}},
		expect:  10 * time.Minute,
	},
}
