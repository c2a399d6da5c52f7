// Package telemetry says how a service does: as CloudWatch metrics in the log, in the embedded metric
// format, and at an address that Prometheus reads.
package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Namespace is the CloudWatch namespace of all metrics, if [Recorder.Under] names no other.
const Namespace = "IOpsDashboard"

// CrossTenant is the metric of what was about to reach somebody of another tenant, or who may not see its type, and
// was kept back by the last check before it is sent. It is 0, or a fault of ours: alarm at 1.
const CrossTenant = "CrossTenant"

// Unit is a unit of CloudWatch:
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html
type Unit string

// The units in use.
const (
	Count        Unit = "Count"
	Bytes        Unit = "Bytes"
	Milliseconds Unit = "Milliseconds"
)

// Interval is how often metrics are written to the log by Run.
const Interval = 10 * time.Second

// maxValues is how many values of a metric one log line may hold:
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
const maxValues = 100

// Recorder has the metrics of a service. It may be used concurrently, and never blocks on I/O but in Flush.
type Recorder struct {
	service   string
	namespace string

	mu            sync.Mutex // of what there is; each metric has its own state
	counters      map[series]*Counter
	distributions map[string]*Distribution
}

// series is a counter's name with its label.
type series struct {
	name string
	by   label
}

// label is the one dimension that a metric may have besides the service; zero for none.
type label struct{ name, value string }

// Counter is a metric that only grows. It may be used concurrently.
type Counter struct {
	unit           Unit
	total, flushed atomic.Int64
}

// Add counts.
func (c *Counter) Add(n int) { c.total.Add(int64(n)) }

// Distribution is a metric of which each value matters. It may be used concurrently.
type Distribution struct {
	unit Unit

	mu     sync.Mutex
	counts [len(bounds) + 1]uint64 // since the start, by the first bound that the value does not exceed
	sum    float64
	// A fair choice of the values since the last flush (J. S. Vitter, "Random sampling with a
	// reservoir", 1985, algorithm R).
	seen   int
	sample []float64
}

// bounds are those of the histograms: from 1 to a minute, if they are milliseconds.
var bounds = [...]float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000}

// Observe notes a value.
func (d *Distribution) Observe(v float64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := 0
	for at < len(bounds) && v > bounds[at] {
		at++
	}
	d.counts[at]++
	d.sum += v
	d.seen++
	if len(d.sample) < maxValues {
		d.sample = append(d.sample, v)
	} else if at := rand.IntN(d.seen); at < maxValues {
		d.sample[at] = v
	}
}

// New returns the recorder of a service.
func New(service string) *Recorder {
	return &Recorder{
		service: service, namespace: Namespace, counters: map[series]*Counter{}, distributions: map[string]*Distribution{},
	}
}

// Under has the metrics in a namespace of CloudWatch that is not [Namespace]: in one, those of two systems in an account
// would add up. It must be called before anything else.
func (r *Recorder) Under(namespace string) { r.namespace = namespace }

