package resync

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/iops-dashboard/live/infra/topology"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

const (
	before = "1000"                // a label of an older stream: those of the engine are times in decimal digits
	asIs   = `{"health_score":50}` // the image of a student as the tests put it
	other  = `{"health_score":1}`
)

// A row has all ten types of attributes, and comes as Lambda would bring it.
func TestARecordIsAsLambdaDeliversIt(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	row := item{
		"entity_id": text("stu_1"), "entity_type": text("student"), "tenant": text("acme"),
		"text": text(`<a href="x">&  ü 🦉</a>`), "empty": text(""), "number": number("12345678901234567890.5"),
		"binary": &types.AttributeValueMemberB{Value: []byte{0, 1, 254, 255}}, "nothing": &types.AttributeValueMemberB{Value: []byte{}},
		"true": &types.AttributeValueMemberBOOL{Value: true}, "false": &types.AttributeValueMemberBOOL{}, "null": &types.AttributeValueMemberNULL{Value: true},
		"texts": &types.AttributeValueMemberSS{Value: []string{"a", "b"}}, "numbers": &types.AttributeValueMemberNS{Value: []string{"-1", "2.5"}},
		"binaries": &types.AttributeValueMemberBS{Value: [][]byte{{1}, {2, 3}}}, "none": &types.AttributeValueMemberL{Value: []types.AttributeValue{}},
		"list": &types.AttributeValueMemberL{Value: []types.AttributeValue{number("1"), &types.AttributeValueMemberM{Value: item{"deep": &types.AttributeValueMemberNULL{Value: true}}}}},
		"map":  &types.AttributeValueMemberM{Value: item{"k": text("v"), "e": &types.AttributeValueMemberM{Value: item{}}}},
	}
	s.put(s.metrics.Name, row)
	var bodies []string
	for m, err := range Rows(t.Context(), s.source()) {
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, m.Body)
	}
	if len(bodies) != 1 {
		t.Fatalf("%d records, want one", len(bodies))
	}
	want := `{"EVENT":"INSERT","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"` + strings.Split(s.stream, ":")[3] + `","eventSourceARN":"` + s.stream + `",
"dynamodb":{"ApproximateCreationDateTime":1795000000,"SequenceNumber":"0","StreamViewType":"NEW_AND_OLD_IMAGES",
"Keys":{"entity_id":{"S":"stu_1"},"entity_type":{"S":"student"}},
"NewImage":{"entity_id":{"S":"stu_1"},"entity_type":{"S":"student"},"tenant":{"S":"acme"},
"text":{"S":"<a href=\"x\">&  ü 🦉</a>"},"empty":{"S":""},"number":{"N":"12345678901234567890.5"},
"binary":{"B":"AAH+/w=="},"nothing":{"B":""},"true":{"BOOL":true},"false":{"BOOL":false},"null":{"NULL":true},
"texts":{"SS":["a","b"]},"numbers":{"NS":["-1","2.5"]},"binaries":{"BS":["AQ==","AgM="]},"none":{"L":[]},
"list":{"L":[{"N":"1"},{"M":{"deep":{"NULL":true}}}]},"map":{"M":{"k":{"S":"v"},"e":{"M":{}}}}}}}`
	var got, wanted map[string]any
	if err := errors.Join(json.Unmarshal([]byte(bodies[0]), &got), json.Unmarshal([]byte(strings.Replace(want, "EVENT", "eventName", 1)), &wanted)); err != nil {
		t.Fatal(err)
	}
	id, _ := got["eventID"].(string)
	if delete(got, "eventID"); !strings.HasPrefix(id, "resync-") || len(id) != len("resync-")+32 {
		t.Errorf("the id is %q", id)
	}
	if !reflect.DeepEqual(got, wanted) {
		t.Errorf("got\n%s\nwant\n%s", bodies[0], want)
	}
	if !strings.Contains(bodies[0], "<a href") {
		t.Error("the text has grown")
	}
	if got := read(t, Rows(t.Context(), s.source()))[0].Change.NewImage["binary"].Binary(); !slices.Equal(got, []byte{0, 1, 254, 255}) {
		t.Errorf("the runtime library reads the binary %v", got)
	}
}

