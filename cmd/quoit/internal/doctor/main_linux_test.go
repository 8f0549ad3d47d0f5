//go:build linux

package doctor

import (
	"fmt"
	"os"
	"testing"

	"github.com/quoit-go/quoit/internal/testenv"
)

// TestMain is also the program whose children the tests look at: with what
// restrictEnv asks for in force it starts itself again as the command.
func TestMain(m *testing.M) {
	if words := os.Getenv(restrictEnv); words != "" {
		fmt.Fprintln(os.Stderr, restrict(words)) // it does not return if all is well
		os.Exit(125)
	}
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "doctor":
			os.Exit(Run(os.Args[2:], "quoit test", os.Stdout, os.Stderr))
		case "hold":
			os.Exit(hold())
		case TrialCommand:
			os.Exit(Trial(os.Args[2], os.Stdout))
		}
	}
	os.Exit(testenv.Main(m.Run))
}

// restrictEnv has a child give up what its words say, and then be the command.
const restrictEnv = "QUOIT_DOCTOR_TEST"
