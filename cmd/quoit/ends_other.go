//go:build !js

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// ends are the signals that end this program: under nohup a hangup does not.
func ends() []os.Signal {
	if signal.Ignored(syscall.SIGHUP) {
		return []os.Signal{os.Interrupt, syscall.SIGTERM}
	}
	return []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}
}
