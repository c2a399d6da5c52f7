// Package report tells what a bench found: tables, a plot and JSON.
package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/iops-dashboard/live/scripts/bench/plan"
	"github.com/iops-dashboard/live/scripts/bench/sample"
	"github.com/iops-dashboard/live/scripts/bench/target"
)

// column is one number of a row: a metric of a set.
type column struct {
	name string
	text func(row) string
}

type row struct {
	all  []sample.Sample
	set  sample.Set
	runs []sample.Sample
}

func (r row) stat(m sample.Metric) sample.Statistics {
	return sample.Of(sample.Values(r.all, r.set, m))
}

// spread is a median with the least and the most.
func spread(m sample.Metric) func(row) string {
	return func(r row) string { return Spread(r.stat(m)) }
}

func median(m sample.Metric) func(row) string {
	return func(r row) string { return Number(r.stat(m).Median) }
}

// against is how many times the metric is that of another variant, round by round.
func against(variant string, m sample.Metric) func(row) string {
	return func(r row) string {
		other := sample.Set{Scenario: r.set.Scenario, Cell: r.set.Cell, Variant: variant}
		ratio := sample.Of(sample.Ratios(r.all, r.set, other, m))
		if ratio.N == 0 || variant == r.set.Variant {
			return "-"
		}
		return Number(ratio.Median)
	}
}

func worst(pick func(sample.Result) float64) func(row) string {
	return median(func(s sample.Sample) float64 { return pick(s.Result) })
}

var (
	p50 = column{"p50 ms", worst(func(r sample.Result) float64 { return r.P50 })}
	p99 = column{"p99 ms", worst(func(r sample.Result) float64 { return r.P99 })}
	rss = column{"peak MiB", spread(sample.PeakMiB)}
	got = column{"complete %", median(sample.Complete)}
)

func onTheWire(s sample.Sample) float64 {
	var n int64
	for _, posts := range s.Stub.Posts {
		n += posts
	}
	return float64(n)
}

func answered(status int) sample.Metric {
	return func(s sample.Sample) float64 { return float64(s.Stub.Posts[status]) }
}

// tables are the columns of each scenario.
var tables = map[string]struct {
	title   string
	columns []column
}{
	plan.Cells: {"Updates by connections @ milliseconds of latency", []column{
		{"µs CPU/POST", spread(sample.CPUPerPost)}, {"POST/CPU-s", median(sample.PostsPerCPU)}, {"x plain", against(plan.Plain, sample.PostsPerCPU)},
		{"x sdk", against(plan.SDK, sample.PostsPerCPU)}, {"updates/CPU-s", median(sample.UpdatesPerCPU)}, {"x plain", against(plan.Plain, sample.UpdatesPerCPU)},
		{"CPU s", median(sample.CPU)}, {"wall s", median(sample.Wall)}, p50, p99, {"peak MiB", median(sample.PeakMiB)},
	}},
	plan.Verify: {"Signatures, each verified", []column{
		{"POSTs", median(func(s sample.Sample) float64 { return float64(s.Result.Posts) })}, {"refused", median(sample.Forged)}, got,
	}},
	plan.Quota: {"Over the quota: 1,000 POST/s, burst 500, 100 connections", []column{
		{"POSTs on the wire", median(onTheWire)}, {"429 %", spread(sample.Throttled)}, got, {"age p50 ms", median(sample.AgeP50)}, {"age p99 ms", spread(sample.AgeP99)},
	}},
	plan.Latency: {"20 ms of latency, 512 in flight", []column{
		{"POST/s", spread(sample.PostsPerSecond)}, {"of 25,600 %", median(func(s sample.Sample) float64 { return sample.PostsPerSecond(s) / 256 })}, p50, p99, rss,
	}},
	plan.Memory: {"Memory", []column{rss, got}},
	plan.Hang:   {"One connection in 100 never answers", []column{{"age p50 ms", median(sample.AgeP50)}, {"age p99 ms", spread(sample.AgeP99)}, p99}},
	plan.Faults: {"Connections that are gone, slow or broken", []column{
		{"POSTs on the wire", median(onTheWire)}, {"to gone", median(answered(http.StatusGone))}, {"to slow", median(answered(http.StatusTooManyRequests))},
		{"to broken", median(answered(http.StatusInternalServerError))}, got, {"age p50 ms", median(sample.AgeP50)}, {"age p99 ms", median(sample.AgeP99)},
	}},
	plan.Cold: {"From the start of the process to the last of 100 deliveries", []column{{"ms", spread(sample.ColdMS)}, {"x plain", against(plan.Plain, sample.ColdMS)}, rss}},
	plan.Reads: {"Registry reads, and what they and the posts cost for a million updates", []column{
		{"reads/update", median(func(s sample.Sample) float64 { return float64(s.Result.Reads) / float64(s.Workload.Updates) })},
		{"rows/update", median(func(s sample.Sample) float64 { return float64(s.Result.Rows) / float64(s.Workload.Updates) })},
		{"read units/update", median(sample.UnitsPerUpdate)}, {"reads $", median(sample.ReadCost)}, {"posts $", median(sample.PostCost)},
	}},
	plan.Curves: {"Curves", []column{{"CPU s", spread(sample.CPU)}, {"POSTs", median(func(s sample.Sample) float64 { return float64(s.Result.Posts) })}}},
}

