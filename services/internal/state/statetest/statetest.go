// Package statetest is the conformance suite of the state port. Every adapter runs it.
package statetest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/state"
)

// Harness is an empty table under test.
type Harness struct {
	Table state.Table
	// FailPage makes page n (from 0) of later lists fail, until a call with a negative n.
	FailPage func(n int)
}

// PageSize is what a harness must set as the page size of its table.
const PageSize = 2

// Run puts the tables that newHarness makes through the suite.
func Run(t *testing.T, newHarness func(t *testing.T) Harness) {
	for _, c := range lists {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, newHarness(t))
		})
	}
	for _, c := range []struct {
		name string
		test func(*testing.T, state.Table)
	}{
		{"InvalidChanges", invalid},
		{"EndedContext", ended},
		{"ARetryReturnsTheStoredVersion", retry},
		{"AnOlderChangeIsSuperseded", superseded},
		{"SequenceNumbersAreNumbers", numeric},
		{"ANewStreamIsNewer", newLabel},
		{"TombstonesKeepCounting", tombstones},
		{"AnUnknownEntity", unknown},
		{"EntitiesAreApart", apart},
		{"OneWriterWinsEachPosition", racingRetries},
		{"RacingWritersLeaveNoGap", racingWriters},
		{"TheImageIsKeptExactly", exact},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, newHarness(t).Table)
		})
	}
}

// Change returns a change of one student, with an image that shows n; n < 0 is a tombstone.
func Change(label, sequence string, n int) state.Change {
	c := state.Change{
		Key:       state.Key{Tenant: "acme", EntityType: "student", EntityID: "stu_1"},
		At:        state.Position{Label: label, Sequence: sequence},
		WrittenAt: time.Date(2026, 11, 22, 10, 0, 0, 123_000_000, time.UTC),
	}
	if n >= 0 {
		c.Image = json.RawMessage(fmt.Sprintf(`{"sessions_7d":%d}`, n))
	}
	return c
}

const (
	label1 = "2026-11-22T10:00:00.000"
	label2 = "2026-11-23T10:00:00.000"
)

func invalid(t *testing.T, table state.Table) {
	for name, spoil := range map[string]func(*state.Change){
		"no tenant":          func(c *state.Change) { c.Tenant = "" },
		"no entity type":     func(c *state.Change) { c.EntityType = "" },
		"no entity id":       func(c *state.Change) { c.EntityID = "" },
		"tenant with #":      func(c *state.Change) { c.Tenant = "a#b" },
		"entity type with #": func(c *state.Change) { c.EntityType = "student#0" },
		"no label":           func(c *state.Change) { c.At.Label = "" },
		"no sequence":        func(c *state.Change) { c.At.Sequence = "" },
		"sequence with text": func(c *state.Change) { c.At.Sequence = "12a" },
		"41 digits":          func(c *state.Change) { c.At.Sequence = strings.Repeat("9", 41) },
		"empty image":        func(c *state.Change) { c.Image = json.RawMessage{} },
		"broken image":       func(c *state.Change) { c.Image = json.RawMessage(`{"a":`) },
		"image not object":   func(c *state.Change) { c.Image = json.RawMessage(`[]`) },
	} {
		c := Change(label1, "1", 1)
		spoil(&c)
		if _, err := table.Apply(t.Context(), c); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v, want kind invalid", name, err)
		}
	}
	if _, known := get(t, table, Change(label1, "1", 1).Key); known {
		t.Error("an invalid change was stored")
	}
}

func ended(t *testing.T, table state.Table) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := table.Apply(ctx, Change(label1, "1", 1)); fault.KindOf(err) != fault.Transient {
		t.Errorf("Apply: %v, want kind transient", err)
	}
	if _, _, err := table.Get(ctx, Change(label1, "1", 1).Key); fault.KindOf(err) != fault.Transient {
		t.Errorf("Get: %v, want kind transient", err)
	}
}

