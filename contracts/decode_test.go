package contracts

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

func example(t testing.TB, name string) []byte {
	t.Helper()
	content, err := os.ReadFile("examples/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestDecodeEventRefuses(t *testing.T) {
	full := string(example(t, "events/metric-update/v1/full"))
	change := func(old, replacement string) string {
		if strings.Count(full, old) == 0 {
			t.Fatalf("the example has no %s", old)
		}
		return strings.Replace(full, old, replacement, 1)
	}
	future := func(value string) string {
		return change(`"tenant": "default"`, `"tenant": "default", "future": `+value)
	}
	cases := map[string]struct{ document, pointer, keyword string }{
		"nothing":             {"", "", KeywordSyntax},
		"half":                {full[:len(full)/2], "", KeywordSyntax},
		"two documents":       {full + full, "", KeywordSyntax},
		"trailing text":       {full + "x", "", KeywordSyntax},
		"byte order mark":     {"\ufeff" + full, "", KeywordSyntax},
		"NaN":                 {change("82.5", "NaN"), "", KeywordSyntax},
		"wrong UTF-8":         {change("stu_4532", "stu_\xff"), "", KeywordUTF8},
		"too large":           {full + strings.Repeat(" ", MaxEventBytes), "", KeywordSize},
		"deep":                {future(strings.Repeat("[", 40) + strings.Repeat("]", 40)), "/future" + strings.Repeat("/0", MaxDepth-1), KeywordDepth},
		"deeper than the CPU": {future(strings.Repeat("[", 11_000) + strings.Repeat("]", 11_000)), "", KeywordSyntax},
		"null":                {"null", "", "type"},
		"text":                {`"METRIC_UPDATE"`, "", "type"},
		"unknown type":        {change(`"METRIC_UPDATE"`, `"INSIGHT_CREATED"`), "/type", KeywordUnknownType},
		"unknown major":       {change("/v1.json", "/v2.json"), "/dataschema", KeywordUnknownMajor},
		"type not a text":     {change(`"METRIC_UPDATE"`, `7`), "/type", "const"},
		"huge exponent":       {change(`"revision": 12`, `"revision": 1e999999999`), "/data/version/revision", KeywordNumber},
		"tiny exponent":       {change("82.5", "1e-999999999"), "/data/current/health_score", KeywordNumber},
		"many digits":         {change("82.5", "0."+strings.Repeat("3", 500)), "/data/current/health_score", KeywordNumber},
		"beyond a float":      {change("82.5", "1e390"), "/data/current/health_score", "maximum"},
		"beyond an integer":   {change(`"revision": 12`, `"revision": 18446744073709551616`), "/data/version/revision", "maximum"},
		"case of a name":      {change(`"tenant"`, `"Tenant"`), "/tenant", "required"},
		"out of range":        {change("82.5", "182.5"), "/data/current/health_score", "maximum"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := DecodeEvent([]byte(c.document))
			wantInvalid(t, err, c.pointer, c.keyword)
		})
	}
}

func TestFaultsDoNotQuoteTheDocument(t *testing.T) {
	const secret = "eyJhbGciOiJIUzI1NiJ9.c2VjcmV0"
	full := string(example(t, "events/metric-update/v1/full"))
	for _, old := range []string{`"default"`, `"stu_4532"`, `"healthy"`, `"METRIC_UPDATE"`, `82.5`, `"1.0"`, `"2026-11-22T10:00:00.456Z"`} {
		long := strings.Replace(full, old, `"`+strings.Repeat(secret+" ", 20)+`"`, 1)
		err := ValidateProducer(KindMetricUpdateV1, []byte(long))
		if err == nil {
			t.Fatalf("%s: accepted", old)
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", old, err)
		}
	}
	name := strings.Replace(full, `"tenant"`, `"`+strings.Repeat("n", 5000)+`": 1, "tenant"`, 1)
	if err := ValidateProducer(KindMetricUpdateV1, []byte(name)); err == nil || len(err.Error()) > 300 {
		t.Errorf("a long name is quoted whole, or accepted: %.400v", err)
	}
}

