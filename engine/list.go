//go:build linux

package engine

// list is a doubly linked list of nodes, in their links; the zero value is empty.
type list struct {
	first *node
	n     int
}

func (l *list) push(n *node) {
	n.links = links{next: l.first}
	if l.first != nil {
		l.first.links.prev = n
	}
	l.first = n
	l.n++
}

func (l *list) remove(n *node) {
	if n.links.prev != nil {
		n.links.prev.links.next = n.links.next
	} else {
		l.first = n.links.next
	}
	if n.links.next != nil {
		n.links.next.links.prev = n.links.prev
	}
	n.links = links{}
	l.n--
}

// all copies the list.
func (l *list) all() []*node {
	out := make([]*node, 0, l.n)
	for n := l.first; n != nil; n = n.links.next {
		out = append(out, n)
	}
	return out
}
