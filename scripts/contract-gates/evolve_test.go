package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"
)

// schemaOf draws a schema of one value, at most depth objects deep.
func schemaOf(t *rapid.T, depth int) map[string]any {
	sorts := []string{"integer", "number", "string", "pattern", "instant", "enum", "known", "const", "boolean", "nullable"}
	if depth > 0 {
		sorts = append(sorts, "object", "object", "cases", "array", "reference")
	}
	number := func(label string, from, to int) json.Number {
		return json.Number(fmt.Sprint(rapid.IntRange(from, to).Draw(t, label)))
	}
	switch sort := rapid.SampledFrom(sorts).Draw(t, "sort"); sort {
	case "object":
		return objectSchema(t, depth, false)
	case "cases":
		return objectSchema(t, depth, true)
	case "array":
		return map[string]any{"type": "array", "items": schemaOf(t, depth-1), "minItems": number("minItems", 0, 1), "maxItems": number("maxItems", 2, 4)}
	case "reference":
		return map[string]any{"anyOf": []any{map[string]any{"$ref": "../../defs/d.json"}, map[string]any{"type": "null"}}, "x-unit": "points"}
	case "integer", "number":
		return map[string]any{"type": sort, "minimum": number("minimum", -9, 0), "maximum": number("maximum", 1, 9), "x-unit": "points", "x-meaning": "How many"}
	case "pattern":
		return map[string]any{"type": "string", "pattern": "^[a-z]{1,4}$"}
	case "instant":
		return map[string]any{"type": "string", "format": "date-time"}
	case "enum":
		return map[string]any{"enum": []any{"red", "green"}}
	case "known":
		return map[string]any{"type": "string", "x-known-values": []any{"red", "green"}}
	case "const":
		return map[string]any{"const": "fixed"}
	case "boolean":
		return map[string]any{"type": "boolean"}
	case "nullable":
		return map[string]any{"type": []any{"integer", "null"}}
	}
	return map[string]any{"type": "string", "minLength": number("minLength", 0, 1), "maxLength": number("maxLength", 2, 9)}
}

var fieldNames = []string{"a", "b", "c", "d"}

func objectSchema(t *rapid.T, depth int, cases bool) map[string]any {
	properties := map[string]any{}
	required := []any{}
	for _, name := range fieldNames {
		if rapid.Bool().Draw(t, "has "+name) {
			properties[name] = schemaOf(t, depth-1)
			if rapid.Bool().Draw(t, name+" is required") {
				required = append(required, name)
			}
		}
	}
	out := map[string]any{"type": "object", "properties": properties, "unevaluatedProperties": false}
	if cases {
		properties["op"] = map[string]any{"enum": []any{"put", "drop"}}
		properties["why"] = map[string]any{"type": "string"}
		required = append(required, "op")
		then := rapid.SampledFrom([]any{
			map[string]any{"required": []any{"why"}},
			map[string]any{"properties": map[string]any{"why": false}},
			map[string]any{"properties": map[string]any{"why": map[string]any{"maxLength": json.Number("3")}}},
		}).Draw(t, "then")
		out["allOf"] = []any{map[string]any{
			"if":   map[string]any{"properties": map[string]any{"op": map[string]any{"const": "put"}}, "required": []any{"op"}},
			"then": clone(then),
		}}
	}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

func drawThing(t *rapid.T) bundle {
	const root = "events/thing/v1.json"
	b := bundle{root: root, files: map[string]any{}}
	err := b.gather(map[string]any{
		root:          identified(root, objectSchema(t, 2, rapid.Bool().Draw(t, "cases"))),
		"defs/d.json": identified("defs/d.json", objectSchema(t, 0, false)),
	}, root)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func identified(name string, schema map[string]any) map[string]any {
	schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	schema["$id"] = baseID + name
	return schema
}

func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			out[key] = clone(value)
		}
		return out
	case []any:
		out := []any{}
		for _, item := range v {
			out = append(out, clone(item))
		}
		return out
	}
	return v
}

