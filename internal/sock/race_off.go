//go:build linux && !race

package sock

func beforeSend()                  {}
func afterSend([]byte, int)        {}
func afterRecv([]byte, int, error) {}
