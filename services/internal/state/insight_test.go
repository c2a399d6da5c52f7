package state_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/state"
)

func TestKeysOfInsightsTellThemApart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := contracts.InsightID{
			Pk: "insight#" + rapid.StringMatching(`[a/#Z:.é ]{1,8}`).Draw(t, "entity"),
			Sk: rapid.SampledFrom([]string{"2026-11-22T10:00:00.123Z", "2026-11-22T10:00:00Z", "2026-11-22T12:00:00.123+02:00"}).Draw(t, "time"),
		}
		k := state.InsightKey("acme", id)
		if got, ok := k.InsightID(); !ok || got != id {
			t.Fatalf("%q reads as %+v, %v", k.EntityID, got, ok)
		}
	})
}

func TestKeysOfEntitiesAreNoInsights(t *testing.T) {
	t.Parallel()
	for _, k := range []state.Key{{EntityType: "student", EntityID: "2026-11-22T10:00:00Z/insight#a"}, {EntityType: state.InsightType, EntityID: "a"}} {
		if id, ok := k.InsightID(); ok {
			t.Errorf("%+v reads as %+v", k, id)
		}
	}
}

// DynamoDB takes no longer sort key.
func TestAnIDThatIsTooLongIsRefused(t *testing.T) {
	t.Parallel()
	c := state.Change{Key: state.Key{Tenant: "t", EntityType: "e"}, At: state.Position{Label: "l", Sequence: "1"}}
	for n, good := range map[int]bool{state.MaxIDBytes: true, state.MaxIDBytes + 1: false} {
		c.EntityID = string(make([]byte, n))
		if err := c.Validate(); (err == nil) != good {
			t.Errorf("an id of %d bytes: %v", n, err)
		}
	}
}

// log is a table of insights, sorted by their keys.
type log struct {
	state.Table
	ids   []string
	asked state.Range
}

func (l *log) find(at time.Time, zone *time.Location) {
	id := state.InsightKey("acme", contracts.InsightID{Pk: fmt.Sprint("insight#", len(l.ids)), Sk: at.In(zone).Format("2006-01-02T15:04:05.000Z07:00")}).EntityID
	l.ids = append(l.ids, id)
	for n := len(l.ids) - 1; n > 0 && l.ids[n-1] > id; n-- {
		l.ids[n-1], l.ids[n] = l.ids[n], l.ids[n-1]
	}
}

func (l *log) Latest(_ context.Context, r state.Range, limit int) (entries []state.Entry, from string, err error) {
	l.asked = r
	n, _ := slices.BinarySearch(l.ids, r.From)
	ids := l.ids[n:]
	from = r.From
	if len(ids) > limit {
		ids = ids[len(ids)-limit:]
		from = ids[0]
	}
	for _, id := range ids {
		entries = append(entries, state.Entry{Key: state.Key{Tenant: r.Tenant, EntityType: r.EntityType, EntityID: id}})
	}
	return entries, from, nil
}

func latest(t *testing.T, l *log, since time.Time) []string {
	t.Helper()
	entries, err := state.LatestInsights(t.Context(), l, "acme", since)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, e := range entries {
		ids = append(ids, e.EntityID)
	}
	return ids
}

// All that came later than the oldest that is kept is kept, and that changes in steps: who was told of each insight as
// it came would otherwise differ at each look.
func TestLatestInsightsAreCutInSteps(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		perHour int
		hours   int
		steps   int // at most: one an hour, or as many as looks
	}{
		"the default load":  {950, 20, 20},
		"few":               {100, 20, 0},
		"as many as a half": {4_000, 6, 6},
		"many":              {20_000, 2, 8},
		"a flood":           {600_000, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &log{}
			at := time.Now().Add(-48 * time.Hour)
			find := func(n int) {
				for range n {
					at = at.Add(time.Hour / time.Duration(tc.perHour))
					l.find(at, time.UTC)
				}
			}
			check := func() string {
				kept := latest(t, l, time.Time{})
				if len(kept) > state.InsightRows || len(kept) < min(len(l.ids), state.InsightRows/2) || len(l.ids) <= state.InsightRows && len(kept) < len(l.ids) {
					t.Fatalf("%d of %d are kept", len(kept), len(l.ids))
				}
				if !slices.Equal(kept, l.ids[len(l.ids)-len(kept):]) {
					t.Fatal("not the newest are kept")
				}
				return kept[0]
			}
			if tc.hours == 0 { // within a minute or two
				find(12_000)
				check()
			}
			steps, floor := 0, ""
			for range tc.hours * 4 {
				find(tc.perHour / 4)
				now := check()
				if now < floor {
					t.Fatalf("from %s the cut went back to %s", floor, now)
				}
				if floor != "" && now != floor {
					steps++
				}
				floor = now
			}
			if steps > tc.steps {
				t.Errorf("%d steps in %d hours", steps, tc.hours)
			}
		})
	}
}

// A key begins with the time in the zone of its writer.
func TestLatestInsightsSinceATimeAreAllSinceThen(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := &log{}
		now := time.Now()
		since := now.Add(-time.Duration(rapid.IntRange(0, 72*60).Draw(t, "since")) * time.Minute).Truncate(time.Second)
		var want []string
		for range 20 {
			at := now.Add(-time.Duration(rapid.IntRange(0, 72*3600).Draw(t, "found")) * time.Second)
			zone := time.FixedZone("", rapid.IntRange(-23*60-59, 23*60+59).Draw(t, "zone")*60)
			before := slices.Clone(l.ids)
			l.find(at, zone)
			if !at.Before(since) {
				want = append(want, slices.DeleteFunc(slices.Clone(l.ids), func(id string) bool { return slices.Contains(before, id) })...)
			}
		}
		entries, err := state.LatestInsights(context.Background(), l, "acme", since)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range want {
			if !slices.ContainsFunc(entries, func(e state.Entry) bool { return e.EntityID == id }) {
				t.Fatalf("%s is missing, since %v, from %s", id, since, l.asked.From)
			}
		}
		if oldest := since.UTC().Add(-25 * time.Hour).Format(time.RFC3339); l.asked.From < oldest && l.asked.From != now.UTC().AddDate(0, 0, -4).Format(time.DateOnly) {
			t.Errorf("since %v is read from %s", since, l.asked.From)
		}
	})
}
