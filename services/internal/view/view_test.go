package view_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"os"
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
	numbers  = []string{"0", "-0", "70", "70.0", "7e1", "0.7E+2", "7e-300", "69.99999999999999999999999999999999999", "70.00000000000000000000000000000000001", "-3", "100"}
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

// where is a view with one comparison.
func where(kind, attribute, operator, value string) contracts.ViewV1 {
	return contracts.ViewV1{EntityType: contracts.ViewType(kind), Where: []contracts.ComparisonV1{
		{Attribute: attribute, Operator: contracts.ComparisonOperator(operator), Value: json.RawMessage(value)},
	}}
}

func TestFaultsHavePointers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		why, pointer string
		view         contracts.ViewV1
	}{
		{"a type of a later release", "/views/1/entity_type", contracts.ViewV1{EntityType: "school"}},
		{"no type", "/views/1/entity_type", contracts.ViewV1{}},
		{"an attribute of another type", "/views/1/where/0/attribute", where("student", "region", "eq", `"north"`)},
		{"an attribute of nothing", "/views/1/where/0/attribute", where("*", "colour", "eq", `"blue"`)},
		{"a list", "/views/1/where/0/operator", where("insight", "recommendations", "eq", `"x"`)},
		{"no order of texts", "/views/1/where/0/operator", where("student", "segment", "lt", `"healthy"`)},
		{"no operator", "/views/1/where/0/operator", where("student", "health_score", "like", `7`)},
		{"a text for a number", "/views/1/where/0/value", where("student", "health_score", "lt", `"70"`)},
		{"a number for a text", "/views/1/where/0/value", where("student", "segment", "eq", `70`)},
		{"no number", "/views/1/where/0/value", where("student", "health_score", "eq", `true`)},
		{"no JSON number", "/views/1/where/0/value", where("student", "health_score", "eq", `0x1p3`)},
		{"nothing", "/views/1/where/0/value", where("student", "health_score", "eq", ``)},
		{"too large", "/views/1/where/0/value", where("student", "health_score", "lt", `1e999999`)},
		{"too small", "/views/1/where/0/value", where("student", "health_score", "lt", `1e-999999`)},
		{"far too large", "/views/1/where/0/value", where("student", "health_score", "lt", `-1E+999999999999999999999`)},
		{"no instant", "/views/1/where/0/value", where("student", "last_updated", "lt", `"yesterday"`)},
		{"no date", "/views/1/where/0/value", where("student", "last_updated", "lt", `"2026-02-30T10:00:00Z"`)},
		{"a comma", "/views/1/where/0/value", where("student", "last_updated", "lt", `"2026-11-22T10:00:00,5Z"`)},
		{"one digit", "/views/1/where/0/value", where("student", "last_updated", "lt", `"2026-11-22T1:00:00Z"`)},
		{"no zone", "/views/1/where/0/value", where("student", "last_updated", "lt", `"2026-11-22T10:00:00+24:00"`)},
		{"a field of another type", "/views/1/fields/1", contracts.ViewV1{EntityType: "student", Fields: []string{"health_score", "region"}}},
	} {
		_, err := view.Compile([]contracts.ViewV1{{EntityType: "*"}, tc.view})
		invalid, ok := errors.AsType[contracts.Invalid](err)
		if !ok || invalid.Pointer != tc.pointer {
			t.Errorf("%s: %v, want a fault at %s", tc.why, err, tc.pointer)
		}
	}
	// On everything an attribute counts that some kind has.
	if _, err := view.Compile([]contracts.ViewV1{where("*", "region", "eq", `"north"`), where("*", "risk_score", "ge", `80`)}); err != nil {
		t.Error(err)
	}
}

