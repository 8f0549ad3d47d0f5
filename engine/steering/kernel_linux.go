//go:build linux

package steering

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/sock"
)

// kernel is the loaded program with what it works on.
type kernel struct {
	rings   int
	mem     *sock.Words
	words   *ebpf.Map // behind mem
	sockets *ebpf.Map
	prog    *ebpf.Program
}

// checkSockets finds what would otherwise fail later, or go wrong silently.
func checkSockets(sockets []int) error {
	var first unix.Sockaddr
	for ring, fd := range sockets {
		for _, want := range []struct {
			option, value int
			reason        string
		}{
			{unix.SO_PROTOCOL, unix.IPPROTO_TCP, "is not plain TCP"}, // IPPROTO_MPTCP, mostly
			{unix.SO_ACCEPTCONN, 1, "does not listen"},
			{unix.SO_REUSEPORT, 1, "lacks SO_REUSEPORT"},
		} {
			v, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, want.option)
			if err != nil {
				return &SocketError{Ring: ring, Reason: "cannot be examined", Err: os.NewSyscallError("getsockopt", err)}
			}
			if v != want.value {
				return &SocketError{Ring: ring, Reason: want.reason}
			}
		}
		addr, err := unix.Getsockname(fd)
		if err != nil {
			return &SocketError{Ring: ring, Reason: "cannot be examined", Err: os.NewSyscallError("getsockname", err)}
		}
		if ring == 0 {
			first = addr
		} else if !reflect.DeepEqual(addr, first) {
			return &SocketError{Ring: ring, Reason: "has another address than that of ring 0"}
		}
	}
	return nil
}

// load makes the maps, has fill write the memory, and loads the program,
// which the sockets' group then runs for each connection.
func load(cfg Config, sockets []int, fill func(*kernel)) (k *kernel, err error) {
	k = &kernel{rings: len(sockets)}
	defer func() {
		if err != nil {
			k.close()
			k = nil
		}
	}()
	if k.words, err = ebpf.NewMap(&ebpf.MapSpec{
		Name: "quoit_steering", Type: ebpf.Array, Flags: unix.BPF_F_MMAPABLE,
		KeySize: 4, ValueSize: memoryBytes, MaxEntries: 1,
	}); err != nil {
		return k, unsupported(err, release())
	}
	if k.sockets, err = ebpf.NewMap(&ebpf.MapSpec{
		Name: "quoit_sockets", Type: ebpf.ReusePortSockArray,
		KeySize: 4, ValueSize: 8, MaxEntries: uint32(k.rings),
	}); err != nil {
		return k, unsupported(err, release())
	}
	if k.mem, err = sock.MapWords(k.words.FD(), memoryBytes/8); err != nil {
		return k, fmt.Errorf("steering: %w", err)
	}
	k.mem.Store(offRings/8, uint64(k.rings))
	fill(k)
	kind := ebpf.AttachSkReuseportSelectOrMigrate
	if cfg.NoMigration {
		kind = ebpf.AttachSkReuseportSelect
	}
	if k.prog, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "quoit_steer", Type: ebpf.SkReuseport, AttachType: kind,
		Instructions: program(k.rings, cfg.Seed, k.words, k.sockets), License: "Dual BSD/GPL",
	}); err != nil {
		return k, unsupported(err, release())
	}
	for ring, fd := range sockets {
		if err := k.sockets.Put(uint32(ring), uint64(fd)); err != nil {
			return k, &SocketError{Ring: ring, Reason: refusal(err), Err: err}
		}
	}
	err = unix.SetsockoptInt(sockets[0], unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_EBPF, k.prog.FD())
	if err != nil {
		return k, fmt.Errorf("steering: %w", os.NewSyscallError("setsockopt", err))
	}
	return k, nil
}

// refusal says why the socket array does not take a socket that
// checkSockets has let pass.
func refusal(err error) string {
	if errors.Is(err, unix.EBUSY) {
		return "is steered to already"
	}
	return "cannot be steered to"
}

// unsupported tells apart why the kernel of that release refuses.
func unsupported(err error, release string) error {
	e := &UnsupportedError{Feature: "an SK_REUSEPORT program", Err: err}
	switch {
	case errors.Is(err, unix.EPERM):
		// A container's seccomp profile says the same, and allows bpf(2) to
		// those with the capability as a rule. The library's text suspects a limit
		// that these kernels do not have.
		e.Capability, e.Err = "CAP_BPF", os.NewSyscallError("bpf", unix.EPERM)
	case olderThan(release, 5, 14): // migrating_sk, which the program reads also with NoMigration
		e.MinKernel = "5.14"
	}
	return e
}

func release() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// olderThan reports whether release is a kernel before major.minor. What
// cannot be parsed is not.
func olderThan(release string, major, minor int) bool {
	var x, y int
	if _, err := fmt.Fscanf(strings.NewReader(release), "%d.%d", &x, &y); err != nil {
		return false
	}
	return x < major || x == major && y < minor
}

// fallBack has the kernel spread connections without a program of ours.
func fallBack(f Fallback, sockets []int) error {
	switch f {
	case FallbackByCPU:
		return sock.SteerByCPU(sockets[0], len(sockets))
	case FallbackAtRandom:
		return sock.SteerAtRandom(sockets[0], len(sockets))
	}
	return nil
}

// storeTable writes a table of a multiple of 8 bytes at offset.
func (k *kernel) storeTable(offset int, table []byte) {
	for i := 0; i < len(table); i += 8 {
		k.mem.Store((offset+i)/8, binary.NativeEndian.Uint64(table[i:]))
	}
}

// close lets go of everything; the program runs on as long as the sockets'
// group has it.
func (k *kernel) close() {
	if k.mem != nil {
		_ = k.mem.Release() // can only fail for lack of kernel memory; then it lives until collected
	}
	for _, m := range []*ebpf.Map{k.words, k.sockets} {
		if m != nil {
			m.Close()
		}
	}
	if k.prog != nil {
		k.prog.Close()
	}
}
