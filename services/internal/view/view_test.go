package view_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/view"
)

// reference decides by the words of the schema, and shares no code with the matcher: a list of names, or
// "all", and whether anything matches.
func reference(views []contracts.ViewV1, kind string, attributes map[string]any) (fields map[string]bool, all, matched bool) {
	fields = map[string]bool{}
	for _, v := range views {
		if string(v.EntityType) != "*" && string(v.EntityType) != kind {
			continue
		}
		holds := true
		for _, c := range v.Where {
			holds = holds && referenceHolds(c, attributes[c.Attribute])
		}
		if !holds {
			continue
		}
		matched = true
		all = all || v.Fields == nil
		for _, f := range v.Fields {
			fields[f] = true
		}
	}
	return fields, all, matched
}

func referenceHolds(c contracts.ComparisonV1, have any) bool {
	var want any
	decoder := json.NewDecoder(strings.NewReader(string(c.Value)))
	decoder.UseNumber()
	if decoder.Decode(&want) != nil {
		return false
	}
	order := 0
	switch have := have.(type) {
	case json.Number:
		number, ok := want.(json.Number)
		if !ok {
			return false
		}
		a, _ := new(big.Rat).SetString(have.String())
		b, _ := new(big.Rat).SetString(number.String())
		order = a.Cmp(b)
	case string:
		s, ok := want.(string)
		if !ok {
			return false
		}
		if strings.HasSuffix(c.Attribute, "_updated") || c.Attribute == "timestamp" {
			a, errA := time.Parse(time.RFC3339Nano, have)
			b, errB := time.Parse(time.RFC3339Nano, s)
			if errA != nil || errB != nil {
				return false
			}
			order = a.Compare(b)
		} else if have != s {
			order = 1
			if have < s {
				order = -1
			}
		}
	default:
		return false
	}
	return map[string]bool{"eq": order == 0, "ne": order != 0, "lt": order < 0, "le": order <= 0, "gt": order > 0, "ge": order >= 0}[string(c.Operator)]
}

var (
	numbers  = []string{"0", "-0", "70", "70.0", "7e1", "69.99999999999999999999999999999999999", "70.00000000000000000000000000000000001", "-3", "100"}
	choices  = []string{"healthy", "at_risk", "thriving"}
	instants = []string{"2026-11-22T10:00:00.000Z", "2026-11-22T11:00:00+01:00", "2026-11-22T10:00:00.000000001Z"}
)

func drawView(t *rapid.T) contracts.ViewV1 {
	v := contracts.ViewV1{EntityType: rapid.SampledFrom([]contracts.ViewType{"student", "tutor", "subject", "region", "*"}).Draw(t, "type")}
	for range rapid.IntRange(0, 3).Draw(t, "where") {
		var c contracts.ComparisonV1
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			c.Attribute = rapid.SampledFrom([]string{"health_score", "sessions_7d"}).Draw(t, "attribute")
			c.Value = json.RawMessage(rapid.SampledFrom(numbers).Draw(t, "value"))
			c.Operator = rapid.SampledFrom([]contracts.ComparisonOperator{"eq", "ne", "lt", "le", "gt", "ge"}).Draw(t, "operator")
		case 1:
			c.Attribute = "segment"
			c.Value = json.RawMessage(`"` + rapid.SampledFrom(choices).Draw(t, "value") + `"`)
			c.Operator = rapid.SampledFrom([]contracts.ComparisonOperator{"eq", "ne"}).Draw(t, "operator")
		case 2:
			c.Attribute = "last_updated"
			c.Value = json.RawMessage(`"` + rapid.SampledFrom(instants).Draw(t, "value") + `"`)
			c.Operator = rapid.SampledFrom([]contracts.ComparisonOperator{"eq", "ne", "lt", "le", "gt", "ge"}).Draw(t, "operator")
		}
		v.Where = append(v.Where, c)
	}
	if rapid.Bool().Draw(t, "chooses") {
		v.Fields = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"health_score", "sessions_7d", "segment", "avg_rating"}), 1, 3, rapid.ID).Draw(t, "fields")
	}
	return v
}