// The record of a row that is gone has all that its tenant was shown: with less, views that it matched would keep it.
func TestWhatIsGoneIsToldAsItWasShown(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.knows(s.metrics, "acme", Key{"stu_1", "student"}, s.label, "7", `{"health_score":12345678901234567890.5,"segment":"at <risk>","tags":["a","b"],"none":[],"tiny":1.5e-7}`)
	n := 0
	for m, err := range Rows(t.Context(), s.source()) {
		if n++; err != nil {
			t.Fatal(err)
		}
		const want = `"Keys":{"entity_id":{"S":"stu_1"},"entity_type":{"S":"student"}},"OldImage":{"entity_id":{"S":"stu_1"},"entity_type":{"S":"student"},` +
			`"health_score":{"N":"12345678901234567890.5"},"none":{"L":[]},"segment":{"S":"at <risk>"},"tags":{"L":[{"S":"a"},{"S":"b"}]},"tenant":{"S":"acme"},"tiny":{"N":"1.5e-7"}},"SequenceNumber":"8"`
		if !strings.Contains(m.Body, want) || strings.Contains(m.Body, "NewImage") {
			t.Errorf("got\n%s\nwant\n%s", m.Body, want)
		}
	}
	if n != 1 {
		t.Errorf("%d records, want one", n)
	}
}

// Whoever begins anew says the same, if nothing has changed. What differs has another name.
func TestIDsAreStable(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.student("stu_1", "")
	s.student("stu_2", "")
	s.knows(s.metrics, "default", Key{"stu_3", "student"}, before, "7", other)
	ids := func(s Source) (all []string) {
		for _, r := range read(t, Rows(t.Context(), s)) {
			all = append(all, r.EventID)
		}
		slices.Sort(all)
		return all
	}
	first := ids(s.source())
	later := s.source()
	later.Now = time.Now
	if again := ids(later); !slices.Equal(first, again) {
		t.Errorf("%q, and later %q", first, again)
	}
	if len(first) != 3 || len(slices.Compact(slices.Clone(first))) != 3 {
		t.Errorf("%q: want three that differ", first)
	}
	s.student("stu_2", "acme")
	if changed := ids(s.source()); slices.Equal(first, changed) {
		t.Error("another row has the same id")
	}
}

// Several pages, and more rows of a page than can be asked for at once.
func TestEveryRowThatDiffersIsToldOfOnce(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	const rows = 230
	var want []string
	for i := range rows {
		id := fmt.Sprintf("stu_%03d", i)
		key := Key{id, "student"}
		s.student(id, "")
		switch i % 5 {
		case 0: // the state table knows nothing
			want = append(want, "INSERT default "+id+" 0")
		case 1:
			s.knows(s.metrics, "default", key, before, "7", other)
			want = append(want, "INSERT default "+id+" 0")
		case 2:
			s.knows(s.metrics, "default", key, s.label, "7", asIs)
		default:
			s.knows(s.metrics, "default", key, s.label, "7", other)
			want = append(want, "INSERT default "+id+" 8")
		}
	}
	for _, limit := range []int32{0, 7, 101} {
		source := s.source()
		source.Limit = limit
		got := said(t, source)
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("limit %d: got %q\nwant %q", limit, got, want)
		}
	}
}

