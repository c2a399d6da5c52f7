package fanout

import (
	"sync/atomic"
	"time"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/queue"
)

// event is a message that was understood.
type event struct {
	message queue.Message
	contracts.MetricUpdateV1
}

// rejected is a message that was not, and why.
type rejected struct {
	message queue.Message
	reason  string
}

// update is the newest state of one entity in a window, and all messages that it settles: its own,
// those that it repeats and those that it supersedes.
type update struct {
	contracts.MetricUpdateDataV1
	messages []queue.Message
	fragment []byte // what a frame says of it, encoded once

	// failed: some connection should have it and could not be given it. unfinished: the worker was
	// stopped before that was known.
	failed, unfinished atomic.Bool
}

// audience is a tenant, and the updates of a window that its connections must get.
type audience struct {
	tenant  string
	updates []*update // in the order in which their entities came first
	entries map[entity]*update
}

type entity struct {
	kind contracts.EntityType
	id   string
}

// decode sorts messages into events and rejects. The reason of a reject quotes no value of the body,
// but may quote names: of a type that is not known, or of a member.
func decode(messages []queue.Message) (events []event, rejects []rejected) {
	for _, m := range messages {
		e, err := contracts.DecodeEvent([]byte(m.Body))
		if err != nil {
			rejects = append(rejects, rejected{m, err.Error()})
			continue
		}
		events = append(events, event{m, e})
	}
	return events, rejects
}

// conflate keeps, of each entity, the event with the highest version, in any order of arrival.
func conflate(events []event) []*audience {
	var all []*audience
	byTenant := map[string]*audience{}
	for _, e := range events {
		a := byTenant[e.Tenant]
		if a == nil {
			a = &audience{tenant: e.Tenant, entries: map[entity]*update{}}
			byTenant[e.Tenant] = a
			all = append(all, a)
		}
		key := entity{e.Data.EntityType, e.Data.EntityID}
		u := a.entries[key]
		switch {
		case u == nil:
			u = &update{MetricUpdateDataV1: e.Data}
			a.entries[key] = u
			a.updates = append(a.updates, u)
		case e.Data.Version.Compare(u.Version) > 0:
			u.MetricUpdateDataV1 = e.Data
		}
		u.messages = append(u.messages, e.message)
	}
	return all
}

// oldest returns the earliest time at which a row of these updates was written, or zero.
func oldest(audiences []*audience) time.Time {
	var first time.Time
	for _, a := range audiences {
		for _, u := range a.updates {
			at, err := time.Parse(time.RFC3339, u.WrittenAt)
			if err == nil && (first.IsZero() || at.Before(first)) {
				first = at
			}
		}
	}
	return first
}
