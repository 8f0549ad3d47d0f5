// Package forced is for the tests of this module: what they force on every
// engine, and their way to what packages quoit and engine do not export. These
// read the first and set the second; only tests do the reverse.
package forced

// What an engine has whose Config leaves it to the default. They are set before
// the first engine starts.
var (
	Gear    int  // a quoit.Gear; 0 is GearAuto
	Rings   int  // 0 is the default's number
	AnyArch bool // has the ring tried on every architecture
)

// What tests in other directories may do with an engine, a *quoit.Engine. All
// are safe for concurrent use.
var (
	// Shift changes the gear of all of the engine's rings, where the engine is
	// in GearAuto, until they have cause to change it themselves. Package net
	// must not serve it.
	Shift func(engine any, hot bool)

	// ShiftRing is that for one ring, an *engine.Engine. It is nil on systems
	// other than Linux.
	ShiftRing func(ring any, hot bool)

	// Break has what an engine is served by fail as if the kernel had refused it: all
	// rings of an engine on io_uring. BreakRing is that for one ring, nil on systems
	// other than Linux. They do not wait for it.
	Break     func(engine any)
	BreakRing func(ring any)

	// Hold has the threads of all of an engine's rings do nothing from its return
	// until release is called, once. HoldRing is that for one ring, nil on systems
	// other than Linux.
	Hold     func(engine any) (release func())
	HoldRing func(ring any) (release func())
)
