package normalizer

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/quarantine"
)

var updateGoldens = flag.Bool("update", false, "write the golden files anew")

var testNow = time.Date(2026, 11, 22, 10, 0, 0, 456_789_000, time.UTC)

// TestGoldens shows what becomes of each record of testdata/records.
func TestGoldens(t *testing.T) {
	t.Parallel()
	files := recordFiles(t)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			payload := read(t, file)
			o := normalize(payload, testNow)
			checkOutcome(t, o)
			got := show(t, o)
			golden := filepath.Join("testdata", "outcomes", name+".json")
			if *updateGoldens {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := read(t, golden); !bytes.Equal(got, want) {
				t.Errorf("got %s\nwant %s\nIf that is right: go test ./services/normalizer -run TestGoldens -update", got, want)
			}
		})
	}
	outcomes, err := filepath.Glob(filepath.Join("testdata", "outcomes", "*.json"))
	if err != nil || len(outcomes) != len(files) {
		t.Errorf("%d records and %d outcomes (%v)", len(files), len(outcomes), err)
	}
}

// TestMalformedRecords are those that no stream delivers, but a replay might.
func TestMalformedRecords(t *testing.T) {
	t.Parallel()
	good := string(read(t, filepath.Join("testdata", "records", "insert.json")))
	replace := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("no %s in the record", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for name, tc := range map[string]struct {
		payload, code, pointer string
	}{
		"nothing":                {`null`, "required", "/eventID"},
		"empty":                  {`{}`, "required", "/eventID"},
		"a number":               {`7`, "type", ""},
		"a list":                 {`[]`, "type", ""},
		"event id a number":      {replace(`"eventID": "f07f8ca4b0b26cb9c4e5e77e69f20001"`, `"eventID": 7`), "type", "/eventID"},
		"no dynamodb":            {`{"eventID":"e","eventSourceARN":"a/stream/b","eventName":"INSERT"}`, "pattern", "/dynamodb/SequenceNumber"},
		"dynamodb a list":        {`{"eventID":"e","dynamodb":[]}`, "type", "/dynamodb"},
		"sequence a number":      {replace(`"SequenceNumber": "1405400000000002063282833"`, `"SequenceNumber": 1`), "type", "/dynamodb/SequenceNumber"},
		"image a text":           {replace(`"NewImage": {`, `"NewImage": "x", "Other": {`), "type", "/dynamodb/NewImage"},
		"image null":             {replace(`"NewImage": {`, `"NewImage": null, "Other": {`), "required", "/dynamodb/NewImage"},
		"keys a list":            {replace(`"Keys": {`, `"Keys": [], "Other": {`), "type", "/dynamodb/Keys"},
		"no keys":                {replace(`"Keys": {`, `"Other": {`), "required", "/dynamodb/Keys/entity_id"},
		"key a number":           {replace(`"S": "stu_4532"`, `"N": "1"`), "required", "/dynamodb/Keys/entity_id"},
		"key empty":              {replace(`"S": "stu_4532"`, `"S": ""`), "required", "/dynamodb/Keys/entity_id"},
		"identity a text":        {replace(`"eventName"`, `"userIdentity": "root", "eventName"`), "type", "/userIdentity"},
		"attribute a number":     {replace(`"health_score": {`, `"health_score": 7, "other": {`), "type", "/dynamodb/NewImage/health_score"},
		"attribute null":         {replace(`"health_score": {`, `"health_score": null, "other": {`), "type", "/dynamodb/NewImage/health_score"},
		"attribute empty":        {replace(`"health_score": {`, `"health_score": {}, "other": {`), "type", "/dynamodb/NewImage/health_score"},
		"attribute of two types": {replace(`"N": "82.5"`, `"N": "82.5", "S": "x"`), "type", "/dynamodb/NewImage/health_score"},
		"attribute of no type":   {replace(`"N": "82.5"`, `"X": "82.5"`), "type", "/dynamodb/NewImage/health_score"},
		"N not a text":           {replace(`"N": "82.5"`, `"N": 82.5`), "type", "/dynamodb/NewImage/health_score"},
		"N null":                 {replace(`"N": "82.5"`, `"N": null`), "type", "/dynamodb/NewImage/health_score"},
		"N not a number":         {replace(`"N": "82.5"`, `"N": "NaN"`), "number", "/dynamodb/NewImage/health_score"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := normalize([]byte(tc.payload), testNow)
			checkOutcome(t, o)
			if o.reason == nil || o.reason.Code != tc.code || o.reason.Pointer != tc.pointer {
				t.Errorf("reason %+v, want %s at %s", o.reason, tc.code, tc.pointer)
			}
			if len(o.updates) != 0 {
				t.Errorf("%d updates", len(o.updates))
			}
		})
	}
}

func TestOddTimesAreReplaced(t *testing.T) {
	t.Parallel()
	good := string(read(t, filepath.Join("testdata", "records", "no-last-updated.json")))
	const created = `"ApproximateCreationDateTime": 1795341639`
	if !strings.Contains(good, created) {
		t.Fatal("the record has changed")
	}
	for text, want := range map[string]string{
		`1795341639`:      "2026-11-22T10:00:39.000Z",
		`1795341639.25`:   "2026-11-22T10:00:39.250Z",
		`1.795341639E9`:   "2026-11-22T10:00:39.000Z",
		`0`:               "2026-11-22T10:00:00.456Z",
		`-5`:              "2026-11-22T10:00:00.456Z",
		`1e300`:           "2026-11-22T10:00:00.456Z",
		`"1795341639"`:    "2026-11-22T10:00:00.456Z",
		`null`:            "2026-11-22T10:00:00.456Z",
		`[{"a":"b"}]`:     "2026-11-22T10:00:00.456Z",
		`253402300799.99`: "9999-12-31T23:59:59.990Z",
		`253402300800`:    "2026-11-22T10:00:00.456Z",
	} {
		o := normalize([]byte(strings.Replace(good, created, `"ApproximateCreationDateTime": `+text, 1)), testNow)
		checkOutcome(t, o)
		if len(o.updates) != 1 || o.updates[0].event.Data.WrittenAt != want {
			t.Errorf("%s: %+v, want written at %s", text, o.updates, want)
		}
	}
}

