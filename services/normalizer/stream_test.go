package normalizer_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

const testLabel = "2026-11-22T09:00:00.000"

// change is one record of a test's stream.
type change struct {
	entity   string // id of a student, or an insight as insight returns it
	kind     string
	sequence string
	new, old map[string]any // public attributes and tenant; texts and ints
	expired  bool
	raw      string // instead of all that
}

func put(entity, sequence string, health int) change {
	return change{entity: entity, kind: "INSERT", sequence: sequence, new: map[string]any{"health_score": health}}
}

// insight names the insight that was found about a student at so many seconds past ten.
func insight(student string, second int) string {
	return fmt.Sprintf("insight#%s@2026-11-22T10:00:%02d.000Z", student, second)
}

// find is an insight that is new.
func find(insight, sequence string, risk int) change {
	return change{entity: insight, kind: "INSERT", sequence: sequence, new: map[string]any{"risk_score": risk}}
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
	table := "iops-dashboard-metrics"
	if strings.Contains(c.entity, "@") {
		table = "iops-dashboard-insights"
	}
	record := map[string]any{
		"eventID": "event-" + c.sequence, "eventName": c.kind, "eventVersion": "1.1", "eventSource": "aws:dynamodb",
		"awsRegion": "us-east-1", "dynamodb": dynamodb,
		"eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/" + table + "/stream/" + testLabel,
	}
	if c.expired {
		record["userIdentity"] = map[string]string{"type": "Service", "principalId": "dynamodb.amazonaws.com"}
	}
	return must(json.Marshal(record))
}

func item(entity string, attributes map[string]any) map[string]any {
	text := func(s string) map[string]string { return map[string]string{"S": s} }
	image := map[string]any{"entity_id": text(entity), "entity_type": text("student")}
	if pk, sk, ok := strings.Cut(entity, "@"); ok {
		image = map[string]any{"pk": text(pk), "sk": text(sk)}
	}
	if _, ok := attributes["risk_score"]; ok {
		for name, value := range foundBySample {
			image[name] = text(value)
		}
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

// foundBySample is what all insights of the tests say besides their score.
var foundBySample = map[string]string{
	"entity_id": "a", "prediction_type": "low_health_score", "timestamp": "2026-11-22T10:00:00.123Z",
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
	Type   string
	ID     string
	Tenant string
	Data   struct {
		EntityType string                  `json:"entity_type"`
		EntityID   string                  `json:"entity_id"`
		InsightID  struct{ Pk, Sk string } `json:"insight_id"`
		Operation  string
		Version    struct{ Epoch, Revision int64 }
		Sequence   string
		Current    map[string]any
	}
}

// about is what the event is about, as a change names it.
func (e event) about() string {
	if e.Type == "INSIGHT_CREATED" {
		return e.Data.InsightID.Pk + "@" + e.Data.InsightID.Sk
	}
	return e.Data.EntityID
}

func decodeEvent(t testing.TB, body string) event {
	t.Helper()
	var e event
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		t.Fatal(err)
	}
	return e
}
