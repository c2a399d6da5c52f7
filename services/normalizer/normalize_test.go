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
	"github.com/iops-dashboard/live/services/internal/state"
)

var updateGoldens = flag.Bool("update", false, "write the golden files anew")

var testTables = tables{"iops-dashboard-metrics": metrics{}, "iops-dashboard-insights": insights{}}

func normalize(payload []byte, now time.Time) outcome { return testTables.normalize(payload, now) }

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
		"another table":          {replace("iops-dashboard-metrics", "iops-dashboard-state"), "enum", "/eventSourceARN"},
		"the other table":        {replace("iops-dashboard-metrics", "iops-dashboard-insights"), "required", "/dynamodb/Keys/pk"},
		"no table":               {replace(":table/iops-dashboard-metrics", ""), "enum", "/eventSourceARN"},
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

// TestMalformedInsights are rows that break the schema, and records that no stream delivers.
func TestMalformedInsights(t *testing.T) {
	t.Parallel()
	good := string(read(t, filepath.Join("testdata", "records", "insight.json")))
	for name, tc := range map[string]struct {
		old, new, code, pointer string
	}{
		"no sk":                    {`"sk": {`, `"other": {`, "required", "/dynamodb/Keys/sk"},
		"pk a number":              {`"S": "insight#stu_4532"`, `"N": "1"`, "required", "/dynamodb/Keys/pk"},
		"pk of something else":     {`insight#stu_4532`, `view#stu_4532`, "pattern", "/dynamodb/Keys/pk"},
		"sk is no time":            {`"S": "2026-11-22T10:00:00.123Z"`, `"S": "yesterday"`, "format", "/dynamodb/Keys/sk"},
		"sk with a slash":          {`"S": "2026-11-22T10:00:00.123Z"`, `"S": "2026-11-22T10:00:00.123Z/insight#stu_1"`, "format", "/dynamodb/Keys/sk"},
		"key too long":             {`insight#stu_4532`, `insight#` + strings.Repeat("👩", 256), "maxLength", "/dynamodb/Keys/pk"},
		"no score":                 {`"risk_score": {`, `"other": {`, "required", "/dynamodb/NewImage/risk_score"},
		"score NULL":               {`"N": "84"`, `"NULL": true`, "required", "/dynamodb/NewImage/risk_score"},
		"score out of range":       {`"N": "84"`, `"N": "100.5"`, "maximum", "/dynamodb/NewImage/risk_score"},
		"score a text":             {`"N": "84"`, `"S": "84"`, "type", "/dynamodb/NewImage/risk_score"},
		"recommendations a text":   {`"L": [`, `"X": [`, "type", "/dynamodb/NewImage/recommendations"},
		"recommendations a set":    {`"recommendations": {`, `"recommendations": {"SS": ["a"]}, "other": {`, "type", "/dynamodb/NewImage/recommendations"},
		"recommendations an L":     {`"L": [`, `"L": 7, "M": [`, "type", "/dynamodb/NewImage/recommendations"},
		"recommendations no list":  {`"recommendations": {`, `"recommendations": {"L": "a"}, "other": {`, "type", "/dynamodb/NewImage/recommendations"},
		"a recommendation NULL":    {`"L": [`, `"L": [{"NULL": true},`, "type", "/dynamodb/NewImage/recommendations/0"},
		"a recommendation a list":  {`"L": [`, `"L": [{"L": []},`, "type", "/dynamodb/NewImage/recommendations/0"},
		"a recommendation nothing": {`"L": [`, `"L": [7,`, "type", "/dynamodb/NewImage/recommendations/0"},
		"too many recommendations": {`"L": [`, `"L": [` + strings.Repeat(`{"S": "again"},`, 16), "maxItems", "/dynamodb/NewImage/recommendations"},
		"timestamp is no time":     {`"S": "2026-11-22T10:00:00.124Z"`, `"S": "yesterday"`, "format", "/dynamodb/NewImage/timestamp"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(good, tc.old) {
				t.Fatalf("no %s in the record", tc.old)
			}
			o := normalize([]byte(strings.ReplaceAll(good, tc.old, tc.new)), testNow)
			checkOutcome(t, o)
			if o.reason == nil || o.reason.Code != tc.code || o.reason.Pointer != tc.pointer {
				t.Errorf("reason %+v, want %s at %s", o.reason, tc.code, tc.pointer)
			}
			if len(o.updates) != 0 || o.entity.Type != state.InsightType {
				t.Errorf("%d updates of %+v", len(o.updates), o.entity)
			}
		})
	}
}

