package quoit

// Support is what [Probe] found.
type Support struct {
	IOUring  bool      // the ring serves here
	Err      error     // what stands in the way, nil if IOUring
	Kernel   string    // kernel release, "" if unknown
	Features []Feature // each feature that the transport uses or would use

	// What an engine with the defaults gets here, 0 where package net serves.
	// Other programs of the user can leave less of a limit on memory.
	Rings     int // as RLIMIT_NOFILE allows
	Entries   int // of each ring's submission queue
	RingBytes int // memory of each ring's queues, in bytes
}

// Feature is one kernel feature.
type Feature struct {
	Name      string // the kernel's own name for it
	MinKernel string // first kernel that has it
	Have      bool
	Required  bool   // without it package net serves
	Use       string // what the transport does with it
	Without   string // what is lost where it is missing
}

// Probe reports what this kernel offers, feature by feature, and what stands
// in the way. It sets up a ring as a default engine would and closes it again. With
// QUOIT=off in the environment it makes none, and says so in Err.
func Probe() Support { return probe() }
