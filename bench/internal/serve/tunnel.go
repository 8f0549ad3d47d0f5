package serve

import (
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"

	"github.com/quoit-go/quoit/bench/internal/workload"
)

// tunnel is a proxy of HTTP, which copies both ways once the backend has
// agreed to another protocol.
func (s Spec) tunnel(st stack) server {
	backend := &url.URL{Scheme: "http", Host: s.Backend}
	p := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(backend) },
		Transport: &http.Transport{DialContext: st.dial},
	}
	return (&http.Server{Handler: p}).Serve
}

// upgrade is the backend of a tunnel.
func upgrade(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != workload.UpgradeTo {
		http.Error(w, "want an upgrade to "+workload.UpgradeTo, http.StatusUpgradeRequired)
		return
	}
	c, _, err := http.NewResponseController(w).Hijack() // nothing was sent ahead: clients wait for the answer
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, err = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+workload.UpgradeTo+"\r\n\r\n")
	if err != nil {
		c.Close()
		return
	}
	echo(c)
}