// schemasIn lists every subschema that is not the condition of a case, in a fixed order.
func schemasIn(v any) []map[string]any {
	s, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	out := []map[string]any{s}
	properties, _ := s["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		out = append(out, schemasIn(properties[name])...)
	}
	for _, keyword := range []string{"items", "then"} {
		out = append(out, schemasIn(s[keyword])...)
	}
	for _, keyword := range []string{"allOf", "anyOf"} {
		list, _ := s[keyword].([]any)
		for _, item := range list {
			out = append(out, schemasIn(item)...)
		}
	}
	return out
}

// evolution changes one schema of a bundle, and reports whether there was something to change.
type evolution func(t *rapid.T, s map[string]any) bool

// optional lists the fields that an object may go without, other than those that its cases speak of.
func optional(s map[string]any) []string {
	properties, _ := s["properties"].(map[string]any)
	var out []string
	cases, err := json.Marshal(s["allOf"])
	if err != nil || bytes.Contains(cases, []byte(`"$ref"`)) {
		return nil // what it takes over may require them
	}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if !slices.Contains(texts(s["required"]), name) && !bytes.Contains(cases, []byte(`"`+name+`"`)) {
			out = append(out, name)
		}
	}
	return out
}

// closedOne reports whether a schema is an object of its own, no refinement of one.
func closedOne(s map[string]any) bool { return s["unevaluatedProperties"] != nil }

var compatible = map[string]evolution{
	"add a field": func(t *rapid.T, s map[string]any) bool {
		if !closedOne(s) {
			return false
		}
		properties := s["properties"].(map[string]any)
		for _, name := range []string{"late", "later", "latest"} {
			if properties[name] == nil {
				properties[name] = schemaOf(t, 0)
				return true
			}
		}
		return false
	},
	"remove a field": func(t *rapid.T, s map[string]any) bool {
		names := optional(s)
		if !closedOne(s) || len(names) == 0 {
			return false
		}
		delete(s["properties"].(map[string]any), rapid.SampledFrom(names).Draw(t, "field"))
		return true
	},
	"add a value": func(_ *rapid.T, s map[string]any) bool {
		for _, keyword := range lists {
			if list, ok := s[keyword].([]any); ok {
				s[keyword] = append(list, "late")
				return true
			}
		}
		return false
	},
	"say it better": func(_ *rapid.T, s map[string]any) bool {
		s["description"] = "In other words."
		if s["x-meaning"] != nil {
			s["x-meaning"] = "How many there are"
		}
		return true
	},
}

var breaking = map[string]evolution{
	"move a limit": func(t *rapid.T, s map[string]any) bool {
		for _, keyword := range []string{"minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"} {
			if n, ok := s[keyword].(json.Number); ok {
				s[keyword] = json.Number(fmt.Sprint(parseNumber(n.String()) + 1))
				return true
			}
		}
		return false
	},
	"retype": func(t *rapid.T, s map[string]any) bool {
		if s["type"] == nil || s["type"] == "boolean" || s["x-known-values"] != nil || s["properties"] != nil {
			return false
		}
		clear(s)
		s["type"] = "boolean"
		return true
	},
	"require": func(t *rapid.T, s map[string]any) bool {
		names := optional(s)
		if !closedOne(s) || len(names) == 0 {
			return false
		}
		list, _ := s["required"].([]any)
		s["required"] = append(list, rapid.SampledFrom(names).Draw(t, "field"))
		return true
	},
	"require no more": func(_ *rapid.T, s map[string]any) bool {
		list, _ := s["required"].([]any)
		if !closedOne(s) || len(list) == 0 {
			return false
		}
		s["required"] = list[1:]
		return true
	},
	"add a required field": func(t *rapid.T, s map[string]any) bool {
		if !closedOne(s) {
			return false
		}
		list, _ := s["required"].([]any)
		s["required"] = append(list, "late")
		s["properties"].(map[string]any)["late"] = schemaOf(t, 0)
		return true
	},
	"rename": func(t *rapid.T, s map[string]any) bool {
		names := optional(s)
		if !closedOne(s) || len(names) == 0 {
			return false
		}
		properties := s["properties"].(map[string]any)
		name := rapid.SampledFrom(names).Draw(t, "field")
		properties["late"] = properties[name]
		delete(properties, name)
		return true
	},
	"take a value": func(_ *rapid.T, s map[string]any) bool {
		for _, keyword := range lists {
			if list, ok := s[keyword].([]any); ok {
				s[keyword] = list[1:]
				return true
			}
		}
		return false
	},
	"other unit": func(_ *rapid.T, s map[string]any) bool {
		if s["x-unit"] == nil {
			return false
		}
		s["x-unit"] = "thousands"
		return true
	},
	"other const": func(_ *rapid.T, s map[string]any) bool {
		if s["const"] == nil {
			return false
		}
		s["const"] = "broken"
		return true
	},
}

