package fanout

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/queue"
	"github.com/iops-dashboard/live/services/internal/view"
)

func TestDecodeRejects(t *testing.T) {
	t.Parallel()
	good := encode(t, newEvent("default", "stu_1", 1))
	insight := encode(t, newInsight("default", "stu_1", noon, 1))
	for name, body := range map[string]string{
		"insight: bad tenant":  strings.Replace(insight, `"tenant":"default"`, `"tenant":"a#canary"`, 1),
		"insight: later major": strings.Replace(insight, "insight-created/v1.json", "insight-created/v2.json", 1),
		"insight: no schema":   strings.Replace(insight, `"dataschema":`, `"canary":`, 1),
		"insight: no time":     strings.Replace(insight, `"sk":"2026-11-22T12:00:00.000Z"`, `"sk":"canary"`, 1),
		"insight: no version":  strings.Replace(insight, `"revision":1`, `"revision":"1"`, 1),
		"insight: too large":   strings.Replace(insight, `"subject":"`, `"later":"`+strings.Repeat("x", contracts.MaxEventBytes)+`","subject":"`, 1),
		"an insight's data":    strings.Replace(insight, `"type":"INSIGHT_CREATED"`, `"type":"METRIC_UPDATE"`, 1),
		"an entity's data":     strings.Replace(good, `"type":"METRIC_UPDATE"`, `"type":"INSIGHT_CREATED"`, 1),
		"type no text":         strings.Replace(good, `"type":"METRIC_UPDATE"`, `"type":["INSIGHT_CREATED"]`, 1),
		"not JSON":             "canary",
		"nothing":              "",
		"no tenant":            strings.Replace(good, `"tenant":"default",`, "", 1),
		"bad tenant":           strings.Replace(good, `"tenant":"default"`, `"tenant":"a#canary"`, 1),
		"other type":           strings.Replace(good, `"type":"METRIC_UPDATE"`, `"type":"canary"`, 1),
		"later major":          strings.Replace(good, "metric-update/v1.json", "metric-update/v2.json", 1),
		"no version":           strings.Replace(good, `"revision":1`, `"revision":"1"`, 1),
		"too large":            strings.Replace(good, `"subject":"`, `"later":"`+strings.Repeat("x", contracts.MaxEventBytes)+`","subject":"`, 1),
		"SNS envelope":         `{"Type":"Notification","Message":"{}"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if body == good {
				t.Fatal("the case changes nothing")
			}
			events, rejects := known.decode(messages(good, body, good))
			if len(events) != 2 || len(rejects) != 1 || rejects[0].message.Body != body || rejects[0].reason == "" {
				t.Fatalf("%d events, rejects %v", len(events), rejects)
			}
			if want, ok := strings.CutPrefix(name, "insight: later "); ok && !strings.Contains(rejects[0].reason, "unknown-"+want) {
				t.Errorf("reason %s", rejects[0].reason)
			}
		})
	}
}

func TestDecodeToleratesALaterProducer(t *testing.T) {
	t.Parallel()
	for body, inData := range map[string]string{
		encode(t, newEvent("default", "stu_1", 1)):         `"entity_id":`,
		encode(t, newInsight("default", "stu_1", noon, 1)): `"insight_id":`,
	} {
		body = strings.Replace(body, `"tenant":`, `"later":{"a":1},"tenant":`, 1)
		body = strings.Replace(body, inData, `"later":true,`+inData, 1)
		if _, rejects := known.decode(messages(body)); len(rejects) != 0 || strings.Count(body, "later") != 2 {
			t.Error(rejects)
		}
	}
}

// newInsight is an insight about a student, found at that time.
func newInsight(tenant, student string, found time.Time, revision int64) contracts.InsightCreatedV1 {
	id := contracts.InsightID{Pk: "insight#" + student, Sk: found.Format("2006-01-02T15:04:05.000Z")}
	if found.Nanosecond()%1e6 != 0 {
		id.Sk = found.Format(time.RFC3339Nano)
	}
	return contracts.InsightCreatedV1{
		SpecVersion:     contracts.InsightCreatedV1SpecVersion,
		ID:              "c4ca4238a0b923820dcc509a6f75849b",
		Type:            contracts.InsightCreatedV1Type,
		Source:          "iops-dashboard/normalizer",
		Subject:         "insight/insight#stu_4532/2026-11-22T10:00:00.123Z",
		Time:            "2026-11-22T10:00:00.200Z",
		DataContentType: contracts.InsightCreatedV1DataContentType,
		DataSchema:      contracts.InsightCreatedV1DataSchema,
		Tenant:          tenant,
		TraceParent:     "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		Data: contracts.InsightCreatedDataV1{
			InsightID: id,
			Operation: contracts.MetricUpdateOperationUpsert,
			Version:   contracts.Version{Epoch: 1_795_000_000_000, Revision: revision},
			Sequence:  "300000000000000499659",
			WrittenAt: "2026-11-22T10:00:00.123Z",
			Current:   json.RawMessage(`{"entity_id":"stu_4532","prediction_type":"low_health_score","risk_score":84,"risk_band":"critical","timestamp":"2026-11-22T10:00:00.123Z"}`),
			Changed:   []string{},
		},
	}
}

// known are the majors of a worker that is told nothing else.
var known = majors(Published())

// understood is what the worker makes of an event of major 1, valid or not.
func understood(e any) *event {
	switch e := e.(type) {
	case contracts.MetricUpdateV1:
		d := e.Data
		return translated(known[0], Event{e.Tenant, e.TraceParent, string(d.EntityType), d.EntityID, d.Operation, d.Version, d.WrittenAt, d.Current, d.Previous})
	case contracts.InsightCreatedV1:
		d := e.Data
		return translated(known[1], Event{e.Tenant, e.TraceParent, d.InsightID.Pk, d.InsightID.Sk, d.Operation, d.Version, d.WrittenAt, d.Current, d.Previous})
	}
	panic("no event")
}

func translated(m Major, e Event) *event {
	all, err := known.translate(m, e)
	if err != nil {
		panic(err)
	}
	return all
}

// everything is how a connection is told of a change that watches everything.
func everything(c *change) *entry {
	how, ok := tell(view.Everything(), c, 1)
	if !ok {
		panic("nothing is told")
	}
	return &entry{change: c, how: how}
}

func entriesOf(events []*event) []*entry {
	var all []*entry
	for _, e := range events {
		all = append(all, everything(&e.change))
	}
	return all
}

func newEvent(tenant, id string, revision int64) contracts.MetricUpdateV1 {
	return contracts.MetricUpdateV1{
		SpecVersion:     contracts.MetricUpdateV1SpecVersion,
		ID:              "8f6f5f2c1d0e4b3a9c7d6e5f4a3b2c1d",
		Type:            contracts.MetricUpdateV1Type,
		Source:          "iops-dashboard/normalizer",
		Subject:         "student/stu_4532",
		Time:            "2026-11-22T10:00:00.200Z",
		DataContentType: contracts.MetricUpdateV1DataContentType,
		DataSchema:      contracts.MetricUpdateV1DataSchema,
		Tenant:          tenant,
		TraceParent:     "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		Data: contracts.MetricUpdateDataV1{
			EntityType: contracts.EntityTypeStudent, EntityID: id,
			Operation: contracts.MetricUpdateOperationUpsert,
			Version:   contracts.Version{Epoch: 1_795_000_000_000, Revision: revision},
			Sequence:  "100000000003498069978",
			WrittenAt: "2026-11-22T10:00:00.123Z",
			Current:   json.RawMessage(`{"sessions_7d":4,"sessions_14d":9,"sessions_30d":17,"avg_rating":4.5,"health_score":71.5,"segment":"healthy","churn_risk_14d":0.12,"last_updated":"2026-11-22T10:00:00.123Z"}`),
			Changed:   []string{},
		},
	}
}

func encode(t testing.TB, e any) string {
	t.Helper()
	body, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func messages(bodies ...string) []queue.Message {
	var all []queue.Message
	for i, body := range bodies {
		all = append(all, queue.Message{ID: fmt.Sprint(i), Receipt: fmt.Sprint(i), Body: body, ReceiveCount: 1})
	}
	return all
}