func drawState(t *rapid.T) map[string]any {
	state := map[string]any{}
	if rapid.Bool().Draw(t, "has health") {
		state["health_score"] = json.Number(rapid.SampledFrom(numbers).Draw(t, "health"))
	}
	if rapid.Bool().Draw(t, "has sessions") {
		state["sessions_7d"] = json.Number(rapid.SampledFrom(numbers).Draw(t, "sessions"))
	}
	if rapid.Bool().Draw(t, "has segment") {
		state["segment"] = rapid.SampledFrom(choices).Draw(t, "segment")
	}
	if rapid.Bool().Draw(t, "has time") {
		state["last_updated"] = rapid.SampledFrom(instants).Draw(t, "time")
	}
	state["avg_rating"] = json.Number("4.5")
	return state
}

func TestMatchIsWhatTheSchemaSays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		views := rapid.SliceOfN(rapid.Custom(drawView), 0, 5).Draw(t, "views")
		state := drawState(t)
		kind := rapid.SampledFrom([]string{"student", "tutor", "subject", "region"}).Draw(t, "kind")
		raw, err := json.Marshal(state)
		if err != nil {
			t.Fatal(err)
		}
		set, err := view.Compile(views)
		if err != nil {
			t.Fatal(err)
		}
		fields, all, matched := reference(views, kind, state)
		for _, part := range []*view.Set{set, set.Split()[kind], set.Split()[view.Partition]} {
			if part == nil {
				continue
			}
			selection, ok := part.Match(kind, view.NewImage(raw))
			if ok != matched {
				t.Fatalf("%s on %s %s: %t, want %t", part.Spec(), kind, raw, ok, matched)
			}
			if !ok {
				continue
			}
			var got map[string]json.RawMessage
			if err := json.Unmarshal(selection.Project(kind, raw), &got); err != nil {
				t.Fatal(err)
			}
			for name := range state {
				if _, has := got[name]; has != (all || fields[name]) {
					t.Fatalf("%s on %s %s: sent %v", part.Spec(), kind, raw, got)
				}
			}
		}
		// The text is the same whatever the order and the repetitions, and means the same.
		shuffled := slices.Concat(views, views)
		sort.Slice(shuffled, func(i, j int) bool { return fmt.Sprint(shuffled[i]) > fmt.Sprint(shuffled[j]) })
		other, err := view.Compile(shuffled)
		if err != nil || other.Spec() != set.Spec() {
			t.Fatalf("%s is also %s, %v", set.Spec(), other.Spec(), err)
		}
		again, err := view.Parse(set.Spec())
		if err != nil || again.Spec() != set.Spec() {
			t.Fatalf("%s is read as %v, %v", set.Spec(), again, err)
		}
	})
}

