package normalizer_test

import (
	"encoding/json"
	"fmt"
	"testing"
)

const testLabel = "2026-11-22T09:00:00.000"

// change is one record of a test's stream.
type change struct {
	entity   string // id of a student
	kind     string
	sequence string
	new, old map[string]any // public attributes and tenant; texts and ints
	expired  bool
	raw      string // instead of all that
}

func put(entity, sequence string, health int) change {
	return change{entity: entity, kind: "INSERT", sequence: sequence, new: map[string]any{"health_score": health}}
}

func (c change) json() json.RawMessage {
	if c.raw != "" {
		return json.RawMessage(c.raw)
	}
	dynamodb := map[string]any{
		"ApproximateCreationDateTime": 1795341600,
		"Keys":                        item(c.entity, nil),
		"SequenceNumber":              c.sequence,
		"StreamViewType":              "NEW_AND_OLD_IMAGES",
	}
	if c.new != nil {
		dynamodb["NewImage"] = item(c.entity, c.new)
	}
	if c.old != nil {
		dynamodb["OldImage"] = item(c.entity, c.old)
	}
	record := map[string]any{
		"eventID": "event-" + c.sequence, "eventName": c.kind, "eventVersion": "1.1", "eventSource": "aws:dynamodb",
		"awsRegion": "us-east-1", "dynamodb": dynamodb,
		"eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/iops-dashboard-metrics/stream/" + testLabel,
	}
	if c.expired {
		record["userIdentity"] = map[string]string{"type": "Service", "principalId": "dynamodb.amazonaws.com"}
	}
	return must(json.Marshal(record))
}

func item(entity string, attributes map[string]any) map[string]any {
	image := map[string]any{
		"entity_id":   map[string]string{"S": entity},
		"entity_type": map[string]string{"S": "student"},
	}
	for name, value := range attributes {
		switch v := value.(type) {
		case string:
			image[name] = map[string]string{"S": v}
		case int:
			image[name] = map[string]string{"N": fmt.Sprint(v)}
		default:
			panic(fmt.Sprintf("attribute of type %T", v))
		}
	}
	return image
}

func batch(changes ...change) json.RawMessage {
	records := []json.RawMessage{}
	for _, c := range changes {
		records = append(records, c.json())
	}
	return must(json.Marshal(map[string]any{"Records": records}))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// event is what the tests read of an event, on purpose not with the types of production.
type event struct {
	ID     string
	Tenant string
	Data   struct {
		EntityType string `json:"entity_type"`
		EntityID   string `json:"entity_id"`
		Operation  string
		Version    struct{ Epoch, Revision int64 }
		Sequence   string
		Current    map[string]any
	}
}

func decodeEvent(t testing.TB, body string) event {
	t.Helper()
	var e event
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		t.Fatal(err)
	}
	return e
}
