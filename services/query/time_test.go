package query_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/state"
	"github.com/iops-dashboard/live/services/query"
)

// Once a type has ended, those that follow are read at a time.
func TestTypesAreReadAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var reads, at, most atomic.Int64
		r.table.OnPage = func(context.Context, state.Range, int) error {
			reads.Add(1)
			for n, m := at.Add(1), most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			defer at.Add(-1)
			<-time.After(10 * time.Millisecond)
			return nil
		}
		for _, kind := range contracts.EntityTypes() {
			r.put(t, state.Key{Tenant: "acme", EntityType: string(kind), EntityID: "a"}, `{"health_score":7}`)
		}
		began := time.Now()
		page := r.metricsPage(t, metrics())
		if want := []string{"region/a", "student/a", "subject/a", "tutor/a"}; !slices.Equal(names(page.Data), want) || page.Next != nil {
			t.Errorf("the page has %q, and then %v", names(page.Data), page.Next)
		}
		if took := time.Since(began); took != 20*time.Millisecond || reads.Load() != 4 || most.Load() > query.Ahead {
			t.Errorf("it took %v, and %d reads, %d at a time", took, reads.Load(), most.Load())
		}
	})
}

// A page that fills up in its first type costs one read.
func TestNothingIsReadAheadOfAFullPage(t *testing.T) {
	t.Parallel()
	reads := 0
	r := newRig(t, func(c *query.Config) { c.PageRows = 1 })
	r.table.OnPage = func(context.Context, state.Range, int) error { reads++; return nil }
	for _, id := range []string{"a", "b", "c"} {
		r.put(t, state.Key{Tenant: "acme", EntityType: "region", EntityID: id}, `{"health_score":7}`)
	}
	if page := r.metricsPage(t, metrics()); len(page.Data) != 1 || page.Next == nil || reads != 1 {
		t.Errorf("a page of %d by %d reads, and then %v", len(page.Data), reads, page.Next)
	}
}

// functionTime is how long the function may run in these tests.
const functionTime = 10 * time.Second

// A table that has become slow is read page after page: each has what there was time for.
func TestAPageEndsInTime(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		where string
		want  []string
	}{
		"all":     {"", []string{"region/a", "student/a", "subject/a", "tutor/a"}},
		"nothing": {`[{"attribute":"health_score","operator":"gt","value":7}]`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				for _, kind := range contracts.EntityTypes() {
					r.put(t, state.Key{Tenant: "acme", EntityType: string(kind), EntityID: "a"}, `{"health_score":7}`)
				}
				r.table.OnPage = func(ctx context.Context, _ state.Range, _ int) error {
					select {
					case <-time.After(functionTime / 2):
						return nil
					case <-ctx.Done():
						return fault.New("state", fault.Transient, context.Cause(ctx))
					}
				}
				request := metrics(with("where", tc.where))
				var got []string
				for pages := 1; ; pages++ {
					began := time.Now()
					ctx, cancel := context.WithDeadline(t.Context(), began.Add(functionTime))
					response, err := r.handler.Handle(ctx, request)
					cancel()
					if left := functionTime - time.Since(began); err != nil || left < 400*time.Millisecond {
						t.Fatalf("page %d: %v is left, %v", pages, left, err)
					}
					page := read[contracts.MetricsPageV1](t, contracts.KindMetricsPageV1, response)
					got = append(got, names(page.Data)...)
					if page.Next == nil {
						if pages != 4 {
							t.Errorf("there are %d pages", pages)
						}
						break
					}
					with("cursor", *page.Next)(&request)
				}
				if !slices.Equal(got, tc.want) {
					t.Errorf("the pages have %q", got)
				}
			})
		})
	}
}

// While there is time an outage is told, and how long to wait: a cursor would be followed at once.
func TestAnOutageHalfWayIsTold(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.table.OnPage = func(_ context.Context, of state.Range, _ int) error {
		if of.EntityType == "student" {
			return fault.Newf("state", fault.Transient, "planted")
		}
		return nil
	}
	r.problem(t, r.ask(t, metrics()), 503, contracts.ErrorCodeUnavailable)
}

// Where nothing was read in the time, the next try would end the same.
func TestAPageWithoutProgressIsAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.table.OnPage = func(ctx context.Context, _ state.Range, _ int) error {
			<-ctx.Done()
			return fault.New("state", fault.Transient, context.Cause(ctx))
		}
		ctx, cancel := context.WithTimeout(t.Context(), functionTime)
		defer cancel()
		response, err := r.handler.Handle(ctx, metrics())
		if err != nil {
			t.Fatal(err)
		}
		r.problem(t, response, 503, contracts.ErrorCodeUnavailable)
	})
}
