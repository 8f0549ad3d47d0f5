//go:build linux

package debug_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/quoit-go/quoit/internal/testenv"
)

// browser is a headless Chromium with one page, spoken to through a pair of pipes.
type browser struct {
	t       *testing.T
	in      *os.File
	session string

	mu       sync.Mutex
	calls    map[int]chan message
	last     int
	troubles []string // what the page's console has
}

// message is of the DevTools protocol.
type message struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *protocolError
}

type protocolError struct{ Message string }

// startBrowser skips the test where there is no browser.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("no chromium here")
	}
	theirIn, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	cmd := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars", "--disable-dev-shm-usage",
		"--remote-debugging-pipe", "--user-data-dir="+home, "about:blank")
	cmd.Env = append(os.Environ(), "HOME="+home)
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // descriptors 3 and 4
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirIn.Close()
	theirOut.Close()
	b := &browser{t: t, in: in, calls: map[int]chan message{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.listen(out)
	}()
	t.Cleanup(func() {
		in.Close()
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // and its helpers
		cmd.Wait()
		<-done
		out.Close()
	})
	var target struct{ TargetID string }
	b.call(&target, "Target.createTarget", map[string]any{"url": "about:blank"})
	var attached struct{ SessionID string }
	b.call(&attached, "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true})
	b.session = attached.SessionID
	for _, domain := range []string{"Runtime", "Log", "Page"} {
		b.call(nil, domain+".enable", nil)
	}
	return b
}

// listen takes what the browser says, until it ends, which calls are told.
func (b *browser) listen(out *os.File) {
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, c := range b.calls {
			c <- message{Error: &protocolError{"the browser has ended"}}
		}
		clear(b.calls)
	}()
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(bytes.TrimRight(line, "\x00"), &m) != nil {
			continue
		}
		b.mu.Lock()
		switch m.Method {
		case "":
			if c := b.calls[m.ID]; c != nil {
				c <- m
				delete(b.calls, m.ID)
			}
		case "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded":
			b.troubles = append(b.troubles, string(m.Params))
		}
		b.mu.Unlock()
	}
}

func (b *browser) call(result any, method string, params any) {
	b.t.Helper()
	if params == nil {
		params = struct{}{}
	}
	c := make(chan message, 1)
	b.mu.Lock()
	b.last++
	id := b.last
	b.calls[id] = c
	b.mu.Unlock()
	msg := map[string]any{"id": id, "method": method, "params": params}
	if b.session != "" {
		msg["sessionId"] = b.session
	}
	text, err := json.Marshal(msg)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(text, 0)); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	m := testenv.Recv(b.t, c, method)
	if m.Error != nil {
		b.t.Fatalf("%s: %s", method, m.Error.Message)
	}
	if result != nil {
		if err := json.Unmarshal(m.Result, result); err != nil {
			b.t.Fatal(err)
		}
	}
}

// open shows url in a window of that width, with the color scheme.
func (b *browser) open(url string, width int, scheme string) {
	b.t.Helper()
	b.call(nil, "Emulation.setDeviceMetricsOverride", map[string]any{
		"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600})
	b.call(nil, "Emulation.setEmulatedMedia", map[string]any{
		"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}})
	b.call(nil, "Page.navigate", map[string]any{"url": url})
}

// eval returns what a JavaScript expression is.
func eval[T any](b *browser, expression string) (value T) {
	b.t.Helper()
	var r struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct{ Text string }
	}
	b.call(&r, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true})
	if r.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, r.ExceptionDetails.Text)
	}
	if err := json.Unmarshal(r.Result.Value, &value); err != nil {
		b.t.Fatalf("%s is %s: %v", expression, r.Result.Value, err)
	}
	return value
}

// until waits for a JavaScript condition to hold.
func (b *browser) until(condition string) {
	b.t.Helper()
	testenv.Poll(b.t, condition, func() bool {
		return eval[bool](b, "(() => { try { return "+condition+" } catch { return false } })()")
	})
}

// quiet wants nothing in the console.
func (b *browser) quiet() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.troubles) > 0 {
		b.t.Errorf("the console has\n%s", strings.Join(b.troubles, "\n"))
		b.troubles = nil
	}
}

// picture writes the whole page to the directory that QUOIT_PICTURES names, if any.
func (b *browser) picture(name string) {
	b.t.Helper()
	dir := os.Getenv("QUOIT_PICTURES")
	if dir == "" {
		return
	}
	var shot struct{ Data []byte }
	b.call(&shot, "Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true})
	if err := os.WriteFile(fmt.Sprintf("%s/%s.png", dir, name), shot.Data, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
