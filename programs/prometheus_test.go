//go:build linux

package programs

import (
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/quoit-go/quoit/internal/testenv"
)

// prometheusTrial has Prometheus scrape itself, and be asked for what it has.
var prometheusTrial = trial{
	name: "scrapes itself each second; queries by its HTTP API",
	run: func(r *running) {
		addr := testenv.Free(r, "127.0.0.1")
		config := fmt.Sprintf("global:\n  scrape_interval: 1s\nscrape_configs:\n- job_name: itself\n  static_configs:\n  - targets: [%q]\n", addr)
		s := r.start("prometheus", "--config.file", r.write("prometheus.yml", config),
			"--storage.tsdb.path", r.dir+"/data", "--web.listen-address", addr)
		s.listens(addr)
		client := r.httpClient(nil, false)
		query := func(q string) (string, error) {
			res, err := client.Get("http://" + addr + "/api/v1/query?query=" + url.QueryEscape(q))
			if err != nil {
				return "", err
			}
			defer res.Body.Close()
			var v struct {
				Data struct{ Result []struct{ Value [2]any } }
			}
			if err := json.NewDecoder(res.Body).Decode(&v); err != nil || len(v.Data.Result) != 1 {
				return "", err
			}
			return fmt.Sprint(v.Data.Result[0].Value[1]), nil
		}
		for q, want := range map[string]string{
			`up{job="itself"}`:                                           "1",
			`count_over_time(up[1m]) >= bool 4`:                          "1",
			`min_over_time(up[1m])`:                                      "1",
			`scrape_samples_scraped > bool 300`:                          "1",
			`count({__name__=~"prometheus_http_.*"}) > bool 10`:          "1",
			`prometheus_target_scrape_pool_targets{scrape_job="itself"}`: "1",
		} {
			s.until(q+" is "+want, func() bool {
				got, err := query(q)
				return err == nil && got == want
			})
		}
		r.answer("it has what it scraped")
		for range 50 {
			r.ask(client, "GET", "http://"+addr+"/-/healthy", nil)
			r.ask(client, "GET", "http://"+addr+"/api/v1/labels?match[]=up", nil)
		}
	},
}
