package fanout

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/queue"
	"github.com/iops-dashboard/live/services/internal/view"
)

// event is a message that was understood.
type event struct {
	message queue.Message
	tenant  string
	trace   string
	change
}

// Event is what an event of any type and major says of the one thing that it is about.
type Event struct {
	Tenant      string
	TraceParent string
	// First and Second name the thing: an entity by its type and id, an insight by the key of its row.
	First, Second string
	Operation     contracts.MetricUpdateOperation
	Version       contracts.Version
	WrittenAt     string
	// Current is nil where the thing is gone, and Previous where it was not there before, or where that
	// is not known.
	Current, Previous json.RawMessage
}

// change is what is known of the thing after an event. All but the fragments never changes.
type change struct {
	name      name
	operation contracts.MetricUpdateOperation
	version   contracts.Version
	writtenAt string
	written   time.Time // the same, or zero
	major     int       // of the event
	said      []words   // in each major of its type

	encoding  sync.Mutex
	fragments map[telling][]byte // what frames say of it
}

// words are the states before and after a change, as one major says them.
type words struct {
	major    int
	current  json.RawMessage // nil where the thing is gone
	image    *view.Image     // of that
	previous *view.Image     // nil where there was none, or none is known
}

// in returns the states in the words of a major.
func (c *change) in(major int) *words {
	for i := range c.said {
		if c.said[i].major == major {
			return &c.said[i]
		}
	}
	return &c.said[0]
}

func (c *change) gone() bool { return c.said[0].current == nil }

// newer reports whether the change replaces another of the same thing. Of a version that came in
// several majors the newest of them stays, which can say the most.
func (c *change) newer(than *change) bool {
	order := c.version.Compare(than.version)
	return order > 0 || order == 0 && c.major > than.major
}

// partition is the part of the registry with the views on such a thing: its type, or insight.
func (c *change) partition() string {
	if c.name.form == insights {
		return string(contracts.ViewTypeInsight)
	}
	return c.name.first
}

// name tells the things of a tenant apart: entities by their type and id, insights by the key of
// their row.
type name struct {
	form          *form // of the frames that have it, so that no insight is an entity
	first, second string
}

// rejected is a message that was not understood, and why.
type rejected struct {
	message queue.Message
	reason  string
}

// decode sorts messages into events and rejects. The reason of a reject quotes no value of the body,
// but may quote the name of a member.
func (ms majors) decode(messages []queue.Message) (events []*event, rejects []rejected) {
	for _, m := range messages {
		e, err := ms.read([]byte(m.Body), m.Attributes["type"].Value+"/"+m.Attributes["version"].Value)
		if err != nil {
			rejects = append(rejects, rejected{m, err.Error()})
			continue
		}
		e.message = m
		events = append(events, e)
	}
	return events, rejects
}

func readMetricUpdateV1(body []byte) (Event, error) {
	e, err := contracts.DecodeEvent(body)
	return Event{
		Tenant: e.Tenant, TraceParent: e.TraceParent, First: string(e.Data.EntityType), Second: e.Data.EntityID,
		Operation: e.Data.Operation, Version: e.Data.Version, WrittenAt: e.Data.WrittenAt,
		Current: e.Data.Current, Previous: e.Data.Previous,
	}, err
}

func readInsightCreatedV1(body []byte) (Event, error) {
	e, err := contracts.DecodeInsight(body)
	return Event{
		Tenant: e.Tenant, TraceParent: e.TraceParent, First: e.Data.InsightID.Pk, Second: e.Data.InsightID.Sk,
		Operation: e.Data.Operation, Version: e.Data.Version, WrittenAt: e.Data.WrittenAt,
		Current: e.Data.Current, Previous: e.Data.Previous,
	}, err
}
