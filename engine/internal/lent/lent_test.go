//go:build linux

package lent

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/quoit-go/quoit/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m.Run)) }

// block is something that is lent.
type block struct {
	mark Mark
	b    [64]byte
}

func newPool() *Pool[block] {
	return &Pool[block]{
		Name:  "a block",
		New:   func() *block { return new(block) },
		Bytes: func(v *block) []byte { return v.b[:] },
	}
}

// failure returns why f fails, or "".
func failure(f func()) (why string) {
	old := fail
	defer func() { fail = old }()
	type failed string
	fail = func(why string) { panic(failed(why)) }
	defer func() {
		if v, ok := recover().(failed); ok {
			why = string(v)
		}
	}()
	f()
	return ""
}

// Each misuse fails in a build that checks; another one does not look.
func TestMisuse(t *testing.T) {
	for _, tt := range []struct {
		name, want string // "": it is none
		f          func(p *Pool[block])
	}{
		{"written in time", "", func(p *Pool[block]) {
			v := p.Get()
			v.mark.Use("a block")
			v.b[63] = 1
			v.mark.End("a block")
			p.Put(v)
			p.Put(p.Get())
		}},
		{"written later", "a block was written to after it was given back", func(p *Pool[block]) {
			v := p.Get()
			p.Put(v)
			v.b[63] = 1
			p.Get()
		}},
		{"written much later", "a block was written to after it was given back", func(p *Pool[block]) {
			v := p.Get()
			p.Put(v)
			for range heldMost - 1 {
				p.Put(p.Get())
			}
			v.b[0] = 1
			p.Put(new(block))
		}},
		{"put twice", "a block is given back twice", func(p *Pool[block]) {
			v := p.Get()
			p.Put(v)
			p.Put(v)
		}},
		{"used later", "use of a block that was given back", func(p *Pool[block]) {
			v := p.Get()
			v.mark.End("a block")
			p.Put(v)
			p.Get() // which is another one
			v.mark.Use("a block")
		}},
		{"ended twice", "a block is given back twice", func(p *Pool[block]) {
			v := p.Get()
			v.mark.End("a block")
			v.mark.End("a block")
		}},
		{"poison", "scratch was written to after it was given back", func(*Pool[block]) {
			b := make([]byte, 100)
			Poison(b)
			Check("scratch", b)
			b[99]++
			Check("scratch", b)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := tt.want
			if !Checked {
				want = ""
			}
			if got := failure(func() { tt.f(newPool()) }); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

// What was given back reads as poison, and is not lent again, in a build that checks;
// and as it was in another.
func TestGivenBack(t *testing.T) {
	p := newPool()
	v := p.Get()
	v.b[5] = 7
	p.Put(v)
	if poisoned := v.b[5] == poison; poisoned != Checked {
		t.Errorf("%#x after Put, and Checked is %v", v.b[5], Checked)
	}
	if again := p.Get() == v; again && Checked {
		t.Error("lent twice")
	}
}

// What checks costs nothing where it does not.
func TestSize(t *testing.T) {
	if size := reflect.TypeFor[Mark]().Size(); size != 0 && !Checked {
		t.Errorf("a Mark takes %d bytes", size)
	}
	if Checked {
		return
	}
	p := newPool()
	p.Put(p.Get())
	if n := testing.AllocsPerRun(100, func() { p.Put(p.Get()) }); n != 0 && !testenv.Race {
		t.Errorf("%v allocations", n)
	}
}

// Nobody survives a failure.
func TestFail(t *testing.T) {
	if os.Getenv("QUOIT_TEST_LENT") == "fail" {
		defer func() { recover() }()
		fail("this is why")
	}
	cmd, stderr := testenv.Command(t, "QUOIT_TEST_LENT=fail")
	cmd.Args = append(cmd.Args, "-test.run=^TestFail$")
	if err := cmd.Run(); err == nil || !strings.Contains(stderr.String(), "quoit: this is why") || !strings.Contains(stderr.String(), "lent.TestFail") {
		t.Errorf("%v\n%s", err, stderr)
	}
}
