// Package vars publishes the counters of package quoit by expvar.
//
// It is apart from package debug because importing expvar has an effect that not
// everybody wants: it registers /debug/vars, with the command line and memory
// statistics, on http.DefaultServeMux, and links net/http.
package vars

import (
	"expvar"

	"github.com/quoit-go/quoit"
)

// Publish has expvar show the [quoit.Stats] of e as a variable of that name, mostly
// "quoit". With nil it is [quoit.Default], which the first look at the variable starts.
// It panics if the name is taken, as [expvar.Publish] does.
func Publish(name string, e *quoit.Engine) {
	expvar.Publish(name, expvar.Func(func() any {
		if e == nil {
			return quoit.Default().Stats()
		}
		return e.Stats()
	}))
}
