package serve

import (
	"io"
	"net"

	"github.com/quoit-go/quoit/bench/internal/workload"
)

// writeBulk writes the first size bytes of the bulk body.
func writeBulk(w io.Writer, size int64) error {
	for off := int64(0); off < size; {
		n, err := w.Write(workload.Pattern(off, int(min(1<<16, size-off))))
		if err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

// answer sends much for each small request.
func answer(c net.Conn) {
	defer c.Close()
	var ask [workload.AskBytes]byte
	for {
		if _, err := io.ReadFull(c, ask[:]); err != nil {
			return
		}
		if err := writeBulk(c, workload.AnswerBytes); err != nil {
			return
		}
	}
}
