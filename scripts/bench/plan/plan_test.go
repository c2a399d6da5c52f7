package plan

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestChoicesThatDoNotExist(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"scenario": {Scenarios: []string{"nothing"}}, "cell": {Cells: []string{"1x1@1"}}, "variant": {Variants: []string{"theirs"}},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), "no "+name) || !strings.Contains(err.Error(), "there are") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLargeCellsAreExtrapolated(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		cell, variant string
		updates       int
		scale         float64
	}{
		{Name(10, 1000, 0), Plain, 10, 1},
		{Name(10, 10_000, 0), Plain, 2, 5},
		{Name(1000, 1000, 0), SDK, 20, 50},
		{Name(1000, 1000, 0), SDKBatch, 200, 5},
		{Name(1000, 10_000, 20), Floor, 2, 500},
	} {
		runs, err := New(Options{Scenarios: []string{Cells}, Cells: []string{tc.cell}, Variants: []string{tc.variant}, Rounds: 1})
		if err != nil || len(runs) != 1 {
			t.Fatalf("%v, %d runs", err, len(runs))
		}
		r := runs[0]
		if r.Workload.Updates != tc.updates || r.Scale != tc.scale {
			t.Errorf("%s, %s: %d updates, scale %g; want %d and %g", tc.cell, tc.variant, r.Workload.Updates, r.Scale, tc.updates, tc.scale)
		}
		if posts := r.Workload.Connections * r.Workload.Updates / r.Workload.PerFrame; posts > MaxPosts {
			t.Errorf("%s, %s: %d posts", tc.cell, tc.variant, posts)
		}
	}
}

func TestWhatConflatesIsNotCut(t *testing.T) {
	t.Parallel()
	c := grid(1000, 10_000, 0, 1, MaxPosts)
	if r := c.run(Variant{Name: Ours, Sender: Ours}, 0); r.Workload.Updates != 1000 || r.Scale != 1 || r.Workload.PerFrame != 1000 {
		t.Errorf("%+v", r)
	}
	c.Feed = 100
	if r := c.run(Variant{Name: Ours, Sender: Ours}, 0); r.Workload.Updates != 400 || r.Workload.Rate != 100 {
		t.Errorf("fed: %+v", r)
	}
}

func TestSmallCellsAreRepeated(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		variant                   string
		updates, together, passes int
	}{
		{Ours, 1, 1, 20}, {Plain, 1, 1, 5}, {Ours, 10, 10, 20}, {Floor, 10, 10, 2}, {SDKBatch, 10, 10, 5},
	} {
		c := grid(tc.updates, 1000, 0, 1, MaxPosts)
		v := Variants[slices.IndexFunc(Variants, func(v Variant) bool { return v.Name == tc.variant })]
		r := c.run(v, 0)
		if r.Workload.Updates != tc.updates*tc.passes || r.Workload.Together != tc.together || r.Scale != 1/float64(tc.passes) {
			t.Errorf("%s, %d updates: %+v, want %d passes", tc.variant, tc.updates, r, tc.passes)
		}
	}
}

func TestRoundsInterleave(t *testing.T) {
	t.Parallel()
	runs, err := New(Options{Scenarios: []string{Cells}, Cells: []string{Target}, Variants: []string{Plain, SDK, Floor}})
	if err != nil || len(runs) < 15 {
		t.Fatalf("%v, %d runs; want three variants, five times at least", err, len(runs))
	}
	for i, r := range runs {
		if r.Round != i/3 {
			t.Fatalf("run %d is of round %d", i, r.Round)
		}
	}
}

func TestTimeIsBounded(t *testing.T) {
	t.Parallel()
	for quick, limit := range map[bool]time.Duration{true: 3 * time.Minute, false: time.Hour} {
		runs, err := New(Options{Quick: quick})
		if err != nil {
			t.Fatal(err)
		}
		var cost time.Duration
		for _, r := range runs {
			cost += r.Cost
		}
		if cost > limit*9/10 {
			t.Errorf("quick %t: %s by the plan's own guess, which leaves no room below %s", quick, cost, limit)
		}
		t.Logf("quick %t: %d runs, %s", quick, len(runs), cost)
	}
}

// Who dials when it has to has a socket for each post in flight when the clock starts; who is slow anyway is not kept
// waiting for that.
func TestPoolsAreWarm(t *testing.T) {
	t.Parallel()
	runs, err := New(Options{Scenarios: []string{Latency}, Rounds: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		if warm := r.Workload.WarmUp >= 16*r.Workload.Pool; warm != r.Variant.cheap() {
			t.Errorf("%s: %d posts before %d are in flight", r.Variant.Name, r.Workload.WarmUp, r.Workload.Pool)
		}
	}
}
