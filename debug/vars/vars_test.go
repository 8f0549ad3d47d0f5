package vars_test

import (
	"encoding/json"
	"expvar"
	"fmt"
	"os"
	"testing"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/debug/vars"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

// A program that serves http.DefaultServeMux has it at /debug/vars then.
func ExamplePublish() {
	vars.Publish("quoit", nil) // the default engine
	fmt.Println(expvar.Get("quoit") != nil)
	// Output: true
}

func TestPublish(t *testing.T) {
	e := enginetest.New(t, quoit.Config{})
	vars.Publish("one", e)
	vars.Publish("default", nil)
	ln, err := e.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for name, listeners := range map[string]int{"one": e.Stats().Listeners, "default": 0} {
		var got struct {
			Transport string
			Listeners int
		}
		if err := json.Unmarshal([]byte(expvar.Get(name).String()), &got); err != nil {
			t.Fatal(err)
		}
		if got.Transport != e.Stats().Transport || got.Listeners != listeners {
			t.Errorf("%s: %+v", name, got)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a name twice")
		}
	}()
	vars.Publish("one", e)
}
