//go:build linux

package quoit

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/quoit-go/quoit/internal/testenv"
)

// splicedOnly is a conn whose WriteTo does not copy where the kernel does not.
type splicedOnly struct {
	*Conn
	t *testing.T
}

func (c splicedOnly) WriteTo(w io.Writer) (int64, error) {
	n, handled, err := c.writeToKernel(w)
	if !handled {
		c.t.Errorf("no splice to a %T: has Go a new name for what hiddenFile knows?", w)
	}
	return n, err
}

// Bytes of a conn come into a file without going through user space, whoever calls.
func TestWriteToKernel(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	for name, move := range map[string]func(f *os.File, c splicedOnly) (int64, error){
		"io.Copy":       func(f *os.File, c splicedOnly) (int64, error) { return io.Copy(f, c) },
		"File.ReadFrom": func(f *os.File, c splicedOnly) (int64, error) { return f.ReadFrom(c) },
	} {
		t.Run(name, func(t *testing.T) {
			e, err := New(nil)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			if e.t.Load() == nil {
				testenv.NoRing(t, e.Stats().Reason)
			}
			client, server := netPair(t, "tcp", "127.0.0.1:0")
			go func() {
				defer server.Close()
				_, _ = server.Write(want)
			}()
			c, err := e.NewConn(client)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			f, err := os.Create(filepath.Join(t.TempDir(), "file"))
			if err != nil {
				t.Fatal(err)
			}
			n, err := move(f, splicedOnly{c.(*Conn), t})
			f.Close()
			b, rerr := os.ReadFile(f.Name())
			if err != nil || rerr != nil || n != int64(len(want)) || !bytes.Equal(b, want) {
				t.Errorf("copied %d bytes (%v), the file has %d (%v), want %d", n, err, len(b), rerr, len(want))
			}
		})
	}
}

// keeper keeps what it was given, which no Writer may.
type keeper struct{ kept [][]byte }

func (k *keeper) Write(b []byte) (int, error) {
	k.kept = append(k.kept, b)
	return len(b), nil
}

// A Writer that keeps its argument must not see the bytes of another conn there.
func TestWriteToKeeper(t *testing.T) {
	e := gearEngine(t, Config{})
	var first keeper
	for i, text := range []string{"the first conn's", "another conn's own"} {
		client, server := netPair(t, "tcp", "127.0.0.1:0")
		c, err := e.NewConn(client)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(server, text); err != nil {
			t.Fatal(err)
		}
		server.Close()
		w := &first
		if i > 0 {
			w = new(keeper)
		}
		if n, err := c.(io.WriterTo).WriteTo(w); n != int64(len(text)) || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		c.Close()
	}
	if got := bytes.Join(first.kept, nil); string(got) != "the first conn's" {
		t.Errorf("the first Writer's memory has become %q", got)
	}
}