// evolve applies one of the evolutions somewhere, and says which; false where it fits nowhere.
func evolve(t *rapid.T, b bundle, among map[string]evolution) (bundle, string, bool) {
	out := bundle{root: b.root, files: map[string]any{}}
	for name, file := range b.files {
		out.files[name] = clone(file)
	}
	name := rapid.SampledFrom(slices.Sorted(maps.Keys(among))).Draw(t, "evolution")
	var all []map[string]any
	for _, file := range slices.Sorted(maps.Keys(out.files)) {
		all = append(all, schemasIn(out.files[file])...)
	}
	from := rapid.IntRange(0, len(all)-1).Draw(t, "place")
	for i := range all {
		if among[name](t, all[(from+i)%len(all)]) {
			return out, name, true
		}
	}
	return out, name, false
}

func TestNoChangeIsNoChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawThing(t)
		if got := classify(b, b, neighbours); len(got) > 0 {
			t.Fatalf("%v in %s", got, b.text())
		}
	})
}

// After any number of allowed releases, old and new producers and consumers understand each other.
func TestAllowedChangesBreakNobody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old := drawThing(t)
		now := old
		for range rapid.IntRange(1, 3).Draw(t, "releases") {
			next, name, ok := evolve(t, now, compatible)
			if !ok {
				continue
			}
			if got := broken(classify(now, next, neighbours)); len(got) > 0 {
				t.Fatalf("%s: %v", name, got)
			}
			// A name that was used before may come back as something else: only the older release tells.
			if len(broken(classify(old, next, apart))) == 0 {
				now = next
			}
		}
		wantUnderstood(t, old, now)
		wantUnderstood(t, now, old)
	})
}

func TestForbiddenChangesAreFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old := drawThing(t)
		now, name, ok := evolve(t, old, breaking)
		if !ok {
			return
		}
		if got := broken(classify(old, now, neighbours)); len(got) == 0 {
			t.Fatalf("%s is not found:\n%s\n%s", name, old.text(), now.text())
		}
		if name == "take a value" {
			return // to give one is allowed
		}
		if got := broken(classify(now, old, neighbours)); len(got) == 0 {
			t.Fatalf("%s, undone, is not found:\n%s\n%s", name, now.text(), old.text())
		}
	})
}

func broken(changes []change) []change {
	return slices.DeleteFunc(changes, func(c change) bool { return !c.breaks })
}

// wantUnderstood draws a document of the producer, and has the consumer read it.
func wantUnderstood(t *rapid.T, producer, consumer bundle) {
	t.Helper()
	drawn := document(t, producer.expand(producer.rootPlace()))
	text, err := json.Marshal(drawn)
	if err != nil {
		t.Fatal(err)
	}
	validate(t, "its own producer", producer, text)
	validate(t, "a consumer of the other version", opened(consumer), text)
}

func validate(t *rapid.T, who string, b bundle, text []byte) {
	t.Helper()
	schema, err := compile(b)
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(document); err != nil {
		t.Fatalf("%s refuses %s: %v\n%s", who, text, err, b.text())
	}
}

// The same with the schemas that there are, changed in one place.
func TestRealSchemasEvolve(t *testing.T) {
	kinds, err := loadSchemas(os.DirFS("../../contracts/schemas"))
	if err != nil {
		t.Fatal(err)
	}
	names := slices.Sorted(maps.Keys(kinds))
	rapid.Check(t, func(t *rapid.T) {
		old := kinds[rapid.SampledFrom(names).Draw(t, "kind")]
		now, _, ok := evolve(t, old, compatible)
		if !ok {
			return
		}
		if got := broken(classify(old, now, neighbours)); len(got) > 0 {
			t.Fatal(got)
		}
		wantUnderstood(t, old, now)
		wantUnderstood(t, now, old)
	})
}
