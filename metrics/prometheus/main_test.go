package prometheus

import (
	"os"
	"testing"

	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }
