package main

import (
	"slices"
	"strings"
	"testing"
)

// thing is a bundle of one small kind. Each file is "path content"; the first is events/thing/v1.json.
func thing(t testing.TB, root string, files ...string) bundle {
	t.Helper()
	all := map[string]any{}
	for _, f := range append([]string{"events/thing/v1.json " + root}, files...) {
		name, content, _ := strings.Cut(f, " ")
		document, err := decode([]byte(content))
		if err != nil {
			t.Fatalf("%v: %s", err, content)
		}
		if err := checkKeywords(place{file: name, value: document}); err != nil {
			t.Fatal(err)
		}
		if s, ok := document.(map[string]any); ok {
			s["$id"] = baseID + name
			s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
		}
		all[name] = document
	}
	b := bundle{root: "events/thing/v1.json", files: map[string]any{}}
	if err := b.gather(all, b.root); err != nil {
		t.Fatal(err)
	}
	return b
}

// closedObject is the text of an object with these properties, and whatever else is said.
func closedObject(properties string, more ...string) string {
	return `{"type": "object", "properties": {` + properties + `}, "additionalProperties": false` + strings.Join(append([]string{""}, more...), ", ") + `}`
}

// Each row is read in both directions: what a change breaks, and what its undoing breaks. A rule after
// "ok " is reported, but breaks nothing.
func TestEveryRule(t *testing.T) {
	const number = `"n": {"type": "number", "minimum": 0, "maximum": 10}`
	n := func(schema string) string { return closedObject(`"n": ` + schema) }
	cases := map[string]struct {
		old, new       string
		there, back    []string
		pointer        string // of the first finding there
		oldDef, newDef string // defs/d.json
	}{
		"nothing": {old: n(`{"type": "string"}`), new: n(`{"type": "string"}`)},
		"field": {
			old: closedObject(number), new: closedObject(number + `, "o": {"type": "string"}`),
			there: []string{"ok field-added"}, back: []string{"ok field-removed"}, pointer: "/properties/o",
		},
		"required field": {
			old: closedObject(number), new: closedObject(number+`, "o": {"type": "string"}`, `"required": ["o"]`),
			there: []string{"required-added"}, back: []string{"required-removed"}, pointer: "/required",
		},
		"optional to required": {
			old: closedObject(number), new: closedObject(number, `"required": ["n"]`),
			there: []string{"now-required"}, back: []string{"now-optional"}, pointer: "/required",
		},
		"rename": {
			old: closedObject(number), new: closedObject(strings.Replace(number, `"n"`, `"m"`, 1)),
			there: []string{"rename", "ok field-added", "ok field-removed"}, back: []string{"rename", "ok field-added", "ok field-removed"}, pointer: "/properties/m",
		},
		"rename of a required field": {
			old:   closedObject(number, `"required": ["n"]`),
			new:   closedObject(strings.Replace(number, `"n"`, `"m"`, 1), `"required": ["m"]`),
			there: []string{"rename", "required-removed", "required-added"}, back: []string{"rename", "required-removed", "required-added"}, pointer: "/properties/m",
		},
		"type":               {old: n(`{"type": "string"}`), new: n(`{"type": "integer", "minimum": 0}`), there: []string{"type"}, back: []string{"type"}, pointer: "/properties/n/type"},
		"number to integer":  {old: n(`{"type": "number"}`), new: n(`{"type": "integer"}`), there: []string{"type"}, back: []string{"type"}},
		"nullable":           {old: n(`{"type": "string"}`), new: n(`{"type": ["string", "null"]}`), there: []string{"type"}, back: []string{"type"}},
		"order of types":     {old: n(`{"type": ["null", "string"]}`), new: n(`{"type": ["string", "null"]}`)},
		"list of one type":   {old: n(`{"type": "string"}`), new: n(`{"type": ["string"]}`)},
		"minimum":            {old: n(`{"type": "number", "minimum": 0}`), new: n(`{"type": "number", "minimum": 1}`), there: []string{"range"}, back: []string{"range"}, pointer: "/properties/n/minimum"},
		"maximum":            {old: n(`{"type": "number", "maximum": 9}`), new: n(`{"type": "number", "maximum": 10}`), there: []string{"range"}, back: []string{"range"}, pointer: "/properties/n/maximum"},
		"maximum at all":     {old: n(`{"type": "number"}`), new: n(`{"type": "number", "maximum": 10}`), there: []string{"range"}, back: []string{"range"}, pointer: "/properties/n/maximum"},
		"same number":        {old: n(`{"type": "number", "maximum": 1e1}`), new: n(`{"type": "number", "maximum": 10.0}`)},
		"minLength":          {old: n(`{"type": "string", "minLength": 1}`), new: n(`{"type": "string", "minLength": 2}`), there: []string{"length"}, back: []string{"length"}},
		"maxLength":          {old: n(`{"type": "string", "maxLength": 1}`), new: n(`{"type": "string", "maxLength": 2}`), there: []string{"length"}, back: []string{"length"}},
		"minItems":           {old: n(`{"type": "array", "items": {"type": "string"}, "minItems": 1}`), new: n(`{"type": "array", "items": {"type": "string"}, "minItems": 2}`), there: []string{"length"}, back: []string{"length"}},
		"maxItems":           {old: n(`{"type": "array", "items": {"type": "string"}, "maxItems": 1}`), new: n(`{"type": "array", "items": {"type": "string"}, "maxItems": 2}`), there: []string{"length"}, back: []string{"length"}},
		"uniqueItems":        {old: n(`{"type": "array", "items": {"type": "string"}, "uniqueItems": true}`), new: n(`{"type": "array", "items": {"type": "string"}}`), there: []string{"length"}, back: []string{"length"}},
		"items":              {old: n(`{"type": "array", "items": {"type": "string"}}`), new: n(`{"type": "array", "items": {"type": "number"}}`), there: []string{"type"}, back: []string{"type"}, pointer: "/properties/n/items/type"},
		"no items":           {old: n(`{"type": "array", "items": {"type": "string"}}`), new: n(`{"type": "array"}`), there: []string{"type"}, back: []string{"type"}},
		"field of items":     {old: n(`{"type": "array", "items": ` + closedObject("") + `}`), new: n(`{"type": "array", "items": ` + closedObject(number) + `}`), there: []string{"ok field-added"}, back: []string{"ok field-removed"}, pointer: "/properties/n/items/properties/n"},
		"pattern":            {old: n(`{"type": "string", "pattern": "^a$"}`), new: n(`{"type": "string", "pattern": "^b$"}`), there: []string{"pattern"}, back: []string{"pattern"}, pointer: "/properties/n/pattern"},
		"format":             {old: n(`{"type": "string", "format": "date-time"}`), new: n(`{"type": "string"}`), there: []string{"format"}, back: []string{"format"}, pointer: "/properties/n/format"},
		"const":              {old: n(`{"const": "a"}`), new: n(`{"const": "b"}`), there: []string{"const"}, back: []string{"const"}, pointer: "/properties/n/const"},
		"const to any":       {old: n(`{"const": "a"}`), new: n(`{"type": "string"}`), there: []string{"const"}, back: []string{"const"}},
		"what const implies": {old: n(`{"const": "a"}`), new: n(`{"const": "a", "type": "string", "minLength": 1}`)},
		"enum value":         {old: n(`{"enum": ["a"]}`), new: n(`{"enum": ["a", "b"]}`), there: []string{"ok enum-added"}, back: []string{"enum-removed"}, pointer: "/properties/n/enum"},
		"order of enum":      {old: n(`{"enum": ["b", "a"]}`), new: n(`{"enum": ["a", "b"]}`)},
		"enum to any":        {old: n(`{"enum": ["a"]}`), new: n(`{"type": "string"}`), there: []string{"enum"}, back: []string{"enum"}, pointer: "/properties/n"},
		"known value":        {old: n(`{"type": "string", "x-known-values": ["a"]}`), new: n(`{"type": "string", "x-known-values": ["a", "b"]}`), there: []string{"ok enum-added"}, back: []string{"enum-removed"}},
		"unit":               {old: n(`{"type": "number", "x-unit": "s"}`), new: n(`{"type": "number", "x-unit": "ms"}`), there: []string{"unit"}, back: []string{"unit"}, pointer: "/properties/n/x-unit"},
		"unit at all":        {old: n(`{"type": "number"}`), new: n(`{"type": "number", "x-unit": "ms"}`), there: []string{"ok unit-named"}, back: []string{"unit"}},
		"meaning":            {old: n(`{"type": "number", "x-meaning": "How long"}`), new: n(`{"type": "number", "x-meaning": "How long it takes"}`), there: []string{"ok reworded"}, back: []string{"ok reworded"}},
		"texts":              {old: n(`{"type": "number", "title": "N", "description": "x"}`), new: n(`{"type": "number", "title": "M", "examples": [1]}`)},
		"size": {
			old: closedObject(number, `"x-max-bytes": 100`), new: closedObject(number, `"x-max-bytes": 200`),
			there: []string{"size"}, back: []string{"size"}, pointer: "/x-max-bytes",
		},
		"closing": {
			old: closedObject(number), new: `{"type": "object", "properties": {` + number + `}}`,
			there: []string{"closed"}, back: []string{"closed"},
		},
		"other closing": {
			old: closedObject(number), new: `{"type": "object", "properties": {` + number + `}, "unevaluatedProperties": false}`,
		},
		"types instead of alternatives": {
			old: n(`{"anyOf": [{"$ref": "../../defs/d.json"}, {"type": "null"}]}`), oldDef: closedObject(number),
			new: n(`{"type": ["object", "null"]}`), newDef: "{}",
			there: []string{"type"}, back: []string{"type"},
		},
		"field of an alternative": {
			old: n(`{"anyOf": [{"$ref": "../../defs/d.json"}, {"type": "null"}]}`), oldDef: closedObject(number),
			new: n(`{"anyOf": [{"$ref": "../../defs/d.json"}, {"type": "null"}]}`), newDef: closedObject(number + `, "o": {"type": "string"}`),
			there: []string{"ok field-added"}, back: []string{"ok field-removed"}, pointer: "defs/d.json#/properties/o",
		},
		"one alternative more": {
			old: n(`{"anyOf": [{"type": "string"}, {"type": "null"}]}`), new: n(`{"anyOf": [{"type": "string"}, {"type": "null"}, {"type": "number"}]}`),
			there: []string{"alternatives"}, back: []string{"alternatives"}, pointer: "/properties/n",
		},
		"definition moved to another file": {
			old: n(`{"type": "string", "maxLength": 3}`), new: n(`{"$ref": "../../defs/d.json"}`), newDef: `{"type": "string", "maxLength": 3}`,
		},
		"fields moved to another file": {
			old: closedObject(number, `"required": ["n"]`), new: `{"type": "object", "allOf": [{"$ref": "../../defs/d.json"}], "unevaluatedProperties": false}`,
			newDef: `{"type": "object", "properties": {` + number + `}, "required": ["n"]}`,
		},
		"shared definition": {
			old: n(`{"$ref": "../../defs/d.json"}`), oldDef: `{"type": "number", "maximum": 3}`,
			new: n(`{"$ref": "../../defs/d.json"}`), newDef: `{"type": "number", "maximum": 4}`,
			there: []string{"range"}, back: []string{"range"}, pointer: "defs/d.json#/maximum",
		},
		"unit beside a reference": {
			old: n(`{"$ref": "../../defs/d.json", "x-unit": "s"}`), oldDef: `{"type": "number", "x-unit": "instant"}`,
			new: n(`{"$ref": "../../defs/d.json", "x-unit": "ms"}`), newDef: `{"type": "number", "x-unit": "instant"}`,
			there: []string{"unit"}, back: []string{"unit"}, pointer: "/properties/n/x-unit",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old, new := thing(t, c.old, "defs/d.json "+or(c.oldDef, "{}")), thing(t, c.new, "defs/d.json "+or(c.newDef, "{}"))
			wantRules(t, "there", classify(old, new, neighbours), c.there)
			wantRules(t, "back", classify(new, old, neighbours), c.back)
			for _, b := range []bundle{old, new} {
				wantRules(t, "with itself", classify(b, b, neighbours), nil)
			}
			if got := classify(old, new, neighbours); c.pointer != "" && !strings.HasSuffix(got[0].at.String(), c.pointer) {
				t.Errorf("found at %s, want %s", got[0].at, c.pointer)
			}
		})
	}
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

