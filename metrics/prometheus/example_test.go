package prometheus_test

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	quoitprom "github.com/quoit-go/quoit/metrics/prometheus"
)

func ExampleNewCollector() {
	r := prometheus.NewRegistry() // or prometheus.DefaultRegisterer
	err := r.Register(quoitprom.NewCollector(nil))
	fmt.Println(err)
	// Output: <nil>
}