// What is stored may be of a later release. What says more than is understood here must not be read as if
// it said less.
func TestParseReadsOnlyWhatSpecWrites(t *testing.T) {
	t.Parallel()
	for why, spec := range map[string]string{
		"no JSON":                `[{"entity_type"`,
		"no list":                `{"entity_type":"student"}`,
		"null":                   `null`,
		"no view":                `[7]`,
		"a later type":           `[{"entity_type":"school"}]`,
		"a later attribute":      `[{"entity_type":"student","fields":["mood"]}]`,
		"a later operator":       `[{"entity_type":"student","where":[{"attribute":"segment","operator":"in","value":"healthy"}]}]`,
		"a later form of value":  `[{"entity_type":"student","where":[{"attribute":"segment","operator":"eq","value":["healthy"]}]}]`,
		"a later word of a view": `[{"entity_type":"student","sample":0.1}]`,
		"a later word of a comparison": `[{"entity_type":"student","where":[` +
			`{"attribute":"health_score","operator":"lt","value":70,"negate":true}]}]`,
		"another order": `[{"entity_type":"tutor"},{"entity_type":"student"}]`,
	} {
		_, err := view.Parse(spec)
		invalid, ok := errors.AsType[contracts.Invalid](err)
		if !ok || !strings.HasPrefix(invalid.Pointer, "/views") {
			t.Errorf("%s: %v, want a fault in the views", why, err)
		}
	}
}

func TestSpec(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		views []contracts.ViewV1
		want  string
	}{
		{nil, `[]`},
		{[]contracts.ViewV1{}, `[]`},
		{
			[]contracts.ViewV1{{EntityType: "tutor"}, {EntityType: "student", Fields: []string{"segment", "avg_rating", "segment"}}, {EntityType: "tutor"}},
			`[{"entity_type":"student","fields":["avg_rating","segment"]},{"entity_type":"tutor"}]`,
		},
		{
			[]contracts.ViewV1{where("subject", "region", "eq", `"\u00cele <\ud83d\ude00> \/"`)},
			`[{"entity_type":"subject","where":[{"attribute":"region","operator":"eq","value":"Île <😀> /"}]}]`,
		},
	} {
		set, err := view.Compile(tc.views)
		if err != nil || set.Spec() != tc.want {
			t.Errorf("got %s, %v, want %s", set.Spec(), err, tc.want)
		}
		if again, err := view.Parse(tc.want); err != nil || again.Spec() != tc.want {
			t.Errorf("%s is not read: %v", tc.want, err)
		}
	}
}

// A number has one form, about as long as its literal at most.
func TestNumbersHaveOneForm(t *testing.T) {
	t.Parallel()
	for literal, want := range map[string]string{
		"0": "0", "-0": "0", "0.000e-17": "0", "0e999999": "0",
		"70": "70", "70.0": "70", "7e1": "70", "0.7E+2": "70", "700e-1": "70", "-70.50": "-70.5",
		"0.05": "0.05", "5e-2": "0.05", "123456789.25": "123456789.25",
		"9007199254740991": "9007199254740991", "-9.007199254740991E15": "-9007199254740991",
		"1e20": "100000000000000000000", "1e21": "1e21", "12e400": "12e400", "-1.5e-400": "-15e-401",
		"1e-1000": "1e-1000", "1e999": "1e999",
	} {
		set, err := view.Compile([]contracts.ViewV1{where("student", "health_score", "eq", literal)})
		if err != nil {
			t.Errorf("%s: %v", literal, err)
			continue
		}
		want := `[{"entity_type":"student","where":[{"attribute":"health_score","operator":"eq","value":` + want + `}]}]`
		if set.Spec() != want {
			t.Errorf("%s: got %s", literal, set.Spec())
		}
	}
}

