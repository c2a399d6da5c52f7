package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// setOf makes a set of schemas whose keywords nothing has looked at.
func setOf(t *testing.T, schemas map[string]string) *schemaSet {
	t.Helper()
	set := &schemaSet{}
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		raw, err := decode([]byte(schemas[name]))
		if err != nil {
			t.Fatal(err)
		}
		set.files = append(set.files, &schema{path: name, raw: raw})
	}
	return set
}

func same(v any) any { return v }

func TestRulesKnowWhatTheyDoNotKnow(t *testing.T) {
	cases := map[string]struct{ schema, want string }{
		"keyword":                 {`{"multipleOf": 5}`, `do not know "multipleOf"`},
		"keyword of a member":     {`{"properties": {"a": {"not": {}}}}`, `x.json#/properties/a: the fast validators do not know "not"`},
		"keyword of an item":      {`{"items": {"contains": {}}}`, `do not know "contains"`},
		"keyword of a case":       {`{"properties": {"a": {"const": "x"}}, "allOf": [{"if": {"properties": {"a": {"const": "x"}}, "required": ["a"]}, "then": {"minProperties": 1}}]}`, `unknown keyword "minProperties"`},
		"schema true":             {`{"properties": {"a": true}}`, "an object or false"},
		"type":                    {`{"type": ["string", "text"]}`, "no type is called text"},
		"const":                   {`{"const": true}`, "a text or a number"},
		"enum":                    {`{"enum": [1]}`, "different texts"},
		"format":                  {`{"format": "uri"}`, "the format uri"},
		"format without pattern":  {`{"type": "string", "format": "date-time"}`, "has a pattern as well"},
		"reference into a file":   {`{"$ref": "y.json#/a"}`, "relative path"},
		"reference to nowhere":    {`{"$ref": "z.json"}`, "there is no z.json"},
		"reference to itself":     {`{"properties": {"a": {"$ref": "x.json"}}}`, "refers to itself"},
		"items that differ":       {`{"items": {"type": "number"}, "maxItems": 3, "uniqueItems": true}`, "uniqueItems is for texts"},
		"too many that differ":    {`{"items": {"type": "string"}, "uniqueItems": true}`, "at most 256"},
		"uniqueItems false":       {`{"uniqueItems": false}`, "must be true"},
		"closed by a schema":      {`{"additionalProperties": {"type": "string"}}`, "must be false"},
		"closed to what is taken": {`{"allOf": [{"$ref": "y.json"}], "additionalProperties": false}`, "use unevaluatedProperties"},
		"cases taken over":        {`{"properties": {"b": {}}, "allOf": [{"$ref": "cases.json"}]}`, "has no cases"},
		"case on no text":         {`{"properties": {"a": {"type": "number"}}, "allOf": [{"if": {"properties": {"a": {"const": "x"}}, "required": ["a"]}, "then": {"required": ["a"]}}]}`, "not a text"},
		"case on no property":     {`{"properties": {"a": {"const": "x"}}, "allOf": [{"if": {"properties": {"a": {"const": "x"}}, "required": ["a"]}, "then": {"properties": {"b": false}}}]}`, "not a property"},
		"case that closes":        {`{"properties": {"a": {"const": "x"}}, "allOf": [{"if": {"properties": {"a": {"const": "x"}}, "required": ["a"]}, "then": {"properties": {"a": {}}, "additionalProperties": false}}]}`, "nothing else"},
		"case of a type":          {`{"properties": {"a": {"const": "x"}}, "allOf": [{"if": {"properties": {"a": {"const": "x"}}, "required": ["a"]}, "then": {"type": "object"}}]}`, "nothing else"},
		"anyOf":                   {`{"anyOf": [{"type": "string"}, {"type": "number"}]}`, "and then null"},
		"one title for two":       {`{"title": "Y", "properties": {"a": {}}}`, "that of x.json# too"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := newRulebook(setOf(t, map[string]string{
				"y.json":     `{"title": "Y", "type": "object", "properties": {"y": {"type": "string"}}}`,
				"x.json":     c.schema,
				"cases.json": `{"title": "Cases", "properties": {"a": {"const": "x"}}, "allOf": [{"if": {"properties": {"a": {"const": "x"}}, "required": ["a"]}, "then": {"required": ["a"]}}]}`,
			}), same)
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want it to say %q", err, c.want)
			}
		})
	}
}

