package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/iops-dashboard/live/scripts/bench/plan"
	"github.com/iops-dashboard/live/scripts/bench/sample"
	"github.com/iops-dashboard/live/scripts/bench/target"
)

func samples() []sample.Sample {
	of := func(cell, variant string, round int, posts int64, cpu, scale float64) sample.Sample {
		s := sample.Sample{
			Scenario: plan.Cells, Cell: cell, Variant: variant, Round: round, Scale: scale,
			Workload: sample.Workload{Connections: 1000, Updates: int(posts / 1000)},
			Result:   sample.Result{Posts: posts, CPU: cpu, Wall: cpu, Verdicts: map[string]int64{"ok": posts}},
		}
		s.Stub.Complete = 1000
		return s
	}
	all := []sample.Sample{
		of(plan.Updates, plan.Floor, 0, 10_000, 0.2, 1), of(plan.Updates, plan.Plain, 0, 10_000, 8, 1),
		of(plan.Updates, plan.Plain, 1, 10_000, 10, 1), of(plan.Updates, plan.Floor, 1, 10_000, 0.2, 1),
		of(plan.Name(1000, 1000, 0), plan.Plain, 0, 20_000, 20, 50),
	}
	all[4].Result.Verdicts = map[string]int64{"ok": 19_000, "throttled": 1000}
	all[4].Stub.Complete = 3
	return append(all, sample.Sample{Scenario: plan.Cells, Cell: plan.Updates, Variant: plan.Wrk, Absent: "wrk is not installed"})
}

func TestTables(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := Tables(&out, samples()); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	for i, want := range []struct {
		line int
		has  []string
	}{
		{4, []string{"10x1000@0 ", "plain", "2", "900 (800 to 1,000)"}},
		{5, []string{"floor", "20.0", "45.0"}}, // median of 40 and 50
		{6, []string{"wrk", "wrk is not installed"}},
		{7, []string{"1000x1000@0", "plain", "extrapolated: 50.0 times what was run", "1000 throttled", "not every final value was shown"}},
	} {
		for _, text := range want.has {
			if !strings.Contains(lines[want.line], text) {
				t.Errorf("line %d has no %q: %s", i, text, lines[want.line])
			}
		}
	}
}

func TestTargets(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	err := Targets(&out, []target.Outcome{
		{Name: "speed", Wanted: "≥ 5x", Unit: "x", Got: sample.Of([]float64{5, 6, 7}), Verdict: target.Met},
		{Name: "memory", Wanted: "≤ 1 MiB", Verdict: target.NotMeasured},
	})
	if err != nil || !strings.Contains(out.String(), "6.00 (5.00 to 7.00)x") || !strings.Contains(out.String(), "not measured") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestPlotIsXML(t *testing.T) {
	t.Parallel()
	all := samples()
	for _, n := range []int{100, 1000, 10_000} {
		all = append(all, sample.Sample{
			Scenario: plan.Curves, Cell: plan.CurveName(10, 10, n), Variant: plan.Ours, Scale: 1,
			Workload: sample.Workload{Connections: n, Updates: 40, Together: 10, Entities: 10},
			Result:   sample.Result{CPU: float64(n) / 1e5},
		})
	}
	var out bytes.Buffer
	if err := Plot(&out, all); err != nil {
		t.Fatal(err)
	}
	if points := strings.Count(out.String(), "<circle"); points != 3 {
		t.Errorf("%d points of a curve, want 3", points)
	}
	bars := strings.Count(out.String(), "updates a CPU-second</title>")
	d := xml.NewDecoder(&out)
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if bars != 3 {
		t.Errorf("%d bars, want one for each variant of a cell that was run", bars)
	}
	if err := Plot(io.Discard, all[len(all)-3:]); err != nil {
		t.Errorf("curves alone: %v", err)
	}
	if err := Plot(io.Discard, nil); err == nil {
		t.Error("a plot of nothing is no error")
	}
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{
		0: "0", 0.00123: "0.0012", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 1234: "1,234", 1234567: "1,234,567", -1234: "-1,234", -123: "-123",
	} {
		if got := Number(v); got != want {
			t.Errorf("%g is written %q, want %q", v, got, want)
		}
	}
}
