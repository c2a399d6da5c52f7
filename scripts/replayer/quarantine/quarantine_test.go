package quarantine_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math/rand"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/scripts/replayer/deadletter"
	"github.com/iops-dashboard/live/scripts/replayer/normalizer"
	"github.com/iops-dashboard/live/scripts/replayer/quarantine"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

const record = `{"eventID":"e1","dynamodb":{"SequenceNumber":"7","NewImage":{"health_score":{"N":"101"}}}}`

var at = time.Date(2026, 11, 22, 10, 0, 0, 123_000_000, time.UTC)

// form is what the normalizer puts into its quarantine.
func form(members string) string {
	return `{"version":1,"quarantined_at":"2026-11-22T10:00:00.123Z","reason":{"code":"maximum","pointer":"/dynamodb/NewImage/health_score","message":"must be at most 100, not 101"},` +
		`"source":"arn:aws:dynamodb:us-east-1:123456789012:table/iops-dashboard-metrics/stream/L","event_id":"e1","sequence":"7",` +
		`"tenant":"acme","entity_type":"student","entity_id":"stu_1",` + members + `}`
}

func packed(t testing.TB, payload string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(payload)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return `"record_gzip":"` + base64.StdEncoding.EncodeToString(b.Bytes()) + `"`
}

func TestReadsARecord(t *testing.T) {
	t.Parallel()
	marked, err := normalizer.Mark(record, map[string]redrive.Attribute{
		redrive.RunAttribute: redrive.Text("r1"), redrive.CountAttribute: {Type: "Number", Value: []byte("2")}, redrive.EditedAttribute: redrive.Text("ada"),
	})
	if err != nil {
		t.Fatal(err)
	}
	marks := map[string]redrive.Attribute{
		"own": redrive.Text("x"), redrive.RunAttribute: redrive.Text("r1"), redrive.CountAttribute: {Type: "Number", Value: []byte("2")}, redrive.EditedAttribute: redrive.Text("ada"),
	}
	own := map[string]redrive.Attribute{"own": redrive.Text("x")}
	for name, tc := range map[string]struct {
		body       string
		attributes map[string]redrive.Attribute
	}{
		"plain":              {form(`"record":` + record), own},
		"packed":             {form(packed(t, record)), own},
		"replayed":           {form(`"record":` + marked), marks},
		"replayed, packed":   {form(packed(t, marked)), marks},
		"written with space": {strings.ReplaceAll(form(`"record":`+record), `":`, `" : `), own},
	} {
		m := redrive.Message{ID: "m", Receipt: "r", Trace: "Root=1", Body: tc.body, SentAt: at.Add(time.Hour), ReceiveCount: 3, Attributes: own}
		item, err := quarantine.Read(m)
		want := quarantine.Item{
			Letter: deadletter.Letter{
				Cause: "maximum /dynamodb/NewImage/health_score: must be at most 100, not 101", Type: "stream record",
				Tenant: "acme", Entity: "student/stu_1", SentAt: m.SentAt,
			},
			QuarantinedAt: at, Record: true, Message: m,
		}
		want.Message.Body, want.Message.Attributes = record, tc.attributes
		if name == "written with space" {
			want.Message.Body = strings.ReplaceAll(record, `":`, `" : `)
		}
		if err != nil || !reflect.DeepEqual(item, want) {
			t.Errorf("%s: %v\n%+v\nwant\n%+v", name, err, item, want)
		}
		if len(m.Attributes) != 1 {
			t.Errorf("%s: the message itself has changed", name)
		}
	}
}

