package contracttest

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/iops-dashboard/live/contracts"
)

func TestOurOwnConsumer(t *testing.T) {
	Consumer(t, func(document []byte) error {
		_, err := contracts.DecodeEvent(document)
		return err
	}, contracts.KindMetricUpdateV1)
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
