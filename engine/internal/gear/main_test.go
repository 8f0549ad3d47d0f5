//go:build linux

package gear

import (
	"os"
	"testing"

	"github.com/quoit-go/quoit/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m.Run)) }
