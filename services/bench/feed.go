package bench

import (
	"context"
	"time"
)

// batch is how many updates come together at most, as from a queue.
const batch = 10

// Feed hands out updates when they are due. It is not safe for concurrent use.
type Feed struct {
	updates, entities int
	together          int // how many wait at a time; 0: all
	every             time.Duration
	first             int64 // the first revision
	began             time.Time
	next              int
}

// firstRevision is that of what is measured.
const firstRevision = 1000

// NewFeed returns the feed of a workload.
func NewFeed(w Workload) *Feed {
	f := &Feed{updates: w.Updates, entities: w.Entities, together: w.Together, first: firstRevision}
	if w.Rate > 0 {
		f.every = time.Duration(float64(time.Second) / w.Rate)
	}
	return f
}

// warmFeed has so many updates of one entity, one at a time. They are older than all that follow.
func warmFeed(updates int) *Feed {
	return &Feed{updates: min(updates, firstRevision-1), entities: 1, together: 1, first: 1}
}

// Next waits until an update is due and returns it with those that are due with it, ten at most. The
// time at which an update was due is when it was written, however late it is fetched. It returns
// false at the end of the feed or of the context.
func (f *Feed) Next(ctx context.Context) ([]Update, bool) {
	if f.began.IsZero() {
		f.began = time.Now()
	}
	if f.next == f.updates || ctx.Err() != nil || !wait(ctx, time.Until(f.due(f.next))) {
		return nil, false
	}
	var due []Update
	for now := time.Now(); len(due) < batch && f.next < f.updates && !f.due(f.next).After(now); f.next++ {
		if len(due) > 0 && f.begins() {
			break
		}
		due = append(due, Update{
			Entity:   f.next % f.entities,
			Revision: f.first + int64(f.next/f.entities),
			Written:  f.due(f.next),
		})
	}
	return due, true
}

// begins reports whether the next update is the first of those that wait together, and others came before.
func (f *Feed) begins() bool { return f.together > 0 && f.next > 0 && f.next%f.together == 0 }

func (f *Feed) due(n int) time.Time { return f.began.Add(time.Duration(n) * f.every) }

// released returns how many updates were handed out, and the last revision of each entity there
// was to hand out.
func (f *Feed) released() (int, map[string]int64) {
	final := map[string]int64{}
	for e := range min(f.entities, f.updates) {
		final[entityID(e)] = f.first + int64((f.updates-1-e)/f.entities)
	}
	return f.next, final
}

func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