func TestRiskBands(t *testing.T) {
	t.Parallel()
	good := string(read(t, filepath.Join("testdata", "records", "insight.json")))
	for score, band := range map[string]string{"100": "critical", "80": "critical", "79.9": "warning", "6E+1": "warning", "59.99": "info", "0": "info"} {
		o := normalize([]byte(strings.ReplaceAll(good, `"N": "84"`, `"N": "`+score+`"`)), testNow)
		checkOutcome(t, o)
		if len(o.updates) != 1 || !bytes.Contains(o.updates[0].change.Image, []byte(`"risk_band":"`+band+`"`)) {
			t.Errorf("%s: %+v, want %s", score, o.updates, band)
		}
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
		if len(o.updates) != 1 || o.updates[0].draft.writtenAt != want {
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
		if got := (attributes{"last_updated": text}).instant("last_updated", fallback).Format(timeLayout); got != want {
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
	if fault := undeclared(o); fault != "" {
		t.Error(fault)
	}
	if o.reason != nil && o.reason.Code == "" {
		t.Errorf("reason %+v has no code", o.reason)
	}
	ids, tenants := map[string]bool{}, map[string]bool{}
	for _, u := range o.updates {
		if o.reason != nil && u.draft.operation == contracts.MetricUpdateOperationUpsert {
			t.Error("a record that is quarantined shows a state")
		}
		if err := u.change.Validate(); err != nil {
			t.Errorf("change: %v", err)
		}
		body := published(t, u, contracts.Version{Epoch: 1, Revision: 1})
		if err := contracts.ValidateProducer(u.kind.form().contract, []byte(body)); err != nil {
			t.Errorf("event: %v", err)
		}
		if strings.ContainsAny(body, "\ufffe\uffff") {
			t.Error("the event has characters that SQS refuses")
		}
		event := readEvent(t, body)
		if key := event.key(); key != u.change.Key {
			t.Errorf("the change is of %+v, the event of %+v", u.change.Key, key)
		}
		if !bytes.Equal(u.change.Image, u.draft.current) || (u.change.Image == nil) != (string(event.Data.Current) == "null") {
			t.Errorf("change %+v and event %s differ", u.change, body)
		}
		if !slices.IsSorted(event.Data.Changed) {
			t.Errorf("changed %v is not sorted", event.Data.Changed)
		}
		ids[event.ID], tenants[event.Tenant] = true, true
	}
	if len(ids) != len(o.updates) || len(tenants) != len(o.updates) {
		t.Errorf("%d updates have %d ids and %d tenants", len(o.updates), len(ids), len(tenants))
	}
}

// eventRead is what is read of an event of either type, as a consumer does.
type eventRead struct {
	Type, ID, Tenant string
	Data             struct {
		EntityType string               `json:"entity_type"`
		EntityID   string               `json:"entity_id"`
		InsightID  *contracts.InsightID `json:"insight_id"`
		Current    json.RawMessage
		Changed    []string
	}
}

func readEvent(t *testing.T, body string) eventRead {
	t.Helper()
	var e eventRead
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		t.Fatal(err)
	}
	contract := contracts.KindMetricUpdateV1
	if e.Type == contracts.InsightCreatedV1Type {
		contract = contracts.KindInsightCreatedV1
	}
	if err := contracts.ValidateConsumer(contract, []byte(body)); err != nil {
		t.Errorf("a consumer refuses the event: %v", err)
	}
	return e
}

// key is the event's place in the state table.
func (e eventRead) key() state.Key {
	if e.Data.InsightID != nil {
		return state.InsightKey(e.Tenant, *e.Data.InsightID)
	}
	return state.Key{Tenant: e.Tenant, EntityType: e.Data.EntityType, EntityID: e.Data.EntityID}
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
		g.Events = append(g.Events, json.RawMessage(published(t, u, contracts.Version{Epoch: 1_795_000_000_000, Revision: 12})))
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
	for _, name := range []string{"insert", "modify", "remove", "health-out-of-range", "insert-with-all-ten-types", "insight"} {
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
					published(b, u, contracts.Version{Epoch: 1_795_000_000_000, Revision: 12})
				}
			}
		})
	}
}

// published is the body of the one event that is published of an update.
func published(t testing.TB, u update, v contracts.Version) string {
	t.Helper()
	all, err := messages(u, v)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d messages, %v", len(all), err)
	}
	return all[0].Body
}
