package main

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/iops-dashboard/live/contracts"
)

var start = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// after is a moment so many milliseconds after start.
func after(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }

// run10ms is a journal of two entities, a and b, whose writes begin every 10 ms and have values from 100.
func run10ms(writes int, failed ...int) *journal {
	j := newJournal([]string{"a", "b"}, 100, writes, start)
	for n := range j.writes {
		j.writes[n].at = time.Duration(10*n) * time.Millisecond
		if slices.Contains(failed, n) {
			j.writes[n].err = errors.New("refused")
		}
	}
	return j
}

// of is an update, as a frame brings it.
func of(name string, revision int64, value int) update {
	return update{name, contracts.Version{Epoch: 1, Revision: revision}, value}
}

func see(r *record, ms int, updates ...update) { r.take(updates, 1000, after(ms)) }

func milliseconds(all []time.Duration) []int {
	var ms []int
	for _, d := range all {
		ms = append(ms, int(d.Milliseconds()))
	}
	slices.Sort(ms)
	return ms
}

func TestSupersededUpdatesCountAsShownByTheirSuccessor(t *testing.T) {
	t.Parallel()
	j := run10ms(6) // a: 0, 2, 4; b: 1, 3, 5
	r := newRecord(j)
	see(r, 5, of("a", 1, 100))                   // 0 after 5
	see(r, 70, of("a", 3, 104), of("b", 7, 103)) // 2 after 50, 4 after 30; 1 after 60, 3 after 40
	see(r, 80, of("b", 8, 105), of("b", 8, 105)) // 5 after 30, and once more
	see(r, 90, of("a", 2, 102), of("b", 7, 103)) // late: nothing
	if got, want := milliseconds(r.latencies(nil)), []int{5, 30, 30, 40, 50, 60}; !slices.Equal(got, want) {
		t.Errorf("latencies %v, want %v", got, want)
	}
	if r.frames != 4 || r.updates != 7 || r.bytes != 4000 || !r.complete(j.finals()) {
		t.Errorf("%d frames, %d updates, %d bytes, complete %t", r.frames, r.updates, r.bytes, r.complete(j.finals()))
	}
}

func TestWhatIsNotOfTheRunDoesNotCount(t *testing.T) {
	t.Parallel()
	j := run10ms(4)
	r := newRecord(j)
	see(r, 5, of("a", 1, 99), of("a", 1, 104), of("c", 1, 100), of("b", 1, 100))
	if r.frames != 0 || r.updates != 0 || r.bytes != 0 || len(r.latencies(nil)) != 0 || r.complete(j.finals()) {
		t.Errorf("%+v", r)
	}
}

func TestFailedWritesAreNotExpected(t *testing.T) {
	t.Parallel()
	j := run10ms(6, 2, 5)
	if got := j.finals(); !slices.Equal(got, []int{4, 3}) {
		t.Errorf("finals %v", got)
	}
	r := newRecord(j)
	see(r, 100, of("a", 1, 104), of("b", 1, 103))
	if got, want := milliseconds(r.latencies(nil)), []int{60, 70, 90, 100}; !slices.Equal(got, want) || !r.complete(j.finals()) {
		t.Errorf("latencies %v, want %v", got, want)
	}
	// A write can fail for its caller and yet be done.
	see(r, 110, of("b", 2, 105))
	if len(r.latencies(nil)) != 4 || !r.complete(j.finals()) {
		t.Error("a write that failed has a latency, or hides the one before it")
	}
	if none := run10ms(2, 0, 1); !slices.Equal(none.finals(), []int{-1, -1}) {
		t.Errorf("finals %v of nothing", none.finals())
	}
}

func TestEvaluate(t *testing.T) {
	t.Parallel()
	j := run10ms(5, 3) // a: 0, 2, 4; b: 1
	all, half, none := newRecord(j), newRecord(j), newRecord(j)
	see(all, 50, of("a", 3, 104), of("b", 1, 101)) // 50, 30, 10; 40
	see(half, 20, of("a", 1, 100))                 // 20
	see(half, 41, of("b", 1, 101))                 // 31
	got := j.evaluate([]*record{all, half, none})
	want := result{
		Clients: 3, Entities: 2, PerSecond: 100, Written: 4, Failed: 1, Problem: "refused", NotShown: 6,
		P50: 30, P95: 50, P99: 50, Max: 50, Frames: 3, Updates: 4, Bytes: 3000, Complete: 1,
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := newJournal([]string{"a"}, 1, 0, start).evaluate(nil); got != (result{Entities: 1}) {
		t.Errorf("nothing came to %+v", got)
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1)*time.Millisecond)
	}
	for _, tc := range []struct {
		values []time.Duration
		share  float64
		want   float64
	}{
		{nil, 0.5, 0}, {hundred[:1], 0.5, 1}, {hundred[:1], 1, 1}, {hundred[:2], 0.5, 1}, {hundred[:3], 0.5, 2},
		{hundred, 0.5, 50}, {hundred, 0.95, 95}, {hundred, 0.99, 99}, {hundred, 1, 100}, {hundred, 0, 1},
	} {
		if got := quantile(tc.values, tc.share); math.Abs(got-tc.want) > 1e-9 {
			t.Errorf("quantile %g of %d values is %g, want %g", tc.share, len(tc.values), got, tc.want)
		}
	}
}
