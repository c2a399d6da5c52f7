package target

import (
	"slices"
	"testing"

	"github.com/iops-dashboard/live/scripts/bench/plan"
	"github.com/iops-dashboard/live/scripts/bench/sample"
)

func TestVerdicts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		target Target
		got    []float64
		want   Verdict
	}{
		{"nothing measured", Target{Least: 5}, nil, NotMeasured},
		{"too little", Target{Least: 5}, []float64{4.99}, NotMet},
		{"just enough", Target{Least: 5, Stretch: 6}, []float64{5}, Met},
		{"more", Target{Least: 5, Stretch: 6}, []float64{6}, Stretched},
		{"too much", Target{Most: 1.5, Stretch: 1.2}, []float64{1.51}, NotMet},
		{"few enough", Target{Most: 1.5, Stretch: 1.2}, []float64{1.5}, Met},
		{"fewer", Target{Most: 1.5, Stretch: 1.2}, []float64{1.1}, Stretched},
		{"none wanted, none had", Target{}, []float64{0, 0}, Met},
		{"none wanted, one had", Target{}, []float64{1}, NotMet},
		{"the median decides", Target{Least: 5}, []float64{1, 5, 9}, Met},
	} {
		tc.target.Measure = func([]sample.Sample) []float64 { return tc.got }
		if got := Evaluate([]Target{tc.target}, nil); len(got) != 1 || got[0].Verdict != tc.want {
			t.Errorf("%s: %+v, want %s", tc.name, got, tc.want)
		}
	}
}

func TestNothingIsMetWithoutTheEngine(t *testing.T) {
	t.Parallel()
	var all []sample.Sample
	for _, variant := range []string{plan.Plain, plan.SDK, plan.Floor} {
		all = append(all, of(plan.Cells, plan.Target, variant, 1000, 1))
	}
	for _, o := range Evaluate(Targets, all) {
		if o.Verdict != NotMeasured || o.Wanted == "" {
			t.Errorf("%s: %s, wanted %q", o.Name, o.Verdict, o.Wanted)
		}
	}
}

func TestEachTargetFindsItsSamples(t *testing.T) {
	t.Parallel()
	all := []sample.Sample{
		of(plan.Cells, plan.Target, plan.Ours, 1000, 0.02), of(plan.Cells, plan.Target, plan.Plain, 10_000, 10),
		of(plan.Cells, plan.Target, plan.SDK, 10_000, 1.2), of(plan.Cells, plan.Target, plan.Floor, 10_000, 0.2),
		of(plan.Cells, plan.Target, plan.Wrk, 10_000, 0.2),
		of(plan.Cells, plan.Updates, plan.Ours, 1000, 0.02), of(plan.Cells, plan.Updates, plan.Plain, 10_000, 10),
		of(plan.Verify, plan.Signatures, plan.Ours, 100, 1),
		of(plan.Quota, plan.Over10, plan.Ours, 100, 1), of(plan.Quota, plan.Over100, plan.Ours, 100, 1),
		of(plan.Latency, plan.InFlight, plan.Ours, 24_000, 1),
		of(plan.Memory, plan.Memory10, plan.Ours, 10_000, 1), of(plan.Memory, plan.Memory20, plan.Ours, 20_000, 1),
		of(plan.Memory, plan.Registered, plan.Ours, 100_000, 1),
		of(plan.Hang, plan.AllAnswer, plan.Ours, 100, 1), of(plan.Hang, plan.OneSilent, plan.Ours, 100, 1),
		of(plan.Cold, plan.FirstPosts, plan.Ours, 100, 1), of(plan.Cold, plan.FirstPosts, plan.Plain, 100, 1),
		of(plan.Curves, plan.CurveName(10, 10, 1000), plan.Ours, 1, 1), of(plan.Curves, plan.CurveName(10, 10, 10_000), plan.Ours, 1, 11),
		of(plan.Curves, plan.CurveName(1000, 100, 1000), plan.Ours, 1, 1), of(plan.Curves, plan.CurveName(1000, 1000, 1000), plan.Ours, 1, 1),
		of(plan.Curves, plan.CurveName(100, 10, 1000), plan.Ours, 1, 1), of(plan.Curves, plan.CurveName(1000, 10, 1000), plan.Ours, 1, 1),
	}
	all[12].Workload.Connections, all[12].Result.PeakRSS = 20_000, 30<<20+10_000*500
	want := map[string]float64{
		"POSTs per CPU-second, by plain's":                50,
		"CPU per POST, by the floor's":                    1,
		"512 in flight at 20 ms, by 512 ÷ 20 ms":          93.75,
		"memory of each further connection":               500,
		"10x over the quota: complete connections":        100,
		"CPU, 10,000 connections by 1,000 (10 is linear)": 11,
	}
	seen := 0
	for _, o := range Evaluate(Targets, all) {
		if o.Verdict == NotMeasured {
			t.Errorf("%s is not measured", o.Name)
		}
		if value, ok := want[o.Name]; ok {
			seen++
			if diff := o.Got.Median - value; diff > 1e-6 || diff < -1e-6 {
				t.Errorf("%s: %g, want %g", o.Name, o.Got.Median, value)
			}
		}
	}
	if seen != len(want) {
		t.Errorf("%d of %d targets found", seen, len(want))
	}
}

// The plan has a cell for each set that a target names.
func TestThePlanHasTheCells(t *testing.T) {
	t.Parallel()
	for _, quick := range []bool{true, false} {
		runs, err := plan.New(plan.Options{Quick: quick})
		if err != nil {
			t.Fatal(err)
		}
		has := func(scenario, cell string) bool {
			return slices.ContainsFunc(runs, func(r plan.Run) bool { return r.Scenario == scenario && r.Cell == cell })
		}
		for scenario, cells := range map[string][]string{
			plan.Cells: {plan.Target, plan.Updates}, plan.Verify: {plan.Signatures}, plan.Quota: {plan.Over10, plan.Over100},
			plan.Latency: {plan.InFlight}, plan.Memory: {plan.Memory10, plan.Memory20}, plan.Hang: {plan.AllAnswer, plan.OneSilent},
			plan.Cold: {plan.FirstPosts},
		} {
			for _, cell := range cells {
				if !has(scenario, cell) {
					t.Errorf("quick %t: no run of %s, %s", quick, scenario, cell)
				}
			}
		}
	}
}

// of is a sample that took so many posts and so much time.
func of(scenario, cell, variant string, posts int64, cpu float64) sample.Sample {
	s := sample.Sample{
		Scenario: scenario, Cell: cell, Variant: variant, Scale: 1, Cold: 0.1,
		Workload: sample.Workload{Connections: 10_000, Updates: 10, Pool: 512},
		Result:   sample.Result{Posts: posts, CPU: cpu, Wall: 1, PeakRSS: 30 << 20},
	}
	s.Settings.LatencyMS = 20
	s.Stub.Complete, s.Stub.AgeP99 = 10_000, 100
	s.Stub.Posts = map[int]int64{200: posts}
	return s
}
