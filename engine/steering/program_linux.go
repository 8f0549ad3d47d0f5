//go:build linux

package steering

import (
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// struct sk_reuseport_md, linux/bpf.h.
const (
	mdData        = 0
	mdDataEnd     = 8
	mdEthProtocol = 20
	mdHash        = 32
	mdMigrating   = 48
)

// The program's stack.
const (
	stackKey    = -8  // index into the socket array
	stackCount  = -16 // 1 if this makes a connection, else 0
	stackSource = -24 // hash of the source, or a random number
	stackAddr   = -40 // 16 bytes
)

// Registers that calls leave alone.
const (
	rCtx  = asm.R6
	rMem  = asm.R7
	rTemp = asm.R8
	rRing = asm.R9
)

const (
	// Draws before the rings are tried in a row: enough that this is rare with
	// half of the rings held.
	tries = 8

	// A connection open weighs as much as loadWeight sent, until what was sent
	// outweighs the slack: that many connections and 1/16 of the load.
	loadWeight = 10
	slack      = 12
	slackShift = 4

	passSocket = 1 // SK_PASS

	// Odd multipliers, those of splitmix64.
	golden = -0x61c8864680b583eb // 0x9e3779b97f4a7c15
	mixer  = -0x40a7b892e31b1a47 // 0xbf58476d1ce4e5b9
)

// program assembles what picks a socket for each connection among n.
//
// It asks the policy for a ring, up to tries times, until one is open and its
// socket lives; then looks at all rings in a row; then does both again with
// held rings, the last look taking even those of weight 0.
//
// With CAP_BPF alone, without CAP_PERFMON, the verifier also looks at what a
// CPU may execute by mistake, and has two more rules:
//
//   - The program has no loops: the verifier goes past the end of any, and then
//     finds it infinite.
//   - All paths to an instruction that adds to a pointer must bring it numbers
//     with the same limit. The limit of a byte of memory is 255. That of a
//     number modulo a constant depends on the verifier: since Linux 7.0 it is
//     less than the constant. So the program reads the number of rings from
//     memory, of which the verifier knows nothing, and masks what comes of it.
func program(n int, seed uint64, words, sockets *ebpf.Map) asm.Instructions {
	code := join(
		asm.Instructions{
			asm.Mov.Reg(rCtx, asm.R1),
			asm.LoadMapValue(rMem, words.FD(), 0),
			asm.FnGetPrandomU32.Call(),
			asm.StoreMem(asm.RFP, stackSource, asm.R0, asm.DWord),
		},
		countOrNot(),
		hashSource(seed),
	)
	for _, heldToo := range []bool{false, true} {
		for try := range tries {
			d := draw{try: try, label: fmt.Sprintf("draw_%v_%d_", heldToo, try)}
			code = append(code, d.policies()...)
			code = append(code, tryRing(d.label, sockets, heldToo)...)
		}
		for i := range n {
			code = append(code, tryNext(fmt.Sprintf("scan_%v_%d_", heldToo, i), i, sockets, heldToo)...)
		}
	}
	return append(code, finish()...)
}

func join(parts ...asm.Instructions) asm.Instructions {
	var out asm.Instructions
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// countOrNot tells what makes a connection, a SYN or a connection that moves,
// from packets that only look for one: the end of one that is gone, say, or
// the ACK that answers a SYN cookie, whose SYN has been counted.
func countOrNot() asm.Instructions {
	const flagsAt, syn, synOrAck = 13, 0x02, 0x12
	return asm.Instructions{
		asm.StoreImm(asm.RFP, stackCount, 0, asm.Word),
		asm.LoadMem(asm.R1, rCtx, mdMigrating, asm.DWord),
		asm.JNE.Imm(asm.R1, 0, "counts"),
		asm.LoadMem(asm.R2, rCtx, mdData, asm.DWord), // the TCP header
		asm.LoadMem(asm.R3, rCtx, mdDataEnd, asm.DWord),
		asm.Mov.Reg(asm.R1, asm.R2),
		asm.Add.Imm(asm.R1, flagsAt+1),
		asm.JGT.Reg(asm.R1, asm.R3, "counted"),
		asm.LoadMem(asm.R1, asm.R2, flagsAt, asm.Byte),
		asm.And.Imm(asm.R1, synOrAck),
		asm.JNE.Imm(asm.R1, syn, "counted"),
		asm.StoreImm(asm.RFP, stackCount, 1, asm.Word).WithSymbol("counts"),
	}
}

// hashSource leaves a hash of the packet's source address, if the policy wants
// it; tries in a row begin there, too. A connection that moves after its
// handshake has no packet: the kernel's hash of addresses and ports stands in.
func hashSource(seed uint64) asm.Instructions {
	const (
		v4At, v4Bytes = 12, 4
		v6At, v6Bytes = 8, 16
		fromNetwork   = 1 // BPF_HDR_START_NET
	)
	return asm.Instructions{
		asm.LoadMem(asm.R1, rMem, offPolicy, asm.DWord).WithSymbol("counted"),
		asm.JNE.Imm(asm.R1, int32(BySource), "hashed"),
		asm.Mov.Imm(asm.R2, 0),
		asm.StoreMem(asm.RFP, stackAddr, asm.R2, asm.DWord),
		asm.StoreMem(asm.RFP, stackAddr+8, asm.R2, asm.DWord),
		asm.LoadMem(asm.R1, rCtx, mdEthProtocol, asm.Word),
		asm.Mov.Imm(asm.R2, v4At),
		asm.Mov.Imm(asm.R4, v4Bytes),
		asm.JEq.Imm(asm.R1, bigEndian(0x0800), "read_source"), // ETH_P_IP
		asm.Mov.Imm(asm.R2, v6At),
		asm.Mov.Imm(asm.R4, v6Bytes),
		asm.JEq.Imm(asm.R1, bigEndian(0x86dd), "read_source"), // ETH_P_IPV6
		asm.Ja.Label("no_source"),
		asm.Mov.Reg(asm.R1, rCtx).WithSymbol("read_source"),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, stackAddr),
		asm.Mov.Imm(asm.R5, fromNetwork),
		asm.FnSkbLoadBytesRelative.Call(),
		asm.JNE.Imm(asm.R0, 0, "no_source"),

		asm.LoadImm(asm.R1, int64(mix(seed)), asm.DWord),
		asm.LoadImm(asm.R3, mixer, asm.DWord),
		asm.LoadMem(asm.R2, asm.RFP, stackAddr, asm.DWord),
		asm.Xor.Reg(asm.R1, asm.R2),
		asm.Mul.Reg(asm.R1, asm.R3),
		asm.Mov.Reg(asm.R2, asm.R1),
		asm.RSh.Imm(asm.R2, 32),
		asm.Xor.Reg(asm.R1, asm.R2),
		asm.LoadMem(asm.R2, asm.RFP, stackAddr+8, asm.DWord),
		asm.Xor.Reg(asm.R1, asm.R2),
		asm.Mul.Reg(asm.R1, asm.R3),
		asm.Mov.Reg(asm.R2, asm.R1),
		asm.RSh.Imm(asm.R2, 32),
		asm.Xor.Reg(asm.R1, asm.R2),
		asm.Ja.Label("source"),
		asm.LoadMem(asm.R1, rCtx, mdHash, asm.Word).WithSymbol("no_source"),
		asm.StoreMem(asm.RFP, stackSource, asm.R1, asm.DWord).WithSymbol("source"),
		landing("hashed"),
	}
}

// bigEndian is a 16-bit word in network order as the machine reads it.
func bigEndian(v uint16) int32 {
	return int32(binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v)))
}

