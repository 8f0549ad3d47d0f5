//go:build linux

package engine

// size is how many bytes v has.
func size(v [][]byte) (n int64) {
	for _, b := range v {
		n += int64(len(b))
	}
	return n
}

// consume takes n bytes from v, as package net does.
func consume(v *[][]byte, n int) {
	for len(*v) > 0 {
		first := (*v)[0]
		if len(first) > n {
			(*v)[0] = first[n:]
			return
		}
		n -= len(first)
		(*v)[0] = nil
		*v = (*v)[1:]
	}
}
