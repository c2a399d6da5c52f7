package statetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/state"
)

// walk returns the ids of all pages from behind after, in their order. It calls between before each page but the
// first.
func walk(t *testing.T, h Harness, r state.Range, after string, limit int, between func(n int)) []string {
	t.Helper()
	var ids []string
	for n := 0; ; n++ {
		if n > 1000 {
			t.Fatal("there is no end of pages")
		}
		p, err := h.Table.Page(t.Context(), r, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		if p.Read > limit+partitions || len(p.Entries) > p.Read || p.Last != "" && p.Read == 0 {
			t.Errorf("a page of %d entries, with %d rows read of %d", len(p.Entries), p.Read, limit)
		}
		for _, e := range p.Entries {
			if e.Tenant != r.Tenant || e.EntityType != r.EntityType || e.Image == nil {
				t.Errorf("%+v does not belong there", e)
			}
			ids = append(ids, e.EntityID)
		}
		if p.Last == "" {
			return ids
		}
		after = p.Last
		if between != nil {
			between(n)
		}
	}
}

// partitions is how many rows a page may have more than it was asked for, in any adapter.
const partitions = 8

func wantOnce(t *testing.T, got []string, want ...string) {
	t.Helper()
	sorted := slices.Sorted(slices.Values(got))
	if slices.Sort(want); !slices.Equal(sorted, want) {
		t.Errorf("pages hold %q, want %q", sorted, want)
	}
}

func put(t *testing.T, h Harness, r state.Range, id, sequence string, n int) {
	t.Helper()
	c := Change(label1, sequence, n)
	c.Key = state.Key{Tenant: r.Tenant, EntityType: r.EntityType, EntityID: id}
	if _, err := h.Table.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func pagesOnce(t *testing.T, h Harness) {
	wantOnce(t, walk(t, h, students, "", 5, nil))
	fill(t, h, students, 40)
	var want []string
	for i := range 40 {
		id := fmt.Sprintf("id_%03d", i)
		if i%3 == 0 { // a removed one leaves no hole in a page, and no end
			put(t, h, students, id, "2", -1)
			continue
		}
		want = append(want, id)
	}
	longest := strings.Repeat("\U0001F600", 256)
	for _, id := range []string{" ", "é", longest} {
		put(t, h, students, id, "1", 1)
		want = append(want, id)
	}
	order := walk(t, h, students, "", 1000, nil)
	wantOnce(t, order, want...)
	for _, limit := range []int{1, 2, 7, 41, 43} {
		if got := walk(t, h, students, "", limit, nil); !slices.Equal(got, order) {
			t.Errorf("pages of %d rows hold %q, want %q", limit, got, order)
		}
	}
	for i, id := range order {
		if got := walk(t, h, students, id, 3, nil); !slices.Equal(got, order[i+1:]) {
			t.Errorf("behind %q there are %q, want %q", id, got, order[i+1:])
		}
	}
}

func pagesRacing(t *testing.T, h Harness) {
	fill(t, h, students, 30)
	stays := walk(t, h, students, "", 1000, nil)
	for i := range 10 {
		put(t, h, students, fmt.Sprintf("goes_%d", i), "1", i)
	}
	got := walk(t, h, students, "", 3, func(n int) {
		put(t, h, students, fmt.Sprintf("goes_%d", n%10), fmt.Sprint(n+2), -1)
		put(t, h, students, fmt.Sprintf("comes_%d", n), "1", n)
		put(t, h, students, stays[n%len(stays)], fmt.Sprint(n+2), n)
	})
	seen := map[string]int{}
	for _, id := range got {
		if seen[id]++; seen[id] > 1 {
			t.Errorf("%s is there twice", id)
		}
	}
	for _, id := range stays {
		if seen[id] != 1 {
			t.Errorf("%s is there %d times", id, seen[id])
		}
	}
}

func pagesApart(t *testing.T, h Harness) {
	fill(t, h, students, 10)
	for _, r := range []state.Range{{Tenant: "acme-2", EntityType: "student"}, {Tenant: "acme", EntityType: "tutor"}, {Tenant: "acme", EntityType: "stud"}} {
		wantOnce(t, walk(t, h, r, "id_004", 3, nil))
		put(t, h, r, "other", "1", 1)
		wantOnce(t, walk(t, h, r, "", 3, nil), "other")
	}
	if got := walk(t, h, students, "", 3, nil); len(got) != 10 {
		t.Errorf("pages hold %q", got)
	}
}

func pagesFrom(t *testing.T, h Harness) {
	for _, id := range []string{"2026-11-20", "2026-11-21", "2026-11-22", "Z", "é"} {
		put(t, h, students, id, "1", 1)
	}
	from := state.Range{Tenant: students.Tenant, EntityType: students.EntityType, From: "2026-11-21"}
	order := walk(t, h, from, "", 2, nil)
	wantOnce(t, order, "2026-11-21", "2026-11-22", "Z", "é")
	for i, id := range order {
		if got := walk(t, h, from, id, 2, nil); !slices.Equal(got, order[i+1:]) {
			t.Errorf("behind %q there are %q, want %q", id, got, order[i+1:])
		}
	}
}

func failingPages(t *testing.T, h Harness) {
	fill(t, h, students, 3)
	h.FailPage(0)
	if p, err := h.Table.Page(t.Context(), students, "", 10); !fault.KindOf(err).Temporary() || len(p.Entries) > 0 {
		t.Errorf("a page of %d, %v", len(p.Entries), err)
	}
	h.FailPage(-1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Table.Page(ctx, students, "", 10); fault.KindOf(err) != fault.Transient {
		t.Errorf("Page in an ended context: %v, want kind transient", err)
	}
}