// What becomes of a row follows from what the state table knows of it.
func TestThePlaceOfARecord(t *testing.T) {
	t.Parallel()
	type known struct{ tenant, label, sequence, image string }
	const present = "present"
	for name, tc := range map[string]struct {
		row   string // its tenant; "-": there is none
		known []known
		want  []string
	}{
		"never told of":                            {"acme", nil, []string{"INSERT acme stu_1 0"}},
		"told of by an older stream":               {"acme", []known{{"acme", before, "99", other}}, []string{"INSERT acme stu_1 0"}},
		"told of by an older stream, as it is":     {"acme", []known{{"acme", before, "99", asIs}}, nil},
		"removed by an older stream":               {"acme", []known{{"acme", before, "99", ""}}, []string{"INSERT acme stu_1 0"}},
		"shown otherwise":                          {"acme", []known{{"acme", present, "9", other}}, []string{"INSERT acme stu_1 10"}},
		"shown otherwise, long numbers":            {"acme", []known{{"acme", present, "1405400000000002063282839", other}}, []string{"INSERT acme stu_1 1405400000000002063282840"}},
		"shown otherwise, after a resync":          {"acme", []known{{"acme", present, "0", other}}, []string{"INSERT acme stu_1 1"}},
		"shown as it is":                           {"acme", []known{{"acme", present, "9", asIs}}, nil},
		"removed and there":                        {"acme", []known{{"acme", present, "9", ""}}, []string{"INSERT acme stu_1 10"}},
		"shown and gone":                           {"-", []known{{"acme", present, "9", asIs}}, []string{"REMOVE acme stu_1 10"}},
		"shown and gone, of an older stream":       {"-", []known{{"acme", before, "9", asIs}}, []string{"REMOVE acme stu_1 0"}},
		"removed and gone":                         {"-", []known{{"acme", present, "9", ""}}, nil},
		"removed and gone, of an older stream":     {"-", []known{{"acme", before, "9", ""}}, nil},
		"moved":                                    {"umbrella", []known{{"acme", present, "9", asIs}}, []string{"INSERT umbrella stu_1 0", "REMOVE acme stu_1 10"}},
		"moved back":                               {"umbrella", []known{{"acme", present, "9", asIs}, {"umbrella", present, "5", ""}}, []string{"INSERT umbrella stu_1 6", "REMOVE acme stu_1 10"}},
		"moved, and half told":                     {"umbrella", []known{{"acme", present, "9", asIs}, {"umbrella", present, "9", asIs}}, []string{"REMOVE acme stu_1 10"}},
		"moved, and told":                          {"umbrella", []known{{"acme", present, "9", ""}, {"umbrella", present, "9", asIs}}, nil},
		"moved to the tenant of those with none":   {"", []known{{"acme", present, "9", asIs}}, []string{"INSERT default stu_1 0", "REMOVE acme stu_1 10"}},
		"moved to a tenant that there cannot be":   {"#", []known{{"acme", present, "9", asIs}}, []string{"INSERT # stu_1 0", "REMOVE acme stu_1 10"}},
		"never told of, of a tenant that is wrong": {"#", nil, []string{"INSERT # stu_1 0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			if tc.row != "-" {
				s.student("stu_1", tc.row)
			}
			for _, k := range tc.known {
				if k.label == present {
					k.label = s.label
				}
				s.knows(s.metrics, k.tenant, Key{"stu_1", "student"}, k.label, k.sequence, k.image)
			}
			source := s.source()
			got := said(t, source)
			if slices.Sort(got); !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			// Of one row the same is told as of all, to its own tenant and to the one that is named.
			for _, tenant := range []string{"", "acme", "umbrella"} {
				source.Only, source.Tenant = &Key{"stu_1", "student"}, tenant
				var want []string
				for _, each := range tc.want {
					if tenant == "" || strings.HasPrefix(each, "INSERT") || strings.HasPrefix(each, "REMOVE "+tenant) {
						want = append(want, each)
					}
				}
				got := said(t, source)
				if slices.Sort(got); !slices.Equal(got, want) {
					t.Errorf("of it alone, tenant %q: got %q, want %q", tenant, got, want)
				}
			}
		})
	}
}

