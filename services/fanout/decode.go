package fanout

import (
	"encoding/json"
	"errors"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/queue"
)

// event is a message that was understood.
type event struct {
	message queue.Message
	tenant  string
	change
}

// change is what an event of any type says of the one thing that it is about.
type change struct {
	name      name
	operation contracts.MetricUpdateOperation
	version   contracts.Version
	writtenAt string
	current   json.RawMessage // nil where the thing is gone
}

// name tells the things of a tenant apart: entities by their type and id, insights by the key of
// their row.
type name struct {
	frame         *form // of the frames that have it, so that no insight is an entity
	first, second string
}

// rejected is a message that was not understood, and why.
type rejected struct {
	message queue.Message
	reason  string
}

// decode sorts messages into events and rejects. The reason of a reject quotes no value of the body,
// but may quote the name of a member.
func decode(messages []queue.Message) (events []event, rejects []rejected) {
	for _, m := range messages {
		e, err := understand([]byte(m.Body))
		if err != nil {
			rejects = append(rejects, rejected{m, err.Error()})
			continue
		}
		e.message = m
		events = append(events, e)
	}
	return events, rejects
}

// understand reads an event of any type that is delivered. Updates of metrics are tried first, since
// nearly all are that.
func understand(body []byte) (event, error) {
	e, err := contracts.DecodeEvent(body)
	if err == nil {
		return metricUpdate(e), nil
	}
	if !unknownType(err) {
		return event{}, err
	}
	insight, other := contracts.DecodeInsight(body)
	switch {
	case other == nil:
		return insightCreated(insight), nil
	case unknownType(other):
		return event{}, contracts.Invalid{Pointer: "/type", Keyword: contracts.KeywordUnknownType, Message: "no event of this type is delivered"}
	}
	return event{}, other
}

func unknownType(err error) bool {
	invalid, ok := errors.AsType[contracts.Invalid](err)
	return ok && invalid.Keyword == contracts.KeywordUnknownType
}

func metricUpdate(e contracts.MetricUpdateV1) event {
	return event{tenant: e.Tenant, change: change{
		name:      name{entities, string(e.Data.EntityType), e.Data.EntityID},
		operation: e.Data.Operation, version: e.Data.Version, writtenAt: e.Data.WrittenAt, current: e.Data.Current,
	}}
}

func insightCreated(e contracts.InsightCreatedV1) event {
	return event{tenant: e.Tenant, change: change{
		name:      name{insights, e.Data.InsightID.Pk, e.Data.InsightID.Sk},
		operation: e.Data.Operation, version: e.Data.Version, writtenAt: e.Data.WrittenAt, current: e.Data.Current,
	}}
}
