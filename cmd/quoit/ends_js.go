//go:build js

package main

import (
	"os"
	"syscall"
)

func ends() []os.Signal { return []os.Signal{os.Interrupt, syscall.SIGTERM} }
