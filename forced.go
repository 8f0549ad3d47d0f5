package quoit

import "github.com/quoit-go/quoit/internal/forced"

func init() { // for the tests in other directories
	forced.Shift = func(e any, hot bool) { e.(*Engine).t.Load().shift(hot) }
	forced.Break = func(e any) { e.(*Engine).t.Load().breakRings() }
	forced.Hold = func(e any) func() { return e.(*Engine).t.Load().hold() }
}
