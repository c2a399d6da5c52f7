package fanout

import (
	"context"
	"errors"
	"testing"

	"github.com/iops-dashboard/live/services/internal/fault"
)

// The whole table: what a post ended with, and what of the circumstances matters then. Of several
// rows that fit, the first counts.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	const any, yes, no = 0, 1, 2
	table := []struct {
		kinds                      []fault.Kind // none: success
		ended, young, single, last int
		want                       verdict
	}{
		{nil, any, any, any, any, delivered},
		{every(), yes, any, any, any, interrupted},
		{kinds(fault.Gone), no, yes, any, any, newborn},
		{kinds(fault.Gone), no, no, any, any, closed},
		{kinds(fault.TooLarge), no, any, yes, any, oversize},
		{kinds(fault.TooLarge), no, any, no, any, split},
		{kinds(fault.Denied, fault.Invalid), no, any, any, any, refused},
		{kinds(fault.Throttled, fault.Transient, fault.Internal), no, any, any, yes, spent},
		{kinds(fault.Throttled, fault.Transient, fault.Internal), no, any, any, no, again},
	}
	fits := func(want int, is bool) bool { return want == any || (want == yes) == is }
	flags := []bool{false, true}
	for _, kind := range append([]fault.Kind{-1}, every()...) {
		for _, ended := range flags {
			for _, young := range flags {
				for _, single := range flags {
					for _, last := range flags {
						a := attempt{ended: ended, young: young, single: single, last: last}
						if kind >= 0 {
							a.err = fault.New("gateway.Post", kind, nil)
						}
						rows := 0
						for _, row := range table {
							if !has(row.kinds, kind) || !fits(row.ended, ended) || !fits(row.young, young) || !fits(row.single, single) || !fits(row.last, last) {
								continue
							}
							if rows++; judge(a) != row.want {
								t.Errorf("judge(%+v) = %v, want %v", a, judge(a), row.want)
							}
						}
						if rows != 1 {
							t.Errorf("%d rows for %+v", rows, a)
						}
					}
				}
			}
		}
	}
}

func TestVerdictOfUnclassifiedErrors(t *testing.T) {
	t.Parallel()
	for _, err := range []error{errors.New("odd"), context.DeadlineExceeded} {
		if got := judge(attempt{err: err}); got != again {
			t.Errorf("judge(%v) = %v", err, got)
		}
	}
}

func TestEveryVerdictHasAName(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for v := range verdicts {
		name := verdict(v).String()
		if name == "" || seen[name] {
			t.Errorf("verdict %d is called %q", v, name)
		}
		seen[name] = true
	}
}

func TestPausesGrowAndVary(t *testing.T) {
	t.Parallel()
	throttled := fault.New("gateway.Post", fault.Throttled, nil)
	for try := 2; try < 5; try++ {
		for range 50 {
			long, short := pauseBefore(try, throttled), pauseBefore(try, errors.New("outage"))
			if full := throttledPause << (try - 2); long < full/2 || long > full+1 {
				t.Errorf("try %d after a throttle waits %v", try, long)
			}
			if full := outagePause << (try - 2); short < full/2 || short > full+1 {
				t.Errorf("try %d after an outage waits %v", try, short)
			}
		}
	}
}

func kinds(k ...fault.Kind) []fault.Kind { return k }

func every() []fault.Kind {
	return kinds(fault.Internal, fault.Invalid, fault.Denied, fault.Gone, fault.Throttled, fault.TooLarge, fault.Transient)
}

func has(kinds []fault.Kind, kind fault.Kind) bool {
	if kind < 0 {
		return kinds == nil
	}
	for _, k := range kinds {
		if k == kind {
			return true
		}
	}
	return false
}
