//go:build linux

package quoit

import (
	"fmt"
	"net"
	"reflect"
	"testing"
)

// Each method of a zero value returns what package net's does, unless that panics.
func TestZeroValues(t *testing.T) {
	for _, pair := range [][2]any{
		{&net.TCPConn{}, &Conn{}},
		{&net.UnixConn{}, &UnixConn{}},
		{&net.TCPListener{}, &Listener{}},
	} {
		theirs, ours := reflect.ValueOf(pair[0]), reflect.ValueOf(pair[1])
		for i := range theirs.NumMethod() {
			name := theirs.Type().Method(i).Name
			if m := ours.MethodByName(name); m.IsValid() {
				want, got := zeroCall(theirs.Method(i)), zeroCall(m)
				if got != want && want != "panic" {
					t.Errorf("%v.%s: %s, want %s", ours.Type(), name, got, want)
				}
			}
		}
	}
}

// zeroCall calls f with zero values, and says what its last result is.
func zeroCall(f reflect.Value) (says string) {
	defer func() {
		if v := recover(); v != nil {
			says = "panic"
		}
	}()
	var args []reflect.Value
	for i := range f.Type().NumIn() {
		args = append(args, reflect.Zero(f.Type().In(i)))
	}
	out := f.Call(args)
	if len(out) == 0 {
		return "nothing"
	}
	v := out[len(out)-1].Interface()
	return fmt.Sprintf("%T %v", v, v)
}