func TestWritersClock(t *testing.T) {
	t.Parallel()
	fallback := testNow.Truncate(time.Millisecond)
	for text, want := range map[string]string{
		"2026-11-22T10:00:00.123Z":            "2026-11-22T10:00:00.123Z",
		"2026-11-22T10:00:00Z":                "2026-11-22T10:00:00.000Z",
		"2026-11-22T10:00:00.123999999+02:00": "2026-11-22T08:00:00.123Z",
		"0001-01-01T00:00:00+14:00":           fallback.Format(timeLayout), // the year before 1
		"9999-12-31T23:00:00-14:00":           fallback.Format(timeLayout), // the year 10000
		"yesterday":                           fallback.Format(timeLayout),
		"":                                    fallback.Format(timeLayout),
	} {
		if got := (attributes{"last_updated": text}).lastUpdated(fallback).Format(timeLayout); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestARetrySaysTheSame(t *testing.T) {
	t.Parallel()
	for _, file := range recordFiles(t) {
		payload := read(t, file)
		if a, b := show(t, normalize(payload, testNow)), show(t, normalize(payload, testNow)); !bytes.Equal(a, b) {
			t.Errorf("%s: %s\nand %s", file, a, b)
		}
	}
}

func FuzzNormalize(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "records", "*.json"))
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		payload, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		checkOutcome(t, normalize(payload, testNow))
	})
}

// checkOutcome holds what is true of every outcome.
func checkOutcome(t *testing.T, o outcome) {
	t.Helper()
	if o.reason == nil && len(o.updates) == 0 {
		t.Fatal("neither an update nor a reason")
	}
	if o.reason != nil && o.reason.Code == "" {
		t.Errorf("reason %+v has no code", o.reason)
	}
	ids, tenants := map[string]bool{}, map[string]bool{}
	for _, u := range o.updates {
		if o.reason != nil && u.event.Data.Operation == contracts.MetricUpdateOperationUpsert {
			t.Error("a record that is quarantined shows a state")
		}
		if err := u.change.Validate(); err != nil {
			t.Errorf("change: %v", err)
		}
		if !bytes.Equal(u.change.Image, u.event.Data.Current) || u.change.Tenant != u.event.Tenant ||
			u.change.EntityType != string(u.event.Data.EntityType) || u.change.EntityID != u.event.Data.EntityID {
			t.Errorf("change %+v and event %+v differ", u.change, u.event)
		}
		body := message(u.event, contracts.Version{Epoch: 1, Revision: 1}).Body
		if err := contracts.ValidateProducer(contracts.KindMetricUpdateV1, []byte(body)); err != nil {
			t.Errorf("event: %v", err)
		}
		if strings.ContainsAny(body, "\ufffe\uffff") {
			t.Error("the event has characters that SQS refuses")
		}
		event, err := contracts.DecodeEvent([]byte(body))
		if err != nil {
			t.Errorf("a consumer refuses the event: %v", err)
		}
		if event.Data.EntityID != u.change.EntityID {
			t.Errorf("entity %q arrives as %q", u.change.EntityID, event.Data.EntityID)
		}
		if !slices.IsSorted(event.Data.Changed) {
			t.Errorf("changed %v is not sorted", event.Data.Changed)
		}
		ids[u.event.ID], tenants[u.event.Tenant] = true, true
	}
	if len(ids) != len(o.updates) || len(tenants) != len(o.updates) {
		t.Errorf("%d updates have %d ids and %d tenants", len(o.updates), len(ids), len(tenants))
	}
}

// show writes an outcome as a golden file has it.
func show(t *testing.T, o outcome) []byte {
	t.Helper()
	type golden struct {
		Events  []json.RawMessage  `json:"events,omitempty"`
		Reason  *quarantine.Reason `json:"reason,omitempty"`
		Tenant  string             `json:"tenant,omitempty"`
		Dropped []string           `json:"dropped,omitempty"`
	}
	g := golden{Reason: o.reason, Tenant: o.tenant, Dropped: o.dropped}
	for _, u := range o.updates {
		g.Events = append(g.Events, json.RawMessage(message(u.event, contracts.Version{Epoch: 1_795_000_000_000, Revision: 12}).Body))
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(g); err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}

func recordFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "records", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no records (%v)", err)
	}
	return files
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func BenchmarkNormalize(b *testing.B) {
	for _, name := range []string{"insert", "modify", "remove", "health-out-of-range", "insert-with-all-ten-types"} {
		payload, err := os.ReadFile(filepath.Join("testdata", "records", name+".json"))
		if err != nil {
			b.Fatal(err)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, payload); err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(compact.Len()))
			for b.Loop() {
				o := normalize(compact.Bytes(), testNow)
				for _, u := range o.updates {
					message(u.event, contracts.Version{Epoch: 1_795_000_000_000, Revision: 12})
				}
			}
		})
	}
}
