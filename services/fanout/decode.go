package fanout

import (
	"encoding/json"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/queue"
)

// event is a message that was understood.
type event struct {
	message queue.Message
	tenant  string
	change
}

// Event is what an event of any type and major says of the one thing that it is about.
type Event struct {
	Tenant string
	// First and Second name the thing: an entity by its type and id, an insight by the key of its row.
	First, Second string
	Operation     contracts.MetricUpdateOperation
	Version       contracts.Version
	WrittenAt     string
	Current       json.RawMessage // nil where the thing is gone
}

// change is what is known of the thing after an event.
type change struct {
	name      name
	operation contracts.MetricUpdateOperation
	version   contracts.Version
	writtenAt string
	major     int             // of the event
	current   json.RawMessage // in the words of that; nil where the thing is gone
	others    []words         // in the words of the other majors
}

type words struct {
	major   int
	current json.RawMessage
}

// in returns the state in the words of a major.
func (c change) in(major int) json.RawMessage {
	for _, w := range c.others {
		if w.major == major {
			return w.current
		}
	}
	return c.current
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
func (ms majors) decode(messages []queue.Message) (events []event, rejects []rejected) {
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
		Tenant: e.Tenant, First: string(e.Data.EntityType), Second: e.Data.EntityID,
		Operation: e.Data.Operation, Version: e.Data.Version, WrittenAt: e.Data.WrittenAt, Current: e.Data.Current,
	}, err
}

func readInsightCreatedV1(body []byte) (Event, error) {
	e, err := contracts.DecodeInsight(body)
	return Event{
		Tenant: e.Tenant, First: e.Data.InsightID.Pk, Second: e.Data.InsightID.Sk,
		Operation: e.Data.Operation, Version: e.Data.Version, WrittenAt: e.Data.WrittenAt, Current: e.Data.Current,
	}, err
}
