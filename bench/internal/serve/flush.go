package serve

import (
	"io"
	"net"

	"github.com/quoit-go/quoit/bench/internal/workload"
)

// flush answers in parts, and computes before the last: progress messages,
// events of a stream, the head of a page. Each part holds the time of its Write.
func flush(c net.Conn) {
	defer c.Close()
	var ask, part [workload.FlushBytes]byte
	for {
		if _, err := io.ReadFull(c, ask[:]); err != nil {
			return
		}
		for i := range workload.FlushParts {
			if i == workload.FlushParts-1 {
				workload.ComputeFor(workload.Duration(ask[:]))
			}
			workload.PutDuration(part[:], workload.Clock())
			if _, err := c.Write(part[:]); err != nil {
				return
			}
		}
	}
}