// Tables writes what each scenario found, medians of its rounds.
func Tables(w io.Writer, samples []sample.Sample) error {
	for _, scenario := range plan.Scenarios {
		rows := rowsOf(samples, scenario)
		if len(rows) == 0 {
			continue
		}
		t := tables[scenario]
		fmt.Fprintf(w, "\n%s\n\n", t.title)
		tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprint(tab, "cell\tvariant\tn")
		for _, c := range t.columns {
			fmt.Fprint(tab, "\t", c.name)
		}
		fmt.Fprintln(tab, "\t")
		for _, r := range rows {
			fmt.Fprintf(tab, "%s\t%s\t%d", r.set.Cell, r.set.Variant, r.stat(sample.CPU).N)
			if r.runs[0].Absent != "" {
				fmt.Fprintf(tab, "\t%s\n", r.runs[0].Absent)
				continue
			}
			for _, c := range t.columns {
				fmt.Fprint(tab, "\t", c.text(r))
			}
			fmt.Fprintf(tab, "\t%s\n", notes(r))
		}
		if err := tab.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// notes are what must be known to read a row.
func notes(r row) string {
	var all []string
	if scale := r.runs[0].Scale; scale > 1 {
		all = append(all, fmt.Sprintf("extrapolated: %s times what was run", Number(scale)))
	}
	failed := map[string]int64{}
	short, interrupted := 0, false
	for _, s := range r.runs {
		for verdict, n := range s.Result.Verdicts {
			if verdict != "ok" {
				failed[verdict] += n
			}
		}
		interrupted = interrupted || s.Result.Interrupted
		if s.Stub.Complete < s.Workload.Connections && s.Variant != plan.Wrk {
			short++
		}
	}
	for _, verdict := range slices.Sorted(maps.Keys(failed)) {
		all = append(all, fmt.Sprintf("%d %s", failed[verdict], verdict))
	}
	if short > 0 {
		all = append(all, "not every final value was shown")
	}
	if interrupted {
		all = append(all, "time was up")
	}
	return strings.Join(all, ", ")
}

// rowsOf are the sets of a scenario, cells in their order and variants in theirs.
func rowsOf(samples []sample.Sample, scenario string) []row {
	sizes := map[string]float64{} // of cells
	by := map[sample.Set]*row{}
	var rows []*row
	for _, s := range samples {
		if s.Scenario != scenario {
			continue
		}
		sizes[s.Cell] = max(sizes[s.Cell], size(s))
		set := sample.Set{Scenario: s.Scenario, Cell: s.Cell, Variant: s.Variant}
		if by[set] == nil {
			by[set] = &row{all: samples, set: set}
			rows = append(rows, by[set])
		}
		by[set].runs = append(by[set].runs, s)
	}
	slices.SortFunc(rows, func(a, b *row) int {
		return cmp.Or(
			cmp.Compare(sizes[a.set.Cell], sizes[b.set.Cell]),
			cmp.Compare(a.set.Cell, b.set.Cell),
			cmp.Compare(place(a.set.Variant), place(b.set.Variant)),
		)
	})
	sorted := make([]row, len(rows))
	for i, r := range rows {
		sorted[i] = *r
	}
	return sorted
}

// size puts cells in an order: by latency, connections and updates.
func size(s sample.Sample) float64 {
	return float64(s.Settings.LatencyMS)*1e12 + float64(s.Workload.Connections)*1e6 + float64(s.Workload.Updates)*s.Scale
}

func place(variant string) int {
	return slices.IndexFunc(plan.Variants, func(v plan.Variant) bool { return v.Name == variant })
}

// Targets writes what was wanted and what was got.
func Targets(w io.Writer, outcomes []target.Outcome) error {
	fmt.Fprint(w, "\nTargets (their stretch in parentheses): median (least to most) of the rounds\n\n")
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "target\twanted\tgot\t")
	for _, o := range outcomes {
		text := "-"
		if o.Got.N > 0 {
			text = Spread(o.Got) + o.Unit
		}
		fmt.Fprintf(tab, "%s\t%s\t%s\t%s\n", o.Name, o.Wanted, text, o.Verdict)
	}
	return tab.Flush()
}

// Spread is a median and, if there are several values, the least and the most.
func Spread(s sample.Statistics) string {
	if s.N < 2 {
		return Number(s.Median)
	}
	return fmt.Sprintf("%s (%s to %s)", Number(s.Median), Number(s.Min), Number(s.Max))
}

// Number has three digits that matter, and commas.
func Number(v float64) string {
	switch abs := math.Abs(v); {
	case v == 0:
		return "0"
	case abs < 0.01:
		return fmt.Sprintf("%.2g", v)
	case abs < 10:
		return fmt.Sprintf("%.2f", v)
	case abs < 100:
		return fmt.Sprintf("%.1f", v)
	}
	digits := fmt.Sprintf("%.0f", v)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
