//go:build linux

package quoit

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/quoit-go/quoit/internal/forced"
	"github.com/quoit-go/quoit/internal/testenv"
)

// gearEngine is an engine on io_uring, or the test is skipped.
func gearEngine(t *testing.T, cfg Config) *Engine {
	t.Helper()
	cfg.Require = true
	e, err := New(&cfg)
	if err != nil {
		testenv.NoRing(t, err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// gearPair is a conn that e accepted, and package net's end of it.
func gearPair(t *testing.T, e *Engine) (server, client net.Conn) {
	t.Helper()
	ln, err := e.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, server = testenv.Connect(t, ln)
	for _, c := range []net.Conn{server, client} {
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	return server, client
}

// echo sends b from one conn to the other and back.
func echo(t *testing.T, client, server net.Conn, b []byte) {
	t.Helper()
	sent := make(chan error, 1)
	go func() {
		got := make([]byte, len(b))
		_, err := io.ReadFull(server, got)
		if err == nil {
			_, err = server.Write(got)
		}
		sent <- err
	}()
	if _, err := client.Write(b); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(b))
	if _, err := io.ReadFull(client, got); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, b) {
		t.Fatalf("%d bytes came back changed", len(b))
	}
}

// Each gear uses what it says it uses, and counts it.
func TestGearStats(t *testing.T) {
	for _, gear := range []Gear{GearRing, GearPoll} {
		t.Run(gear.String(), func(t *testing.T) {
			e := gearEngine(t, Config{Gear: gear})
			server, client := gearPair(t, e)
			for i := range 100 {
				echo(t, client, server, bytes.Repeat([]byte{byte(i)}, 1+i))
			}
			ring := gear == GearRing
			var st Stats
			for range 1000 { // the ring's counters lag until its thread sleeps
				done := parkedAnyhow(server)
				if _, err := client.Write([]byte("x")); err != nil {
					t.Fatal(err)
				}
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				if st = e.Stats(); !ring || st.RingReads > 0 {
					break
				}
			}
			if st.Gear != gear || st.GearChanges != 0 {
				t.Errorf("gear %v after %d changes", st.Gear, st.GearChanges)
			}
			if (st.RingTime > 0) != ring || (st.PollTime > 0) == ring {
				t.Errorf("%v in GearRing, %v in GearPoll", st.RingTime, st.PollTime)
			}
			if (st.RingReads > 0) != ring {
				t.Errorf("%d Reads by the ring", st.RingReads)
			}
			if !ring && (st.DirectReads < 100 || st.WritesBatched > 0 || st.Completions > 10) {
				t.Errorf("%+v", st)
			}
		})
	}
}

// A change at any point of a conn's life loses nothing and wakes whom it must.
func TestGearChangeAnywhere(t *testing.T) {
	if forced.Gear != int(GearAuto) {
		t.Skip("the gear is forced")
	}
	steps := []struct {
		name string
		do   func(t *testing.T, server, client net.Conn)
	}{
		{"request", func(t *testing.T, server, client net.Conn) { echo(t, client, server, []byte("request")) }},
		{"large", func(t *testing.T, server, client net.Conn) {
			echo(t, client, server, bytes.Repeat([]byte("large"), 1<<18))
		}},
		{"deadline", func(t *testing.T, server, client net.Conn) {
			end := time.Now().Add(time.Minute)
			defer server.SetReadDeadline(end)
			server.SetReadDeadline(time.Now().Add(time.Millisecond))
			if n, err := server.Read(make([]byte, 1)); n != 0 || err.(net.Error).Timeout() == false {
				t.Fatalf("%d, %v", n, err)
			}
		}},
		{"queued", func(t *testing.T, server, client net.Conn) {
			if _, err := client.Write([]byte("queued")); err != nil {
				t.Fatal(err)
			}
			for i := range 6 { // byte by byte
				b := make([]byte, 1)
				if _, err := server.Read(b); err != nil || b[0] != "queued"[i] {
					t.Fatalf("%q, %v", b, err)
				}
			}
		}},
	}
	e := gearEngine(t, Config{})
	server, client := gearPair(t, e)
	for mask := range 1 << (2 * len(steps)) { // a change, or none, before and amid each step
		for i, s := range steps {
			e.t.Load().shift(mask>>(2*i)&1 != 0)
			amid := time.AfterFunc(time.Duration(mask%7)*30*time.Microsecond, func() { e.t.Load().shift(mask>>(2*i+1)&1 != 0) })
			s.do(t, server, client)
			amid.Stop()
		}
	}
	// The end of file, too, comes through whatever is under way.
	for _, hot := range []bool{false, true} {
		e.t.Load().shift(hot)
		server, client := gearPair(t, e)
		done := parkedAnyhow(server)
		e.t.Load().shift(!hot)
		client.Close()
		if err := <-done; err != io.EOF {
			t.Errorf("hot %v: %v", hot, err)
		}
	}
	if st := e.Stats(); st.GearChanges == 0 || st.Completions == 0 || st.DirectReads == 0 {
		t.Errorf("%+v", st)
	}
}

// startRead reads a byte in a goroutine.
func startRead(c net.Conn) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		done <- err
	}()
	return done
}

