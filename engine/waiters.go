//go:build linux

package engine

// waiters are callers that wait for something to be over. The lock of what it
// belongs to guards it.
type waiters []chan struct{}

// add returns what its caller has to wait for with Engine.wait.
func (w *waiters) add() chan struct{} {
	ch := newToken()
	*w = append(*w, ch)
	return ch
}

// release wakes all.
func (w *waiters) release(e *Engine) {
	for _, ch := range *w {
		e.ready(ch)
	}
	*w = nil
}