// A row differs if what the normalizer would publish of it differs, and not by what is private or only written otherwise.
func TestWhatDiffers(t *testing.T) {
	t.Parallel()
	tables := Tables(topology.Default())
	metrics, insights := tables[0], tables[1]
	null := &types.AttributeValueMemberNULL{Value: true}
	list := func(all ...types.AttributeValue) types.AttributeValue {
		return &types.AttributeValueMemberL{Value: all}
	}
	for name, tc := range map[string]struct {
		table Table
		kind  string
		image string
		row   item
		same  bool
	}{
		"the same":                {metrics, "student", `{"health_score":50,"segment":"healthy"}`, item{"health_score": number("50"), "segment": text("healthy")}, true},
		"nothing public":          {metrics, "student", `{}`, item{}, true},
		"a number otherwise":      {metrics, "student", `{"health_score":50}`, item{"health_score": number("5.0E+1")}, true},
		"a long number":           {metrics, "student", `{"health_score":0.12345678901234567890123456789012345678}`, item{"health_score": number("0.12345678901234567890123456789012345679")}, false},
		"another number":          {metrics, "student", `{"health_score":50}`, item{"health_score": number("50.1")}, false},
		"another text":            {metrics, "student", `{"segment":"healthy"}`, item{"segment": text("Healthy")}, false},
		"one more":                {metrics, "student", `{"health_score":50}`, item{"health_score": number("50"), "segment": text("healthy")}, false},
		"one less":                {metrics, "student", `{"health_score":50,"segment":"healthy"}`, item{"health_score": number("50")}, false},
		"one that is null":        {metrics, "student", `{"health_score":50}`, item{"health_score": number("50"), "segment": null}, true},
		"one that became null":    {metrics, "student", `{"health_score":50,"segment":"healthy"}`, item{"health_score": number("50"), "segment": null}, false},
		"private ones":            {metrics, "student", `{"health_score":50}`, item{"health_score": number("50"), "email": text("a@b"), "tenant": text("acme"), "risk_band": text("x")}, true},
		"no longer public":        {metrics, "student", `{"health_score":50,"email":"a@b"}`, item{"health_score": number("50"), "email": text("a@b")}, false},
		"a number that is a text": {metrics, "student", `{"health_score":50}`, item{"health_score": text("50")}, false},
		"a text that is a number": {metrics, "student", `{"segment":"50"}`, item{"segment": number("50")}, false},
		"a tombstone":             {metrics, "student", ``, item{}, false},
		"an insight":              {insights, "", `{"risk_band":"warning","risk_score":60}`, item{"risk_score": number("60")}, true},
		"an insight with a band":  {insights, "", `{"risk_band":"warning","risk_score":60}`, item{"risk_score": number("60"), "risk_band": text("info")}, true},
		"another band":            {insights, "", `{"risk_band":"info","risk_score":60}`, item{"risk_score": number("60")}, false},
		"without a band":          {insights, "", `{"risk_score":60}`, item{"risk_score": number("60")}, false},
		"a score that is a text":  {insights, "", `{"risk_band":"warning","risk_score":60}`, item{"risk_score": text("60")}, false},
		"the same texts":          {insights, "", `{"risk_band":"info","risk_score":1,"recommendations":["a","b"]}`, item{"risk_score": number("1"), "recommendations": list(text("a"), text("b"))}, true},
		"texts in another order":  {insights, "", `{"risk_band":"info","risk_score":1,"recommendations":["a","b"]}`, item{"risk_score": number("1"), "recommendations": list(text("b"), text("a"))}, false},
		"fewer texts":             {insights, "", `{"risk_band":"info","risk_score":1,"recommendations":["a","b"]}`, item{"risk_score": number("1"), "recommendations": list(text("a"))}, false},
		"no texts":                {insights, "", `{"risk_band":"info","risk_score":1,"recommendations":[]}`, item{"risk_score": number("1"), "recommendations": list()}, true},
		"a set of texts":          {insights, "", `{"risk_band":"info","risk_score":1,"recommendations":["a"]}`, item{"risk_score": number("1"), "recommendations": &types.AttributeValueMemberSS{Value: []string{"a"}}}, false},
	} {
		state := item{"pk": text("acme#student#1"), "sk": text("stu_1"), "label": text("2"), "seq": text(strings.Repeat("0", maxDigits))}
		if tc.table.insights {
			state["pk"], state["sk"] = text("acme#insight#1"), text("2026/insight#1")
		}
		if tc.image != "" {
			state["image"] = text(tc.image)
		}
		e, ok, err := tc.table.decode(state)
		if got := tc.table.shows(e, tc.row); !ok || err != nil || got != tc.same {
			t.Errorf("%s: %v, %v, %v", name, got, ok, err)
		}
	}
}

// Only the wanted row is told of, among others of its id, its type and its tenant.
func TestOneRow(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.student("stu_1", "acme")
	s.student("stu_2", "acme")
	s.put(s.metrics.Name, item{"entity_id": text("stu_1"), "entity_type": text("tutor")})
	s.knows(s.metrics, "acme", Key{"stu_1", "student"}, s.label, "3", other)
	s.knows(s.metrics, "umbrella", Key{"stu_1", "student"}, s.label, "3", other)
	s.knows(s.metrics, "umbrella", Key{"stu_1", "tutor"}, s.label, "3", other)
	s.knows(s.metrics, "umbrella", Key{"stu_3", "student"}, s.label, "3", other)
	source := s.source()
	for subject, want := range map[string][]string{
		"student/stu_1": {"INSERT acme stu_1 4", "REMOVE umbrella stu_1 4"},
		"student/stu_2": {"INSERT acme stu_2 0"},
		"student/stu_3": {"REMOVE umbrella stu_3 4"},
		"student/stu_4": nil,
		"tutor/stu_1":   {"INSERT default stu_1 0", "REMOVE umbrella stu_1 4"},
	} {
		key, err := s.metrics.Key(subject)
		if err != nil {
			t.Fatal(err)
		}
		source.Only = &key
		got := said(t, source)
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", subject, got, want)
		}
	}
}

