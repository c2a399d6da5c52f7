package contracts

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path"
	"reflect"
	"strings"
	"testing"
)

// documents returns the files below examples or rejects, by kind and then by name.
func documents(t testing.TB, folder string) map[Kind]map[string][]byte {
	t.Helper()
	known := map[Kind]bool{}
	for _, k := range Kinds() {
		known[k] = true
	}
	out := map[Kind]map[string][]byte{}
	root := os.DirFS(folder)
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.Contains(name, "/") {
			return err
		}
		k := Kind(path.Dir(name))
		if !known[k] {
			t.Errorf("%s/%s lies in the folder of no kind", folder, name)
		}
		if out[k] == nil {
			out[k] = map[string][]byte{}
		}
		out[k][path.Base(name)], err = fs.ReadFile(root, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// reject is a document that must be refused.
type reject struct {
	Why      string          `json:"why"`
	Pointer  string          `json:"pointer"`
	Keyword  string          `json:"keyword"`
	By       string          `json:"by"` // "producer": a consumer accepts it; absent: both refuse it
	Instance json.RawMessage `json:"instance"`
}

func readReject(t testing.TB, content []byte) reject {
	t.Helper()
	var r reject
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		t.Fatal(err)
	}
	if r.Why == "" || r.Keyword == "" || len(r.Instance) == 0 || r.By != "" && r.By != "producer" {
		t.Fatalf("a reject says why, keyword and instance; by is \"producer\" or absent: %+v", r)
	}
	return r
}

func TestRejectsAreRefused(t *testing.T) {
	all := documents(t, "rejects")
	for _, k := range Kinds() {
		if len(all[k]) == 0 {
			t.Errorf("no rejects of %s", k)
		}
		for name, content := range all[k] {
			t.Run(string(k)+"/"+name, func(t *testing.T) {
				t.Parallel()
				r := readReject(t, content)
				wantInvalid(t, ValidateProducer(k, r.Instance), r.Pointer, r.Keyword)
				if r.By == "producer" {
					if err := ValidateConsumer(k, r.Instance); err != nil {
						t.Errorf("a consumer refuses it: %v", err)
					}
					return
				}
				wantInvalid(t, ValidateConsumer(k, r.Instance), r.Pointer, r.Keyword)
			})
		}
	}
}

func wantInvalid(t testing.TB, err error, pointer, keyword string) {
	t.Helper()
	var invalid Invalid
	if !errors.As(err, &invalid) {
		t.Fatalf("got %v, want a fault at %q (%s)", err, pointer, keyword)
	}
	if invalid.Pointer != pointer || invalid.Keyword != keyword {
		t.Errorf("got %v, want a fault at %q (%s)", err, pointer, keyword)
	}
	if invalid.Message == "" {
		t.Error("a fault has a message")
	}
}

func TestExamplesAreAccepted(t *testing.T) {
	all := documents(t, "examples")
	for _, k := range Kinds() {
		if len(all[k]) == 0 {
			t.Errorf("no examples of %s", k)
		}
		for name, content := range all[k] {
			t.Run(string(k)+"/"+name, func(t *testing.T) {
				t.Parallel()
				if err := ValidateProducer(k, content); err != nil {
					t.Error(err)
				}
				if err := ValidateConsumer(k, content); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// goTypes has the Go type of each kind.
var goTypes = map[Kind]func() any{
	KindSyncCommandV1:         func() any { return new(SyncCommandV1) },
	KindStudent:               func() any { return new(Student) },
	KindTutor:                 func() any { return new(Tutor) },
	KindSubject:               func() any { return new(Subject) },
	KindRegion:                func() any { return new(Region) },
	KindInsight:               func() any { return new(Insight) },
	KindMetricUpdateV1:        func() any { return new(MetricUpdateV1) },
	KindInsightCreatedV1:      func() any { return new(InsightCreatedV1) },
	KindMetricUpdateFrameV1:   func() any { return new(MetricUpdateFrameV1) },
	KindInsightCreatedFrameV1: func() any { return new(InsightCreatedFrameV1) },
	KindSnapshotFrameV1:       func() any { return new(SnapshotFrameV1) },
	KindSyncedFrameV1:         func() any { return new(SyncedFrameV1) },
	KindResyncFrameV1:         func() any { return new(ResyncFrameV1) },
	KindReconnectFrameV1:      func() any { return new(ReconnectFrameV1) },
	KindErrorFrameV1:          func() any { return new(ErrorFrameV1) },
	KindTicketV1:              func() any { return new(TicketV1) },
	KindMetricsPageV1:         func() any { return new(MetricsPageV1) },
	KindInsightsPageV1:        func() any { return new(InsightsPageV1) },
	KindEntityReplyV1:         func() any { return new(EntityReplyV1) },
	KindProblemV1:             func() any { return new(ProblemV1) },
	KindQuarantinedRecordV1:   func() any { return new(QuarantinedRecordV1) },
}

func TestExamplesSurviveTheGoTypes(t *testing.T) {
	all := documents(t, "examples")
	for _, k := range Kinds() {
		newValue, ok := goTypes[k]
		if !ok {
			t.Errorf("goTypes does not have the Go type of %s: add it", k)
			continue
		}
		for name, content := range all[k] {
			t.Run(string(k)+"/"+name, func(t *testing.T) {
				t.Parallel()
				value := newValue()
				if err := json.Unmarshal(content, value); err != nil {
					t.Fatal(err)
				}
				again, err := json.Marshal(value)
				if err != nil {
					t.Fatal(err)
				}
				if want, got := generic(t, content), generic(t, again); !reflect.DeepEqual(got, want) {
					t.Errorf("got  %v\nwant %v", got, want)
				}
			})
		}
	}
}

func generic(t testing.TB, document []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(document, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestEveryKindHasAMinimalExample(t *testing.T) {
	all := documents(t, "examples")
	for _, k := range Kinds() {
		for _, name := range []string{"minimal.json", "full.json"} {
			if _, ok := all[k][name]; !ok {
				t.Errorf("examples/%s/%s is missing", k, name)
			}
		}
	}
}

func TestVersionOrder(t *testing.T) {
	content, err := os.ReadFile("examples/version-order.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Why   string
		A, B  Version
		Order int
	}
	if err := json.Unmarshal(content, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) == 0 {
		t.Fatal("no vectors")
	}
	for _, v := range vectors {
		if got := v.A.Compare(v.B); got != v.Order {
			t.Errorf("%s: %v against %v is %d, want %d", v.Why, v.A, v.B, got, v.Order)
		}
		if got := v.B.Compare(v.A); got != -v.Order {
			t.Errorf("%s, turned round: got %d, want %d", v.Why, got, -v.Order)
		}
	}
}

func TestLimitsMatchTheSchemas(t *testing.T) {
	limits := map[string]int{"events": MaxEventBytes, "frames": MaxFrameBytes, "commands": MaxCommandBytes}
	for _, k := range Kinds() {
		folder, _, _ := strings.Cut(string(k), "/")
		if limit, ok := limits[folder]; ok && k.MaxBytes() != limit {
			t.Errorf("%s may have %d bytes, want the %d of all %s", k, k.MaxBytes(), limit, folder)
		}
	}
}
