//go:build linux

package programs

import (
	"fmt"

	"github.com/quoit-go/quoit/internal/testenv"
)

// hugoPages is how many pages the site has.
const hugoPages = 200

// hugoServer has Hugo's server build a site and serve it, and again when a page changes.
var hugoServer = trial{
	name: fmt.Sprintf("hugo server, %d pages, one changed while it serves; net/http's client", hugoPages),
	run: func(r *running) {
		addr := testenv.Free(r, "127.0.0.1")
		r.write("site/hugo.toml", "baseURL = 'http://"+addr+"/'\ntitle = 'A site'\ndisableKinds = ['RSS', 'sitemap', 'taxonomy', 'term']\n")
		r.write("site/layouts/_default/single.html", "<h1>{{ .Title }}</h1>{{ .Content }}")
		r.write("site/layouts/_default/list.html", "{{ range .Pages }}<li>{{ .Title }}</li>{{ end }}")
		page := func(i int, text string) {
			r.write(fmt.Sprintf("site/content/posts/p%d.md", i), fmt.Sprintf("---\ntitle: Page %d\nweight: %d\n---\n%s\n", i, i+1, text))
		}
		for i := range hugoPages {
			page(i, fmt.Sprintf("Text *%d*.", i))
		}
		s := r.start("hugo", "server", "--source", "site", "--bind", "127.0.0.1", "--port", port(addr),
			"--disableLiveReload", "--renderToMemory", "--cacheDir", r.dir+"/cache")
		s.listens(addr)
		client := r.httpClient(nil, false)
		for i := range hugoPages {
			r.ask(client, "GET", fmt.Sprintf("http://%s/posts/p%d/", addr, i), nil)
		}
		r.ask(client, "GET", "http://"+addr+"/posts/", nil)
		r.ask(client, "GET", "http://"+addr+"/nothing", nil)
		page(7, "Another text.")
		s.until("it serves what has changed", func() bool {
			text, err := get(client, "http://"+addr+"/posts/p7/")
			return err == nil && text == "<h1>Page 7</h1><p>Another text.</p>\n"
		})
		r.answer("it serves what has changed")
	},
}
