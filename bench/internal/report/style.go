package report

import (
	_ "embed"
	"strings"
)

// colours are those of GitHub's two themes. Better and worse are blue and
// orange: hardly anyone sees them alike.
var colours = []struct{ name, light, dark string }{
	{"--fg", "#1f2328", "#e6edf3"},
	{"--dim", "#59636e", "#9198a1"},
	{"--bg", "#ffffff", "#0d1117"},
	{"--line", "#d1d9e0", "#3d444d"},
	{"--stripe", "#f6f8fa", "#151b23"},
	{"--good", "#0969da", "#58a6ff"},
	{"--bad", "#bc4c00", "#f0883e"},
	{"--same", "#818b98", "#7d8590"},
	{"--base", "#818b98", "#9198a1"},
	{"--other", "#8250df", "#a371f7"},
}

// pictureRules are the rules of all pictures, with colours as variables.
//
//go:embed picture.css
var pictureRules string

const inDark = "@media (prefers-color-scheme: dark) {\n"

// variables declares the colours, for a page.
func variables() string {
	var light, dark strings.Builder
	for _, c := range colours {
		light.WriteString(c.name + ": " + c.light + "; ")
		dark.WriteString(c.name + ": " + c.dark + "; ")
	}
	return ":root { color-scheme: light dark; " + light.String() + "}\n" + inDark + ":root { " + dark.String() + "} }\n"
}

// literalRules are pictureRules for a picture that stands alone: not every
// program that shows one knows variables.
func literalRules() string {
	var light, dark []string
	for _, c := range colours {
		light = append(light, "var("+c.name+")", c.light)
		dark = append(dark, "var("+c.name+")", c.dark)
	}
	return strings.NewReplacer(light...).Replace(pictureRules) +
		inDark + strings.NewReplacer(dark...).Replace(pictureRules) + "}\n"
}
