package gobuild

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/quoit-go/quoit/internal/overlay"
)

// makeOverlay adds package net and the targets' files to the overlay.
func (b *build) makeOverlay() error {
	files, err := overlay.Net(b.env.GOROOT, b.env.GOVERSION, b.env.GOARCH)
	if err != nil {
		return err
	}
	for name, text := range files {
		if err := b.overlayText(name, string(text)); err != nil {
			return err
		}
	}
	for i := range b.targets {
		t := &b.targets[i]
		if t.ImportPath == "command-line-arguments" { // made of files
			b.args = b.withFile(t)
		}
		if err := b.overlayText(t.path(), t.text); err != nil {
			return err
		}
	}
	return b.writeOverlay()
}

// userOverlay adds what the command line's own -overlay, or that of GOFLAGS,
// replaces.
func (b *build) userOverlay() error {
	if b.overlay == "" {
		b.overlay = b.env.flag("overlay")
	}
	if b.overlay == "" {
		return nil
	}
	text, err := os.ReadFile(absolute(b.dir, b.overlay))
	if err != nil {
		return fmt.Errorf("-overlay: %w", err)
	}
	var v struct{ Replace map[string]string }
	if err := json.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("-overlay=%s: %w", b.overlay, err)
	}
	for from, to := range v.Replace {
		if to != "" {
			to = absolute(b.dir, to)
		}
		b.replace[absolute(b.dir, from)] = to
	}
	return nil
}
