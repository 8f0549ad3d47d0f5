package scrape

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
	quoitprom "github.com/quoit-go/quoit/metrics/prometheus"
)

func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

// server is a Prometheus that runs.
type server struct {
	t   *testing.T
	url string
}

const config = `
global: {scrape_interval: 500ms}
scrape_configs:
- job_name: quoit
  static_configs: [{targets: [%q]}]
`

// start builds Prometheus, which takes some minutes the first time, and has it scrape
// target.
func start(t *testing.T, target string) server {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "prometheus")
	build := exec.Command("go", "build", "-tags", "remove_all_sd,netgo", "-o", binary, "github.com/prometheus/prometheus/cmd/prometheus")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, fmt.Appendf(nil, config, target), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0")
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address, read := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(read)
		listens := regexp.MustCompile(`msg="Listening on" .*address=(\S+)`)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			t.Log(lines.Text())
			if m := listens.FindStringSubmatch(lines.Text()); m != nil {
				address <- m[1]
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-read
		cmd.Wait()
		http.DefaultClient.CloseIdleConnections()
	})
	s := server{t, "http://" + testenv.Recv(t, address, "Prometheus listens")}
	testenv.Poll(t, "Prometheus is ready", func() bool {
		resp, err := http.Get(s.url + "/-/ready")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return s
}

// ask decodes what the API has at path.
func ask[T any](s server, path string) (data T) {
	s.t.Helper()
	resp, err := http.Get(s.url + "/api/v1/" + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	answer := struct {
		Status, Error string
		Data          *T
	}{Data: &data}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Status != "success" {
		s.t.Fatalf("%s: %v, %s", path, err, body)
	}
	return data
}

// query returns the values of an expression in PromQL.
func (s server) query(expression string) (values []string) {
	s.t.Helper()
	type result struct{ Result []struct{ Value [2]any } }
	for _, r := range ask[result](s, "query?query="+url.QueryEscape(expression)).Result {
		values = append(values, fmt.Sprint(r.Value[1]))
	}
	return values
}

func TestScrape(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds Prometheus")
	}
	e := enginetest.New(t, quoit.Config{Gear: quoit.GearRing})
	talk(t, e)
	registry := prometheus.NewRegistry()
	registry.MustRegister(quoitprom.NewCollector(e))
	metrics := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
	defer metrics.Close()
	s := start(t, metrics.Listener.Addr().String())

	testenv.Poll(t, "it has scraped", func() bool { return slices.Equal(s.query("up"), []string{"1"}) })
	type targets struct {
		ActiveTargets []struct{ Health, LastError string }
	}
	for _, target := range ask[targets](s, "targets").ActiveTargets {
		if target.Health != "up" || target.LastError != "" {
			t.Errorf("%+v", target)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := ask[[]string](s, "label/__name__/values")
	type described []struct{ Type, Help string }
	metadata := ask[map[string]described](s, "metadata")
	for _, f := range families {
		name := f.GetName()
		d := metadata[name]
		if len(d) != 1 || d[0].Help != f.GetHelp() {
			t.Errorf("%s: %+v, want %q", name, d, f.GetHelp())
		}
		if f.Metric[0].Histogram != nil {
			name += "_bucket"
		}
		if !slices.Contains(names, name) {
			t.Errorf("Prometheus has no %s", name)
		}
	}
	if e.Stats().Transport != "io_uring" {
		return
	}
	for _, expression := range []string{
		`quoit_transport_info{transport="io_uring"} == 1`,
		`sum by (instance) (quoit_conns) == 2`,
		`sum(rate(quoit_received_bytes_total[10s])) > 0`,
		`sum(rate(quoit_reads_total{way="ring"}[10s])) > 0`,
		`rate(quoit_turn_completions_sum[10s]) / rate(quoit_turn_completions_count[10s]) >= 1`,
		`histogram_quantile(0.99, sum by (le) (rate(quoit_wake_delay_seconds_bucket[10s]))) > 0`,
		`quoit_listener_queue_conns / quoit_listener_backlog_conns == 0`,
		`rate(quoit_gear_seconds_total{gear="ring"}[10s]) > 0.5`,
	} {
		testenv.Poll(t, expression, func() bool { return len(s.query(expression)) > 0 })
	}
	documented(s)
}

// documented has Prometheus evaluate what docs/operations.md proposes. Without the
// comparison of an alert there is an answer; with it there is none, for all is well.
func documented(s server) {
	s.t.Helper()
	b, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		s.t.Fatal(err)
	}
	text, dashboards, _ := strings.Cut(string(b), "## For dashboards")
	block := regexp.MustCompile("(?s)```promql\n(.*?)\n```")
	alerts := block.FindAllStringSubmatch(text, -1)
	if len(alerts) == 0 {
		s.t.Error("no alerts")
	}
	for _, m := range alerts {
		if got := s.query(m[1]); len(got) > 0 {
			s.t.Errorf("an alert: %s is %v", m[1], got)
		}
		left := regexp.MustCompile(` (>|==) .*`).ReplaceAllString(m[1], "")
		left = strings.Replace(left, `{transport="net"}`, "", 1)
		testenv.Poll(s.t, left, func() bool { return len(s.query(left)) > 0 })
	}
	for _, m := range block.FindAllStringSubmatch(dashboards, -1) {
		testenv.Poll(s.t, m[1], func() bool { return len(s.query(m[1])) > 0 })
	}
}

// talk has two ends of a conn of e talk until the test ends.
func talk(t *testing.T, e *quoit.Engine) {
	t.Helper()
	ln, err := e.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := e.Dialer().Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	echo := testenv.Go(func() error { _, err := io.Copy(struct{ io.Writer }{s}, struct{ io.Reader }{s}); return err })
	stop := make(chan struct{})
	client := testenv.Go(func() error { return chat(c, stop) })
	t.Cleanup(func() {
		close(stop)
		testenv.Wait(t, client, "client")
		testenv.Wait(t, echo, "echo")
		s.Close()
	})
}

func chat(c net.Conn, stop chan struct{}) error {
	defer c.Close()
	buf := make([]byte, 64)
	for i := 0; ; i++ {
		select {
		case <-stop:
			return nil
		default:
		}
		if _, err := c.Write(buf); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			return err
		}
		if i%100 == 0 {
			testenv.Pace(time.Millisecond)
		}
	}
}
