//go:build linux

package quoit_test

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/forced"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// TestGearFlip changes the gear while bytes move, also on a single processor, and wants
// both gears to have moved some: a change that comes too often, or at the same point of
// each message, would have the conns wait in one gear only.
func TestGearFlip(t *testing.T) {
	enginetest.NeedRing(t)
	if forced.Gear != int(quoit.GearAuto) {
		t.Skip("the gear is forced")
	}
	for _, procs := range []int{1, 2} {
		t.Run(map[int]string{1: "one processor", 2: "two"}[procs], func(t *testing.T) {
			before := runtime.GOMAXPROCS(procs)
			defer runtime.GOMAXPROCS(before)
			testFlip(t)
		})
	}
}

func testFlip(t *testing.T) {
	e := enginetest.New(t, quoit.Config{})
	stop := enginetest.Flip(e)
	defer stop()
	ln, err := e.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var wg sync.WaitGroup
	quit := make(chan struct{})
	client, server := testenv.Connect(t, ln)
	wg.Go(func() { _, _ = io.Copy(struct{ io.Writer }{server}, struct{ io.Reader }{server}) })
	wg.Go(func() { pingPong(t, client, quit) })
	before := e.Stats()
	testenv.Poll(t, "bytes moved in both gears", func() bool {
		st := e.Stats()
		return t.Failed() || st.GearChanges-before.GearChanges > 100 && st.RingReads > 50 && st.DirectReads > 50
	})
	st := e.Stats()
	t.Logf("%d changes, %d Reads that waited on the ring, %d that did not", st.GearChanges, st.RingReads, st.DirectReads)
	close(quit)
	wg.Wait()
	if waited := st.RingReads; waited < st.GearChanges/20 {
		t.Errorf("%d Reads waited on the ring in %d changes", waited, st.GearChanges)
	}
}

// pingPong sends messages and wants each back, until it is told to end.
func pingPong(t *testing.T, c net.Conn, quit <-chan struct{}) {
	defer c.Close()
	sent, got := make([]byte, 256), make([]byte, 256)
	for n := byte(0); ; n++ {
		select {
		case <-quit:
			return
		default:
		}
		sent[0], sent[255] = n, ^n
		if _, err := c.Write(sent); err != nil {
			t.Error(err)
			return
		}
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%v, or other bytes", err)
			return
		}
	}
}