func wantRules(t *testing.T, direction string, changes []change, want []string) {
	t.Helper()
	got := []string{}
	for _, c := range changes {
		rule := c.rule
		if !c.breaks {
			rule = "ok " + rule
		} else if adviceOn[c.rule] == "" {
			t.Errorf("nothing advises on %s", c.rule)
		}
		if c.text == "" || c.at.file == "" {
			t.Errorf("%+v says too little", c)
		}
		got = append(got, rule)
	}
	slices.Sort(got)
	want = slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v: %v", direction, got, want, changes)
	}
}

// A case says more about objects with one value of a field.
func TestCases(t *testing.T) {
	object := func(values string, cases ...string) string {
		return closedObject(`"op": {"enum": [`+values+`]}, "why": {"type": "string"}`, `"required": ["op"]`, `"allOf": [`+strings.Join(cases, ", ")+`]`)
	}
	when := func(test, then string) string {
		return `{"if": {"properties": {"op": ` + test + `}, "required": ["op"]}, "then": ` + then + `}`
	}
	const both = `"put", "drop"`
	needs, never, long := `{"required": ["why"]}`, `{"properties": {"why": false}}`, `{"properties": {"why": {"minLength": 9}}}`
	base := object(both, when(`{"const": "put"}`, never))

	cases := map[string]struct {
		old, new    string
		there, back []string
	}{
		"same":           {base, base, nil, nil},
		"enum of values": {object(both, when(`{"const": "put"}`, long), when(`{"const": "drop"}`, long)), object(both, when(`{"enum": ["drop", "put"]}`, long)), nil, nil},
		"requires":       {base, object(both, when(`{"const": "put"}`, never), when(`{"const": "drop"}`, needs)), []string{"now-required"}, []string{"now-optional"}},
		"tightens":       {base, object(both, when(`{"const": "put"}`, never), when(`{"const": "drop"}`, long)), []string{"length"}, []string{"length"}},
		"allows a field": {base, object(both, when(`{"const": "put"}`, `{"properties": {"why": {"type": "string"}}}`)), []string{"ok field-added"}, []string{"ok field-removed"}},
		"new value":      {base, object(both+`, "stop"`, when(`{"const": "put"}`, never), when(`{"const": "stop"}`, needs)), []string{"ok enum-added"}, []string{"enum-removed"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old, new := thing(t, c.old), thing(t, c.new)
			wantRules(t, "there", classify(old, new, neighbours), c.there)
			wantRules(t, "back", classify(new, old, neighbours), c.back)
		})
	}
}

