package quoit

// Support is what [Probe] found.
type Support struct {
	IOUring  bool      // the ring serves here
	Err      error     // what stands in the way, nil if IOUring
	Kernel   string    // kernel release, "" if unknown
	Features []Feature // each feature that the transport uses or would use
}

// Feature is one kernel feature.
type Feature struct {
	Name      string // the kernel's own name for it
	MinKernel string // first kernel that has it
	Have      bool
	Required  bool   // without it package net serves
	Use       string // what the transport does with it
}

// Probe reports what this kernel offers, feature by feature, and what stands
// in the way. It sets up a small ring and removes it again.
func Probe() Support { return probe() }