// Any two numbers compare as their exact values, and have the same text only if they are equal.
func TestNumbersCompareExactly(t *testing.T) {
	t.Parallel()
	literals := rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})([.][0-9]{1,20})?([eE][+-]?[0-9]{1,2})?`)
	rapid.Check(t, func(t *rapid.T) {
		have := literals.Draw(t, "have")
		want := rapid.OneOf(literals, rapid.SampledFrom([]string{have, have + "e0", "-" + have, have + "0", have + ".0", have + "1"})).
			Filter(func(s string) bool { return json.Valid([]byte(s)) }).Draw(t, "want")
		texts := map[string]bool{}
		for _, operator := range []string{"eq", "ne", "lt", "le", "gt", "ge"} {
			set, err := view.Compile([]contracts.ViewV1{where("student", "health_score", operator, want)})
			if err != nil {
				t.Fatal(err)
			}
			_, got := set.Match("student", view.NewImage(json.RawMessage(`{"health_score":`+have+`}`)))
			if got != referenceHolds(contracts.ComparisonV1{Operator: contracts.ComparisonOperator(operator), Value: json.RawMessage(want)}, json.Number(have)) {
				t.Fatalf("%s %s %s: %t", have, operator, want, got)
			}
			if operator != "eq" {
				continue
			}
			for _, literal := range []string{have, want} {
				set, err := view.Compile([]contracts.ViewV1{where("student", "health_score", "eq", literal)})
				if err != nil {
					t.Fatal(err)
				}
				texts[set.Spec()] = true
			}
			if (len(texts) == 1) != got {
				t.Fatalf("%s and %s are told apart by %v", have, want, texts)
			}
		}
	})
}

// A number that no contract allows costs no more than it is long, and is none.
func TestAbsurdNumbersInImages(t *testing.T) {
	t.Parallel()
	set, err := view.Compile([]contracts.ViewV1{where("student", "health_score", "ge", "0"), where("student", "health_score", "lt", "0")})
	if err != nil {
		t.Fatal(err)
	}
	for _, number := range []string{"1e999999", "-1e999999", "1e-999999", "1e999999999999999999999"} {
		if _, ok := set.Match("student", view.NewImage(json.RawMessage(`{"health_score":`+number+`}`))); ok {
			t.Errorf("%s is compared", number)
		}
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

func TestProject(t *testing.T) {
	t.Parallel()
	set, err := view.Parse(`[{"entity_type":"student","fields":["health_score","segment"]}]`)
	if err != nil {
		t.Fatal(err)
	}
	selection, _ := set.Match("student", view.NewImage(json.RawMessage(`{}`)))
	for in, want := range map[string]string{
		`{}`:                                     `{}`,
		` { } `:                                  `{}`,
		`{"x":1}`:                                `{}`,
		`{"health_score":1,"x":2,"segment":"a"}`: `{"health_score":1,"segment":"a"}`,
		`{"segment":"a","health_score":1}`:       `{"segment":"a","health_score":1}`,
		"{ \n\"x\" : [ 1 , 2 ] ,\t\"segment\" : \"a\" , \"y\" : { } }":        "{\"segment\" : \"a\" }",
		`{"x":{"segment":1},"health_score":{"a":[{"segment":"}]"}],"b":","}}`: `{"health_score":{"a":[{"segment":"}]"}],"b":","}}`,
		`{"x":"\"segment\":\"","segment":"\\"}`:                               `{"segment":"\\"}`,
		`{"x\\":1,"segment":"\\\"","y":2}`:                                    `{"segment":"\\\""}`,
		`{"\u0073egment":"Île 😀 \ud83d\ude00","segment\u0000":1}`:             `{"\u0073egment":"Île 😀 \ud83d\ude00"}`,
		`{"Segment":1,"segment ":2,"":3,"\u":4,"segment":5}`:                  `{"segment":5}`,
		`{"segment":1,"x":2,"segment":null}`:                                  `{"segment":1,"segment":null}`,
	} {
		if got := string(selection.Project("student", json.RawMessage(in))); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
	if raw := json.RawMessage(`{"segment":1}`); string(selection.Project("a_later_kind", raw)) != `{}` {
		t.Error("of a kind without attributes some were sent")
	}
}

// It is on the way of every event to every channel.
func TestProjectAllocatesOnce(t *testing.T) {
	set, err := view.Parse(`[{"entity_type":"student","fields":["health_score","segment"]}]`)
	if err != nil {
		t.Fatal(err)
	}
	raw := json.RawMessage(`{"sessions_7d":4,"avg_rating":4.5,"health_score":61.5,"segment":"at_risk","last_updated":"2026-11-22T10:00:00.123Z"}`)
	selection, _ := set.Match("student", view.NewImage(raw))
	if n := testing.AllocsPerRun(100, func() { selection.Project("student", raw) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

// A selection fits its mask.
func TestCataloguesFitASelection(t *testing.T) {
	t.Parallel()
	sets := []contracts.AttributeSet{contracts.InsightAttributes()}
	for _, kind := range contracts.EntityTypes() {
		sets = append(sets, contracts.PublicAttributes(kind))
	}
	for _, set := range sets {
		if set.Len() > 63 {
			t.Errorf("%d attributes: make a wider mask", set.Len())
		}
	}
}

// The vectors are shared with the browser, which matches the same views again.
func TestVectors(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../contracts/vectors/views.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name       string
		Views      json.RawMessage
		EntityType string `json:"entity_type"`
		Attributes json.RawMessage
		Matches    bool
		Fields     []string // what is sent; nil: all, or nothing
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	compared := map[string]bool{}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			command := fmt.Appendf(nil, `{"action":"sync","sync_id":1,"views":%s}`, v.Views)
			if err := contracts.ValidateProducer(contracts.KindSyncCommandV1, command); err != nil {
				t.Fatal(err)
			}
			var sync contracts.SyncCommandV1
			if err := json.Unmarshal(command, &sync); err != nil {
				t.Fatal(err)
			}
			set, err := view.Compile(sync.Views)
			if err != nil {
				t.Fatal(err)
			}
			selection, ok := set.Match(v.EntityType, view.NewImage(v.Attributes))
			if ok != v.Matches {
				t.Fatalf("matches: %t, want %t", ok, v.Matches)
			}
			var fields []string
			if whole := everyAttribute(t, v.EntityType); ok {
				sent := selection.Project(v.EntityType, whole)
				if string(sent) != string(whole) {
					fields = names(t, sent)
				}
			}
			if !slices.Equal(fields, v.Fields) || (fields == nil) != (v.Fields == nil) {
				t.Errorf("fields %q, want %q", fields, v.Fields)
			}
			for _, v := range sync.Views {
				for _, c := range v.Where {
					kind := contracts.PublicAttributes("subject")
					if v.EntityType == "insight" {
						kind = contracts.InsightAttributes()
					}
					a, _ := kind.Get(c.Attribute)
					compared[string(a.Kind)+" "+string(c.Operator)] = true
				}
			}
		})
	}
	for _, kind := range []string{"integer", "number", "instant", "text", "choice"} {
		for _, operator := range []string{"eq", "ne", "lt", "le", "gt", "ge"} {
			ordered := kind != "text" && kind != "choice" || operator == "eq" || operator == "ne"
			if ordered && !compared[kind+" "+operator] {
				t.Errorf("no vector compares %s with %s", kind, operator)
			}
		}
	}
}

// everyAttribute is a state with each attribute of a kind, and one more.
func everyAttribute(t *testing.T, kind string) json.RawMessage {
	t.Helper()
	set := contracts.PublicAttributes(contracts.EntityType(kind))
	if kind == "insight" {
		set = contracts.InsightAttributes()
	}
	state := map[string]int{"a_later_attribute": 0}
	for _, name := range set.Names() {
		state[name] = 0
	}
	raw, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func names(t *testing.T, object json.RawMessage) []string {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(object, &members); err != nil {
		t.Fatal(err)
	}
	return append([]string{}, slices.Sorted(maps.Keys(members))...)
}

func FuzzProject(f *testing.F) {
	for _, attributes := range []string{
		`{"sessions_7d":4,"avg_rating":4.5,"health_score":61.5,"segment":"at_risk","last_updated":"2026-11-22T10:00:00.123Z"}`,
		`{"\u0073egment":"\\","x\"":{"segment":[1,{"}":"]"}]},"health_score" : null , "segment":[],"":0}`,
		`{"entity_id":"Zoë 😀","recommendations":["a,b","\"{"],"risk_score":8e1}`,
		`{}`, `[]`, `null`, `{"segment`, `{"segment":`, `{"segment":1`, `{"segment\`, `{"a":}}]`, `"`, `{"segment":1}{"segment":2}`,
	} {
		f.Add([]byte(attributes))
	}
	chosen := map[string][]string{
		"student": {"health_score", "segment"},
		"insight": {"entity_id", "explanation", "prediction_type", "risk_band", "risk_score", "timestamp"},
	}
	set, err := view.Compile([]contracts.ViewV1{{EntityType: "student", Fields: chosen["student"]}, {EntityType: "insight", Fields: []string{"explanation"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, attributes []byte) {
		for kind, fields := range chosen {
			selection, _ := set.Match(kind, view.NewImage(json.RawMessage(`{}`)))
			sent := selection.Project(kind, attributes)
			var want map[string]json.RawMessage
			if json.Unmarshal(attributes, &want) != nil || want == nil {
				continue // it must only not panic
			}
			maps.DeleteFunc(want, func(name string, _ json.RawMessage) bool { return !slices.Contains(fields, name) })
			var got map[string]json.RawMessage
			if err := json.Unmarshal(sent, &got); err != nil {
				t.Fatalf("%s: got %s: %v", attributes, sent, err)
			}
			if !maps.EqualFunc(got, want, func(a, b json.RawMessage) bool { return string(a) == string(b) }) {
				t.Fatalf("%s: got %s", attributes, sent)
			}
		}
	})
}

func FuzzCompile(f *testing.F) {
	f.Add(`[{"entity_type":"student","where":[{"attribute":"health_score","operator":"lt","value":70}],"fields":["segment"]}]`, []byte(`{"health_score":7e1}`))
	f.Add(`[{"entity_type":"*","where":[{"attribute":"last_updated","operator":"ne","value":"2026-11-22T10:00:00Z"}]}]`, []byte(`{"last_updated":null}`))
	f.Add(`[]`, []byte(`{`))
	f.Fuzz(func(t *testing.T, text string, attributes []byte) {
		var views []contracts.ViewV1
		if json.Unmarshal([]byte(text), &views) != nil {
			return
		}
		set, err := view.Compile(views)
		if err != nil {
			return
		}
		if again, err := view.Parse(set.Spec()); err != nil || again.Spec() != set.Spec() {
			t.Fatalf("%s is read as %v, %v", set.Spec(), again, err)
		}
		for _, kind := range []string{"student", "insight", "x"} {
			if selection, ok := set.Match(kind, view.NewImage(attributes)); ok {
				selection.Project(kind, attributes)
			}
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	set, err := view.Compile([]contracts.ViewV1{{
		EntityType: "subject", Fields: []string{"health_score", "segment"}, Where: []contracts.ComparisonV1{
			{Attribute: "health_score", Operator: "lt", Value: json.RawMessage("70")},
			{Attribute: "segment", Operator: "eq", Value: json.RawMessage(`"at_risk"`)},
		},
	}})
	if err != nil {
		b.Fatal(err)
	}
	raw := json.RawMessage(`{"sessions_7d":4,"sessions_14d":9,"sessions_30d":17,"ib_calls_7d":0,"ib_calls_14d":3,"avg_rating":4.5,"health_score":61.5,"segment":"at_risk","churn_risk_14d":0.12,"region":"north","balance_status":"high_demand","last_updated":"2026-11-22T10:00:00.123Z"}`)
	image := view.NewImage(raw)
	b.Run("image", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			set.Match("subject", view.NewImage(raw))
		}
	})
	b.Run("match", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			set.Match("subject", image)
		}
	})
	selection, _ := set.Match("subject", image)
	b.Run("project", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			selection.Project("subject", raw)
		}
	})
}
