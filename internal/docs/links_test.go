package docs

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	anchor  = regexp.MustCompile(`<a id="([^"]+)">`)
)

// Links to files of the repository, to places in them, and to the headings of the
// package's documentation lead somewhere.
func TestLinks(t *testing.T) {
	all := pages(t)
	n := 0
	for name, text := range all {
		text = regexp.MustCompile("`[^`\n]*`").ReplaceAllString(fence.ReplaceAllString(text, ""), "code")
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			n++
			u, err := url.Parse(m[1])
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if u.Host == "pkg.go.dev" && u.Fragment != "" {
				title, found := strings.CutPrefix(u.Fragment, "hdr-")
				title = "\n// # " + strings.ReplaceAll(title, "_", " ") + "\n"
				if found && !strings.Contains(read(t, "doc.go"), title) {
					t.Errorf("%s: doc.go has no heading for %s", name, m[1])
				}
			}
			if u.Scheme != "" {
				continue
			}
			file := name
			if u.Path != "" {
				file = path.Join(path.Dir(name), u.Path)
			}
			if _, err := os.Stat(filepath.FromSlash(file)); err != nil {
				t.Errorf("%s: link to %s: %v", name, m[1], err)
				continue
			}
			if page, ok := all[file]; ok && u.Fragment != "" && !places(page)[u.Fragment] {
				t.Errorf("%s: %s has no #%s", name, file, u.Fragment)
			}
		}
	}
	if n < 100 {
		t.Errorf("only %d links found", n)
	}
}

// places returns what a link can name in a page: its anchors, and its headings as
// GitHub writes them.
func places(page string) map[string]bool {
	page = fence.ReplaceAllString(page, "")
	out := map[string]bool{}
	for _, m := range anchor.FindAllStringSubmatch(page, -1) {
		out[m[1]] = true
	}
	for _, m := range heading.FindAllStringSubmatch(page, -1) {
		slug := regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		slug = strings.ReplaceAll(slug, " ", "-")
		name := slug
		for i := 1; out[name]; i++ {
			name = fmt.Sprintf("%s-%d", slug, i)
		}
		out[name] = true
	}
	return out
}
