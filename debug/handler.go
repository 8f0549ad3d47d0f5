// Package debug shows what an engine of package quoit does: a page for people, and
// the same as JSON for programs, such as quoit top.
//
//	http.Handle("/debug/quoit", debug.Handler(nil))
//
// It is a package of its own because it needs net/http, which adds 1.8 MB to a
// program that has no use for it otherwise. Importing it registers nothing:
// what is mounted where, and who may see it, is decided by the program. Package
// debug/vars has the same numbers for expvar, whose import does register a handler.
//
// Who can see the page can see addresses of listeners, the names of the program and
// the host's kernel, and how much it has to do: no more than that, and nothing can be
// changed by it. Keep it where net/http/pprof is kept.
package debug

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/quoit-go/quoit"
)

// page is one document without outside resources. It has one script and one style
// element, whose hashes its policy names: so it works where inline scripts are not
// allowed otherwise, and needs no bytes of its own for each visitor.
//
//go:embed page.html
var page []byte

var (
	pageTag    = `"` + hash(string(page)) + `"`
	pagePolicy = "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" +
		"; script-src 'sha256-" + hash(element("script")) + "'; style-src 'sha256-" + hash(element("style")) + "'"
)

// element returns what is between the tags of the page's only element of that name.
func element(name string) string {
	_, rest, _ := strings.Cut(string(page), "<"+name+">")
	inside, _, _ := strings.Cut(rest, "</"+name+">")
	return inside
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Handler serves a page with live charts of e to clients that accept text/html, and a
// [Snapshot] as JSON to all others. With nil it is
// [quoit.Default], which the first request starts. Other methods than GET and HEAD
// are refused.
//
// A request costs a few system calls for each listener and ring, and as much time as
// encoding 5 KB takes. The first one also asks [quoit.Probe].
func Handler(e *quoit.Engine) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		h.Add("Vary", "Accept")
		if acceptsHTML(r.Header.Values("Accept")) {
			servePage(w, r)
			return
		}
		serveJSON(w, r, e)
	})
}

func servePage(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache") // but If-None-Match is answered
	h.Set("ETag", pageTag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(page))
}

func serveJSON(w http.ResponseWriter, r *http.Request, e *quoit.Engine) {
	if e == nil {
		e = quoit.Default()
	}
	body, err := json.MarshalIndent(take(e), "", "  ")
	if err != nil {
		http.Error(w, fmt.Sprintf("encoding: %v", err), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	if r.Method != http.MethodHead {
		w.Write(append(body, '\n'))
	}
}

// acceptsHTML reports whether one of the Accept header's media types is text/html, and
// none that is JSON is liked better.
func acceptsHTML(accept []string) bool {
	var html, js float64
	for _, entry := range strings.Split(strings.Join(accept, ","), ",") {
		typ, params, err := mime.ParseMediaType(entry)
		if err != nil {
			continue
		}
		q := 1.0
		if s, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(s, 64); err != nil {
				continue
			}
		}
		switch typ {
		case "text/html":
			html = max(html, q)
		case "application/json":
			js = max(js, q)
		}
	}
	return html > 0 && html >= js
}