// parkedAnyhow is startRead that, most likely, waits by now, in either gear.
func parkedAnyhow(c net.Conn) <-chan error {
	done := startRead(c)
	time.Sleep(5 * time.Millisecond)
	return done
}

// echoBack reads and writes, as io.Copy does with conns that cannot forward.
func echoBack(c net.Conn) {
	_, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
}

// An engine under load finds its gear by itself, and gives it up again.
func TestGearAuto(t *testing.T) {
	if forced.Gear != int(GearAuto) {
		t.Skip("the gear is forced")
	}
	e := gearEngine(t, Config{})
	var pairs [][2]net.Conn
	for range 256 {
		server, client := gearPair(t, e)
		go echoBack(server)
		pairs = append(pairs, [2]net.Conn{server, client})
	}
	b := make([]byte, 64)
	for end := time.Now().Add(time.Minute); e.Stats().GearChanges < 2 || e.Stats().Comparisons == 0; {
		if time.Now().After(end) {
			t.Fatalf("no change to and fro in a minute: %+v", e.Stats())
		}
		n := len(pairs)
		if st := e.Stats(); st.GearChanges > 0 && st.Comparisons > 0 {
			n = 1 // nothing but small batches from here
		}
		for _, p := range pairs[:n] {
			if _, err := p[1].Write(b); err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range pairs[:n] {
			if _, err := io.ReadFull(p[1], b); err != nil {
				t.Fatal(err)
			}
		}
	}
	if st := e.Stats(); st.RingCost <= 0 {
		t.Errorf("compared, and the ring cost %v", st.RingCost)
	}
}

// The first Write after a Read is the caller's own, whatever the engine does.
func TestAnswersAreNotBatched(t *testing.T) {
	e := gearEngine(t, Config{Gear: GearRing})
	var clients []net.Conn
	for range 16 {
		server, client := gearPair(t, e)
		go echoBack(server)
		clients = append(clients, client)
	}
	b := make([]byte, 64)
	for range 300 {
		for _, c := range clients {
			if _, err := c.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range clients {
			if _, err := io.ReadFull(c, b); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := e.Close(); err != nil { // which counts to the end
		t.Fatal(err)
	}
	if st := e.Stats(); st.WritesBatched != 0 {
		t.Errorf("Writes were batched: %+v", st)
	}
}

// Writes in a row wait for their conn's next Read only where that has come soon, and
// never with Config.DirectWrites.
func TestWritesInARow(t *testing.T) {
	for _, tt := range []struct {
		name    string
		direct  bool
		pause   time.Duration // between the Writes and the next Read
		batched bool
	}{
		{name: "pipeline", batched: true},
		{name: "pipeline, direct", direct: true},
		{name: "who computes", pause: 2 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// Where the engine's thread has to wait for a CPU, Writes may find it asleep. An
			// engine whose conns were late does not batch for long: each round has another.
			end, quick := time.Now().Add(time.Minute), 0
			var batched, sends uint64
			for round := 0; round < 50 || tt.batched && batched == 0 && quick > 0 && time.Now().Before(end); round++ {
				e := gearEngine(t, Config{Gear: GearRing, DirectWrites: tt.direct})
				for range 4 { // conns that keep the engine awake
					server, client := gearPair(t, e)
					go echoBack(server)
					go echoBack(client)
					if _, err := client.Write([]byte{1}); err != nil {
						t.Fatal(err)
					}
				}
				if writeInRows(t, e, tt.pause) {
					quick++
				}
				if err := e.Close(); err != nil { // which counts to the end
					t.Fatal(err)
				}
				st := e.Stats()
				batched += st.WritesBatched
				for _, n := range st.WriteDelays {
					sends += n
				}
			}
			if tt.batched && batched == 0 && quick < 50 {
				t.Skipf("this machine takes too long for a few Writes and a Read: %d times it was quick enough", quick)
			}
			if (batched > 0) != tt.batched {
				t.Errorf("%d Writes were batched", batched)
			}
			if (sends > 0) != tt.batched || sends > batched {
				t.Errorf("%d delays of %d Writes", sends, batched)
			}
		})
	}
}

// writeInRows has a conn write eight times in a row, ten times, and read a pause later.
// It reports whether all but two of the Reads came in half of the time that is soon.
func writeInRows(t *testing.T, e *Engine, pause time.Duration) (quick bool) {
	t.Helper()
	const rows = 10
	server, client := gearPair(t, e)
	defer client.Close()
	defer server.Close()
	b := make([]byte, 8)
	inTime := 0
	for range rows {
		if _, err := client.Write(b[:1]); err != nil {
			t.Fatal(err)
		}
		if _, err := server.Read(b[:1]); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for range b {
			if _, err := server.Write(b[:1]); err != nil {
				t.Fatal(err)
			}
		}
		for until := time.Now().Add(pause); time.Now().Before(until); {
			runtime.Gosched()
		}
		done := make(chan error, 1)
		var took time.Duration
		go func() {
			took = time.Since(began)
			_, err := server.Read(make([]byte, 1)) // has the kernel take them
			done <- err
		}()
		if _, err := io.ReadFull(client, b); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Write(b[:1]); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if took < 250*time.Microsecond {
			inTime++
		}
	}
	return inTime >= rows-2
}

// Writes that the engine makes arrive in order, and all of them before the end
// of file that Close or CloseWrite sends.
func TestBatchedWritesArrive(t *testing.T) {
	finish := []func(c *Conn) error{(*Conn).Close, (*Conn).CloseWrite}
	// Where the engine's thread has to wait for a CPU, Writes may find it asleep. An
	// engine whose conns were late does not batch for long: now and then there is another.
	end := time.Now().Add(time.Minute)
	var e *Engine
	batched, tried, quick := uint64(0), 0, 0
	for round := 0; round < 100 || batched == 0 && time.Now().Before(end); round++ {
		if round%10 == 0 {
			e = gearEngine(t, Config{Gear: GearRing})
		}
		server, client := gearPair(t, e)
		want := new(bytes.Buffer)
		go func() { // keeps the engine awake, and the poll armed
			for range 20 {
				client.Write([]byte("x"))
			}
		}()
		for n := range 20 {
			if _, err := server.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			for part := range 3 { // the first is never batched
				fmt.Fprintf(io.MultiWriter(want, server), "%d %d %d;", round, n, part)
			}
			if tried++; time.Since(began) < 250*time.Microsecond {
				quick++
			}
		}
		if err := finish[round%len(finish)](server.(*Conn)); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(client)
		if err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("%q, %v, want %q", got, err, want)
		}
		client.Close()
		server.Close()
		batched = max(batched, e.Stats().WritesBatched)
	}
	if batched == 0 && quick < tried/2 {
		t.Skipf("this machine takes too long for three Writes: %d times of %d it was quick enough", quick, tried)
	}
	if batched == 0 {
		t.Errorf("no Write was batched: %+v", e.Stats())
	}
}
