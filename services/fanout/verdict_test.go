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
	type circumstances struct{ ended, late, young, account, single, tried, last bool }
	is := func(which ...func(circumstances) bool) func(circumstances) bool {
		return func(c circumstances) bool {
			for _, f := range which {
				if !f(c) {
					return false
				}
			}
			return true
		}
	}
	not := func(f func(circumstances) bool) func(circumstances) bool {
		return func(c circumstances) bool { return !f(c) }
	}
	ended := func(c circumstances) bool { return c.ended }
	late := func(c circumstances) bool { return c.late }
	young := func(c circumstances) bool { return c.young }
	account := func(c circumstances) bool { return c.account }
	single := func(c circumstances) bool { return c.single }
	tried := func(c circumstances) bool { return c.tried }
	last := func(c circumstances) bool { return c.last }
	outage := kinds(fault.Transient, fault.Internal)
	table := []struct {
		kinds []fault.Kind // none: success
		when  func(circumstances) bool
		want  verdict
	}{
		{nil, is(), delivered},
		{every(), is(ended), interrupted},
		{kinds(fault.Gone), is(not(ended), young), newborn},
		{kinds(fault.Gone), is(not(ended), not(young)), closed},
		{kinds(fault.TooLarge), is(not(ended), single), oversize},
		{kinds(fault.TooLarge), is(not(ended), not(single)), split},
		{kinds(fault.Denied, fault.Invalid), is(not(ended)), refused},
		{kinds(fault.Throttled), is(not(ended), account), paced},
		{kinds(fault.Throttled), is(not(ended), not(account), not(tried)), again},
		{kinds(fault.Throttled), is(not(ended), not(account), tried), slow},
		{outage, is(not(ended), late), hung},
		{outage, is(not(ended), not(late), last), spent},
		{outage, is(not(ended), not(late), not(last)), again},
	}
	for _, kind := range append([]fault.Kind{-1}, every()...) {
		for bits := range 1 << 7 {
			c := circumstances{bits&1 > 0, bits&2 > 0, bits&4 > 0, bits&8 > 0, bits&16 > 0, bits&32 > 0, bits&64 > 0}
			a := attempt{ended: c.ended, late: c.late, young: c.young, account: c.account, single: c.single, last: c.last}
			if c.tried {
				a.tries = 1
			}
			if kind >= 0 {
				a.err = fault.New("gateway.Post", kind, nil)
			}
			rows := 0
			for _, row := range table {
				if !has(row.kinds, kind) || !row.when(c) {
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
