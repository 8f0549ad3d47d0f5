package tested_test

import (
	"net"
	"os"
	"testing"

	"example.com/tested"
)

func TestOutside(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if by, ok := tested.Served(ln); !ok {
		t.Errorf("served by %s", by)
	}
}

func TestFails(t *testing.T) {
	if os.Getenv("FAIL") != "" {
		t.Error("as asked")
	}
}