// draw is the code that has the policy draw a ring into rRing.
type draw struct {
	try   int
	label string // what its labels begin with
}

// policies falls through, or jumps, to the label "ring".
func (d draw) policies() asm.Instructions {
	return join(
		asm.Instructions{
			asm.LoadMem(asm.R1, rMem, offPolicy, asm.DWord),
			asm.JEq.Imm(asm.R1, int32(RoundRobin), d.label+"round_robin"),
			asm.JEq.Imm(asm.R1, int32(BySource), d.label+"by_source"),
			asm.JEq.Imm(asm.R1, int32(ByCPU), d.label+"by_cpu"),
		},
		d.leastLoaded(),
		d.roundRobin(),
		d.bySource(),
		d.byCPU(),
	)
}

// bySource has a further draw look elsewhere, for the sources of a ring that
// is held or gone; where to depends on the source alone, too.
func (d draw) bySource() asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(rRing, asm.RFP, stackSource, asm.DWord).WithSymbol(d.label + "by_source"),
		asm.Add.Imm(rRing, int32(d.try)),
		asm.LoadImm(asm.R1, golden, asm.DWord),
		asm.Mul.Reg(rRing, asm.R1),
		asm.Mov.Reg(asm.R2, rRing),
		asm.RSh.Imm(asm.R2, 32),
		asm.Xor.Reg(rRing, asm.R2),
		asm.LoadImm(asm.R1, mixer, asm.DWord),
		asm.Mul.Reg(rRing, asm.R1),
		asm.RSh.Imm(rRing, 64-slotBits),
		asm.Add.Reg(rRing, rMem),
		asm.LoadMem(rRing, rRing, offSlot, asm.Byte),
		asm.Ja.Label(d.label + "ring"),
	}
}

