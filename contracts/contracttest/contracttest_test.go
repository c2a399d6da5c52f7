package contracttest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/iops-dashboard/live/contracts"
)

func TestOurOwnConsumers(t *testing.T) {
	Consumer(t, func(document []byte) error {
		_, err := contracts.DecodeEvent(document)
		return err
	}, contracts.KindMetricUpdateV1)
	Consumer(t, func(document []byte) error {
		_, err := contracts.DecodeInsight(document)
		return err
	}, contracts.KindInsightCreatedV1)
}

// Every example with every value of a list of known ones replaced by one that the list has not.
func TestUnknownValuesAreOther(t *testing.T) {
	tried := map[string]bool{} // files whose lists were met
	for _, k := range contracts.Kinds() {
		form, err := formOf(k)
		if err != nil {
			t.Fatal(err)
		}
		examples, err := documentsOf("examples", k)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range examples {
			tree, err := decode(e.content)
			if err != nil {
				t.Fatal(err)
			}
			here := map[string]bool{} // an example may have hundreds of values of one list
			for _, place := range form.knownValues(tree) {
				if here[place.schema] {
					continue
				}
				here[place.schema] = true
				file, _, _ := strings.Cut(place.schema, ".json")
				tried[file+".json"] = true
				if fault := judgeUnknown(k, tree, place); fault != "" {
					t.Errorf("%s/%s%s: %s", k, e.name, pointer(place.tokens), fault)
				}
			}
		}
	}
	if err := fs.WalkDir(contracts.Schemas, "consumer", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := contracts.Schemas.ReadFile(path)
		if err == nil && strings.Contains(string(content), `"x-known-values"`) && !tried[path] {
			t.Errorf("no example has a value of the list in %s", path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// judgeUnknown puts an unknown value into a document: a consumer reads it, and keeps the value as it is;
// a producer is refused, unless the list is open to it too, because a new rule is no new version.
func judgeUnknown(k contracts.Kind, tree any, place known) string {
	unknown := ofTheFuture(place.value)
	document := encode(with(tree, place.tokens, unknown))
	if limit := k.MaxBytes(); limit > 0 && len(document) > limit {
		return "" // the largest example has no room for a longer value
	}
	if err := contracts.ValidateConsumer(k, document); err != nil {
		return fmt.Sprintf("a consumer refuses it: %v", err)
	}
	err := contracts.ValidateProducer(k, document)
	open := strings.HasPrefix(place.schema, "consumer/defs/prediction-type.json")
	if invalid, refused := errors.AsType[contracts.Invalid](err); refused == open || refused && invalid.Keyword != "enum" {
		return fmt.Sprintf("a producer is told %v", err)
	}
	var event any
	switch k {
	case contracts.KindMetricUpdateV1:
		event, err = contracts.DecodeEvent(document)
	case contracts.KindInsightCreatedV1:
		event, err = contracts.DecodeInsight(document)
	default:
		return ""
	}
	if err != nil {
		return err.Error()
	}
	again, err := decode(encode(event))
	if got := valueAt(again, place.tokens); err != nil || got != unknown {
		return fmt.Sprintf("read as %v (%v), want %s", got, err, unknown)
	}
	return ""
}

func valueAt(v any, tokens []any) any {
	for _, token := range tokens {
		switch token := token.(type) {
		case string:
			object, _ := v.(map[string]any)
			v = object[token]
		case int:
			list, _ := v.([]any)
			v = list[token]
		}
	}
	return v
}

func TestEveryKindCanBeConsumed(t *testing.T) {
	for _, k := range contracts.Kinds() {
		Consumer(t, func(document []byte) error { return contracts.ValidateConsumer(k, document) }, k)
	}
}

// Each of these has a fault that the suite exists to find.
func TestConsumersWithAFaultAreFound(t *testing.T) {
	const k = contracts.KindMetricUpdateV1
	readAny := func(document []byte) (map[string]any, error) {
		var v map[string]any
		err := json.Unmarshal(document, &v)
		return v, err
	}
	cases := map[string]struct {
		read func(document []byte) error
		want []string // groups of trials that fail
	}{
		"closed": {
			func(document []byte) error { return contracts.ValidateProducer(k, document) },
			[]string{"fields-of-the-future", "value-of-the-future"},
		},
		"blind to the type": {
			func(document []byte) error {
				v, err := readAny(document)
				if err == nil && v == nil {
					err = errors.New("null")
				}
				return err
			},
			[]string{"unknown-dataschema", "unknown-type"},
		},
		"blind to the major version": {
			func(document []byte) error {
				v, err := readAny(document)
				if err == nil && v["type"] != "METRIC_UPDATE" {
					err = errors.New("another type")
				}
				return err
			},
			[]string{"unknown-dataschema"},
		},
		"trusting": {
			func(document []byte) error {
				if contracts.ValidateConsumer(k, document) == nil {
					return nil
				}
				v, err := readAny(document)
				if err != nil {
					return err
				}
				_ = v["data"].(map[string]any)["version"].(map[string]any)["epoch"].(float64)
				return errors.New("refused")
			},
			[]string{"broken", "hostile", "reject"},
		},
		"swallowing": {
			func([]byte) error { return nil },
			[]string{"broken", "unknown-dataschema", "unknown-type"},
		},
		"refusing": {
			func([]byte) error { return errors.New("no") },
			[]string{"example", "fields-of-the-future", "value-of-the-future"},
		},
		"exhaustive": {
			func(document []byte) error {
				event, err := contracts.DecodeEvent(document)
				known := []contracts.MetricUpdateOperation{contracts.MetricUpdateOperationUpsert, contracts.MetricUpdateOperationDelete, contracts.MetricUpdateOperationExpire}
				if err == nil && !slices.Contains(known, event.Data.Operation) {
					err = errors.New("unknown operation")
				}
				return err
			},
			[]string{"value-of-the-future"},
		},
	}
	trials, err := trialsOf(k)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, trial := range trials {
				if trial.judge(c.read) != "" {
					group, _, _ := strings.Cut(trial.name, "/")
					got = append(got, group)
				}
			}
			slices.Sort(got)
			if got = slices.Compact(got); !slices.Equal(got, c.want) {
				t.Errorf("fails at %v, want %v", got, c.want)
			}
		})
	}
}

func TestTrialsCoverWhatTheyClaim(t *testing.T) {
	names := func(k contracts.Kind) []string {
		trials, err := trialsOf(k)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, trial := range trials {
			out = append(out, trial.name)
		}
		return out
	}
	want := map[contracts.Kind][]string{
		contracts.KindMetricUpdateV1: {
			"example/full.json", "fields-of-the-future/full.json", "unknown-type", "unknown-dataschema",
			"value-of-the-future/data/operation", "value-of-the-future/data/entity_type", "value-of-the-future/data/current/segment",
		},
		contracts.KindMetricUpdateFrameV1: {"unknown-type", "unknown-version", "value-of-the-future/data/0/operation"},
		contracts.KindSubject:             {"value-of-the-future/balance_status"},
	}
	for k, list := range want {
		have := names(k)
		for _, name := range list {
			if !slices.Contains(have, name) {
				t.Errorf("%s has no trial %s: %v", k, name, have)
			}
		}
	}
	if _, err := trialsOf("events/no-such/v1"); err == nil {
		t.Error("a kind that is not there has trials")
	}
}