// Compared with an older release, fields that went and came are no rename; but a name is never used again
// for something else.
func TestReleasesFarApart(t *testing.T) {
	first := thing(t, closedObject(`"a": {"type": "string"}`))
	second := thing(t, closedObject(``))
	other := thing(t, closedObject(`"b": {"type": "number"}`))
	reused := thing(t, closedObject(`"a": {"type": "number"}`))

	wantRules(t, "removal", classify(first, second, neighbours), []string{"ok field-removed"})
	wantRules(t, "other name", classify(second, other, neighbours), []string{"ok field-added"})
	wantRules(t, "other name, from the first", classify(first, other, apart), []string{"ok field-added", "ok field-removed"})
	wantRules(t, "same name", classify(second, reused, neighbours), []string{"ok field-added"})
	wantRules(t, "same name, from the first", classify(first, reused, apart), []string{"type"})
}

func TestUnknownKeywordsAreRefused(t *testing.T) {
	for _, text := range []string{`{"multipleOf": 2}`, `{"properties": {"a": {"not": {}}}}`, `{"items": {"$defs": {}}}`, `{"allOf": [{"if": {}, "then": {"x": 1}}]}`, `{"properties": 1}`, `{"anyOf": {}}`, `{"items": true}`} {
		document, err := decode([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := checkKeywords(place{file: "x.json", value: document}); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}
