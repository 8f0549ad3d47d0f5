package quoit

import (
	"fmt"
	"os"
	"strconv"
)

// QUOIT_TEST_GEAR forces a gear on every engine of the tests: auto, ring or
// poll. With flip the default engine changes it all the time.
var testGear = os.Getenv("QUOIT_TEST_GEAR")

// QUOIT_TEST_ANYARCH has the ring tried on every architecture.
func init() { defaultAnyArch = os.Getenv("QUOIT_TEST_ANYARCH") == "1" }

// QUOIT_TEST_RINGS is how many rings engines have by default.
func init() {
	if n := os.Getenv("QUOIT_TEST_RINGS"); n != "" {
		var err error
		if defaultRings, err = strconv.Atoi(n); err != nil {
			panic(err)
		}
	}
}

func init() {
	switch testGear {
	case "", "auto", "flip":
	case "ring":
		defaultGear = GearRing
	case "poll":
		defaultGear = GearPoll
	default:
		panic(fmt.Sprintf("QUOIT_TEST_GEAR=%q", testGear))
	}
}
