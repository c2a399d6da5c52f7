package contracttest

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/iops-dashboard/live/contracts"
)

// form is a consumer's schema with the files that it refers to.
type form struct {
	root  string
	files map[string]any
}

// known is a value in a document that stands where the schema lists known ones.
type known struct {
	schema string // place in the schemas
	tokens []any  // place in the document
	value  string
}

func formOf(k contracts.Kind) (form, error) {
	f := form{root: "consumer/" + string(k) + ".json", files: map[string]any{}}
	return f, f.load(f.root)
}

func (f form) load(name string) error {
	if f.files[name] != nil {
		return nil
	}
	content, err := contracts.Schemas.ReadFile(name)
	if err != nil {
		return fmt.Errorf("contracttest: %w", err)
	}
	if f.files[name], err = decode(content); err != nil {
		return fmt.Errorf("contracttest: %s: %w", name, err)
	}
	return f.loadReferences(name, f.files[name])
}

func (f form) loadReferences(name string, v any) error {
	switch v := v.(type) {
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			if err := f.load(path.Join(path.Dir(name), ref)); err != nil {
				return err
			}
		}
		for _, value := range v {
			if err := f.loadReferences(name, value); err != nil {
				return err
			}
		}
	case []any:
		for _, item := range v {
			if err := f.loadReferences(name, item); err != nil {
				return err
			}
		}
	}
	return nil
}

// constants lists the members of the whole document that have one value only: what names its type and
// major version, and not the version of the envelope.
func (f form) constants() []string {
	var out []string
	for name := range f.members(f.root, f.files[f.root]) {
		if f.constant(name) != nil && slices.Contains([]string{"type", "action", "dataschema", "version"}, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func (f form) constant(name string) any {
	return f.members(f.root, f.files[f.root])[name]["const"]
}

// members are the properties of an object, its own before those that it takes over.
func (f form) members(file string, schema any) map[string]map[string]any {
	out := map[string]map[string]any{}
	s, _ := schema.(map[string]any)
	parts, _ := s["allOf"].([]any)
	for _, part := range parts {
		part, _ := part.(map[string]any)
		if ref, ok := part["$ref"].(string); ok {
			target := path.Join(path.Dir(file), ref)
			maps.Copy(out, f.members(target, f.files[target]))
		}
	}
	properties, _ := s["properties"].(map[string]any)
	for name, property := range properties {
		if property, ok := property.(map[string]any); ok {
			out[name] = property
		}
	}
	return out
}

// knownValues finds the values of a document that stand where the schema lists known ones.
func (f form) knownValues(document any) []known {
	var out []known
	f.walk(f.root, "", f.files[f.root], document, nil, &out)
	slices.SortStableFunc(out, func(a, b known) int {
		if len(a.tokens) != len(b.tokens) {
			return len(a.tokens) - len(b.tokens)
		}
		return slices.Compare([]string{pointer(a.tokens), a.schema}, []string{pointer(b.tokens), b.schema})
	})
	return out
}

func (f form) walk(file, at string, schema, value any, tokens []any, out *[]known) {
	s, _ := schema.(map[string]any)
	if text, ok := value.(string); ok && s["x-known-values"] != nil {
		*out = append(*out, known{file + at, slices.Clone(tokens), text})
	}
	if ref, ok := s["$ref"].(string); ok {
		target := path.Join(path.Dir(file), ref)
		f.walk(target, "", f.files[target], value, tokens, out)
	}
	object, _ := value.(map[string]any)
	properties, _ := s["properties"].(map[string]any)
	for name, property := range properties {
		if member, ok := object[name]; ok {
			f.walk(file, at+"/"+name, property, member, append(slices.Clone(tokens), name), out)
		}
	}
	list, _ := value.([]any)
	for i, item := range list {
		f.walk(file, at+"/items", s["items"], item, append(slices.Clone(tokens), i), out)
	}
	for _, keyword := range []string{"allOf", "anyOf"} {
		parts, _ := s[keyword].([]any)
		for i, part := range parts {
			below := fmt.Sprintf("%s/%s/%d", at, keyword, i)
			if c, ok := part.(map[string]any); ok && c["if"] != nil {
				if holds(c["if"], object) {
					f.walk(file, below, c["then"], value, tokens, out)
				}
				continue
			}
			f.walk(file, below, part, value, tokens, out)
		}
	}
}

// holds reports whether the condition of a case, one member with one of some values, is met.
func holds(condition any, object map[string]any) bool {
	s, _ := condition.(map[string]any)
	properties, _ := s["properties"].(map[string]any)
	for name, test := range properties {
		test, _ := test.(map[string]any)
		values, _ := test["enum"].([]any)
		if test["const"] != nil {
			values = append(values, test["const"])
		}
		if !slices.ContainsFunc(values, func(v any) bool { return same(v, object[name]) }) {
			return false
		}
	}
	return true
}

func same(a, b any) bool {
	if n, ok := a.(json.Number); ok {
		m, ok := b.(json.Number)
		return ok && n == m
	}
	text, ok := a.(string)
	return ok && text == b
}