func TestRulesAddUp(t *testing.T) {
	book, err := newRulebook(setOf(t, map[string]string{
		"base.json": `{"title": "Base", "type": "object", "properties": {"a": {"type": "string", "minLength": 2, "maxLength": 9, "pattern": "^a"}, "n": {"type": "number", "minimum": 0, "maximum": 1e2}}, "required": ["a"]}`,
		"x.json": `{"title": "X", "type": "object", "allOf": [{"$ref": "base.json"}],
			"properties": {"a": {"enum": ["ab", "abc"], "maxLength": 4, "pattern": "b$"}, "n": {"type": "integer", "minimum": -1, "maximum": 99.5}, "z": {"anyOf": [{"$ref": "base.json"}, {"type": "null"}]}},
			"required": ["n"], "unevaluatedProperties": false}`,
	}), same)
	if err != nil {
		t.Fatal(err)
	}
	x := book.rules["x.json"]
	if x.types != objectType || x.form.title != "X" || !x.form.closed || strings.Join(x.form.required, " ") != "a n" || len(x.form.members) != 3 {
		t.Errorf("x is %+v, %+v", x, x.form)
	}
	a := x.form.member("a")
	if a.types != textType || len(a.texts) != 2 || a.minLength != 2 || a.maxLength != 4 || strings.Join(a.patterns, " ") != "^a b$" {
		t.Errorf("a is %+v", a)
	}
	n := x.form.member("n")
	if n.types != wholeType || n.minimum != "0" || n.maximum != "99.5" {
		t.Errorf("n is %+v", n)
	}
	z := x.form.member("z")
	base := book.rules["base.json"]
	if z.types != objectType|nullType || z.form != base.form || base.types != objectType || base.form.closed {
		t.Errorf("z is %+v, base is %+v", z, base)
	}
}

func TestPatterns(t *testing.T) {
	for pattern, want := range map[string]string{
		"^a$":             "",
		"^insight#":       "",
		"^(/|$)":          "",
		"^(ab|cd)+e{2,}$": "",
		"^(a[0-9]){2}$":   "",
		"a$":              "does not start with ^",
		"^[0-9":           "missing closing",
		"^a?ab$":          "does not say whether",
		"^a*a$":           "does not say whether",
		"^(a|ab)$":        "does not choose",
		"^(a|b*)$":        "does not choose",
		"^(a*)*$":         "does not say whether",
		"^[ab]{1,2}":      "does not say whether",
		"^(?i)a$":         "not a text of ASCII",
		"^é$":             "not a text of ASCII",
		"^[^a]$":          "beyond ASCII",
		"^.$":             "beyond what the fast validators know",
		`^a\b$`:           "beyond what the fast validators know",
	} {
		_, err := newPatternWriter().function(pattern)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", pattern, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: got %v, want it to say %q", pattern, err, want)
		}
	}
}

// What the schemas may say, and the writer cannot write, it names.
func TestValidatorsThatCannotBeWritten(t *testing.T) {
	const update = "defs/update.json"
	for name, c := range map[string]struct{ file, old, replacement, want string }{
		"pattern":           {"defs/digest.json", `{16,64}$`, `*[0-9]$`, "does not say whether"},
		"required nowhere":  {update, `"then": { "properties": { "attributes": false }, "required": ["reason"] }`, `"then": { "properties": { "attributes": false }, "required": ["reasons"] }`, `"reasons" is required, but no property`},
		"two that decide":   {update, `"then": { "properties": { "reason": false }, "required": ["attributes"] }`, `"then": { "properties": { "reason": false, "attributes": { "$ref": "../entities/tutor/v1.json" } }, "required": ["attributes"] }`, "decide on its form"},
		"a text decided on": {"events/metric-update/v1.json", `"then": { "properties": { "current": { "type": "object" } } }`, `"then": { "properties": { "current": { "type": "object" }, "sequence": { "type": "string", "pattern": "^1$" } } }`, "does not leave it as it is"},
	} {
		t.Run(name, func(t *testing.T) {
			schemas := realSchemas(t)
			before := string(schemas[c.file].Data)
			after := strings.Replace(before, c.old, c.replacement, 1)
			if after == before {
				t.Fatalf("%s has no %s", c.file, c.old)
			}
			schemas[c.file].Data = []byte(after)
			set, err := load(schemas)
			if err != nil {
				t.Fatal(err)
			}
			m, err := newModel(set)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := goValidators(m); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want it to say %q", err, c.want)
			}
		})
	}
}
