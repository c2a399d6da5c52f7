package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/iops-dashboard/live/scripts/bench/report"
)

const legend = `Latencies run from the call of UpdateItem until a client has received the update, or a later one of the same
entity, which supersedes it. Conflation is the updates written, times the clients, by the updates received.
Complete are the clients that show the final value of every entity.
`

// table writes a line for each result.
func table(w io.Writer, results []result) error {
	fmt.Fprintf(w, "\n%s\n", legend)
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tab, strings.Join([]string{
		"clients", "updates/s", "written/s", "p50 ms", "p95 ms", "p99 ms", "max ms", "frames/client", "updates/client",
		"updates/frame", "bytes/frame", "conflation", "complete %", "failed writes", "",
	}, "\t"))
	for _, r := range results {
		clients, frames := float64(r.Clients), float64(r.Frames)
		fmt.Fprintf(tab, "%d\t%d\t", r.Clients, r.Rate)
		for _, v := range []float64{
			r.PerSecond, r.P50, r.P95, r.P99, r.Max,
			per(frames, clients), per(float64(r.Updates), clients), per(float64(r.Updates), frames), per(float64(r.Bytes), frames),
			per(float64(r.Written)*clients, float64(r.Updates)), 100 * per(float64(r.Complete), clients),
		} {
			fmt.Fprint(tab, report.Number(v), "\t")
		}
		fmt.Fprintf(tab, "%d\t%s\n", r.Failed, notes(r))
	}
	return tab.Flush()
}

// notes are what must be known to read a line.
func notes(r result) string {
	var all []string
	for _, n := range []struct {
		count int
		text  string
	}{
		{r.Lost, "connections lost"}, {r.NotShown, "updates not shown"}, {r.Resyncs, "times told to ask again"},
	} {
		if n.count > 0 {
			all = append(all, fmt.Sprintf("  %d %s", n.count, n.text))
		}
	}
	if r.Problem != "" {
		all = append(all, "  a write failed: "+r.Problem)
	}
	return strings.Join(all, ",")
}

func per(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
