//go:build !linux

package steering

// kernel is never made here.
type kernel struct {
	rings int
	mem   noWords
}

type noWords struct{}

func (noWords) Load(int) uint64        { return 0 }
func (noWords) Store(int, uint64)      {}
func (noWords) Add(int, uint64) uint64 { return 0 }

func checkSockets([]int) error { return nil }

func load(Config, []int, func(*kernel)) (*kernel, error) {
	return nil, &UnsupportedError{Feature: "an SK_REUSEPORT program", MinKernel: "5.14"}
}

// fallBack leaves it to the system.
func fallBack(f Fallback, _ []int) error {
	if f == FallbackHash {
		return nil
	}
	return &UnsupportedError{Feature: "classic BPF", MinKernel: "4.6"}
}

func (*kernel) storeTable(int, []byte) {}
func (*kernel) close()                 {}