func TestWhatNobodyKnowsIsLeftOut(t *testing.T) {
	t.Parallel()
	for members, want := range map[string]deadletter.Letter{
		``:                              {Cause: "syntax: is not a stream record", Type: "stream record"},
		`"entity_type":"student",`:      {Cause: "syntax: is not a stream record", Type: "stream record", Entity: "student"},
		`"entity_id":"x","tenant":"t",`: {Cause: "syntax: is not a stream record", Type: "stream record", Entity: "x", Tenant: "t"},
	} {
		item, err := quarantine.Read(redrive.Message{Body: `{"version":1,"quarantined_at":"2026-11-22T10:00:00.123Z",` + members +
			`"reason":{"code":"syntax","pointer":"","message":"is not a stream record"},"record":{}}`})
		if err != nil || item.Letter != want || !item.Record {
			t.Errorf("%s: %v, %+v", members, err, item)
		}
	}
}

func TestACauseIsShort(t *testing.T) {
	t.Parallel()
	for _, words := range []string{strings.Repeat("ü", 300), "a" + strings.Repeat("ü", 300), strings.Repeat("a", 301), "aaa" + strings.Repeat("🦉", 100)} {
		body := strings.Replace(form(`"record":`+record), "must be at most 100, not 101", words, 1)
		item, err := quarantine.Read(redrive.Message{Body: body})
		if err != nil || len(item.Cause) > 200 || len(item.Cause) < 190 || !utf8.ValidString(item.Cause) || !strings.HasSuffix(item.Cause, "…") {
			t.Errorf("%v, %d bytes: %s", err, len(item.Cause), item.Cause)
		}
	}
}

func TestWhatCannotBeReplayed(t *testing.T) {
	t.Parallel()
	good := form(`"record":` + record)
	for name, tc := range map[string]struct {
		body  string
		cause string // begins with
	}{
		"nothing":           {"", "unreadable: it is not of the quarantine's form"},
		"no JSON":           {"SECRET", "unreadable: it is not of the quarantine's form"},
		"an unknown name":   {strings.Replace(good, `{"version":1,`, `{"version":1,"colour":"SECRET",`, 1), "unreadable: it is not"},
		"no reason":         {`{"version":1,"quarantined_at":"2026-11-22T10:00:00.123Z","record":{"a":"SECRET"}}`, "unreadable: it is not"},
		"two records":       {form(`"record":` + record + `,` + packed(t, record)), "unreadable: it is not"},
		"no record":         {strings.Replace(good, `,"record":`+record, "", 1), "unreadable: it is not"},
		"no gzip":           {form(`"record_gzip":"AAAA"`), "unreadable: it is not"},
		"no base64":         {form(`"record_gzip":"AAAAA"`), "unreadable: it is not"},
		"half a gzip":       {form(`"record_gzip":"H4sIAAAAAAAA"`), "unreadable: it is not"},
		"a dead letter":     {`{"specversion":"1.0","type":"SECRET"}`, "unreadable: it is not"},
		"a record, a list":  {form(`"record":["SECRET"]`), "maximum "},
		"a record, null":    {form(`"record":null`), "maximum "},
		"a record, a text":  {form(`"record":"SECRET"`), "maximum "},
		"a record, no JSON": {form(packed(t, "SECRET")), "maximum "},
		"a record, empty":   {form(packed(t, "")), "maximum "},
	} {
		m := redrive.Message{Body: tc.body, SentAt: at}
		item, err := quarantine.Read(m)
		if err == nil || strings.Contains(err.Error()+item.Cause, "SECRET") || errors.Is(err, deadletter.ErrNewer) || !strings.HasPrefix(item.Cause, tc.cause) ||
			item.SentAt != at || item.Message.Body != tc.body {
			t.Errorf("%s: %v, %+v", name, err, item)
		}
		if strings.HasPrefix(name, "a record") && (!strings.Contains(err.Error(), "never become an event") || item.Entity != "student/stu_1") {
			t.Errorf("%s: %v, %+v", name, err, item)
		}
	}
	if item, err := quarantine.Read(redrive.Message{Body: `{"version":2,"colour":"red"}`}); !errors.Is(err, deadletter.ErrNewer) || !strings.HasPrefix(item.Cause, "unreadable: version 2") {
		t.Errorf("%v, %+v", err, item)
	}
}

