package debug

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/quoit-go/quoit"
)

// Snapshot is what the page shows, and [Handler] encodes as JSON. Two of them give
// rates, by ClockNS, which no change of the system's time moves.
type Snapshot struct {
	Time    time.Time `json:"time"`
	ClockNS int64     `json:"clock_ns"` // since the process began, or soon after

	Program    string `json:"program"`
	PID        int    `json:"pid"`
	Go         string `json:"go"`       // version
	Platform   string `json:"platform"` // such as linux/amd64
	Kernel     string `json:"kernel"`   // "" if not known
	GOMAXPROCS int    `json:"gomaxprocs"`
	Goroutines uint64 `json:"goroutines"`

	CPUNS       int64  `json:"cpu_ns"`       // that the process has had; 0 if not known
	MemoryBytes uint64 `json:"memory_bytes"` // that Go's runtime has from the system and has not given back
	HeapBytes   uint64 `json:"heap_bytes"`   // in use, and garbage

	MaxFiles        uint64 `json:"max_files"`         // descriptors; 0 if not known
	MaxLockedMemory uint64 `json:"max_locked_memory"` // bytes, which bounds rings; 0 if not known

	Findings []Finding   `json:"findings"` // those to act on first
	Stats    quoit.Stats `json:"stats"`
}

// support is asked once: it does not change, and makes a ring to find out.
var support = sync.OnceValue(quoit.Probe)

var processStart = time.Now()

func take(e *quoit.Engine) Snapshot {
	m := []metrics.Sample{
		{Name: "/sched/goroutines:goroutines"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
	}
	metrics.Read(m)
	s := Snapshot{
		Time: time.Now(), ClockNS: int64(time.Since(processStart)),
		Program: filepath.Base(os.Args[0]), PID: os.Getpid(),
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Kernel: support().Kernel,
		GOMAXPROCS: runtime.GOMAXPROCS(0), Goroutines: m[0].Value.Uint64(),
		CPUNS: cpuTime(), MemoryBytes: m[1].Value.Uint64() - m[2].Value.Uint64(), HeapBytes: m[3].Value.Uint64(),
		Stats: e.Stats(),
	}
	s.MaxFiles, s.MaxLockedMemory = limits()
	s.Findings = find(&s.Stats, s.MaxFiles, support())
	return s
}