// Counter returns the counter of that name. The label is a name and a value, or absent.
func (r *Recorder) Counter(name string, unit Unit, by ...string) *Counter {
	s := series{name: name}
	if len(by) == 2 {
		s.by = label{by[0], by[1]}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counters[s] == nil {
		r.counters[s] = &Counter{unit: unit}
	}
	return r.counters[s]
}

// Distribution returns the distribution of that name.
func (r *Recorder) Distribution(name string, unit Unit) *Distribution {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.distributions[name] == nil {
		r.distributions[name] = &Distribution{unit: unit}
	}
	return r.distributions[name]
}

// line is what one set of dimensions has to tell.
type line struct {
	units  map[string]Unit
	values map[string]any
}

// take returns what was recorded since the last time.
func (r *Recorder) take() map[label]line {
	lines := map[label]line{}
	tell := func(by label, name string, unit Unit, value any) {
		if _, begun := lines[by]; !begun {
			lines[by] = line{map[string]Unit{}, map[string]any{}}
		}
		lines[by].units[name], lines[by].values[name] = unit, value
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for s, c := range r.counters {
		total := c.total.Load()
		if n := total - c.flushed.Swap(total); n != 0 {
			tell(s.by, s.name, c.unit, n)
		}
	}
	for name, d := range r.distributions {
		d.mu.Lock()
		if d.seen > 0 {
			tell(label{}, name, d.unit, d.sample)
			d.seen, d.sample = 0, nil
		}
		d.mu.Unlock()
	}
	return lines
}

// Flush writes what was recorded since the last flush, a line of JSON for each set of dimensions, each in
// one Write.
func (r *Recorder) Flush(w io.Writer) error {
	lines := r.take()
	order := slices.SortedFunc(maps.Keys(lines), func(a, b label) int {
		return strings.Compare(a.name+a.value, b.name+b.value)
	})
	var errs []error
	for _, l := range order {
		text, err := json.Marshal(r.document(l, lines[l]))
		if err == nil {
			_, err = w.Write(append(text, '\n'))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

type definition struct {
	Name string
	Unit Unit
}

func (r *Recorder) document(l label, at line) map[string]any {
	dimensions := []string{"Service"}
	out := map[string]any{"Service": r.service}
	if l != (label{}) {
		name := string(l.name[0]-'a'+'A') + l.name[1:]
		dimensions = append(dimensions, name)
		out[name] = l.value
	}
	var definitions []definition
	for _, name := range slices.Sorted(maps.Keys(at.units)) {
		definitions = append(definitions, definition{name, at.units[name]})
		out[name] = at.values[name]
	}
	out["_aws"] = map[string]any{
		"Timestamp": time.Now().UnixMilli(),
		"CloudWatchMetrics": []any{map[string]any{
			"Namespace": r.namespace, "Dimensions": [][]string{dimensions}, "Metrics": definitions,
		}},
	}
	return out
}

// ServeHTTP answers Prometheus: what was recorded since the start, in its text format.
// https://prometheus.io/docs/instrumenting/exposition_formats/
func (r *Recorder) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	var lines []string
	r.mu.Lock()
	for s, c := range r.counters {
		by := ""
		if s.by != (label{}) {
			by = fmt.Sprintf(",%s=%q", s.by.name, s.by.value)
		}
		lines = append(lines, fmt.Sprintf("%s_total{service=%q%s} %v", snake(s.name), r.service, by, c.total.Load()))
	}
	for name, d := range r.distributions {
		d.mu.Lock()
		counts, sum := d.counts, d.sum
		d.mu.Unlock()
		below := uint64(0)
		for i, n := range counts {
			below += n
			bound := "+Inf"
			if i < len(bounds) {
				bound = fmt.Sprint(bounds[i])
			}
			lines = append(lines, fmt.Sprintf("%s_bucket{service=%q,le=%q} %d", snake(name), r.service, bound, below))
		}
		lines = append(lines, fmt.Sprintf("%s_sum{service=%q} %v", snake(name), r.service, sum),
			fmt.Sprintf("%s_count{service=%q} %d", snake(name), r.service, below))
	}
	r.mu.Unlock()
	slices.Sort(lines)
	for _, line := range lines {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return // the reader has gone
		}
	}
}

// snake is a name as Prometheus has them: write_to_post_latency.
func snake(name string) string {
	var out []byte
	for i, c := range []byte(name) {
		if c >= 'A' && c <= 'Z' {
			if i > 0 {
				out = append(out, '_')
			}
			c += 'a' - 'A'
		}
		out = append(out, c)
	}
	return string(out)
}

// Run flushes to w every Interval, and at the end, until ctx ends. With an address it also serves Prometheus
// there, at /metrics; that it cannot is an error.
func (r *Recorder) Run(ctx context.Context, w io.Writer, address string) error {
	var served sync.WaitGroup
	if address != "" {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return fmt.Errorf("telemetry: %w", err)
		}
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", r)
		server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second}
		served.Go(func() { _ = server.Serve(l) })
		defer func() {
			_ = server.Close()
			served.Wait()
		}()
	}
	tick := time.NewTicker(Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return r.Flush(w)
		case <-tick.C:
			if err := r.Flush(w); err != nil {
				return err
			}
		}
	}
}