// roundRobin takes a turn for each draw, so that the others stay in step when
// a ring is passed over. What does not count takes none.
func (d draw) roundRobin() asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R1, asm.RFP, stackCount, asm.Word).WithSymbol(d.label + "round_robin"),
		asm.Mov.Reg(rRing, asm.R1),
		fetchAdd(rMem, rRing, offTicket),
		asm.JNE.Imm(asm.R1, 0, d.label+"turn"),
		asm.Add.Imm(rRing, int32(d.try)),
		asm.LoadMem(asm.R1, rMem, offTurns, asm.DWord).WithSymbol(d.label + "turn"),
		asm.Mod.Reg(rRing, asm.R1),
		asm.And.Imm(rRing, maxTurns-1),
		asm.Add.Reg(rRing, rMem),
		asm.LoadMem(rRing, rRing, offTurn, asm.Byte),
		asm.Ja.Label(d.label + "ring"),
	}
}

// fetchAdd adds src to the word and leaves what it was in src. The assembler
// drops the flag that makes it so, unless it is in the constant.
func fetchAdd(dst, src asm.Register, offset int16) asm.Instruction {
	ins := asm.FetchAdd.Mem(dst, src, asm.DWord, offset)
	ins.Constant = 1 // BPF_ADD | BPF_FETCH
	return ins
}

func (d draw) byCPU() asm.Instructions {
	return asm.Instructions{
		asm.FnGetSmpProcessorId.Call().WithSymbol(d.label + "by_cpu"),
		asm.And.Imm(asm.R0, maxCPUs-1),
		asm.Mul.Imm(asm.R0, perCPU),
		asm.Mov.Reg(rRing, asm.R0),
		asm.FnGetPrandomU32.Call(),
		asm.And.Imm(asm.R0, perCPU-1),
		asm.Add.Reg(rRing, asm.R0),
		asm.Add.Reg(rRing, rMem),
		asm.LoadMem(rRing, rRing, offCPU, asm.Byte),
		asm.Add.Imm(rRing, int32(d.try)),
		asm.LoadMem(asm.R1, rMem, offRings, asm.DWord),
		asm.Mod.Reg(rRing, asm.R1),
		asm.Ja.Label(d.label + "ring"),
	}
}