func retry(t *testing.T, table state.Table) {
	first := apply(t, table, Change(label1, "100", 1), state.Applied, 1)
	if first.Epoch <= 0 {
		t.Errorf("epoch %d, want the unix time in milliseconds", first.Epoch)
	}
	for range 2 {
		if again := apply(t, table, Change(label1, "100", 1), state.Repeated, 1); again != first {
			t.Errorf("the retry has version %v, want %v", again, first)
		}
	}
	apply(t, table, Change(label1, "0101", 2), state.Applied, 2)
	apply(t, table, Change(label1, "00101", 2), state.Repeated, 2)
	want(t, table, Change(label1, "101", 2), 2)
}

func superseded(t *testing.T, table state.Table) {
	apply(t, table, Change(label1, "100", 1), state.Applied, 1)
	apply(t, table, Change(label1, "300", 3), state.Applied, 2)
	apply(t, table, Change(label1, "200", 2), state.Superseded, 2)
	apply(t, table, Change(label1, "250", -1), state.Superseded, 2)
	apply(t, table, Change(label1, "100", 1), state.Superseded, 2)
	want(t, table, Change(label1, "300", 3), 2)
}

func numeric(t *testing.T, table state.Table) {
	ascending := []string{
		"0", "9", "10", "99", "100", "1405400000000002063282832", "8204000000000000011923340",
		strings.Repeat("1", 39), strings.Repeat("9", 39), "1" + strings.Repeat("0", 39), strings.Repeat("9", 40),
	}
	for i, s := range ascending {
		apply(t, table, Change(label1, s, i), state.Applied, int64(i+1))
		want(t, table, Change(label1, s, i), int64(i+1))
	}
	last := int64(len(ascending))
	for i, s := range ascending[:last-1] {
		apply(t, table, Change(label1, s, i), state.Superseded, last)
	}
}

func newLabel(t *testing.T, table state.Table) {
	apply(t, table, Change(label1, "500", 1), state.Applied, 1)
	apply(t, table, Change(label2, "3", 2), state.Applied, 2)
	apply(t, table, Change(label1, "900", 3), state.Superseded, 2)
	apply(t, table, Change(label1, "3", 3), state.Superseded, 2)
	apply(t, table, Change(label2, "3", 2), state.Repeated, 2)
	want(t, table, Change(label2, "3", 2), 2)
}

func tombstones(t *testing.T, table state.Table) {
	apply(t, table, Change(label1, "1", 1), state.Applied, 1)
	apply(t, table, Change(label1, "2", -1), state.Applied, 2)
	want(t, table, Change(label1, "2", -1), 2)
	apply(t, table, Change(label1, "1", 1), state.Superseded, 2)
	apply(t, table, Change(label1, "2", -1), state.Repeated, 2)
	apply(t, table, Change(label1, "3", 3), state.Applied, 3)
	want(t, table, Change(label1, "3", 3), 3)
	apply(t, table, Change(label1, "4", -1), state.Applied, 4)
	apply(t, table, Change(label1, "5", -1), state.Applied, 5)
	want(t, table, Change(label1, "5", -1), 5)

	removedFirst := Change(label1, "9", -1)
	removedFirst.EntityID = "stu_never_seen"
	apply(t, table, removedFirst, state.Applied, 1)
	older := Change(label1, "8", 8)
	older.EntityID = removedFirst.EntityID
	apply(t, table, older, state.Superseded, 1)
}

func unknown(t *testing.T, table state.Table) {
	if item, known := get(t, table, Change(label1, "1", 1).Key); known {
		t.Errorf("Get of an unknown entity: %+v", item)
	}
}

func apart(t *testing.T, table state.Table) {
	base := Change(label1, "7", 7)
	keys := []state.Key{
		base.Key,
		{Tenant: "umbrella", EntityType: "student", EntityID: "stu_1"},
		{Tenant: "acme", EntityType: "tutor", EntityID: "stu_1"},
		{Tenant: "acme", EntityType: "student", EntityID: "stu_1#"},
		{Tenant: "acme", EntityType: "student", EntityID: "generation"},
		{Tenant: "generation", EntityType: "generation", EntityID: "generation"},
		{Tenant: "acme", EntityType: "student", EntityID: strings.Repeat("\U0001f469", 256)},
	}
	for range 2 {
		for i, k := range keys {
			c := Change(label1, "7", i)
			c.Key = k
			if _, err := table.Apply(t.Context(), c); err != nil {
				t.Fatalf("%v: %v", k, err)
			}
		}
	}
	for i, k := range keys {
		c := Change(label1, "7", i)
		c.Key = k
		want(t, table, c, 1)
	}
}

