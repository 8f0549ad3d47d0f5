package quoit

import (
	"strings"
	"syscall"
	"time"
)

// setUserTimeout sets TCP_USER_TIMEOUT, unless d is 0 or network not TCP's.
func setUserTimeout(network string, rc syscall.RawConn, d time.Duration) error {
	if d == 0 || !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var serr error
	if err := rc.Control(func(fd uintptr) { serr = userTimeout(int(fd), d) }); err != nil {
		return err
	}
	return serr
}
