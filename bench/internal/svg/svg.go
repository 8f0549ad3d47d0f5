// Package svg writes the elements of SVG pictures.
package svg

import (
	"fmt"
	"html"
	"strings"
)

// Drawing collects the elements of one picture. Lengths are in pixels, classes
// those of the page's style sheet.
type Drawing struct{ strings.Builder }

// Add adds one element, written out.
func (d *Drawing) Add(format string, args ...any) { fmt.Fprintf(d, format+"\n", args...) }

// Text's anchor is start, middle or end.
func (d *Drawing) Text(x, y float64, class, anchor, s string) {
	d.Add(`<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>`, x, y, class, anchor, html.EscapeString(s))
}

func (d *Drawing) Line(x1, y1, x2, y2 float64, class string) {
	d.Add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>`, x1, y1, x2, y2, class)
}

func (d *Drawing) Circle(x, y, r float64, class string) {
	d.Add(`<circle cx="%.1f" cy="%.1f" r="%.1f" class="%s"/>`, x, y, r, class)
}

// Rect's corners are rounded by radius.
func (d *Drawing) Rect(x, y, width, height, radius float64, class string) {
	d.Add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="%.1f" class="%s"/>`, x, y, width, height, radius, class)
}

// Inline is the picture as part of a page of HTML, as large as there is room.
func (d *Drawing) Inline(width, height float64, label string) string {
	return fmt.Sprintf(`<svg viewBox="0 0 %.0f %.0f" role="img" aria-label="%s">%s</svg>`,
		width, height, html.EscapeString(label), d.String())
}
