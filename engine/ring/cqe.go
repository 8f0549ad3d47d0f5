//go:build linux

package ring

import "syscall"

// More reports whether the request goes on and will post again.
func (c *CQE) More() bool { return c.Flags&CQEMore != 0 }

// Buffer returns the provided buffer that the request used, if it used one.
// The buffer is the caller's until it is given back to its group, unless
// BufMore says that the kernel goes on with it.
func (c *CQE) Buffer() (bid uint16, ok bool) {
	return uint16(c.Flags >> cqeBufferShift), c.Flags&CQEBuffer != 0
}

// BufMore reports whether the kernel keeps the buffer of a BufRingInc group,
// for data that follows this one's. Linux 6.12.
func (c *CQE) BufMore() bool { return c.Flags&CQEBufMore != 0 }

// SockNonEmpty reports whether the socket held more data, or its end, when
// the completion was posted. Linux 5.19.
func (c *CQE) SockNonEmpty() bool { return c.Flags&CQESockNonEmpty != 0 }

// Notif reports whether this is the second completion of a zero-copy send,
// which says that the memory sent may be reused. Linux 6.0.
func (c *CQE) Notif() bool { return c.Flags&CQENotif != 0 }

// Copied reports whether a notification of a send with SetReportUsage says
// that the kernel copied at least part of the data after all. Linux 6.2.
func (c *CQE) Copied() bool { return c.Notif() && uint32(c.Res)&notifUsageZCCopied != 0 }

// Err returns the request's error as a syscall.Errno, or nil if Res is not
// negative. A notification's Res is no result, so its Err is nil.
func (c *CQE) Err() error {
	if c.Res >= 0 || c.Notif() {
		return nil
	}
	return syscall.Errno(-c.Res)
}

// TxTimestamp reads a completion of PrepSocketTxTimestamp: the time in extra,
// which Ring.Extra or CQE32.Extra has, the SCM_TSTAMP_* event that it belongs
// to, the key that the socket gave the packet, and whether the time is the
// hardware's. It is for completions with CQEMore. Linux 6.17.
func (c *CQE) TxTimestamp(extra *[2]uint64) (ts Timespec, event uint32, key int32, hardware bool) {
	ts = Timespec{Sec: int64(extra[0]), Nsec: int64(extra[1])}
	return ts, uint32(c.Flags >> (cqeTimestampHWShift + 1)), c.Res, c.Flags&CQETstampHW != 0
}
