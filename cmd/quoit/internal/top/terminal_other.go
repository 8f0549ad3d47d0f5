//go:build !linux

package top

import (
	"io"
	"os"
)

// terminal is for Linux only: elsewhere top prints.
type terminal struct {
	keys    chan byte
	changes chan os.Signal
}

func openTerminal(io.Writer) *terminal { return nil }

func (*terminal) begin() error                                { return nil }
func (*terminal) end()                                        {}
func (*terminal) draw(func(width, height int) (out []string)) {}