func TestDecodeEventReadsEveryExample(t *testing.T) {
	for name, content := range documents(t, "examples")[KindMetricUpdateV1] {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			event, err := DecodeEvent(content)
			if err != nil {
				t.Fatal(err)
			}
			again, err := json.Marshal(event)
			if err != nil {
				t.Fatal(err)
			}
			if want, got := generic(t, content), generic(t, again); !reflect.DeepEqual(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}

func TestDecodeEventReadsTheFuture(t *testing.T) {
	r := readReject(t, documents(t, "rejects")[KindMetricUpdateV1]["entity-type-of-the-future.json"])
	event, err := DecodeEvent(r.Instance)
	if err != nil {
		t.Fatal(err)
	}
	if event.Data.EntityType != "school" {
		t.Errorf("entity type %q", event.Data.EntityType)
	}
}

// A field whose name differs from a known one in case is an unknown field: it must not replace what was
// validated.
func TestUnknownFieldsDoNotReplaceKnownOnes(t *testing.T) {
	full := string(example(t, "events/metric-update/v1/full"))
	document := strings.Replace(full, `"traceparent"`, `"TENANT": "other", "Data": {"entity_id": "x"}, "traceparent"`, 1)
	event, err := DecodeEvent([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	if event.Tenant != "default" || event.Data.EntityID != "stu_4532" {
		t.Errorf("tenant %q, entity %q", event.Tenant, event.Data.EntityID)
	}
}

func TestDecodeEventKeepsTheBytesOfAttributes(t *testing.T) {
	full := example(t, "events/metric-update/v1/full")
	const attributes = `{"health_score":8.250e1,  "from_the_future":[1,{"a":"}"}]}`
	at := bytes.Index(full, []byte(`"current": `)) + len(`"current": `)
	end := at + valueEnd(full[at:])
	document := append(append(bytes.Clone(full[:at]), attributes...), full[end:]...)
	event, err := DecodeEvent(document)
	if err != nil {
		t.Fatal(err)
	}
	if string(event.Data.Current) != attributes {
		t.Errorf("got %s", event.Data.Current)
	}
	document[at] = 'x'
	if string(event.Data.Current) != attributes {
		t.Error("the event shares memory with the document")
	}
}

func TestIntegersMayBeWrittenAsFloats(t *testing.T) {
	full := string(example(t, "events/metric-update/v1/full"))
	for _, literal := range []string{"12", "12.0", "1.2e1", "120E-1"} {
		document := strings.Replace(full, `"revision": 12`, `"revision": `+literal, 1)
		event, err := DecodeEvent([]byte(document))
		if err != nil {
			t.Errorf("%s: %v", literal, err)
		}
		if event.Data.Version.Revision != 12 {
			t.Errorf("%s is read as %d", literal, event.Data.Version.Revision)
		}
	}
}

func TestValidationIsConcurrent(t *testing.T) {
	full := example(t, "events/metric-update/v1/full")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if _, err := DecodeEvent(full); err != nil {
					t.Error(err)
				}
				if err := ValidateProducer(KindMetricUpdateV1, full); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzDecodeEvent(f *testing.F) {
	for _, content := range documents(f, "examples")[KindMetricUpdateV1] {
		f.Add(content)
	}
	for _, content := range documents(f, "rejects")[KindMetricUpdateV1] {
		f.Add([]byte(readReject(f, content).Instance))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		event, err := DecodeEvent(document)
		if err != nil {
			var invalid Invalid
			if !errors.As(err, &invalid) || invalid.Keyword == "" || !utf8.ValidString(err.Error()) {
				t.Fatalf("%T %v", err, err)
			}
			if _, second := DecodeEvent(document); second != err {
				t.Fatalf("first %v, then %v", err, second)
			}
			return
		}
		// What was read and written again is the same event.
		again, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		second, err := DecodeEvent(again)
		if err != nil {
			if len(again) > MaxEventBytes { // encoding/json escapes more than it must
				return
			}
			t.Fatalf("%v\n%s", err, again)
		}
		compact(t, &event)
		compact(t, &second)
		if !reflect.DeepEqual(event, second) {
			t.Fatalf("got  %+v\nwant %+v", second, event)
		}
	})
}

func compact(t *testing.T, event *MetricUpdateV1) {
	t.Helper()
	for _, raw := range []*json.RawMessage{&event.Data.Current, &event.Data.Previous} {
		if *raw == nil {
			continue
		}
		var b bytes.Buffer
		if err := json.Compact(&b, *raw); err != nil {
			t.Fatal(err)
		}
		var escaped bytes.Buffer
		json.HTMLEscape(&escaped, b.Bytes())
		*raw = escaped.Bytes()
	}
}

func BenchmarkValidateProducer(b *testing.B) {
	document := example(b, "events/metric-update/v1/full")
	b.SetBytes(int64(len(document)))
	b.ReportAllocs()
	for b.Loop() {
		if err := ValidateProducer(KindMetricUpdateV1, document); err != nil {
			b.Fatal(err)
		}
	}
}