// Both tables are in one state table, and the insights table may hold what is nobody's insight.
func TestTablesAreKeptApart(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	const at, later = "2026-11-22T10:00:00.123Z", "2026-11-23T10:00:00.123Z"
	s.put(s.metrics.State, item{"pk": text("generation"), "sk": text("generation"), "epoch": number("1795000000000")})
	s.student("stu_1", "")
	s.put(s.insights.Name, item{"pk": text("insight#a/b"), "sk": text(at)})
	s.put(s.insights.Name, item{"pk": text("session#9"), "sk": text(at)})
	s.knows(s.metrics, "acme", Key{"stu_2", "student"}, before, "3", other)
	s.knows(s.insights, "acme", Key{"insight#a/b", later}, before, "3", other)
	s.knows(s.insights, "default", Key{"insight#a/b", at}, before, "3", other)
	s.knows(s.insights, "acme", Key{"session#9", later}, before, "3", other)

	if got, want := said(t, s.source()), []string{"REMOVE acme stu_2 0", "INSERT default stu_1 0"}; !slices.Equal(got, want) {
		t.Errorf("metrics: got %q, want %q", got, want)
	}
	source := s.source()
	source.Table = s.insights
	var err error
	if source.Stream, _, err = Describe(t.Context(), s.Client, s.insights); err != nil {
		t.Fatal(err)
	}
	got := said(t, source)
	if slices.Sort(got); !slices.Equal(got, []string{"INSERT default insight#a/b 0", "REMOVE acme insight#a/b 0"}) {
		t.Errorf("insights: got %q", got)
	}
	for subject, want := range map[string][]string{
		"insight/insight#a/b/" + later: {"REMOVE acme insight#a/b 0"},
		"insight/insight#a/b/" + at:    {"INSERT default insight#a/b 0"},
		"insight/session#9/" + at:      nil,
	} {
		key, err := s.insights.Key(subject)
		if err != nil {
			t.Fatal(err)
		}
		source.Only = &key
		if got := said(t, source); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", subject, got, want)
		}
	}
}

func TestKeysOfSubjects(t *testing.T) {
	t.Parallel()
	tables := Tables(topology.Default())
	metrics, insights := tables[0], tables[1]
	for _, tc := range []struct {
		table   Table
		subject string
		want    Key
	}{
		{metrics, "student/stu_1", Key{"stu_1", "student"}},
		{metrics, "student/a/b", Key{"a/b", "student"}},
		{metrics, "student", Key{}},
		{metrics, "/x", Key{}},
		{metrics, "student/", Key{}},
		{metrics, "insight/insight#a/2026", Key{}},
		{insights, "insight/insight#a/2026", Key{"insight#a", "2026"}},
		{insights, "insight/insight#a/b/2026", Key{"insight#a/b", "2026"}},
		{insights, "insight/insight#a", Key{}},
		{insights, "insight/insight#a/", Key{}},
		{insights, "insight//2026", Key{}},
		{insights, "student/stu_1", Key{}},
	} {
		got, err := tc.table.Key(tc.subject)
		if got != tc.want || (err == nil) != (tc.want != Key{}) {
			t.Errorf("%s: %q is %q, %v", tc.table.Name, tc.subject, got, err)
		}
	}
}

// The hash is part of the stored form of the state table: these are the values that its own tests hold.
func TestPartitionsAreThoseOfTheStateTable(t *testing.T) {
	t.Parallel()
	metrics := Tables(topology.Default())[0]
	for id, want := range map[string]string{"stu_1": "acme#student#5", "stu_4532": "acme#student#4", "東京": "acme#student#7"} {
		if got, _ := metrics.stateOf("acme", Key{id, "student"}); got != (Key{want, id}) {
			t.Errorf("%s is at %q, want %s", id, got, want)
		}
	}
}

func TestTablesOfASystem(t *testing.T) {
	t.Parallel()
	system := topology.New(topology.Options{Stage: "dev", InsightsTable: "their-findings"})
	for named, want := range map[string]string{
		"iops-dashboard-metrics-dev": "iops-dashboard-metrics-dev",
		"their-findings":             "their-findings",
		"arn:aws:dynamodb:us-east-1:1:table/their-findings/stream/2026-11-22T10:00:00.000": "their-findings",
		"arn:aws:dynamodb:us-east-1:1:table/their-findings":                                "their-findings",
		"iops-dashboard-metrics":   "",
		"iops-dashboard-state-dev": "",
	} {
		got, ok := Find(system, named)
		if got.Name != want || ok != (want != "") || ok && got.State != "iops-dashboard-state-dev" || got.insights != (want == "their-findings") {
			t.Errorf("%s is %+v", named, got)
		}
	}
}

