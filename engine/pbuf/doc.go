// Package pbuf lends provided buffers to the kernel and takes them back.
//
// A [Group] is a set of equal buffers and the ring, shared with the kernel,
// through which it is told which of them it may fill. A receive takes a
// buffer, its completion names it, the ring's owner takes it and may hand it to
// another goroutine, and whoever has finished reading returns it.
//
// # A buffer's life
//
//	kernel --Take--> out --Return--> returned --Refill--> kernel
//
// # Who may touch what
//
// The owner is the goroutine that owns the io_uring the group belongs to. It
// alone calls Take, Refill, Free, Close and SetPoison, and alone writes the
// descriptor ring, its tail and the count of buffers out. Any goroutine may
// read that count.
//
// Return is for any goroutine. It owns the link word of the buffer it
// returns from the moment it is called until its compare-and-swap puts the
// buffer on the stack; from then the owner has it. The owner takes the whole
// stack with one swap and nobody else pops, so an address that reappears
// (ABA) does no harm: a push only claims that its successor is the present
// top.
//
// A buffer's bytes belong to the kernel, then to whoever the owner lent them
// to, until Return. A second Return of the same buffer corrupts the stack;
// SetPoison finds it.
//
// Consume stands in for the kernel. One goroutine at a time may call it, be
// it the owner or another, and only on a group without a live ring.
//
// On systems other than Linux the package is empty.
package pbuf
