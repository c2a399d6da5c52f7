package sample

import (
	"slices"
	"testing"
)

func TestOf(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		values []float64
		want   Statistics
	}{
		{nil, Statistics{}},
		{[]float64{3}, Statistics{1, 3, 3, 3}},
		{[]float64{9, 1, 2}, Statistics{3, 2, 1, 9}},
		{[]float64{4, 1, 2, 100}, Statistics{4, 3, 1, 100}},
	} {
		before := slices.Clone(tc.values)
		if got := Of(tc.values); got != tc.want || !slices.Equal(before, tc.values) {
			t.Errorf("Of(%v) = %+v, want %+v; the values are %v now", before, got, tc.want, tc.values)
		}
	}
}

func TestRatiosPairRounds(t *testing.T) {
	t.Parallel()
	run := func(variant string, round int, posts int64, cpu float64, absent string) Sample {
		return Sample{Scenario: "s", Cell: "c", Variant: variant, Round: round, Result: Result{Posts: posts, CPU: cpu}, Absent: absent}
	}
	all := []Sample{
		run("fast", 0, 100, 1, ""), run("slow", 0, 10, 1, ""), // 10
		run("slow", 1, 10, 4, ""), run("fast", 1, 100, 2, ""), // 20: both were disturbed
		run("fast", 2, 100, 1, ""),                           // alone
		run("fast", 3, 100, 1, ""), run("slow", 3, 0, 1, ""), // nothing to divide by
		run("fast", 4, 100, 1, ""), run("slow", 4, 10, 1, "x"), // was not run
		{Scenario: "s", Cell: "other", Variant: "slow", Round: 2, Result: Result{Posts: 1, CPU: 1}},
	}
	got := Ratios(all, Set{"s", "c", "fast"}, Set{"s", "c", "slow"}, PostsPerCPU)
	slices.Sort(got)
	if !slices.Equal(got, []float64{10, 20}) {
		t.Errorf("ratios %v, want 10 and 20", got)
	}
	if got := Values(all, Set{"s", "c", "slow"}, PostsPerCPU); len(got) != 3 {
		t.Errorf("values %v, want those of the three that were run", got)
	}
}

func TestMetricsOfNothing(t *testing.T) {
	t.Parallel()
	for i, m := range []Metric{PostsPerCPU, UpdatesPerCPU, PostsPerSecond, CPUPerPost, CPU, Wall, PeakMiB, Complete, Throttled, Forged, AgeP50, AgeP99, ColdMS} {
		if got := m(Sample{}); got != 0 {
			t.Errorf("metric %d of nothing is %g", i, got)
		}
	}
}

func TestWholeCellIsExtrapolated(t *testing.T) {
	t.Parallel()
	s := Sample{Scale: 50, Workload: Workload{Connections: 1000, Updates: 20}, Result: Result{Posts: 20_000, CPU: 2, Wall: 3}}
	if CPU(s) != 100 || Wall(s) != 150 || PostsPerCPU(s) != 10_000 || UpdatesPerCPU(s) != 10_000 {
		t.Errorf("CPU %g, wall %g, posts %g, updates %g", CPU(s), Wall(s), PostsPerCPU(s), UpdatesPerCPU(s))
	}
}