func TestNumbersAfter(t *testing.T) {
	t.Parallel()
	for _, tc := range [][2]string{
		{"0", "1"}, {"9", "10"}, {"20", "21"}, {"99999999999999999999", "100000000000000000000"}, {strings.Repeat("9", 39), "1" + strings.Repeat("0", 39)},
		{strings.Repeat("9", 40), strings.Repeat("9", 40)},
	} {
		if got := after(padded(tc[0])); got != tc[1] {
			t.Errorf("after %s is %s", tc[0], got)
		}
	}
}

func TestATableThatCannotBeResyncedIsRefused(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	both := &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewAndOldImages}
	keysOnly := &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeKeysOnly}
	for name, tc := range map[string]struct {
		keys []string
		spec *types.StreamSpecification
		want string
	}{
		"another-partition-key": {[]string{"pk", "entity_type"}, both, "keys are not entity_id and entity_type"},
		"another-sort-key":      {[]string{"entity_id", "sk"}, both, "keys are not entity_id and entity_type"},
		"no-sort-key":           {[]string{"entity_id"}, both, "keys are not entity_id and entity_type"},
		"without-stream":        {[]string{"entity_id", "entity_type"}, nil, "has no stream"},
		"keys-only":             {[]string{"entity_id", "entity_type"}, keysOnly, "KEYS_ONLY"},
		"absent":                {nil, nil, "denied"},
	} {
		in := &dynamodb.CreateTableInput{TableName: &name, BillingMode: types.BillingModePayPerRequest, StreamSpecification: tc.spec}
		for i, key := range tc.keys {
			kind := []types.KeyType{types.KeyTypeHash, types.KeyTypeRange}[i]
			in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: &key, AttributeType: types.ScalarAttributeTypeS})
			in.KeySchema = append(in.KeySchema, types.KeySchemaElement{AttributeName: &key, KeyType: kind})
		}
		if tc.keys != nil {
			if _, err := s.CreateTable(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _, _ = s.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: &name}) }) // for who repeats the test
		}
		table := s.metrics
		table.Name = name
		_, _, err := Describe(t.Context(), s.Client, table)
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), name) || errors.Is(err, redrive.ErrDenied) != (tc.keys == nil) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

// Nothing is read where it is not known which place that is, and nothing is told of behind an error.
func TestAPlaceThatIsNone(t *testing.T) {
	t.Parallel()
	arn := func(label string) string { return "arn:aws:dynamodb:us-east-1:1:table/t/stream/" + label }
	for want, s := range map[string]Source{
		"not the ARN":           {Stream: "arn:aws:dynamodb:us-east-1:1:table/t"},
		"knows a newer stream":  {Stream: arn("2"), Client: known("student", "3", padded("1"))},
		"its place in a stream": {Stream: arn("2"), Client: known("student", "2", "")},
		"without a time":        {Stream: arn("2"), Client: known("insight", "2", padded("1")), Table: Table{insights: true}},
	} {
		var errs []error
		for m, err := range Rows(t.Context(), s) {
			if errs = append(errs, err); m.Body != "" {
				t.Errorf("%s: %s", want, m.Body)
			}
		}
		if len(errs) != 1 || errs[0] == nil || !strings.Contains(errs[0].Error(), want) {
			t.Errorf("%v, want one that says %q", errs, want)
		}
	}
}

// fake answers calls by itself.
type fake struct {
	scan func(*dynamodb.ScanInput) (*dynamodb.ScanOutput, error)
	get  func(*dynamodb.BatchGetItemInput) (*dynamodb.BatchGetItemOutput, error)
}

func (f fake) Scan(ctx context.Context, in *dynamodb.ScanInput, _ ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error) {
	if ctx.Err() != nil {
		return nil, &smithy.CanceledError{Err: ctx.Err()}
	}
	return f.scan(in)
}

func (f fake) BatchGetItem(ctx context.Context, in *dynamodb.BatchGetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	if ctx.Err() != nil {
		return nil, &smithy.CanceledError{Err: ctx.Err()}
	}
	return f.get(in)
}

