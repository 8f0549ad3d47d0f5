package serve

import (
	"bufio"
	"io"
	"net/http"
	"testing"

	"github.com/quoit-go/quoit/bench/internal/workload"
)

func TestTunnel(t *testing.T) {
	backend := start(t, Spec{Kind: workload.ServeUpgrade, Transport: "net"})
	for _, transport := range Transports {
		t.Run(transport, func(t *testing.T) {
			c := dialServer(t, Spec{Kind: workload.ServeTunnel, Transport: transport, Backend: backend})
			r := bufio.NewReader(c)
			ask := func(headers string, want int) {
				t.Helper()
				if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: bench\r\n"+headers+"\r\n"); err != nil {
					t.Fatal(err)
				}
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatal(err)
				}
				io.Copy(io.Discard, resp.Body)
				if resp.StatusCode != want {
					t.Fatalf("%q: %s, want %d", headers, resp.Status, want)
				}
			}
			ask("", http.StatusUpgradeRequired)
			ask("Connection: Upgrade\r\nUpgrade: "+workload.UpgradeTo+"\r\n", http.StatusSwitchingProtocols)
			for range 2 {
				if _, err := c.Write(workload.Pattern(0, 64)); err != nil {
					t.Fatal(err)
				}
				b := make([]byte, 64)
				if _, err := io.ReadFull(r, b); err != nil || !workload.MatchesPattern(b, 0) {
					t.Fatalf("%q, %v", b, err)
				}
			}
		})
	}
}
