// Command small makes a conn, and says what serves it and how it was built.
package main

import (
	"fmt"
	"net"
	"os"
	"reflect"
	"runtime/debug"
)

var version = "none" // by -ldflags

var tag = "untagged"

func main() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	by := "net"
	if f := reflect.ValueOf(ln).Elem().FieldByName("quoit"); f.IsValid() && !f.IsNil() {
		by = "quoit"
	}
	bi, _ := debug.ReadBuildInfo()
	fmt.Println(by, version, tag, bi.Path, os.Args[1:])
	if len(os.Args) > 1 && os.Args[1] == "fail" {
		os.Exit(7)
	}
}
