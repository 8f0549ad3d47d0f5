// Package tested has tests inside and outside of it.
package tested

import (
	"net"
	"os"
	"reflect"
)

// Served says by whom ln is served, and whether that is what the environment
// wants.
func Served(ln net.Listener) (by string, ok bool) {
	by = "net"
	if f := reflect.ValueOf(ln).Elem().FieldByName("quoit"); f.IsValid() && !f.IsNil() {
		by = "quoit"
	}
	return by, by == os.Getenv("WANT")
}
