package sqsquarantine_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/quarantine"
	"github.com/iops-dashboard/live/services/internal/quarantine/quarantinetest"
	"github.com/iops-dashboard/live/services/internal/quarantine/sqsquarantine"
)

// What is written is what records/quarantine/v1 describes, and every example of it can be read.
func TestMessagesKeepTheContract(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*quarantine.Record){
		"all is known": func(*quarantine.Record) {},
		"nothing is known": func(r *quarantine.Record) {
			*r = quarantine.Record{Payload: []byte(`7`), At: r.At, Reason: quarantine.Reason{Code: "type"}}
		},
		"null":      func(r *quarantine.Record) { r.Payload = []byte(`null`) },
		"not JSON":  func(r *quarantine.Record) { r.Payload = []byte("{") },
		"not UTF-8": func(r *quarantine.Record) { r.Payload = []byte("\xff\x00") },
		"as deep as DynamoDB goes": func(r *quarantine.Record) {
			r.Payload = []byte(strings.Repeat(`{"M":{"a":`, 32) + `{"S":"x"}` + strings.Repeat(`}}`, 32))
		},
		"a number of 400 digits": func(r *quarantine.Record) { r.Payload = []byte(`{"N":` + strings.Repeat("9", 400) + `}`) },
		"nothing":                func(r *quarantine.Record) { r.Payload = nil },
		"large":                  func(r *quarantine.Record) { r.Payload = []byte(`"` + strings.Repeat("the same again ", 60_000) + `"`) },
	} {
		r := quarantinetest.Record()
		change(&r)
		body, err := sqsquarantine.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := contracts.ValidateProducer(contracts.KindQuarantinedRecordV1, []byte(body)); err != nil {
			t.Errorf("%s: %v\n%.300s", name, err, body)
		}
	}
}

// Whatever the payload is and however deep: the message keeps its contract, and the payload comes back
// as it was.
func TestEveryPayloadComesBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := quarantinetest.Record()
		r.Payload = rapid.OneOf(
			rapid.SliceOfN(rapid.Byte(), 1, 200),
			rapid.Map(rapid.IntRange(0, 64), func(depth int) []byte {
				return []byte(strings.Repeat(`{"M":{"a":`, depth) + `{"NULL":true}` + strings.Repeat(`}}`, depth))
			}),
			rapid.Map(rapid.IntRange(1, 300), func(digits int) []byte { return []byte("[" + strings.Repeat("7", digits) + "]") }),
		).Draw(t, "payload")
		body, err := sqsquarantine.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := contracts.ValidateProducer(contracts.KindQuarantinedRecordV1, []byte(body)); err != nil {
			t.Fatalf("%v: %.300s", err, body)
		}
		back, err := sqsquarantine.Decode(body)
		if err != nil || !bytes.Equal(back.Payload, r.Payload) && !sameJSON(back.Payload, r.Payload) {
			t.Fatalf("%q came back as %q, %v", r.Payload, back.Payload, err)
		}
	})
}

// sameJSON compares what is kept readable: white space may differ.
func sameJSON(a, b []byte) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}