// known is a state table that knows of one entity.
func known(kind, label, sequence string) fake {
	state := item{"pk": text("acme#" + kind + "#1"), "sk": text("id"), "label": text(label), "seq": text(sequence)}
	return fake{scan: func(*dynamodb.ScanInput) (*dynamodb.ScanOutput, error) {
		return &dynamodb.ScanOutput{Items: []map[string]types.AttributeValue{state}}, nil
	}}
}

// nothing is an answer that no item was found.
func nothing(*dynamodb.BatchGetItemInput) (*dynamodb.BatchGetItemOutput, error) {
	return &dynamodb.BatchGetItemOutput{}, nil
}

func faked(t *testing.T, f fake) Source {
	t.Helper()
	return Source{Client: f, Table: Tables(topology.Default())[0], Stream: "arn:aws:dynamodb:us-east-1:1:table/iops-dashboard-metrics/stream/2"}
}

// pages has as many pages of one row each as are asked for, in the table and none in the state table.
func pages(calls *int, stop func(page int) error) func(*dynamodb.ScanInput) (*dynamodb.ScanOutput, error) {
	return func(in *dynamodb.ScanInput) (*dynamodb.ScanOutput, error) {
		if strings.Contains(*in.TableName, "state") {
			return &dynamodb.ScanOutput{}, nil
		}
		*calls++
		if err := stop(*calls); err != nil {
			return nil, err
		}
		row := item{"entity_id": text(fmt.Sprintf("stu_%d", *calls)), "entity_type": text("student")}
		return &dynamodb.ScanOutput{Items: []map[string]types.AttributeValue{row}, LastEvaluatedKey: row}, nil
	}
}

// The reader's pace is the pace of the reads, and who leaves early ends them.
func TestNoPageIsReadAhead(t *testing.T) {
	t.Parallel()
	var calls int
	n := 0
	for _, err := range Rows(t.Context(), faked(t, fake{pages(&calls, func(int) error { return nil }), nothing})) {
		if n++; err != nil || calls != n {
			t.Errorf("%d pages were read for %d rows, %v", calls, n, err)
		}
		if n == 5 {
			break
		}
	}
	if calls != 5 {
		t.Errorf("%d pages were read, want 5", calls)
	}
}

func TestAnErrorComesLast(t *testing.T) {
	t.Parallel()
	outage := &types.InternalServerError{}
	refused := &smithy.GenericAPIError{Code: "AccessDeniedException"}
	for name, tc := range map[string]struct {
		scan, get error
		cancel    bool
		want      error
		rows      int
		denied    bool
	}{
		"outage":         {scan: outage, want: outage, rows: 2},
		"denied":         {scan: refused, want: refused, rows: 2, denied: true},
		"outage of get":  {get: outage, want: outage},
		"no such table":  {get: &types.ResourceNotFoundException{}, want: &types.ResourceNotFoundException{}, denied: true},
		"end of the ctx": {cancel: true, want: context.Canceled, rows: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var calls, rows int
			scan := pages(&calls, func(page int) error {
				if page == 3 {
					return tc.scan
				}
				return nil
			})
			get := nothing
			if tc.get != nil {
				get = func(*dynamodb.BatchGetItemInput) (*dynamodb.BatchGetItemOutput, error) { return nil, tc.get }
			}
			var last error
			for _, err := range Rows(ctx, faked(t, fake{scan, get})) {
				if last != nil {
					t.Fatal("something comes behind the error")
				}
				if last = err; err == nil {
					rows++
				}
				if tc.cancel && rows == 2 {
					cancel()
				}
				if rows > 10 {
					break
				}
			}
			is := errors.Is(last, tc.want)
			if _, ok := errors.AsType[*types.ResourceNotFoundException](last); ok && name == "no such table" {
				is = true
			}
			if !is || rows != tc.rows || errors.Is(last, redrive.ErrDenied) != tc.denied {
				t.Errorf("%v after %d rows, want %v after %d", last, rows, tc.want, tc.rows)
			}
		})
	}
}

