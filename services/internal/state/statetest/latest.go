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

// latest returns the sorted ids of the latest rows of a range, and from which one on these are all.
func latest(t *testing.T, h Harness, r state.Range, limit int) (ids []string, from string) {
	t.Helper()
	entries, from, err := h.Table.Latest(t.Context(), r, limit)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Tenant != r.Tenant || e.EntityType != r.EntityType || e.Image == nil || e.EntityID < from {
			t.Errorf("%+v does not belong there", e)
		}
		ids = append(ids, e.EntityID)
	}
	slices.Sort(ids)
	return ids, from
}

func latestOfFew(t *testing.T, h Harness) {
	if ids, from := latest(t, h, students, 1); len(ids) != 0 || from != "" {
		t.Errorf("of an empty range %q from %q", ids, from)
	}
	fill(t, h, students, 30)
	fill(t, h, state.Range{Tenant: "acme", EntityType: "stud"}, 1)
	fill(t, h, state.Range{Tenant: "acm", EntityType: "student"}, 1)
	put(t, h, students, "id_029", "2", -1)
	put(t, h, students, "id_028", "2", 7)
	for _, from := range []string{"", "id_027", "id_0270", "z"} {
		r := state.Range{Tenant: "acme", EntityType: "student", From: from}
		var want []string
		for n := range 29 {
			if id := fmt.Sprintf("id_%03d", n); id >= from {
				want = append(want, id)
			}
		}
		if ids, got := latest(t, h, r, 30*partitions); !slices.Equal(ids, want) || got != from {
			t.Errorf("from %q: %q from %q, want %q", from, ids, got, want)
		}
	}
	entries, _, err := h.Table.Latest(t.Context(), state.Range{Tenant: "acme", EntityType: "student", From: "id_028"}, 30*partitions)
	if err != nil || len(entries) != 1 || entries[0].Version.Revision != 2 || string(entries[0].Image) != `{"sessions_7d":7}` {
		t.Errorf("%+v, %v", entries, err)
	}
}

func latestOfMany(t *testing.T, h Harness) {
	const rows = 160
	fill(t, h, students, rows)
	var all []string
	for n := range rows {
		id := fmt.Sprintf("id_%03d", n)
		if n%4 == 0 {
			put(t, h, students, id, "2", -1)
			continue
		}
		all = append(all, id)
	}
	for _, limit := range []int{1, 8, 20, 64, 100} {
		ids, from := latest(t, h, students, limit)
		if from == "" {
			t.Errorf("of a limit of %d: these are all, it says", limit)
		}
		want := slices.DeleteFunc(slices.Clone(all), func(id string) bool { return id < from })
		if !slices.Equal(ids, want) {
			t.Errorf("of a limit of %d: %q from %q, want %q", limit, ids, from, want)
		}
		if limit >= 64 && len(ids) < limit*3/8 || len(ids) > limit+partitions { // a quarter are tombstones
			t.Errorf("of a limit of %d: %d", limit, len(ids))
		}
		if again, same := latest(t, h, students, limit); !slices.Equal(again, ids) || same != from {
			t.Errorf("of a limit of %d: %q from %q, and before %q from %q", limit, again, same, ids, from)
		}
	}
}

// What was applied before is seen, and a row that comes is the latest.
func latestConsistent(t *testing.T, h Harness) {
	fill(t, h, students, 40)
	for n := range 10 {
		id := fmt.Sprintf("new_%03d", n)
		put(t, h, students, id, "1", n)
		if ids, _ := latest(t, h, students, 2*partitions); len(ids) == 0 || ids[len(ids)-1] != id {
			t.Errorf("the last is not %s: %q", id, ids)
		}
	}
}

func latestFails(t *testing.T, h Harness) {
	fill(t, h, students, 60)
	for n := range 2 {
		h.FailPage(n)
		if entries, _, err := h.Table.Latest(t.Context(), students, 60*partitions); !fault.KindOf(err).Temporary() || err == nil || entries != nil {
			t.Errorf("page %d fails: %d entries, %v", n, len(entries), err)
		}
	}
	h.FailPage(-1)
	if ids, _ := latest(t, h, students, 60*partitions); len(ids) != 60 {
		t.Errorf("the next call returns %d of 60: %s", len(ids), strings.Join(ids, " "))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := h.Table.Latest(ctx, students, 60); fault.KindOf(err) != fault.Transient || err == nil {
		t.Errorf("in an ended context: %v, want kind transient", err)
	}
}