func TestFaultsHavePointers(t *testing.T) {
	t.Parallel()
	where := func(kind, attribute, operator, value string) contracts.ViewV1 {
		return contracts.ViewV1{EntityType: contracts.ViewType(kind), Where: []contracts.ComparisonV1{
			{Attribute: attribute, Operator: contracts.ComparisonOperator(operator), Value: json.RawMessage(value)},
		}}
	}
	for pointer, v := range map[string]contracts.ViewV1{
		"/1/where/0/attribute": where("student", "region", "eq", `"north"`),
		"/1/where/0/operator":  where("student", "segment", "lt", `"healthy"`),
		"/1/where/0/value":     where("student", "health_score", "lt", `"70"`),
		"/1/fields/1":          {EntityType: "student", Fields: []string{"health_score", "region"}},
	} {
		_, err := view.Compile([]contracts.ViewV1{{EntityType: "*"}, v})
		invalid, ok := errors.AsType[contracts.Invalid](err)
		if !ok || invalid.Pointer != pointer {
			t.Errorf("%+v: %v, want a fault at %s", v, err, pointer)
		}
	}
	for name, v := range map[string]contracts.ViewV1{
		"a list":      where("insight", "recommendations", "eq", `"x"`),
		"no instant":  where("student", "last_updated", "lt", `"yesterday"`),
		"no operator": where("student", "health_score", "like", `7`),
		"no number":   where("student", "health_score", "eq", `true`),
	} {
		if _, err := view.Compile([]contracts.ViewV1{v}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	// On everything an attribute counts that some kind has.
	if _, err := view.Compile([]contracts.ViewV1{where("*", "region", "eq", `"north"`), where("*", "risk_score", "ge", `80`)}); err != nil {
		t.Error(err)
	}
}

func TestEverything(t *testing.T) {
	t.Parallel()
	all := view.Everything()
	for _, kind := range []string{"student", "insight", "a_later_kind"} {
		raw := json.RawMessage(`{"health_score":1,"later":{}}`)
		selection, ok := all.Match(kind, view.NewImage(raw))
		if !ok || string(selection.Project(kind, raw)) != string(raw) {
			t.Errorf("%s is not watched whole", kind)
		}
	}
	if _, ok := all.Match("student", view.NewImage(nil)); ok {
		t.Error("what is not there is watched")
	}
}

func TestInsightsKeepWhatTheyMustHave(t *testing.T) {
	t.Parallel()
	set, err := view.Compile([]contracts.ViewV1{{
		EntityType: "insight", Fields: []string{"explanation"},
		Where: []contracts.ComparisonV1{{Attribute: "risk_score", Operator: "ge", Value: json.RawMessage("80")}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	raw := json.RawMessage(`{"alert_id":"a","entity_id":"stu_1","prediction_type":"x","risk_score":84,"risk_band":"critical","explanation":"why","timestamp":"2026-11-22T10:00:00.123Z"}`)
	selection, ok := set.Match("insight", view.NewImage(raw))
	if !ok {
		t.Fatal("no match")
	}
	got := selection.Project("insight", raw)
	want := `{"entity_id":"stu_1","prediction_type":"x","risk_score":84,"risk_band":"critical","explanation":"why","timestamp":"2026-11-22T10:00:00.123Z"}`
	if string(got) != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	frame := `{"type":"INSIGHT_CREATED","version":1,"timestamp":"2026-11-22T10:00:00.789Z","data":[{"insight_id":{"pk":"insight#stu_1","sk":"2026-11-22T10:00:00.123Z"},"operation":"UPSERT","version":{"epoch":1,"revision":1},"written_at":"2026-11-22T10:00:00.123Z","attributes":` + string(got) + `}]}`
	if err := contracts.ValidateConsumer(contracts.KindInsightCreatedFrameV1, []byte(frame)); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`[{"entity_type":"student","where":[{"attribute":"health_score","operator":"lt","value":70}],"fields":["segment"]}]`, []byte(`{"health_score":7e1}`))
	f.Add(`[]`, []byte(`{`))
	f.Fuzz(func(t *testing.T, spec string, attributes []byte) {
		set, err := view.Parse(spec)
		if err != nil {
			return
		}
		for _, kind := range []string{"student", "insight", "x"} {
			if selection, ok := set.Match(kind, view.NewImage(attributes)); ok {
				selection.Project(kind, attributes)
			}
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	set, err := view.Parse(`[{"entity_type":"student","where":[{"attribute":"health_score","operator":"lt","value":70},{"attribute":"segment","operator":"eq","value":"at_risk"}],"fields":["health_score","segment"]}]`)
	if err != nil {
		b.Fatal(err)
	}
	raw := json.RawMessage(`{"sessions_7d":4,"sessions_14d":9,"sessions_30d":17,"avg_rating":4.5,"health_score":61.5,"segment":"at_risk","churn_risk_14d":0.12,"last_updated":"2026-11-22T10:00:00.123Z"}`)
	image := view.NewImage(raw)
	b.Run("match", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			set.Match("student", image)
		}
	})
	selection, _ := set.Match("student", image)
	b.Run("project", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			selection.Project("student", raw)
		}
	})
}
