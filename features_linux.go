//go:build linux

package quoit

import (
	"github.com/quoit-go/quoit/engine"
)

// features lists what the transport uses, as found by p.
func features(p engine.Found) []Feature {
	out := make([]Feature, 0, 8)
	for _, f := range []struct {
		Feature
		have func(engine.Found) bool
	}{
		{Feature{Name: "IORING_SETUP_DEFER_TASKRUN", MinKernel: "6.1", Required: true, Use: "completions are posted when the engine asks, in batches", Without: "package net serves"}, always},
		{Feature{Name: "multishot poll", MinKernel: "5.13", Required: true, Use: "one request tells each time that a conn has something", Without: "package net serves"}, always},
		{Feature{Name: "IORING_SETUP_NO_SQARRAY", MinKernel: "6.6", Use: "a smaller submission queue", Without: "4 KB of memory more for a ring of the default size"}, engine.Found.NoSQArray},
		{Feature{Name: "IORING_FEAT_NO_IOWAIT", MinKernel: "6.15", Use: "an idle engine does not count as waiting for a disk", Without: "top and vmstat show an idle engine as iowait; nothing is slower"}, engine.Found.NoIowait},
		{Feature{Name: "restricted rings", Use: "the kernel refuses whatever a ring is asked for but polls, sends and cancels", Without: "the ring takes every request; so it is below a seccomp filter, which may end who calls io_uring_register"}, engine.Found.Restricted},
		{Feature{Name: "full-size rings", Use: "the memory limit (RLIMIT_MEMLOCK) leaves room for the default sizes", Without: "smaller queues: more system calls when many conns become ready at once"}, func(p engine.Found) bool { return !p.Limited }},
	} {
		f.Have = f.have(p)
		out = append(out, f.Feature)
	}
	return out
}

func always(engine.Found) bool { return true }