// Of a batch DynamoDB reads what there is capacity for. The rest is asked for again, with pauses.
func TestWhatAThrottledBatchLeavesIsAskedForAgain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reads func(call int) int // of the keys of a call
		calls int
		wrong string
	}{
		"one by one": {func(int) int { return 1 }, 30, ""},
		"in bursts": {func(call int) int {
			if call%maxTries == 0 {
				return 10
			}
			return 0
		}, 24, ""},
		"never": {func(int) int { return 0 }, maxTries, "throttled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var keys []Key
				for i := range 30 {
					keys = append(keys, Key{fmt.Sprintf("stu_%d", i), "student"}, Key{"stu_0", "student"})
				}
				calls := 0
				s := faked(t, fake{get: func(in *dynamodb.BatchGetItemInput) (*dynamodb.BatchGetItemOutput, error) {
					calls++
					part := in.RequestItems["table"]
					if !aws.ToBool(part.ConsistentRead) {
						t.Error("a read that need not see what was written")
					}
					n := min(tc.reads(calls), len(part.Keys))
					out := &dynamodb.BatchGetItemOutput{Responses: map[string][]map[string]types.AttributeValue{"table": part.Keys[:n]}}
					if part.Keys = part.Keys[n:]; len(part.Keys) > 0 {
						out.UnprocessedKeys = map[string]types.KeysAndAttributes{"table": part}
					}
					return out, nil
				}})
				start := time.Now()
				found, err := s.get(t.Context(), "table", s.Table.names, keys, nil)
				if calls != tc.calls || (err == nil) != (tc.wrong == "") || err == nil && len(found) != 30 || err != nil && !strings.Contains(err.Error(), tc.wrong) {
					t.Errorf("%d calls, %d found, %v", calls, len(found), err)
				}
				if took := time.Since(start); took < time.Duration(calls-1)*firstBackoff/2 {
					t.Errorf("%d calls in %v", calls, took)
				}
			})
		})
	}
}

// A ctx that ends while a throttled batch waits ends the wait.
func TestTheEndOfAPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), firstBackoff/4)
		defer cancel()
		s := faked(t, fake{get: func(in *dynamodb.BatchGetItemInput) (*dynamodb.BatchGetItemOutput, error) {
			return &dynamodb.BatchGetItemOutput{UnprocessedKeys: in.RequestItems}, nil
		}})
		start := time.Now()
		if _, err := s.get(ctx, "table", s.Table.names, []Key{{"a", "b"}}, nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > firstBackoff/4 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// A key that the state table has no room for is for quarantine, and no reason to end.
func TestAKeyThatIsTooLong(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	source := s.source()
	source.Table = s.insights
	source.Stream, _, _ = Describe(t.Context(), s.Client, s.insights)
	long := "insight#" + strings.Repeat("x", 1020)
	s.put(s.insights.Name, item{"pk": text(long), "sk": text("2026-11-22T10:00:00.123Z")})
	if got := said(t, source); !slices.Equal(got, []string{"INSERT default " + long + " 0"}) {
		t.Errorf("got %q", got)
	}
	source.Only = &Key{long, "2026-11-22T10:00:00.123Z"}
	if got := said(t, source); len(got) != 1 {
		t.Errorf("of it alone: got %q", got)
	}
}

// BenchmarkRows reads 10,000 rows of which the state table knows all.
func BenchmarkRows(b *testing.B) {
	const rows = 10_000
	s := newStore(b)
	for first := 0; first < rows; first += 25 {
		put := map[string][]types.WriteRequest{}
		for i := range 25 {
			id := fmt.Sprintf("stu_%05d", first+i)
			at, _ := s.metrics.stateOf("default", Key{id, "student"})
			for table, row := range map[string]item{
				s.metrics.Name: {"entity_id": text(id), "entity_type": text("student"), "health_score": number("82.5"), "segment": text("healthy"),
					"sessions_7d": number("3"), "sessions_14d": number("5"), "sessions_30d": number("11"), "avg_rating": number("4.7"), "last_updated": text("2026-11-22T10:00:00.123Z")},
				s.metrics.State: {"pk": text(at[0]), "sk": text(at[1]), "label": text(s.label), "seq": text(padded("7")), "revision": number("3"), "image": text(asIs)},
			} {
				put[table] = append(put[table], types.WriteRequest{PutRequest: &types.PutRequest{Item: row}})
			}
		}
		for table, requests := range put {
			if _, err := s.BatchWriteItem(b.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{table: requests}}); err != nil {
				b.Fatal(err)
			}
		}
	}
	for b.Loop() {
		n := 0
		for _, err := range Rows(b.Context(), s.source()) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != rows {
			b.Fatalf("%d records, want %d", n, rows)
		}
	}
}
