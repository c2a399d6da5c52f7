package normalizer

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
)

// maxItem is the size of DynamoDB's largest item.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
const maxItem = 400 << 10

// padded is a row that one of its attributes, a text, makes as large as an item can be.
func padded(row map[string]any, filler string) map[string]any {
	row = maps.Clone(row)
	row[filler] = text(strings.Repeat("x", maxItem-2000))
	return row
}

// modified is the record of a change of a row, whose key is in both images as it is in DynamoDB's.
func modified(t failer, table string, key, before, after map[string]any) []byte {
	t.Helper()
	image := func(row map[string]any) map[string]any {
		row = maps.Clone(row)
		maps.Copy(row, key)
		return row
	}
	payload, err := json.Marshal(map[string]any{
		"eventID": "f07f8ca4b0b26cb9c4e5e77e69f274ee", "eventName": "MODIFY", "eventVersion": "1.1", "eventSource": "aws:dynamodb", "awsRegion": "us-east-1",
		"eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/" + table + "/stream/2026-11-22T09:00:00.000",
		"dynamodb": map[string]any{
			"ApproximateCreationDateTime": 1795341601, "Keys": key, "SequenceNumber": "1405400000000002063282833",
			"StreamViewType": "NEW_AND_OLD_IMAGES", "OldImage": image(before), "NewImage": image(after),
		},
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return payload
}

// failer is a test or a property.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func text(s string) map[string]any   { return map[string]any{"S": s} }
func digits(s string) map[string]any { return map[string]any{"N": s} }

func texts(each ...string) map[string]any {
	items := make([]any, len(each))
	for i, s := range each {
		items[i] = text(s)
	}
	return map[string]any{"L": items}
}

const metricsTable, insightsTable = "iops-dashboard-metrics", "iops-dashboard-insights"

func entityKey(kind string) map[string]any {
	return map[string]any{"entity_id": text("x_1"), "entity_type": text(kind)}
}

var (
	insightKey  = map[string]any{"pk": text("insight#stu_1"), "sk": text("2026-11-22T10:00:00.000Z")}
	leastMetric = map[string]any{"health_score": digits("64")}
	leastFound  = map[string]any{
		"entity_id": text("stu_1"), "prediction_type": text("low_health_score"), "risk_score": digits("84"),
		"timestamp": text("2026-11-22T10:00:00.000Z"),
	}
)

// A public text may be too long for its schema, or for an event. Either way the record is named by the
// attribute that is at fault, and nothing of it is quoted.
func TestAPublicTextThatIsTooLarge(t *testing.T) {
	t.Parallel()
	page := strings.Repeat("x", 5000) // beyond every text's limit, well within an event's
	for name, c := range map[string]struct {
		table         string
		key, row      map[string]any
		code, pointer string
	}{
		"explanation":           {insightsTable, insightKey, with(leastFound, "explanation", text(page)), "maxLength", "/explanation"},
		"explanation of 400 KB": {insightsTable, insightKey, padded(leastFound, "explanation"), "size", "/explanation"},
		"recommendation":        {insightsTable, insightKey, with(leastFound, "recommendations", texts("call", page)), "maxLength", "/recommendations/1"},
		"recommendation of 400 KB": {
			insightsTable, insightKey, with(leastFound, "recommendations", texts("call", strings.Repeat("x", maxItem-2000))), "size", "/recommendations",
		},
		"recommendations of 400 KB": {
			insightsTable, insightKey, with(leastFound, "recommendations", texts(strings.SplitAfter(strings.Repeat("call ", maxItem/10), " ")...)), "size", "/recommendations",
		},
		"model of 400 KB":   {insightsTable, insightKey, padded(leastFound, "model_used"), "size", "/model_used"},
		"region":            {metricsTable, entityKey("subject"), with(leastMetric, "region", text(page)), "maxLength", "/region"},
		"region of 400 KB":  {metricsTable, entityKey("subject"), padded(leastMetric, "region"), "size", "/region"},
		"segment of 400 KB": {metricsTable, entityKey("student"), padded(leastMetric, "segment"), "size", "/segment"},
		"number of 400 KB":  {metricsTable, entityKey("student"), with(leastMetric, "health_score", digits(strings.Repeat("7", maxItem-2000))), "number", "/health_score"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := normalize(modified(t, c.table, c.key, c.row, c.row), testNow)
			checkOutcome(t, o)
			if o.reason == nil || o.reason.Code != c.code || o.reason.Pointer != newImage+c.pointer || len(o.updates) != 0 {
				t.Fatalf("reason %+v and %d updates, want %s at %s", o.reason, len(o.updates), c.code, c.pointer)
			}
			if strings.Contains(o.reason.Message, "xxxx") || len(o.reason.Message) > 300 {
				t.Errorf("the reason quotes the row: %.400s", o.reason.Message)
			}
		})
	}
}

func with(row map[string]any, name string, value any) map[string]any {
	row = maps.Clone(row)
	row[name] = value
	return row
}

// Two images of 400 KB make an ordinary event. What is not public is only counted; of what was, and is
// public but too large, only the image before is left out.
func TestLargeImages(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		table              string
		key, before, after map[string]any
		dropped            int
		says               string
	}{
		"entity": {
			metricsTable, entityKey("student"), padded(with(leastMetric, "health_score", digits("71")), "notes"), padded(leastMetric, "notes"), 1,
			`"current":{"health_score":64},"previous":{"health_score":71},"changed":["health_score"]`,
		},
		"insight": {
			insightsTable, insightKey, padded(leastFound, "transcript"), padded(with(leastFound, "risk_score", digits("85")), "transcript"), 1,
			`"changed":["risk_score"]`,
		},
		"an attribute that is made of many": {
			metricsTable, entityKey("tutor"), leastMetric, with(leastMetric, "history", texts(strings.Split(strings.Repeat("x ", maxItem/8), " ")...)), 1,
			`"previous":{"health_score":64},"changed":[]`,
		},
		"a public text that was too large": {
			insightsTable, insightKey, padded(leastFound, "explanation"), leastFound, 0,
			`"previous":null,"changed":["entity_id","prediction_type","risk_band","risk_score","timestamp"]`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			payload := modified(t, c.table, c.key, c.before, c.after)
			if len(payload) < maxItem-2000 {
				t.Fatalf("the record has only %d bytes", len(payload))
			}
			o := normalize(payload, testNow)
			checkOutcome(t, o)
			if o.reason != nil || len(o.updates) != 1 || len(o.dropped) != c.dropped {
				t.Fatalf("reason %+v, %d updates, dropped %v", o.reason, len(o.updates), o.dropped)
			}
			if body := published(t, o.updates[0], longest); len(body) > 2000 || !strings.Contains(body, c.says) {
				t.Errorf("want %s in %d bytes: %.2000s", c.says, len(body), body)
			}
		})
	}
}
