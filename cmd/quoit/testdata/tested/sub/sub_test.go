package main

import (
	"net"
	"testing"

	"example.com/tested"
)

func TestSub(t *testing.T) {
	c, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if by, ok := tested.Served(c); !ok {
		t.Errorf("served by %s", by)
	}
}
