package load

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/quoit-go/quoit/bench/internal/workload"
)

// tunnel is an echo on a conn that begins with HTTP.
type tunnel struct {
	*echo
	path string
}

var headerEnd = []byte("\r\n\r\n")

// maxUpgrade bounds the server's answer, in bytes.
const maxUpgrade = 4096

// open asks for the upgrade.
func (t *tunnel) open(b blocking) error {
	if err := b.writeAll(get(t.path, "Connection: Upgrade\r\nUpgrade: "+workload.UpgradeTo+"\r\n")); err != nil {
		return err
	}
	answer := make([]byte, 0, maxUpgrade)
	for !bytes.Contains(answer, headerEnd) {
		n, err := b.Read(answer[len(answer):cap(answer)])
		if err != nil {
			return fmt.Errorf("upgrade: %w after %.60q", err, answer)
		}
		answer = answer[:len(answer)+n]
		if len(answer) == cap(answer) {
			return fmt.Errorf("upgrade: the answer is too long: %.60q", answer)
		}
	}
	if !bytes.HasPrefix(answer, []byte("HTTP/1.1 101 ")) {
		return fmt.Errorf("upgrade: unexpected status: %.60q", answer)
	}
	if !bytes.HasSuffix(answer, headerEnd) {
		return errors.New("upgrade: bytes before the first message")
	}
	return nil
}
