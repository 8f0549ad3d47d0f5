package takeover

import (
	"context"
	"net"
	"testing"
	"time"
)

func TestContext(t *testing.T) {
	type key struct{}
	ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), key{}, "v"), time.Hour)
	defer cancel()
	if got := Context(ctx); got != ctx || Marked(got) {
		t.Error("a context is marked in a program that has not asked for it")
	}
	defer func() { on.Store(false) }()
	Enable()
	marked := Context(ctx)
	if !Marked(marked) || Marked(ctx) {
		t.Errorf("marked: %t, the original: %t", Marked(marked), Marked(ctx))
	}
	if marked.Value(key{}) != "v" {
		t.Error("the mark hides the context's values")
	}
	if _, ok := marked.Deadline(); !ok {
		t.Error("the mark hides the context's deadline")
	}
	var none context.Context // package net has its say about that
	if Context(none) != nil {
		t.Error("a context was made of nil")
	}
	if Marked(none) {
		t.Error("no context has the mark")
	}
}

func TestFiles(t *testing.T) {
	defer func() { on.Store(false) }()
	Enable()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	again, err := FileListener(f)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if MarkedFile(f) {
		t.Error("the file is marked for good")
	}
}
