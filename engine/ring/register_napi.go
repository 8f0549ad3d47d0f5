//go:build linux

package ring

import (
	"time"
	"unsafe"
)

// NAPI is how a ring polls network devices instead of waiting for their
// interrupts.
type NAPI struct {
	BusyPoll       time.Duration // how long a wait polls, in whole microseconds
	PreferBusyPoll bool          // keep the device's interrupts off meanwhile

	// Static polls the queues of AddNAPI instead of those that the ring's
	// sockets receive from. Linux 6.13, EINVAL before.
	Static bool
}

// Values of struct io_uring_napi.
const (
	napiStaticAdd      = 1 // IO_URING_NAPI_STATIC_ADD_ID, in opcode
	napiStaticDel      = 2 // IO_URING_NAPI_STATIC_DEL_ID, in opcode
	napiTrackingStatic = 1 // IO_URING_NAPI_TRACKING_STATIC, in opParam
)

// RegisterNAPI has waits poll the network devices of the ring's sockets and
// returns the setting before. Only the ring's owner may call it. EINVAL means
// that the kernel was built without busy polling. Linux 6.9.
func (r *Ring) RegisterNAPI(n NAPI) (old NAPI, err error) { return r.napi(registerNAPI, n) }

// UnregisterNAPI ends what RegisterNAPI began and returns the setting before. Only
// the ring's owner may call it. Linux 6.9.
func (r *Ring) UnregisterNAPI() (old NAPI, err error) { return r.napi(unregisterNAPI, NAPI{}) }

// AddNAPI has the waits of a ring with NAPI.Static poll the device queue with
// this number, a socket's SO_INCOMING_NAPI_ID. Only the ring's owner may call
// it. EINVAL means that the ring's NAPI is not Static or that there is no queue
// with this number, EEXIST that it was added before. Linux 6.13.
func (r *Ring) AddNAPI(id uint32) error {
	return r.register(registerNAPI, unsafe.Pointer(&napi{opcode: napiStaticAdd, opParam: id}), 1)
}

// RemoveNAPI undoes AddNAPI. Only the ring's owner may call it. ENOENT means
// that id was not added. Linux 6.13.
func (r *Ring) RemoveNAPI(id uint32) error {
	return r.register(registerNAPI, unsafe.Pointer(&napi{opcode: napiStaticDel, opParam: id}), 1)
}

func (r *Ring) napi(op registerOp, n NAPI) (NAPI, error) {
	arg := napi{busyPollTo: uint32(n.BusyPoll.Microseconds())}
	if n.PreferBusyPoll {
		arg.preferBusyPoll = 1
	}
	if n.Static {
		arg.opParam = napiTrackingStatic
	}
	err := r.register(op, unsafe.Pointer(&arg), 1)
	return NAPI{
		BusyPoll:       time.Duration(arg.busyPollTo) * time.Microsecond,
		PreferBusyPoll: arg.preferBusyPoll != 0,
		Static:         op == registerNAPI && arg.opParam == napiTrackingStatic,
	}, err
}
