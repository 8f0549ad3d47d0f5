package quoit

import (
	"fmt"
	"os"
)

// QUOIT_TEST_GEAR forces a gear on every engine of the tests: auto, ring or
// poll. With flip the default engine changes it all the time.
var testGear = os.Getenv("QUOIT_TEST_GEAR")

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
