package normalizer_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/scripts/replayer/normalizer"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

func TestMark(t *testing.T) {
	t.Parallel()
	marks := map[string]redrive.Attribute{
		redrive.RunAttribute: redrive.Text("20260131T120000Z-3f2a"), redrive.OfAttribute: redrive.Text("m-1"), redrive.EditedAttribute: redrive.Text(`"ü" <x>`),
		redrive.CountAttribute: {Type: "Number", Value: []byte("3")}, "type": redrive.Text("not for a record"),
	}
	const replay = `"replay":{"run":"20260131T120000Z-3f2a","count":3,"of":"m-1","edited_by":"\"ü\" \u003cx\u003e"}`
	for record, want := range map[string]string{
		`{"a":1}`:                                `{"a":1,` + replay + `}`,
		"\t{ \"a\" : 1.50 , \"a\":[{}] }\n":      "\t{ \"a\" : 1.50 , \"a\":[{}]," + replay + " }\n",
		`{}`:                                     `{` + replay + `}`,
		"{ }":                                    `{` + replay + ` }`,
		`{"a":1,"replay":{"count":1}}`:           `{"a":1,` + replay + `}`,
		`{"replay":{"count":1},"a":1}`:           `{"a":1,` + replay + `}`,
		`{"replay":7}`:                           `{` + replay + `}`,
		`{"replay":1,"a":"}","replay":2}`:        `{"a":"}",` + replay + `}`,
		`{"dynamodb":{"NewImage":{"replay":1}}}`: `{"dynamodb":{"NewImage":{"replay":1}},` + replay + `}`,
	} {
		if got, err := normalizer.Mark(record, marks); err != nil || got != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", record, err, got, want)
		}
	}
	if got, err := normalizer.Mark(`{"a":1}`, nil); err != nil || got != `{"a":1}` {
		t.Errorf("without marks it is %s, %v", got, err)
	}
	for _, record := range []string{``, `null`, `7`, `"{}"`, `[{}]`, `{`, `{"a":}`, `{"a":1,}`, `{}{}`, `{} x`, `{a:1}`, `{"a" 1}`} {
		if got, err := normalizer.Mark(record, marks); err == nil {
			t.Errorf("%q is a record: %s", record, got)
		}
	}
}

// Somebody may edit the member: what is no mark is none.
func TestOddMarks(t *testing.T) {
	t.Parallel()
	for replay, want := range map[string]map[string]redrive.Attribute{
		`7`: {}, `null`: {}, `[]`: {}, `{}`: {}, `{"run":7,"count":"x","of":"","edited_by":null}`: {}, `{"count":1.5}`: {},
		`{"run":"r","count":[]}`: {redrive.RunAttribute: redrive.Text("r")},
		`{"Run":"r","count":2}`:  {redrive.CountAttribute: {Type: "Number", Value: []byte("2")}},
	} {
		plain, got, err := normalizer.Unmark(`{"a":1,"replay":` + replay + `}`)
		if err != nil || plain != `{"a":1}` || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %s, %v", replay, err, plain, got)
		}
	}
}

// There and back, and over again: the record is the same to the byte, and so are the marks.
func TestMarksComeBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		record := drawObject(t)
		marks := map[string]redrive.Attribute{}
		for _, name := range []string{redrive.RunAttribute, redrive.OfAttribute, redrive.EditedAttribute} {
			if text := rapid.String().Draw(t, name); text != "" {
				marks[name] = redrive.Text(text)
			}
		}
		if n := rapid.IntRange(0, 5).Draw(t, "count"); n > 0 {
			marks[redrive.CountAttribute] = redrive.Attribute{Type: "Number", Value: []byte(strconv.Itoa(n))}
		}
		text := record
		for range rapid.IntRange(1, 3).Draw(t, "times") {
			var err error
			if text, err = normalizer.Mark(text, marks); err != nil {
				t.Fatal(err)
			}
		}
		if !json.Valid([]byte(text)) {
			t.Fatalf("%q became %q", record, text)
		}
		plain, got, err := normalizer.Unmark(text)
		if err != nil || plain != record || !maps.EqualFunc(got, marks, func(a, b redrive.Attribute) bool { return reflect.DeepEqual(a, b) }) {
			t.Fatalf("%v: %q, %v; was %q, %v", err, plain, got, record, marks)
		}
	})
}

// drawObject draws a JSON object with space in odd places.
func drawObject(t *rapid.T) string {
	space := rapid.SampledFrom([]string{"", "", " ", "\n\t"})
	values := rapid.SampledFrom([]string{`1`, `-0.10e+5`, `null`, `"replay"`, `"},{"`, `"\\"`, `{"replay":{"count":9}}`, `[ 1 , {} ]`, `123456789012345678901234567890`})
	text := space.Draw(t, "before") + "{"
	for i := range rapid.IntRange(0, 4).Draw(t, "members") {
		if i > 0 {
			text += ","
		}
		name, _ := json.Marshal(rapid.SampledFrom([]string{"a", "", `"`, "Replay", "eventID", "ü,"}).Draw(t, "name"))
		text += space.Draw(t, "1") + string(name) + space.Draw(t, "2") + ":" + space.Draw(t, "3") + values.Draw(t, "value") + space.Draw(t, "4")
	}
	return text + space.Draw(t, "5") + "}" + space.Draw(t, "after")
}
