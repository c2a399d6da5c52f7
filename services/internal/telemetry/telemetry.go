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
	"sync"
	"time"
)

// Namespace is the CloudWatch namespace of all metrics.
const Namespace = "IOpsDashboard"

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

// Recorder collects the metrics of a service. It may be used concurrently, and never blocks on I/O but in
// Flush.
type Recorder struct {
	service string

	mu         sync.Mutex
	lines      map[label]*line // since the last flush
	counters   map[series]float64
	histograms map[string]*histogram
}

// series is a counter that Prometheus reads.
type series struct {
	name string
	by   label
}

// histogram is what Prometheus reads of a distribution.
type histogram struct {
	counts [len(bounds) + 1]uint64 // by the first bound that the value does not exceed
	sum    float64
}

// label is the one dimension that a metric may have besides the service; zero for none.
type label struct{ name, value string }

type line struct {
	units  map[string]Unit
	sums   map[string]float64
	values map[string]*sample
}

// sample is a fair choice of the values that were observed (J. S. Vitter, "Random sampling with a
// reservoir", 1985, algorithm R).
type sample struct {
	seen   int
	values []float64
}

// New returns the recorder of a service.
func New(service string) *Recorder {
	return &Recorder{service: service, lines: map[label]*line{}, counters: map[series]float64{}, histograms: map[string]*histogram{}}
}

// Add counts. The label is a name and a value, or absent.
func (r *Recorder) Add(name string, unit Unit, n float64, by ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(name, unit, n, labelOf(by))
}

func (r *Recorder) add(name string, unit Unit, n float64, l label) {
	r.counters[series{name, l}] += n
	r.line(l, name, unit).sums[name] += n
}

// Observe notes a value, of which the distribution matters.
func (r *Recorder) Observe(name string, unit Unit, v float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.observe(name, unit, v)
}

func (r *Recorder) observe(name string, unit Unit, v float64) {
	h := r.histograms[name]
	if h == nil {
		h = &histogram{}
		r.histograms[name] = h
	}
	at, _ := slices.BinarySearch(bounds[:], v)
	h.counts[at]++
	h.sum += v
	s := r.line(label{}, name, unit).values[name]
	if s == nil {
		s = &sample{}
		r.lines[label{}].values[name] = s
	}
	s.seen++
	if len(s.values) < maxValues {
		s.values = append(s.values, v)
	} else if at := rand.IntN(s.seen); at < maxValues {
		s.values[at] = v
	}
}

// bounds are those of the histograms: from 1 to a minute, if they are milliseconds.
var bounds = [...]float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000}

func labelOf(by []string) label {
	if len(by) == 2 {
		return label{by[0], by[1]}
	}
	return label{}
}

func (r *Recorder) line(l label, name string, unit Unit) *line {
	at := r.lines[l]
	if at == nil {
		at = &line{units: map[string]Unit{}, sums: map[string]float64{}, values: map[string]*sample{}}
		r.lines[l] = at
	}
	at.units[name] = unit
	return at
}

// Flush writes what was recorded since the last flush, a line of JSON for each set of dimensions, each in
// one Write.
func (r *Recorder) Flush(w io.Writer) error {
	r.mu.Lock()
	lines := r.lines
	r.lines = map[label]*line{}
	r.mu.Unlock()
	order := slices.SortedFunc(maps.Keys(lines), func(a, b label) int {
		if a.name+a.value < b.name+b.value {
			return -1
		}
		return 1
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

func (r *Recorder) document(l label, at *line) map[string]any {
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
		if s := at.values[name]; s != nil {
			out[name] = s.values
		} else {
			out[name] = at.sums[name]
		}
	}
	out["_aws"] = map[string]any{
		"Timestamp": time.Now().UnixMilli(),
		"CloudWatchMetrics": []any{map[string]any{
			"Namespace": Namespace, "Dimensions": [][]string{dimensions}, "Metrics": definitions,
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
	for s, total := range r.counters {
		by := ""
		if s.by != (label{}) {
			by = fmt.Sprintf(",%s=%q", s.by.name, s.by.value)
		}
		lines = append(lines, fmt.Sprintf("%s_total{service=%q%s} %v", snake(s.name), r.service, by, total))
	}
	for name, h := range r.histograms {
		below := uint64(0)
		for i, n := range h.counts {
			below += n
			bound := "+Inf"
			if i < len(bounds) {
				bound = fmt.Sprint(bounds[i])
			}
			lines = append(lines, fmt.Sprintf("%s_bucket{service=%q,le=%q} %d", snake(name), r.service, bound, below))
		}
		lines = append(lines, fmt.Sprintf("%s_sum{service=%q} %v", snake(name), r.service, h.sum),
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
