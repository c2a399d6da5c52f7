package contracts

import (
	"encoding/json"
	"testing"
	"unicode/utf8"
)

func TestReadObjectRefusesMalformedText(t *testing.T) {
	for _, document := range []string{
		``, ` `, `[]`, `1`, `{`, `{"`, `{"a`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":}`, `{"a":"`, `{"a":{`, `{"a":[1,2`,
		`{a:1}`, `{"a" 1}`, `{"a":1 "b":2}`, `{,}`, `{"\u12":1}`, `{"a":"\`, `{"sequence":7}`, `{"entity_id":"\q"}`, `{"version":{"epoch":1.5}}`,
		`{"version":{"epoch":1e99}}`, `{"changed":7}`,
	} {
		var data MetricUpdateDataV1
		if err := data.UnmarshalJSON([]byte(document)); err == nil {
			t.Errorf("%s is read as %+v", document, data)
		}
	}
}

func TestReadObject(t *testing.T) {
	var data MetricUpdateDataV1
	const document = " {\"unknown\" : [ {\"entity_id\":\"no\"} ] ,\n\"entity_\\u0069d\":\"s\\u00e9\\\"\", \"version\":{\"revision\" :2}, \"version\": {\"epoch\":1,\"revision\":3}, \"changed\":[\"a\"]} "
	if err := json.Unmarshal([]byte(document), &data); err != nil {
		t.Fatal(err)
	}
	if data.EntityID != `sé"` || data.Version != (Version{Epoch: 1, Revision: 3}) || len(data.Changed) != 1 {
		t.Errorf("got %+v", data)
	}
}

// Whatever encoding/json takes for JSON can be walked, and nothing makes the reader panic.
func FuzzReadObject(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":[{}],"c":"\"","d":null}`))
	f.Add([]byte(`{"version":{"epoch":1e3}}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		seen := map[string]json.RawMessage{}
		err := readObject(document, func(name, value []byte) error {
			seen[string(name)] = append(json.RawMessage(nil), value...)
			return nil
		})
		_ = new(MetricUpdateV1).UnmarshalJSON(document)
		_ = new(MetricUpdateFrameV1).UnmarshalJSON(document)
		_ = new(Subject).UnmarshalJSON(document)

		var want map[string]json.RawMessage
		if !utf8.Valid(document) || json.Unmarshal(document, &want) != nil {
			return
		}
		if err != nil {
			t.Fatalf("%v: %q", err, document)
		}
		if len(seen) != len(want) {
			t.Fatalf("read %d members of %d: %q", len(seen), len(want), document)
		}
		for name, value := range want {
			if string(seen[name]) != string(value) && !(value == nil && string(seen[name]) == "null") {
				t.Fatalf("%q is %q, want %q", name, seen[name], value)
			}
		}
	})
}
