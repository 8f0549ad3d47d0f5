//go:build !linux

package quoit

import (
	"errors"
	"time"
)

func userTimeout(int, time.Duration) error { return errors.ErrUnsupported }
