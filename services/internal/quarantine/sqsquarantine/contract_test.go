package sqsquarantine_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
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

// Whatever the payload is and however deep, and whatever was read out of it: the message keeps its
// contract, and all comes back. Only the spelling of a payload that is kept readable may change: the
// space between its parts, and the two characters that SQS refuses.
func TestEveryPayloadComesBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		known := rapid.StringN(0, 20, -1)
		r := quarantine.Record{
			Payload: payload().Draw(t, "payload"),
			Reason: quarantine.Reason{
				Code: rapid.StringN(1, 20, -1).Draw(t, "code"), Pointer: known.Draw(t, "pointer"), Message: known.Draw(t, "message"),
			},
			At:     quarantinetest.Record().At,
			Source: known.Draw(t, "source"), EventID: known.Draw(t, "event"), Sequence: known.Draw(t, "sequence"), Tenant: known.Draw(t, "tenant"),
			EntityType: known.Draw(t, "type"), EntityID: known.Draw(t, "id"), TraceParent: known.Draw(t, "trace"),
		}
		body, err := sqsquarantine.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := contracts.ValidateProducer(contracts.KindQuarantinedRecordV1, []byte(body)); err != nil {
			t.Fatalf("%v: %.300s", err, body)
		}
		back, err := sqsquarantine.Decode(body)
		if err != nil || !bytes.Equal(back.Payload, r.Payload) && !slices.Equal(tokens(back.Payload), tokens(r.Payload)) {
			t.Fatalf("%q came back as %q, %v", r.Payload, back.Payload, err)
		}
		back.Payload = r.Payload
		if !reflect.DeepEqual(back, r) {
			t.Fatalf("%+v came back as %+v", r, back)
		}
	})
}

// payload draws any bytes, JSON texts, and attribute values as deep as DynamoDB's and twice that.
func payload() *rapid.Generator[[]byte] {
	leaf := rapid.OneOf(
		rapid.SampledFrom([]string{
			`{"NULL":true}`, `{"S":""}`, `{"S":"<&>\u0000 \ud83d 東京` + "\ufffe\uffff\u2028" + `"}`, `{"BOOL":false}`, `{"NS":["1","1"]}`, `{"a":1,"a":2}`,
			`1e999999999`, `-0`, `1.50`, `9007199254740993`, `0.1e-7`, `[ ]`, "{ \"S\" :\t\"x y\" }\r\n", `null`, `"\\ufffe"`,
		}),
		rapid.Map(rapid.IntRange(1, 300), func(digits int) string { return strings.Repeat("7", digits) }),
		rapid.Map(rapid.String(), func(s string) string {
			text, _ := json.Marshal(s)
			return string(text)
		}),
	)
	nested := rapid.Custom(func(t *rapid.T) []byte {
		value := leaf.Draw(t, "leaf")
		for range rapid.IntRange(0, 64).Draw(t, "depth") {
			if rapid.Bool().Draw(t, "map") {
				value = `{"M":{"a":` + value + `}}`
			} else {
				value = `{"L":[` + value + `]}`
			}
		}
		return []byte(value)
	})
	broken := rapid.Custom(func(t *rapid.T) []byte {
		value := nested.Draw(t, "value")
		return slices.Insert(value, rapid.IntRange(0, len(value)).Draw(t, "at"), rapid.SliceOfN(rapid.Byte(), 1, 3).Draw(t, "in")...)
	})
	return rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 0, 200), nested, nested, broken)
}

// tokens are what a JSON text says, in order, its numbers as they are written; nil if it is none.
func tokens(text []byte) []json.Token {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var all []json.Token
	for {
		switch token, err := d.Token(); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			return nil
		default:
			all = append(all, token)
		}
	}
}

// What could be packed, but is more than a reader unpacks, is refused rather than lost.
func TestAPayloadThatCouldNotBeReadAgain(t *testing.T) {
	t.Parallel()
	r := quarantinetest.Record()
	r.Payload = bytes.Repeat([]byte("x"), 8<<20+1)
	if _, err := sqsquarantine.Encode(r); fault.KindOf(err) != fault.TooLarge {
		t.Errorf("%v, want kind too_large", err)
	}
}