func racingRetries(t *testing.T, table state.Table) {
	const writers, positions = 2, 10
	for p := range positions {
		outcomes := make([]state.Outcome, writers)
		var group sync.WaitGroup
		for w := range writers {
			group.Go(func() {
				r, err := table.Apply(t.Context(), Change(label1, fmt.Sprint(p+1), p))
				if err != nil {
					t.Error(err)
				} else if want := int64(p + 1); r.Version.Revision != want {
					t.Errorf("revision %d, want %d", r.Version.Revision, want)
				}
				outcomes[w] = r.Outcome
			})
		}
		group.Wait()
		slices.Sort(outcomes)
		if !slices.Equal(outcomes, []state.Outcome{state.Applied, state.Repeated}) {
			t.Fatalf("two writers of one position got %v, want one applied and one repeated", outcomes)
		}
	}
}

func racingWriters(t *testing.T, table state.Table) {
	const writers, each = 4, 10
	var (
		group   sync.WaitGroup
		mu      sync.Mutex
		applied []int64
	)
	for w := range writers {
		group.Go(func() {
			for i := range each {
				n := i*writers + w
				r, err := table.Apply(t.Context(), Change(label1, fmt.Sprint(n+1), n))
				switch {
				case err != nil:
					t.Error(err)
				case r.Outcome == state.Applied:
					mu.Lock()
					applied = append(applied, r.Version.Revision)
					mu.Unlock()
				case r.Outcome == state.Repeated:
					t.Error("a change that nobody made before is repeated")
				}
			}
		})
	}
	group.Wait()
	slices.Sort(applied)
	for i, revision := range applied {
		if revision != int64(i+1) {
			t.Fatalf("revisions %v have a gap or a repetition", applied)
		}
	}
	want(t, table, Change(label1, fmt.Sprint(writers*each), writers*each-1), int64(len(applied)))
}

func exact(t *testing.T, table state.Table) {
	c := Change(label1, "1", 1)
	c.Image = json.RawMessage(`{"avg_rating":4.9999999999999999999999999999999999999,"region":"M\u00fcnchen <&> \"東\"","sessions_7d":0}`)
	apply(t, table, c, state.Applied, 1)
	want(t, table, c, 1)
	c.At.Sequence, c.Image = "2", json.RawMessage(`{}`)
	apply(t, table, c, state.Applied, 2)
	want(t, table, c, 2)
}

func apply(t *testing.T, table state.Table, c state.Change, outcome state.Outcome, revision int64) contracts.Version {
	t.Helper()
	r, err := table.Apply(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if r.Outcome != outcome || r.Version.Revision != revision {
		t.Fatalf("change at %s: %v revision %d, want %v revision %d", c.At.Sequence, r.Outcome, r.Version.Revision, outcome, revision)
	}
	return r.Version
}

func want(t *testing.T, table state.Table, c state.Change, revision int64) {
	t.Helper()
	item, known := get(t, table, c.Key)
	if !known {
		t.Fatalf("%v is not there", c.Key)
	}
	if item.At != c.At || item.Version.Revision != revision || !item.WrittenAt.Equal(c.WrittenAt) ||
		string(item.Image) != string(c.Image) || (item.Image == nil) != (c.Image == nil) {
		t.Fatalf("%v has %+v (image %s), want revision %d of %+v (image %s)", c.Key, item, item.Image, revision, c, c.Image)
	}
}

func get(t *testing.T, table state.Table, k state.Key) (state.Item, bool) {
	t.Helper()
	item, known, err := table.Get(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	return item, known
}
