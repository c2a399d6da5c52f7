package fanout

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/iops-dashboard/live/services/internal/queue"
)

// update is the newest state of one entity or insight in a window, and all messages that it settles:
// its own, those that it repeats and those that it supersedes.
type update struct {
	change
	messages []queue.Message

	encoding  sync.Mutex
	fragments map[int][]byte // what the frames of each major say of it

	// failed: some connection should have it and could not be given it. unfinished: the worker was
	// stopped before that was known.
	failed, unfinished atomic.Bool
}

// audience is a tenant, and the updates of a window that its connections must get.
type audience struct {
	tenant  string
	updates []*update // in the order in which their names came first
	entries map[name]*update
}

// conflate keeps, of each entity and of each insight, the event with the highest version, in any
// order of arrival. Of a version that came in several majors it keeps the newest of them, which can
// say the most.
func conflate(events []event) []*audience {
	var all []*audience
	byTenant := map[string]*audience{}
	for _, e := range events {
		a := byTenant[e.tenant]
		if a == nil {
			a = &audience{tenant: e.tenant, entries: map[name]*update{}}
			byTenant[e.tenant] = a
			all = append(all, a)
		}
		u := a.entries[e.name]
		switch {
		case u == nil:
			u = &update{change: e.change}
			a.entries[e.name] = u
			a.updates = append(a.updates, u)
		case e.newer(u.change):
			u.change = e.change
		}
		u.messages = append(u.messages, e.message)
	}
	return all
}

func (c change) newer(than change) bool {
	order := c.version.Compare(than.version)
	return order > 0 || order == 0 && c.major > than.major
}

// oldest returns the earliest time at which a row of these updates was written, or zero.
func oldest(audiences []*audience) time.Time {
	var first time.Time
	for _, a := range audiences {
		for _, u := range a.updates {
			at, err := time.Parse(time.RFC3339, u.writtenAt)
			if err == nil && (first.IsZero() || at.Before(first)) {
				first = at
			}
		}
	}
	return first
}
