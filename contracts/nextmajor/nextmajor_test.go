package nextmajor_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/contracts/nextmajor"
)

// Every event of version 1, converted, is a valid one of version 2, and comes back as it was.
func TestEveryExampleGoesUpAndDown(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("../examples/events/metric-update/v1/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatal("no examples", err)
	}
	for _, path := range paths {
		document, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		next, err := nextmajor.UpEvent(document)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if err := nextmajor.Validate(nextmajor.KindEvent, next); err != nil {
			t.Errorf("%s, converted: %v", path, err)
		}
		if _, err := contracts.DecodeEvent(next); err == nil {
			t.Errorf("%s: version 1 reads what is version 2", path)
		}
		event, err := nextmajor.Decode(next)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		before, err := contracts.DecodeEvent(document)
		if err != nil {
			t.Fatal(err)
		}
		if event.Tenant != before.Tenant || event.Subject != before.Subject || event.Data.Version != before.Data.Version || event.Data.EntityID != before.Data.EntityID {
			t.Errorf("%s changes its identity", path)
		}
		back, err := nextmajor.DownEvent(next)
		if err != nil {
			t.Fatal(err)
		}
		if err := contracts.ValidateProducer(contracts.KindMetricUpdateV1, back); err != nil {
			t.Errorf("%s, there and back: %v", path, err)
		}
		if !equal(t, document, back) {
			t.Errorf("%s comes back as %s", path, back)
		}
	}
}

func TestAttributesKeepTheirMeaning(t *testing.T) {
	t.Parallel()
	for before, after := range map[string]string{
		`{}`:                        `{}`,
		`{"ib_calls_7d":3}`:         `{"inbound_calls_7d":3}`,
		`{"churn_risk_14d":0.07}`:   `{"churn_risk_14d":7}`,
		`{"churn_risk_14d":1}`:      `{"churn_risk_14d":100}`,
		`{"churn_risk_14d":1.0e-3}`: `{"churn_risk_14d":0.1}`,
		`{"churn_risk_14d":0.12345678901234567890123456789012345678}`: `{"churn_risk_14d":12.345678901234567890123456789012345678}`,
		`{"later":{"ib_calls_7d":1},"health_score":7.50}`:             `{"health_score":7.50,"later":{"ib_calls_7d":1}}`,
	} {
		got, err := nextmajor.Up("student", json.RawMessage(before))
		if err != nil || string(got) != after {
			t.Errorf("%s goes up to %s, %v; want %s", before, got, err, after)
		}
	}
	for _, broken := range []string{``, `null`, `[]`, `{"churn_risk_14d":"0.5"}`, `{"churn_risk_14d":null}`} {
		if got, err := nextmajor.Up("student", json.RawMessage(broken)); err == nil {
			t.Errorf("%s goes up to %s", broken, got)
		}
	}
}

func TestUpAndDownUndoEachOther(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		attributes := map[string]json.RawMessage{}
		for _, name := range []string{"ib_calls_7d", "ib_calls_14d", "health_score", "x_later"} {
			if rapid.Bool().Draw(t, name) {
				attributes[name] = json.RawMessage(fmt.Sprint(rapid.IntRange(0, 100).Draw(t, "n")))
			}
		}
		digits := rapid.StringMatching(`0\.[0-9]{1,38}(e-[0-9]{1,2})?`).Draw(t, "risk")
		attributes["churn_risk_14d"] = json.RawMessage(digits)
		before, err := json.Marshal(attributes)
		if err != nil {
			t.Fatal(err)
		}
		up, err := nextmajor.Up("tutor", before)
		if err != nil {
			t.Fatal(err)
		}
		down, err := nextmajor.Down("tutor", up)
		if err != nil {
			t.Fatal(err)
		}
		if !equal(t, before, down) {
			t.Fatalf("%s goes up to %s and down to %s", before, up, down)
		}
	})
}

// equal compares documents, and their numbers by value.
func equal(t interface{ Fatal(...any) }, a, b []byte) bool {
	var trees [2]any
	for i, document := range [][]byte{a, b} {
		decoder := json.NewDecoder(bytes.NewReader(document))
		decoder.UseNumber()
		if err := decoder.Decode(&trees[i]); err != nil {
			t.Fatal(err)
		}
		trees[i] = exact(trees[i])
	}
	return fmt.Sprint(trees[0]) == fmt.Sprint(trees[1]) // maps print in the order of their keys
}

func exact(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			v[key] = exact(value)
		}
	case []any:
		for i, value := range v {
			v[i] = exact(value)
		}
	case json.Number:
		if r, ok := new(big.Rat).SetString(v.String()); ok {
			return r.RatString()
		}
	}
	return v
}
