// Package summarytest is the conformance suite of the summary port. Every adapter runs it.
package summarytest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/summary"
)

var (
	views = summary.Key{Tenant: "acme", Of: summary.Of("views")}
	at    = time.UnixMilli(1_795_000_000_123)
)

// Run puts the empty stores that newStore makes through the suite.
func Run(t *testing.T, newStore func(t *testing.T) summary.Store) {
	for name, test := range map[string]func(*testing.T, summary.Store){
		"NothingIsKnown":            nothing,
		"ReadsAreNumbered":          numbered,
		"OneBeginsOfMany":           racing,
		"ALateEndIsForgotten":       late,
		"AnEndWithoutABegin":        endOnly,
		"KeysAreApart":              apart,
		"KeysThatNameNothing":       invalid,
		"InAnEndedContext":          ended,
		"ADeadReaderIsOvertaken":    overtaken,
		"AReadThatBeganIsNotUndone": kept,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newStore(t))
		})
	}
}

func want(t *testing.T, s summary.Store, k summary.Key, want summary.Summary) {
	t.Helper()
	got, err := s.Get(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	if got.Begun != want.Begun || !got.BegunAt.Equal(want.BegunAt) || got.Done.Number != want.Done.Number ||
		got.Done.Digest != want.Done.Digest || !got.Done.BegunAt.Equal(want.Done.BegunAt) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func begin(t *testing.T, s summary.Store, k summary.Key, after int64, want bool) {
	t.Helper()
	if began, err := s.Begin(t.Context(), k, after, at.Add(time.Duration(after)*time.Second)); err != nil || began != want {
		t.Errorf("after %d: %t, %v, want %t", after, began, err, want)
	}
}

func read(n int64) summary.Read {
	return summary.Read{Number: n, BegunAt: at.Add(time.Duration(n-1) * time.Second), Digest: string(rune('a' + n))}
}

func end(t *testing.T, s summary.Store, k summary.Key, n int64) {
	t.Helper()
	if err := s.End(t.Context(), k, read(n)); err != nil {
		t.Error(err)
	}
}

func nothing(t *testing.T, s summary.Store) { want(t, s, views, summary.Summary{}) }

func numbered(t *testing.T, s summary.Store) {
	begin(t, s, views, 1, false) // there was none before
	for n := range int64(3) {
		begin(t, s, views, n, true)
		begin(t, s, views, n, false)
		before := summary.Summary{Begun: n + 1, BegunAt: read(n + 1).BegunAt}
		if n > 0 {
			before.Done = read(n)
		}
		want(t, s, views, before)
		end(t, s, views, n+1)
		want(t, s, views, summary.Summary{Begun: n + 1, BegunAt: read(n + 1).BegunAt, Done: read(n + 1)})
	}
	begin(t, s, views, 0, false)
	begin(t, s, views, 9, false)
}

func racing(t *testing.T, s summary.Store) {
	for after := range int64(3) {
		var began atomic.Int64
		var group sync.WaitGroup
		for range 6 {
			group.Go(func() {
				ok, err := s.Begin(t.Context(), views, after, at)
				if err != nil {
					t.Error(err)
				}
				if ok {
					began.Add(1)
				}
			})
		}
		group.Wait()
		if began.Load() != 1 {
			t.Errorf("%d reads have the number %d", began.Load(), after+1)
		}
	}
}

func late(t *testing.T, s summary.Store) {
	begin(t, s, views, 0, true)
	begin(t, s, views, 1, true)
	end(t, s, views, 2)
	end(t, s, views, 1)
	want(t, s, views, summary.Summary{Begun: 2, BegunAt: read(2).BegunAt, Done: read(2)})
	again := read(2)
	again.Digest = "other"
	if err := s.End(t.Context(), views, again); err != nil {
		t.Error(err)
	}
	want(t, s, views, summary.Summary{Begun: 2, BegunAt: read(2).BegunAt, Done: read(2)})
}

// A number that nobody was given says nothing of when the read began.
func endOnly(t *testing.T, s summary.Store) {
	end(t, s, views, 1)
	want(t, s, views, summary.Summary{})
	begin(t, s, views, 0, true)
	end(t, s, views, 2)
	want(t, s, views, summary.Summary{Begun: 1, BegunAt: at})
}

func apart(t *testing.T, s summary.Store) {
	begin(t, s, views, 0, true)
	for _, k := range []summary.Key{{Tenant: "umbrella", Of: views.Of}, {Tenant: "acme", Of: summary.Of("other")}, {Tenant: "acm", Of: "e" + views.Of}} {
		want(t, s, k, summary.Summary{})
		begin(t, s, k, 0, true)
	}
	want(t, s, views, summary.Summary{Begun: 1, BegunAt: at})
}

func invalid(t *testing.T, s summary.Store) {
	for _, k := range []summary.Key{{}, {Of: "x"}, {Tenant: "acme"}, {Tenant: "a#b", Of: "x"}} {
		_, get := s.Get(t.Context(), k)
		_, begin := s.Begin(t.Context(), k, 0, at)
		for _, err := range []error{get, begin, s.End(t.Context(), k, read(1))} {
			if err == nil || fault.KindOf(err) != fault.Invalid {
				t.Errorf("%+v: %v, want kind invalid", k, err)
			}
		}
	}
}

func ended(t *testing.T, s summary.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, get := s.Get(ctx, views)
	_, begin := s.Begin(ctx, views, 0, at)
	for _, err := range []error{get, begin, s.End(ctx, views, read(1))} {
		if err == nil || fault.KindOf(err) != fault.Transient {
			t.Errorf("%v, want kind transient", err)
		}
	}
}

func overtaken(t *testing.T, s summary.Store) {
	begin(t, s, views, 0, true)
	begin(t, s, views, 1, true) // though the first has not ended
	end(t, s, views, 1)         // and ends after all, which is a summary nevertheless
	want(t, s, views, summary.Summary{Begun: 2, BegunAt: read(2).BegunAt, Done: read(1)})
	end(t, s, views, 2)
	want(t, s, views, summary.Summary{Begun: 2, BegunAt: read(2).BegunAt, Done: read(2)})
}

func kept(t *testing.T, s summary.Store) {
	begin(t, s, views, 0, true)
	end(t, s, views, 1)
	begin(t, s, views, 1, true)
	want(t, s, views, summary.Summary{Begun: 2, BegunAt: read(2).BegunAt, Done: read(1)})
}
