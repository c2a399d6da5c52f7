package statetest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/state"
)

var lists = []struct {
	name string
	test func(*testing.T, Harness)
}{
	{"ASecondPageThatFailsEndsTheList", failingPage},
	{"AFirstPageThatFailsEndsTheList", failingFirstPage},
	{"ListInAnEndedContext", listEnded},
	{"ListLeavesTombstonesOut", listTombstones},
	{"ListIsOfOneTenantAndType", listApart},
	{"ListFrom", listFrom},
	{"ListSeesWhatWasAppliedBefore", listRacing},
	{"LeavingAListEarly", leaveEarly},
	{"PagesHoldEachRowOnce", pagesOnce},
	{"PagesWhileRowsComeAndGo", pagesRacing},
	{"PagesAreOfOneTenantAndType", pagesApart},
	{"PagesFrom", pagesFrom},
	{"APageThatFails", failingPages},
	{"TheLatestOfFewAreAll", latestOfFew},
	{"TheLatestOfManyAreAllFromAnIDOn", latestOfMany},
	{"TheLatestAreConsistent", latestConsistent},
	{"TheLatestFail", latestFails},
}

var students = state.Range{Tenant: "acme", EntityType: "student"}

// fill applies n changes, each the first of its entity.
func fill(t *testing.T, h Harness, r state.Range, n int) {
	t.Helper()
	for i := range n {
		c := Change(label1, "1", i)
		c.Key = state.Key{Tenant: r.Tenant, EntityType: r.EntityType, EntityID: fmt.Sprintf("id_%03d", i)}
		if _, err := h.Table.Apply(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
}

// list returns what a list yields, by id. No page may be empty, or larger than it may be.
func list(t *testing.T, h Harness, r state.Range) map[string]state.Entry {
	t.Helper()
	all := map[string]state.Entry{}
	for page, err := range h.Table.List(t.Context(), r) {
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 || len(page) > PageSize {
			t.Errorf("a page of %d", len(page))
		}
		for _, e := range page {
			if _, again := all[e.EntityID]; again || e.Tenant != r.Tenant || e.EntityType != r.EntityType {
				t.Errorf("%+v is twice there, or does not belong there", e.Key)
			}
			all[e.EntityID] = e
		}
	}
	return all
}

func wantIDs(t *testing.T, got map[string]state.Entry, want ...string) {
	t.Helper()
	slices.Sort(want)
	if ids := slices.Sorted(maps.Keys(got)); !slices.Equal(ids, want) {
		t.Errorf("listed %q, want %q", ids, want)
	}
}

func failingPage(t *testing.T, h Harness) {
	fill(t, h, students, 60) // in some partition of 8 there are more than a page
	h.FailPage(1)
	wantFailure(t, h)
	h.FailPage(-1)
	if got := len(list(t, h, students)); got != 60 {
		t.Errorf("the next list has %d of 60", got)
	}
}

func failingFirstPage(t *testing.T, h Harness) {
	h.FailPage(0)
	wantFailure(t, h)
}

func wantFailure(t *testing.T, h Harness) {
	t.Helper()
	failures := 0
	for page, err := range h.Table.List(t.Context(), students) {
		if failures > 0 {
			t.Fatal("the list goes on after its error")
		}
		if err == nil {
			continue
		}
		failures++
		if page != nil {
			t.Error("a page comes with the error")
		}
		if !fault.KindOf(err).Temporary() {
			t.Errorf("kind %v", fault.KindOf(err))
		}
	}
	if failures != 1 {
		t.Errorf("the error was yielded %d times", failures)
	}
}

func listEnded(t *testing.T, h Harness) {
	fill(t, h, students, 3)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var last error
	for _, err := range h.Table.List(ctx, students) {
		last = err
	}
	if last == nil || fault.KindOf(last) != fault.Transient {
		t.Errorf("List in an ended context: %v, want kind transient", last)
	}
}

func listTombstones(t *testing.T, h Harness) {
	fill(t, h, students, 30)
	var want []string
	for i := range 30 {
		id := fmt.Sprintf("id_%03d", i)
		if i%3 == 0 {
			want = append(want, id)
			continue
		}
		c := Change(label1, "2", -1)
		c.EntityID = id
		if _, err := h.Table.Apply(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	again := Change(label1, "3", 7)
	again.EntityID = "id_001"
	version := apply(t, h.Table, again, state.Applied, 3)
	got := list(t, h, students)
	wantIDs(t, got, append(want, "id_001")...)
	e := got["id_001"]
	if e.Version != version || e.At != again.At || !e.WrittenAt.Equal(again.WrittenAt) || string(e.Image) != string(again.Image) {
		t.Errorf("listed %+v (image %s), want version %v of %+v", e, e.Image, version, again)
	}
}

func listApart(t *testing.T, h Harness) {
	fill(t, h, students, 3)
	// A name that starts with another's, and a type that looks like a part of one.
	for _, r := range []state.Range{
		{Tenant: "acme-2", EntityType: "student"}, {Tenant: "acm", EntityType: "student"},
		{Tenant: "acme", EntityType: "tutor"}, {Tenant: "acme", EntityType: "stud"}, {Tenant: "generation", EntityType: "generation"},
	} {
		wantIDs(t, list(t, h, r))
		fill(t, h, r, 1)
		wantIDs(t, list(t, h, r), "id_000")
	}
	wantIDs(t, list(t, h, students), "id_000", "id_001", "id_002")
}

func listFrom(t *testing.T, h Harness) {
	for i, id := range []string{"2026-11-20T10:00:00Z/a", "2026-11-21", "2026-11-21T00:00:00Z/b", "2026-11-22T10:00:00Z/c", "Z", "é", "\ufffd", "\U0001F600"} {
		c := Change(label1, "1", i)
		c.EntityID = id
		if _, err := h.Table.Apply(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	from := func(id string) state.Range { return state.Range{Tenant: "acme", EntityType: "student", From: id} }
	wantIDs(t, list(t, h, from("2026-11-21")), "2026-11-21", "2026-11-21T00:00:00Z/b", "2026-11-22T10:00:00Z/c", "Z", "é", "\ufffd", "\U0001F600")
	wantIDs(t, list(t, h, from("2026-11-22")), "2026-11-22T10:00:00Z/c", "Z", "é", "\ufffd", "\U0001F600")
	wantIDs(t, list(t, h, from("\ufffd")), "\ufffd", "\U0001F600") // bytes, not UTF-16
	wantIDs(t, list(t, h, from("\U0001F601")))
}

// Each list shows at least what was applied before it began, while others are being applied.
func listRacing(t *testing.T, h Harness) {
	const entities, rounds = 6, 10
	var group sync.WaitGroup
	for i := range entities {
		group.Go(func() {
			id := fmt.Sprint("id_", i)
			var last contracts.Version
			for n := range rounds {
				c := Change(label1, fmt.Sprint(n+1), n)
				c.EntityID, c.Image = id, json.RawMessage(fmt.Sprintf(`{"sessions_7d":%d}`, n+1))
				r, err := h.Table.Apply(t.Context(), c)
				if err != nil {
					t.Error(err)
					return
				}
				last = r.Version
				for page, err := range h.Table.List(t.Context(), students) {
					if err != nil {
						t.Error(err)
						return
					}
					for _, e := range page {
						if e.EntityID == id && e.Version != last {
							t.Errorf("listed %v, want %v", e.Version, last)
						}
						if want := fmt.Sprintf(`{"sessions_7d":%d}`, e.Version.Revision); string(e.Image) != want {
							t.Errorf("revision %d has the image %s", e.Version.Revision, e.Image)
						}
						if e.EntityID == id {
							last = contracts.Version{} // it was there
						}
					}
				}
				if last != (contracts.Version{}) {
					t.Errorf("%s is missing", id)
				}
			}
		})
	}
	group.Wait()
}

func leaveEarly(t *testing.T, h Harness) {
	fill(t, h, students, 40)
	for range h.Table.List(t.Context(), students) {
		break
	}
}
