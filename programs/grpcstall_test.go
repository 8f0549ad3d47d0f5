//go:build linux

package programs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/quoit-go/quoit/internal/testenv"
)

// grpcTimeout is the TCP_USER_TIMEOUT that grpc-go's servers set by default, on a
// *net.TCPConn only.
const grpcTimeout = 20 * time.Second

// grpcStall has clients that do not take what they have asked for. They are dropped
// when TCP_USER_TIMEOUT has passed.
var grpcStall = trial{
	name:     "interop server; a client that reads nothing and one that vanishes are dropped after 20 s",
	parallel: true,
	run: func(r *running) {
		local := testenv.Free(r, "127.0.0.1")
		s := r.start("server", "-port", port(local))
		s.listens(local)
		c, err := net.Dial("tcp", local)
		r.must(err)
		defer c.Close()
		r.must(ask(c, 64, 1<<20, 0)) // more than sockets hold

		w, ok := newCable(r.T)
		if !ok {
			r.Log("no privilege to make a network namespace: no client vanishes")
			r.answer("a client that reads nothing: %s", dropped(s.cmd.Process.Pid, c))
			return
		}
		r.ns = &w.server
		s2 := r.start("server", "-port", port(local))
		far := w.dial(r, w.address+":"+port(local))
		defer far.Close()
		r.must(ask(far, 1000, 1<<16, 50*time.Millisecond)) // longer than it is there
		read := testenv.Go(func() error {
			_, err := io.Copy(io.Discard, far)
			return err
		})
		r.must(w.cut())
		vanished := make(chan string, 1)
		go func() { vanished <- dropped(s2.cmd.Process.Pid, far) }()
		r.answer("a client that reads nothing: %s", dropped(s.cmd.Process.Pid, c))
		r.answer("a client that vanishes: %s", <-vanished)
		far.Close()
		<-read
	},
}

// ask begins a call for n messages of size bytes, at an interval, with
// flow-control windows for all of them.
func ask(c net.Conn, n, size int, interval time.Duration) error {
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		return err
	}
	fr := http2.NewFramer(c, c)
	if err := fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30}); err != nil {
		return err
	}
	if err := fr.WriteWindowUpdate(0, 1<<30); err != nil {
		return err
	}
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":authority", "localhost"},
		{":path", "/grpc.testing.TestService/StreamingOutputCall"},
		{"content-type", "application/grpc"}, {"te", "trailers"},
	} {
		if err := enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			return err
		}
	}
	if err := fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true}); err != nil {
		return err
	}
	msg := make([]byte, 5) // gRPC's prefix
	for range n {          // StreamingOutputCallRequest.response_parameters: size, interval_us
		p := binary.AppendUvarint([]byte{1 << 3}, uint64(size))
		p = binary.AppendUvarint(append(p, 2<<3), uint64(interval.Microseconds()))
		msg = append(binary.AppendUvarint(append(msg, 2<<3|2), uint64(len(p))), p...)
	}
	binary.BigEndian.PutUint32(msg[1:], uint32(len(msg)-5))
	return fr.WriteData(1, true, msg)
}

// dropped waits until the socket of the process pid at the other end of c is gone,
// and says whether that took what grpcTimeout lets expect.
func dropped(pid int, c net.Conn) string {
	start := time.Now()
	for time.Since(start) < 2*grpcTimeout {
		there, err := peerIsThere(pid, c)
		if err != nil {
			return err.Error()
		}
		if took := time.Since(start); !there && took > grpcTimeout/2 {
			return "dropped in time"
		} else if !there {
			return fmt.Sprintf("gone after %v", took)
		}
		testenv.Pace(50 * time.Millisecond)
	}
	return fmt.Sprintf("there after %v", 2*grpcTimeout)
}

// peerIsThere looks for the socket at the other end of c among all of the network
// that the process pid is in.
func peerIsThere(pid int, c net.Conn) (bool, error) {
	local := fmt.Sprintf(":%04X", c.RemoteAddr().(*net.TCPAddr).Port)
	remote := fmt.Sprintf(":%04X", c.LocalAddr().(*net.TCPAddr).Port)
	for _, name := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, name))
		if err != nil {
			return false, err
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) > 3 && strings.HasSuffix(f[1], local) && strings.HasSuffix(f[2], remote) && f[3] != "06" { // TIME_WAIT
				return true, nil
			}
		}
	}
	return false, nil
}
