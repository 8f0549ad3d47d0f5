//go:build linux

package programs

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"github.com/quoit-go/quoit/internal/testenv"
)

// caddyTrial has Caddy serve files, by sendfile, and be a proxy for that over TLS.
var caddyTrial = trial{
	name: "file server and reverse proxy; net/http's client: HTTP/1.1, HTTP/2 over TLS, ranges, 20 MB, 64 at a time",
	run: func(r *running) {
		files, proxy := testenv.Free(r, "127.0.0.1"), testenv.Free(r, "127.0.0.1")
		sizes := []int{0, 1, 4 << 10, 1 << 20, 20 << 20}
		for i, n := range sizes {
			r.write(fmt.Sprintf("www/%d.bin", n), string(payload(byte(i), n)))
		}
		pool := r.newCert("cert.pem", "key.pem")
		config, err := json.Marshal(caddyConfig(r.dir, files, proxy))
		r.must(err)
		s := r.start("caddy", "run", "--config", r.write("caddy.json", string(config)))
		s.listens(files)
		s.listens(proxy)
		for _, c := range []struct {
			client *http.Client
			base   string
		}{
			{r.httpClient(pool, false), "http://" + files},
			{r.httpClient(pool, true), "https://" + proxy},
		} {
			for _, n := range sizes {
				r.ask(c.client, "GET", fmt.Sprintf("%s/%d.bin", c.base, n), nil)
				r.ask(c.client, "HEAD", fmt.Sprintf("%s/%d.bin", c.base, n), nil)
			}
			r.ask(c.client, "GET", c.base+"/1048576.bin", nil, "Range", "bytes=1000-500000")
			r.ask(c.client, "GET", c.base+"/1048576.bin", nil, "Range", "bytes=-5")
			r.ask(c.client, "GET", c.base+"/nothing", nil)
			r.ask(c.client, "POST", c.base+"/1.bin", payload(9, 3<<20))
			r.manyAtOnce(c.client, c.base+"/4096.bin")
		}
	},
}

// manyAtOnce asks 64 times for the same, all at the same time.
func (r *running) manyAtOnce(client *http.Client, url string) {
	r.Helper()
	var wg sync.WaitGroup
	many := make([]running, 64)
	for i := range many {
		many[i] = running{T: r.T}
		wg.Go(func() { many[i].ask(client, "GET", url, nil) })
	}
	wg.Wait()
	for i := range many {
		r.answers = append(r.answers, many[i].answers...)
	}
}

func caddyConfig(dir, files, proxy string) map[string]any {
	type m = map[string]any
	server := func(addr string, handler, more m) m {
		s := m{
			"listen": []string{addr}, "protocols": []string{"h1", "h2"}, "automatic_https": m{"disable": true},
			"routes": []m{{"handle": []m{handler}}},
		}
		for k, v := range more {
			s[k] = v
		}
		return s
	}
	return m{
		"admin": m{"disabled": true},
		"apps": m{
			"http": m{"servers": m{
				"files": server(files, m{"handler": "file_server", "root": dir + "/www"}, nil),
				"proxy": server(proxy, m{"handler": "reverse_proxy", "upstreams": []m{{"dial": files}}},
					m{"tls_connection_policies": []m{{}}}),
			}},
			"tls": m{"certificates": m{"load_files": []m{{"certificate": dir + "/cert.pem", "key": dir + "/key.pem"}}}},
		},
	}
}
