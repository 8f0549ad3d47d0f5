//go:build linux

package ring

import "unsafe"

// ResizeRings makes the queues larger or smaller and keeps what they hold. Sizes
// are as in Params; 0 for cqEntries means twice entries. The ring must be a
// SetupDeferTaskrun one with SetupNoSQArray and without SetupNoMmap. Entries
// from NextSQE and PeekCQE are invalid after it. Only the ring's owner may call
// it, on its thread. EOVERFLOW means that a queue holds more than its new size,
// EINVAL also that the body of a loop over CQEs calls it. Linux 6.13.
//
// Of a SetupSQE128 or SetupCQE32 ring, kernels lose what the queues hold: seen with
// 6.16.12, 6.17.13, 6.18.15 and 6.19.14, not with 6.18.44, 7.0.13 and later.
func (r *Ring) ResizeRings(entries, cqEntries uint32) error {
	r.owner.use()
	r.cq.notVisiting("ResizeRings")
	if r.cq.visiting {
		return refuse(opRegister, "ResizeRings in a loop over CQEs")
	}
	p := Params{Entries: entries, CQEntries: cqEntries}
	if why := p.checkSizes(); why != "" {
		return refuse(opRegister, why)
	}
	switch {
	case r.flags&SetupNoMmap != 0:
		return refuse(opRegister, "ResizeRings cannot move a NO_MMAP ring")
	case r.flags&SetupNoSQArray == 0: // the kernel does not say where the new index array is
		return refuse(opRegister, "ResizeRings needs NO_SQARRAY")
	}
	r.sq.publish()
	sp := &setupParams{sqEntries: entries, cqEntries: cqEntries, flags: p.allFlags() & SetupCQSize}
	if err := r.register(registerResizeRings, unsafe.Pointer(sp), 1); err != nil {
		return err
	}
	sp.flags = r.flags
	m, err := r.mapQueues(sp, nil)
	if err != nil {
		r.Close() // the old mappings lead nowhere
		return err
	}
	old := queueMemory{maps: r.maps}
	r.useQueues(sp, m)
	old.unmap()
	r.info.SQEntries, r.info.CQEntries = sp.sqEntries, sp.cqEntries
	return nil
}
