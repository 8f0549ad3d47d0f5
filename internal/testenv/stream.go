package testenv

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"sync"
)

// table is what streams are made of. Its length is odd, and no multiple of
// anything that a buffer's length is one of.
var table = sync.OnceValue(func() []byte {
	b := make([]byte, 1<<20-3)
	mrand.NewChaCha8([32]byte{}).Read(b)
	return b
})

// from returns the part of the table that the stream named seed holds from
// off on, up to n bytes. Every byte depends on its position, so that a lost,
// doubled or foreign one shows.
func from(seed uint64, off int64, n int) []byte {
	t := table()
	start := mrand.NewPCG(seed, 0).Uint64() % uint64(len(t))
	i := int((start + uint64(off)) % uint64(len(t)))
	return t[i:min(i+n, len(t))]
}

// Fill writes to b what the stream named seed holds from off on.
func Fill(b []byte, seed uint64, off int64) {
	for len(b) > 0 {
		n := copy(b, from(seed, off, len(b)))
		b, off = b[n:], off+int64(n)
	}
}

// Diff returns the index of the first byte of b that is not in its place
// in the stream, or -1.
func Diff(b []byte, seed uint64, off int64) int {
	for done := 0; done < len(b); {
		want := from(seed, off+int64(done), len(b)-done)
		got := b[done : done+len(want)]
		if !bytes.Equal(got, want) {
			for i := range got {
				if got[i] != want[i] {
					return done + i
				}
			}
		}
		done += len(want)
	}
	return -1
}

// Stream reads the first n bytes of the stream named seed.
func Stream(seed uint64, n int64) io.Reader {
	return io.LimitReader(&StreamReader{Seed: seed}, n)
}

// StreamReader reads the stream named Seed, from Off on, without an end.
type StreamReader struct {
	Seed uint64
	Off  int64
}

func (r *StreamReader) Read(b []byte) (int, error) {
	Fill(b, r.Seed, r.Off)
	r.Off += int64(len(b))
	return len(b), nil
}

// ErrWrongByte is what Sink finds.
var ErrWrongByte = errors.New("wrong byte")

// Sink is a writer that checks what it gets against a stream.
type Sink struct {
	Seed uint64
	Off  int64
}

func (w *Sink) Write(b []byte) (int, error) {
	if i := Diff(b, w.Seed, w.Off); i >= 0 {
		return i, fmt.Errorf("stream %#x: %w at %d", w.Seed, ErrWrongByte, w.Off+int64(i))
	}
	w.Off += int64(len(b))
	return len(b), nil
}