// Nobody fills the memory with a small message, and what the normalizer could pack can be unpacked.
func TestUnpackingIsBounded(t *testing.T) {
	t.Parallel()
	for size, says := range map[int]string{8<<20 + 1: "more than 8 MiB", 8 << 20: "no JSON object"} {
		_, err := quarantine.Read(redrive.Message{Body: form(packed(t, strings.Repeat("x", size)))})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func example(t testing.TB, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", "..", "contracts", "examples", "events", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func compact(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(text)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func decode(t testing.TB, body string) contracts.QuarantinedRecordV1 {
	t.Helper()
	var got contracts.QuarantinedRecordV1
	if err := contracts.ValidateProducer(contracts.KindQuarantinedRecordV1, []byte(body)); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestADeadLetterThatWasReplayedInVain(t *testing.T) {
	t.Parallel()
	body := compact(t, example(t, "metric-update/v1/delete.json"))
	m := redrive.Message{ID: "m", Trace: "Root=1", Body: body, Attributes: map[string]redrive.Attribute{
		"type": redrive.Text("METRIC_UPDATE"), redrive.CountAttribute: {Type: "Number", Value: []byte("3")}, redrive.RunAttribute: redrive.Text("r1"),
	}}
	e, err := quarantine.Of(m, "was replayed 3 times, and came back each time", "iops-dashboard-fanout-0", at)
	if err != nil {
		t.Fatal(err)
	}
	var event struct{ ID, TraceParent string }
	if err := json.Unmarshal([]byte(body), &event); err != nil {
		t.Fatal(err)
	}
	got := decode(t, e.Body)
	want := contracts.QuarantinedRecordV1{
		Version: 1, QuarantinedAt: "2026-11-22T10:00:00.123Z",
		Reason:  contracts.QuarantineReason{Code: "replayed", Message: "was replayed 3 times, and came back each time"},
		EventID: &event.ID, Tenant: new("default"), EntityType: new("student"), EntityID: new("stu_4532"), TraceParent: &event.TraceParent,
		Record: json.RawMessage(body),
	}
	if event.TraceParent == "" {
		want.TraceParent = nil
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s", e.Body)
	}
	if e.ID != "m" || e.Trace != "Root=1" || len(e.Attributes) != 4 || string(e.Attributes[quarantine.FromAttribute].Value) != "iops-dashboard-fanout-0" {
		t.Errorf("%+v", e)
	}
	item, err := quarantine.Read(redrive.Message{ID: "q", Body: e.Body, Trace: e.Trace, Attributes: e.Attributes, SentAt: at})
	if err != nil || item.Record || item.From != "iops-dashboard-fanout-0" || !item.QuarantinedAt.Equal(at) || item.Message.Body != body || !reflect.DeepEqual(item.Message.Attributes, m.Attributes) ||
		item.Letter != (deadletter.Letter{
			Cause: "replayed: was replayed 3 times, and came back each time", Type: "METRIC_UPDATE", Tenant: "default", Entity: "student/stu_4532", SentAt: at,
		}) {
		t.Errorf("%v, %+v", err, item)
	}
	if len(m.Attributes) != 3 || len(e.Attributes) != 4 {
		t.Error("what was given has changed")
	}
}

func TestADeadLetterThatNobodyCanRead(t *testing.T) {
	t.Parallel()
	broken := strings.Replace(compact(t, example(t, "metric-update/v1/delete.json")), `"revision":`, `"revision":-`, 1)
	e, err := quarantine.Of(redrive.Message{Body: broken}, "no fanout can read it", "iops-dashboard-fanout-0", at)
	if err != nil {
		t.Fatal(err)
	}
	got := decode(t, e.Body)
	if want := (contracts.QuarantineReason{Code: "unreadable", Pointer: "/data/version/revision", Message: "no fanout can read it"}); got.Reason != want || *got.EntityID != "stu_4532" {
		t.Errorf("%+v", got)
	}
	for _, body := range []string{"SECRET", "", "\x01\n", "[1]", "null", `{"id":7,"tenant":[],"subject":"/"}`, `{"subject":"` + strings.Repeat("x", 2000) + `"}`} {
		e, err := quarantine.Of(redrive.Message{Body: body}, "", "q", at)
		if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		got := decode(t, e.Body)
		if got.Reason.Code != "unreadable" || got.Reason.Message == "" || got.EventID != nil || got.Tenant != nil || got.EntityID != nil {
			t.Errorf("%q: %+v", body, got)
		}
	}
}

// A letter with ten attributes of its own cannot say where it belongs; it is not taken for a record for all that.
func TestWithoutRoomForItsQueue(t *testing.T) {
	t.Parallel()
	attributes := map[string]redrive.Attribute{}
	for i := range 10 {
		attributes["a"+strconv.Itoa(i)] = redrive.Text("x")
	}
	m := redrive.Message{Body: `{"a":1}`, Attributes: attributes}
	e, err := quarantine.Of(m, "why", "q", at)
	if err != nil || !reflect.DeepEqual(e.Attributes, attributes) {
		t.Fatalf("%v, %+v", err, e)
	}
	item, err := quarantine.Read(redrive.Message{Body: e.Body, Attributes: e.Attributes})
	if err != nil || item.Record || item.From != "" || item.Message.Body != m.Body {
		t.Errorf("%v, %+v", err, item)
	}
	for _, tc := range []struct{ has, gone []string }{
		{[]string{redrive.OfAttribute, redrive.RunAttribute, redrive.CountAttribute}, []string{redrive.OfAttribute}},
		{[]string{redrive.RunAttribute, redrive.CountAttribute}, []string{redrive.RunAttribute}},
	} {
		attributes := maps.Clone(attributes)
		for i, name := range tc.has {
			delete(attributes, "a"+strconv.Itoa(i))
			attributes[name] = redrive.Text("3")
		}
		e, err := quarantine.Of(redrive.Message{Body: `{"a":1}`, Attributes: attributes}, "why", "q", at)
		for _, name := range tc.gone {
			delete(attributes, name)
		}
		attributes[quarantine.FromAttribute] = redrive.Text("q")
		if err != nil || !reflect.DeepEqual(e.Attributes, attributes) {
			t.Errorf("%v, %+v", err, e.Attributes)
		}
	}
}

func TestWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewSource(1))
	noise := make([]byte, redrive.MaxBytes)
	for i := range noise {
		noise[i] = byte(' ' + random.Intn(95))
	}
	if e, err := quarantine.Of(redrive.Message{Body: string(noise)}, "why", "q", at); err == nil {
		t.Errorf("an entry of %d bytes", len(e.Body))
	}
	// Large, but not so random.
	large := `{"a":"` + strings.Repeat("abc", 100_000) + `"}`
	e, err := quarantine.Of(redrive.Message{Body: large}, "why", "q", at)
	if err != nil || len(e.Body) > 10_000 {
		t.Fatalf("%v, %d bytes", err, len(e.Body))
	}
	if item, err := quarantine.Read(redrive.Message{Body: e.Body, Attributes: e.Attributes}); err != nil || item.Message.Body != large {
		t.Errorf("%v", err)
	}
	// The attributes count.
	huge := map[string]redrive.Attribute{"a": {Type: "String", Value: noise[:redrive.MaxBytes-100]}}
	if e, err := quarantine.Of(redrive.Message{Body: `{}`, Attributes: huge}, "why", "q", at); err == nil {
		t.Errorf("%d bytes", len(e.Body))
	}
}

// There and back: the body, to the byte, and the attributes are what they were, but for the marks that made room; and what
// lies in the quarantine is of its form, small enough, and takes no character that SQS refuses.
func TestThereAndBack(t *testing.T) {
	t.Parallel()
	bodies := rapid.OneOf(
		rapid.String(),
		rapid.StringN(0, 40, 400),
		rapid.SampledFrom([]string{
			`{"a":1}`, `{ "a" : 1 }`, "{}\n", `null`, `7`, `"x"`, `[]`, `{"record":1,"a":1,"a":2}`, "{\"a\":\"<&>\u2028\"}", "{\"a\":\"\ufffe\"}", `{"a":"\u0000\ufffe"}`,
			`{"tenant":"` + "\uffff" + `"}`, `1e999`, strings.Repeat("[", 100) + strings.Repeat("]", 100), `{"id":"x","tenant":"t","subject":"a/b/c","traceparent":"00-1"}`,
			example(t, "metric-update/v1/delete.json"), example(t, "insight-created/v1/minimal.json"), compact(t, example(t, "metric-update/v1/delete.json")),
		}),
	)
	rapid.Check(t, func(rt *rapid.T) {
		m := redrive.Message{ID: "m", Trace: rapid.StringN(0, 3, -1).Draw(rt, "trace"), Body: bodies.Draw(rt, "body"), Attributes: map[string]redrive.Attribute{}}
		for i := range rapid.IntRange(0, 8).Draw(rt, "attributes") {
			kind := rapid.SampledFrom([]string{"String", "Number", "Binary", "Binary.png"}).Draw(rt, "type")
			m.Attributes["a"+strconv.Itoa(i)] = redrive.Attribute{Type: kind, Value: rapid.SliceOf(rapid.Byte()).Draw(rt, "value")}
		}
		for _, name := range []string{redrive.CountAttribute, redrive.RunAttribute, redrive.OfAttribute, deadletter.ReasonAttribute} {
			if len(m.Attributes) < redrive.MaxAttributes && rapid.Bool().Draw(rt, name) {
				m.Attributes[name] = redrive.Text(strconv.Itoa(rapid.IntRange(0, 4).Draw(rt, "n")))
			}
		}
		before := maps.Clone(m.Attributes)
		e, err := quarantine.Of(m, rapid.String().Draw(rt, "why"), "iops-dashboard-fanout-3", at)
		if err != nil {
			rt.Fatal(err)
		}
		if err := contracts.ValidateProducer(contracts.KindQuarantinedRecordV1, []byte(e.Body)); err != nil {
			rt.Fatalf("%v: %s", err, e.Body)
		}
		if len(e.Attributes) > redrive.MaxAttributes || strings.ContainsFunc(e.Body, func(c rune) bool { return c < ' ' || c == '\ufffe' || c == '\uffff' }) {
			rt.Fatalf("SQS would refuse %q, %v", e.Body, e.Attributes)
		}
		item, err := quarantine.Read(redrive.Message{ID: "q", Body: e.Body, Trace: e.Trace, Attributes: e.Attributes})
		if err != nil || item.Record || item.Message.Body != m.Body || item.Message.Trace != m.Trace || item.From != "iops-dashboard-fanout-3" && len(before) < redrive.MaxAttributes {
			rt.Fatalf("%v: %+v", err, item)
		}
		for name, a := range before {
			back, ok := item.Message.Attributes[name]
			made := slices.Contains([]string{redrive.OfAttribute, redrive.RunAttribute}, name) && len(before) == redrive.MaxAttributes
			if (ok || !made) && (back.Type != a.Type || !bytes.Equal(back.Value, a.Value)) {
				rt.Fatalf("%s was %+v, and is %+v", name, a, back)
			}
		}
		if len(item.Message.Attributes) > len(before) || len(m.Attributes) != len(before) {
			rt.Fatalf("%+v", item.Message.Attributes)
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add(form(`"record":` + record))
	f.Add(form(packed(f, record)))
	f.Fuzz(func(t *testing.T, body string) {
		item, err := quarantine.Read(redrive.Message{Body: body})
		if err == nil && item.Record {
			var members map[string]json.RawMessage
			if json.Unmarshal([]byte(item.Message.Body), &members) != nil {
				t.Errorf("%q is a record", item.Message.Body)
			}
		}
		if len(item.Cause) > 200 {
			t.Errorf("a cause of %d bytes", len(item.Cause))
		}
	})
}
