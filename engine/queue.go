//go:build linux

package engine

// queue is first in, first out; the zero value is empty. Its memory is that of
// the most elements it has had at once, and does not grow with use.
type queue[T any] struct {
	buf  []T // a ring; as long as a power of two
	head int // index of the next to pop
	n    int
}

func (q *queue[T]) empty() bool { return q.n == 0 }

// push appends v.
func (q *queue[T]) push(v T) {
	if q.n == len(q.buf) {
		buf := make([]T, max(4, 2*q.n))
		copied := copy(buf, q.buf[q.head:])
		copy(buf[copied:], q.buf[:q.head])
		q.buf, q.head = buf, 0
	}
	q.buf[(q.head+q.n)&(len(q.buf)-1)] = v
	q.n++
}

// pop takes the oldest element out. The queue must not be empty.
func (q *queue[T]) pop() T {
	if q.empty() {
		panic("engine: pop of an empty queue")
	}
	var zero T
	v := q.buf[q.head]
	q.buf[q.head] = zero // which may point to something
	q.head = (q.head + 1) & (len(q.buf) - 1)
	q.n--
	return v
}
