package normalizer

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/contracts"
)

// undeclared says what to do about an attribute that is emitted although no schema declares it, or "".
// The schema refuses such an event, so that the record would be quarantined, but it cannot say what to do.
func undeclared(o outcome) string {
	if o.kind == nil {
		return ""
	}
	of, schema, declared := o.entity.Type, "entities/"+o.entity.Type, contracts.PublicAttributes(contracts.EntityType(o.entity.Type))
	if o.kind.form().contract == contracts.KindInsightCreatedV1 {
		of, schema, declared = "insight", "findings/insight", contracts.InsightAttributes()
	}
	advice := func(name string) string {
		return fmt.Sprintf("the normalizer emitted the attribute %s of a row of type %s, which no schema declares: add it to contracts/schemas/%s/v1.json (contracts/README.md, \"Add a field\"), or stop emitting it",
			name, of, schema)
	}
	if r := o.reason; r != nil && (r.Code == "additionalProperties" || r.Code == "unevaluatedProperties") {
		return advice(strings.TrimPrefix(r.Pointer, newImage+"/"))
	}
	for _, row := range []image{o.record.DynamoDB.NewImage, o.record.DynamoDB.OldImage} {
		for _, name := range slices.Sorted(maps.Keys(row)) {
			if _, public := o.kind.attribute(o.entity, name); public && !declared.Has(name) {
				return advice(name)
			}
		}
	}
	for _, u := range o.updates {
		for _, image := range []json.RawMessage{u.draft.current, u.draft.previous} {
			var emitted map[string]json.RawMessage
			if err := json.Unmarshal(image, &emitted); image != nil && err != nil {
				return err.Error()
			}
			for _, name := range slices.Concat(slices.Sorted(maps.Keys(emitted)), u.draft.changed) {
				if !declared.Has(name) {
					return advice(name)
				}
			}
		}
	}
	return ""
}

// Rows of every kind with any attributes of any type: what no schema declares stays in the table, and is
// counted. Names that other kinds declare are the likeliest to slip through.
func TestOnlyDeclaredAttributesAreEmitted(t *testing.T) {
	t.Parallel()
	everywhere := contracts.InsightAttributes().Names()
	for _, kind := range contracts.EntityTypes() {
		everywhere = append(everywhere, contracts.PublicAttributes(kind).Names()...)
	}
	for _, kind := range contracts.EntityTypes() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			checkUndeclared(t, metricsTable, entityKey(string(kind)), leastMetric, everywhere, contracts.PublicAttributes(kind))
		})
	}
	t.Run("insight", func(t *testing.T) {
		t.Parallel()
		checkUndeclared(t, insightsTable, insightKey, leastFound, everywhere, contracts.InsightAttributes())
	})
}

func checkUndeclared(t *testing.T, table string, key, least map[string]any, likely []string, declared contracts.AttributeSet) {
	form := testTables[table].form()
	private := func(name string) bool { return !declared.Has(name) && !form.own(name) }
	likely = slices.DeleteFunc(append([]string{"mood", "email", "name", "notes", "ttl", "pk", "entity_id"}, likely...), func(name string) bool { return !private(name) })
	names := rapid.OneOf(
		rapid.SampledFrom(likely),
		rapid.Map(rapid.SampledFrom(declared.Names()), strings.ToUpper),
		rapid.StringMatching(`[a-z][a-z_0-9]{0,11}`),
		rapid.StringN(1, 20, 80),
	).Filter(private)
	values := rapid.SampledFrom([]any{
		text("x"), text(""), digits("7"), map[string]any{"BOOL": true}, map[string]any{"NULL": true}, map[string]any{"B": "AA=="},
		map[string]any{"SS": []string{"a"}}, map[string]any{"NS": []string{"1"}}, map[string]any{"BS": []string{"AA=="}},
		texts("a"), map[string]any{"M": map[string]any{"health_score": digits("7")}},
	})
	extras := rapid.MapOfN(names, values, 1, 40)
	rapid.Check(t, func(t *rapid.T) {
		before, after := extras.Draw(t, "before"), extras.Draw(t, "after")
		hidden := slices.Sorted(maps.Keys(after))
		maps.Copy(before, least)
		maps.Copy(after, least)
		o := normalize(modified(t, table, key, before, after), testNow)
		if fault := undeclared(o); fault != "" {
			t.Fatal(fault)
		}
		if o.reason != nil || len(o.updates) != 1 || o.updates[0].draft.previous == nil || len(o.updates[0].draft.changed) != 0 {
			t.Fatalf("reason %+v, updates %+v", o.reason, o.updates)
		}
		if !slices.Equal(o.dropped, hidden) {
			t.Fatalf("counted %q as not public, want %q", o.dropped, hidden)
		}
	})
}
