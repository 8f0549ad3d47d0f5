//go:build linux

package engine

// links places an element in a list.
type links[T any] struct{ prev, next *T }

// linked is an element's access to its links.
type linked[T any] interface {
	*T
	place() *links[T]
}

// list is an intrusive doubly linked list; the zero value is empty.
type list[T any] struct {
	first *T
	n     int
}

func push[T any, P linked[T]](l *list[T], e *T) {
	p := P(e).place()
	p.prev, p.next = nil, l.first
	if l.first != nil {
		P(l.first).place().prev = e
	}
	l.first = e
	l.n++
}

func remove[T any, P linked[T]](l *list[T], e *T) {
	p := P(e).place()
	if p.prev != nil {
		P(p.prev).place().next = p.next
	} else {
		l.first = p.next
	}
	if p.next != nil {
		P(p.next).place().prev = p.prev
	}
	p.prev, p.next = nil, nil
	l.n--
}

func all[T any, P linked[T]](l *list[T]) []*T {
	out := make([]*T, 0, l.n)
	for e := l.first; e != nil; e = P(e).place().next {
		out = append(out, e)
	}
	return out
}
