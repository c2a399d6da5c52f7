package fanout

import (
	"encoding/json"
	"errors"
	"fmt"

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
// but may quote names: of a type that is not known, or of a member.
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

func understand(body []byte) (event, error) {
	e, err := contracts.DecodeEvent(body)
	if err == nil {
		return metricUpdate(e), nil
	}
	if invalid, ok := errors.AsType[contracts.Invalid](err); !ok || invalid.Keyword != contracts.KeywordUnknownType {
		return event{}, err
	}
	insight, known, wrong := decodeInsight(body)
	switch {
	case !known:
		return event{}, err
	case wrong != nil:
		return event{}, wrong
	}
	return insightCreated(insight), nil
}

// decodeInsight reads an event as [contracts.DecodeEvent] does, but of type INSIGHT_CREATED: known
// says whether it is one. The body is JSON, within the limits of any document.
func decodeInsight(body []byte) (e contracts.InsightCreatedV1, known bool, err error) {
	var envelope map[string]json.RawMessage
	if err := json.Unmarshal(body, &envelope); err != nil {
		return e, false, nil
	}
	text := func(name string) (s string) {
		_ = json.Unmarshal(envelope[name], &s) // what is no text is left to the schema
		return s
	}
	if text("type") != contracts.InsightCreatedV1Type {
		return e, false, nil
	}
	if schema := text("dataschema"); schema != "" && schema != contracts.InsightCreatedV1DataSchema {
		return e, true, contracts.Invalid{
			Pointer: "/dataschema", Keyword: contracts.KeywordUnknownMajor,
			Message: fmt.Sprintf("%s is known here, this is not", contracts.InsightCreatedV1DataSchema),
		}
	}
	if err := contracts.ValidateConsumer(contracts.KindInsightCreatedV1, body); err != nil {
		return e, true, err
	}
	return e, true, e.UnmarshalJSON(body)
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