// leastLoaded compares, for two rings, the connections that are open with
// those sent and not yet accepted: a burst is seen as it comes. The loads are
// multiplied by the other's weight instead of divided by the own.
//
// One connection more or less among many must not decide where all short ones
// go until the next long one comes. So the ring that was sent fewer, since the
// rules last changed, may win although its load is a little higher.
func (d draw) leastLoaded() asm.Instructions {
	const a, b = asm.R4, asm.R5 // the rings' records
	ring := d.label + "ring"
	second := func(label, next string) asm.Instructions {
		return asm.Instructions{
			asm.FnGetPrandomU32.Call().WithSymbol(d.label + label),
			asm.And.Imm(asm.R0, slots-1),
			asm.Add.Reg(asm.R0, rMem),
			asm.LoadMem(asm.R0, asm.R0, offSlot, asm.Byte),
			asm.JEq.Reg(asm.R0, rRing, d.label+next),
			asm.Ja.Label(d.label + "compare"),
		}
	}
	return join(
		asm.Instructions{
			asm.FnGetPrandomU32.Call(),
			asm.And.Imm(asm.R0, slots-1),
			asm.Add.Reg(asm.R0, rMem),
			asm.LoadMem(rRing, asm.R0, offSlot, asm.Byte),
		},
		second("second", "second_again"),
		second("second_again", "second_at_last"),
		second("second_at_last", "ring"),
		record(a, rRing, d.label+"compare"),
		record(b, asm.R0, ""),
		asm.Instructions{
			asm.LoadMem(asm.R1, b, ringHeld, asm.DWord),
			asm.JNE.Imm(asm.R1, 0, ring),
			asm.LoadMem(asm.R1, a, ringHeld, asm.DWord),
			asm.JNE.Imm(asm.R1, 0, d.label+"take_second"),
		},
		scaledLoad(asm.R1, a, b, d.label+"load_a"),
		scaledLoad(asm.R2, b, a, d.label+"load_b"),
		tradeOff(a, b, d.label),
		asm.Instructions{
			asm.JSLE.Imm(asm.R1, 0, ring),
			asm.Mov.Reg(rRing, asm.R0).WithSymbol(d.label + "take_second"),
			asm.Ja.Label(ring),
		},
	)
}

// tradeOff leaves in R1 how much is to be said against ring a: how much higher
// its scaled load is, R1 less R2, and, of less weight and up to the slack, how
// many more connections it was sent.
func tradeOff(a, b asm.Register, label string) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(rTemp, asm.R1), // the slack, from here on
		asm.Add.Reg(rTemp, asm.R2),
		asm.RSh.Imm(rTemp, slackShift),
		asm.LoadMem(asm.R3, a, ringWeight, asm.DWord),
		asm.Mul.Imm(asm.R3, slack),
		asm.Add.Reg(rTemp, asm.R3),
		asm.LoadMem(asm.R3, b, ringWeight, asm.DWord),
		asm.Mul.Imm(asm.R3, slack),
		asm.Add.Reg(rTemp, asm.R3),
		asm.Mul.Imm(rTemp, loadWeight/2), // of the mean of both

		asm.Sub.Reg(asm.R1, asm.R2),
		asm.Mul.Imm(asm.R1, loadWeight),

		asm.LoadMem(asm.R2, a, ringSent, asm.DWord),
		asm.LoadMem(asm.R3, a, ringBase, asm.DWord),
		asm.Sub.Reg(asm.R2, asm.R3),
		asm.LoadMem(asm.R3, b, ringWeight, asm.DWord),
		asm.Mul.Reg(asm.R2, asm.R3),
		asm.LoadMem(asm.R4, a, ringWeight, asm.DWord),
		asm.LoadMem(asm.R3, b, ringSent, asm.DWord),
		asm.LoadMem(asm.R5, b, ringBase, asm.DWord),
		asm.Sub.Reg(asm.R3, asm.R5),
		asm.Mul.Reg(asm.R3, asm.R4),
		asm.Sub.Reg(asm.R2, asm.R3),

		asm.JSLE.Reg(asm.R2, rTemp, label+"not_above"),
		asm.Mov.Reg(asm.R2, rTemp),
		asm.Neg.Imm(rTemp, 0).WithSymbol(label + "not_above"),
		asm.JSGE.Reg(asm.R2, rTemp, label+"not_below"),
		asm.Mov.Reg(asm.R2, rTemp),
		asm.Add.Reg(asm.R1, asm.R2).WithSymbol(label + "not_below"),
	}
}

