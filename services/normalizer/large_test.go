package normalizer

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/iops-dashboard/live/contracts"
)

// maxItem is the size of DynamoDB's largest item.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
const maxItem = 400 << 10

// largeRecord is a change of a row, with these attributes in both images and a filler that makes each
// as large as an item can be.
func largeRecord(t *testing.T, table string, keys, before, after map[string]any, filler string) []byte {
	t.Helper()
	image := func(attributes map[string]any) map[string]any {
		all := map[string]any{filler: text(strings.Repeat("x", maxItem-2000))}
		for name, value := range keys {
			all[name] = value
		}
		for name, value := range attributes {
			all[name] = value
		}
		return all
	}
	payload, err := json.Marshal(map[string]any{
		"eventID": "f07f8ca4b0b26cb9c4e5e77e69f274ee", "eventName": "MODIFY", "eventVersion": "1.1", "eventSource": "aws:dynamodb", "awsRegion": "us-east-1",
		"eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/" + table + "/stream/2026-11-22T09:00:00.000",
		"dynamodb": map[string]any{
			"ApproximateCreationDateTime": 1795341601, "Keys": keys, "SequenceNumber": "1405400000000002063282833",
			"StreamViewType": "NEW_AND_OLD_IMAGES", "OldImage": image(before), "NewImage": image(after),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

func text(s string) map[string]any   { return map[string]any{"S": s} }
func digits(s string) map[string]any { return map[string]any{"N": s} }

var (
	studentKeys = map[string]any{"entity_id": text("stu_1"), "entity_type": text("student")}
	insightKeys = map[string]any{"pk": text("insight#stu_1"), "sk": text("2026-11-22T10:00:00.000Z")}
)

// What is not public may be as large as it likes: the event tells of the rest.
func TestALargeRowWhosePublicPartIsSmall(t *testing.T) {
	t.Parallel()
	payload := largeRecord(t, "iops-dashboard-metrics", studentKeys,
		map[string]any{"health_score": digits("71")}, map[string]any{"health_score": digits("64")}, "notes")
	o := normalize(payload, testNow)
	checkOutcome(t, o)
	if o.reason != nil || len(o.updates) != 1 || len(o.dropped) != 1 || o.dropped[0] != "notes" {
		t.Fatalf("reason %+v, %d updates, dropped %v", o.reason, len(o.updates), o.dropped)
	}
	body := published(t, o.updates[0], longest)
	if len(body) > 2000 || !strings.Contains(body, `"current":{"health_score":64},"previous":{"health_score":71}`) {
		t.Errorf("%d bytes: %.500s", len(body), body)
	}
}

// A public text that is too long is named, and nothing of it is told.
func TestALargePublicText(t *testing.T) {
	t.Parallel()
	found := map[string]any{
		"entity_id": text("stu_1"), "prediction_type": text("low_health_score"), "risk_score": digits("84"),
		"timestamp": text("2026-11-22T10:00:00.000Z"),
	}
	payload := largeRecord(t, "iops-dashboard-insights", insightKeys, found, found, "explanation")
	o := normalize(payload, testNow)
	checkOutcome(t, o)
	if o.reason == nil || o.reason.Pointer != "/dynamodb/NewImage/explanation" || len(o.updates) != 0 {
		t.Fatalf("reason %+v, %d updates", o.reason, len(o.updates))
	}
	if len(o.reason.Message) > 300 {
		t.Errorf("the reason quotes %d bytes", len(o.reason.Message))
	}
}

// Rows with any attributes of any type besides the public ones: whatever is emitted, a schema declares.
func TestOnlyDeclaredAttributesAreEmitted(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	values := []any{
		text("x"), digits("7"), map[string]any{"BOOL": true}, map[string]any{"NULL": true}, map[string]any{"B": "AA=="},
		map[string]any{"SS": []string{"a"}}, map[string]any{"NS": []string{"1"}}, map[string]any{"BS": []string{"AA=="}},
		map[string]any{"L": []any{text("a")}}, map[string]any{"M": map[string]any{"a": text("b")}},
	}
	try := func(table, schema string, keys, base map[string]any, declared contracts.AttributeSet) {
		row := map[string]any{}
		for name, value := range base {
			row[name] = value
		}
		for n := range 40 {
			row[fmt.Sprint("undeclared_", n)] = values[random.IntN(len(values))]
		}
		for _, name := range []string{"mood", "email", "ib_calls_21d", "Health_Score", "region_code"} {
			row[name] = values[random.IntN(len(values))]
		}
		payload := largeRecord(t, table, keys, base, row, "padding")
		o := normalize(payload, testNow)
		const advice = "add it there (contracts/README.md, \"Add a field\"), or stop emitting it"
		if o.reason != nil {
			t.Errorf("the normalizer emitted something of %s that the schema refuses at %s (%s): if it is an attribute that no schema declares, %s",
				schema, o.reason.Pointer, o.reason.Message, advice)
			return
		}
		for _, u := range o.updates {
			var emitted map[string]json.RawMessage
			if err := json.Unmarshal(u.draft.current, &emitted); err != nil {
				t.Fatal(err)
			}
			for name := range emitted {
				if _, ok := declared.Get(name); !ok {
					t.Errorf("the normalizer emitted the attribute %s, which contracts/schemas/%s does not declare: %s", name, schema, advice)
				}
			}
		}
	}
	for _, kind := range contracts.EntityTypes() {
		keys := map[string]any{"entity_id": text("x_1"), "entity_type": text(string(kind))}
		try("iops-dashboard-metrics", "entities/"+string(kind)+"/v1.json", keys, map[string]any{"health_score": digits("71")}, contracts.PublicAttributes(kind))
	}
	found := map[string]any{
		"entity_id": text("stu_1"), "prediction_type": text("low_health_score"), "risk_score": digits("84"),
		"timestamp": text("2026-11-22T10:00:00.000Z"),
	}
	try("iops-dashboard-insights", "findings/insight/v1.json", insightKeys, found, contracts.InsightAttributes())
}
