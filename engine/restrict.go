//go:build linux

package engine

import (
	"os"
	"strings"

	"github.com/quoit-go/quoit/engine/ring"
)

// restrict has r, which is not enabled yet, take the requests that the engine makes
// and no others, for good, and enables it: code that gets hold of the ring, or of its
// queues' memory, has its other requests refused by the kernel. It costs a request
// nothing that can be measured.
func restrict(r *ring.Ring) error {
	err := r.RegisterRestrictions(
		ring.AllowOp(ring.OpPollAdd),
		ring.AllowOp(ring.OpSend),
		ring.AllowOp(ring.OpAsyncCancel),
		ring.AllowSQEFlags(ring.SQECQESkipSuccess),
		ring.AllowEnable(), // and no other registration
	)
	if err != nil {
		return err
	}
	return r.Enable()
}

// mayRestrict reports whether restrict is safe. It calls io_uring_register, which a
// ring does without otherwise: a seccomp filter that does not list it may end the
// process for that. So where there is a filter, which is another's decision on what the
// process may do, or where that is unknown, rings are as they are.
func mayRestrict() bool {
	status, err := os.ReadFile("/proc/thread-self/status")
	return err == nil && strings.Contains(string(status), "\nSeccomp:\t0\n")
}