// scaledLoad leaves ring's load times other's weight in dst.
func scaledLoad(dst, ring, other asm.Register, label string) asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(dst, ring, ringSent, asm.DWord),
		asm.LoadMem(asm.R3, ring, ringAccepted, asm.DWord),
		asm.Sub.Reg(dst, asm.R3),
		asm.JSGE.Imm(dst, 0, label), // what the hash sent was accepted uncounted
		asm.Mov.Imm(dst, 0),
		asm.LoadMem(asm.R3, ring, ringLoad, asm.DWord).WithSymbol(label),
		asm.Add.Reg(dst, asm.R3),
		asm.LoadMem(asm.R3, other, ringWeight, asm.DWord),
		asm.Mul.Reg(dst, asm.R3),
	}
}

// record leaves the address of ring's record in dst. The mask changes nothing,
// but shows the verifier that ring is less than MaxRings, by whatever path it
// comes here.
func record(dst, ring asm.Register, label string) asm.Instructions {
	first := asm.Mov.Reg(dst, ring)
	if label != "" {
		first = first.WithSymbol(label)
	}
	return asm.Instructions{
		first,
		asm.And.Imm(dst, MaxRings-1),
		asm.LSh.Imm(dst, ringShift),
		asm.Add.Reg(dst, rMem),
		asm.Add.Imm(dst, offRing),
	}
}

// tryRing ends the program if rRing, unless it has weight 0, may have the
// connection.
func tryRing(label string, sockets *ebpf.Map, heldToo bool) asm.Instructions {
	code := join(record(asm.R1, rRing, label+"ring"), asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, ringWeight, asm.DWord),
		asm.JEq.Imm(asm.R2, 0, label+"next"),
	})
	if !heldToo {
		code = append(code,
			asm.LoadMem(asm.R2, asm.R1, ringHeld, asm.DWord),
			asm.JNE.Imm(asm.R2, 0, label+"next"),
		)
	}
	return append(join(code, selectSocket(sockets)), landing(label+"next"))
}

// tryNext ends the program if the i-th ring, counted from where it starts for
// this connection, may have it; in the end even one of weight 0 may.
func tryNext(label string, i int, sockets *ebpf.Map, heldToo bool) asm.Instructions {
	code := asm.Instructions{
		asm.LoadMem(rRing, asm.RFP, stackSource, asm.DWord),
		asm.Add.Imm(rRing, int32(i)),
		asm.LoadMem(asm.R1, rMem, offRings, asm.DWord),
		asm.Mod.Reg(rRing, asm.R1),
	}
	if heldToo {
		return append(code, selectSocket(sockets)...)
	}
	return join(code, tryRing(label, sockets, false))
}

// selectSocket ends the program if rRing's socket still listens.
func selectSocket(sockets *ebpf.Map) asm.Instructions {
	return asm.Instructions{
		asm.StoreMem(asm.RFP, stackKey, rRing, asm.Word),
		asm.Mov.Reg(asm.R1, rCtx),
		asm.LoadMapPtr(asm.R2, sockets.FD()),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, stackKey),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnSkSelectReuseport.Call(),
		asm.JEq.Imm(asm.R0, 0, "done"),
	}
}

// landing is a place to jump to.
func landing(label string) asm.Instruction { return asm.Mov.Imm(asm.R0, 0).WithSymbol(label) }

// finish follows the last scan: no socket of the array lives, and whatever
// else is in the group gets the connection by the kernel's hash.
func finish() asm.Instructions {
	return join(
		asm.Instructions{
			asm.LoadMem(asm.R1, asm.RFP, stackCount, asm.Word),
			asm.AddAtomic.Mem(rMem, asm.R1, asm.DWord, offUnsteered),
			asm.Ja.Label("pass"),
		},
		record(asm.R1, rRing, "done"),
		asm.Instructions{
			asm.LoadMem(asm.R2, asm.RFP, stackCount, asm.Word),
			asm.AddAtomic.Mem(asm.R1, asm.R2, asm.DWord, ringSent),
			asm.LoadMem(asm.R2, rCtx, mdMigrating, asm.DWord),
			asm.JEq.Imm(asm.R2, 0, "pass"),
			asm.Mov.Imm(asm.R2, 1),
			asm.AddAtomic.Mem(asm.R1, asm.R2, asm.DWord, ringMigrated),
			asm.Mov.Imm(asm.R0, passSocket).WithSymbol("pass"),
			asm.Return(),
		},
	)
}
