package main

import (
	"fmt"
	"slices"
)

// embedder rewrites schemas for AsyncAPI, whose own schema language is JSON Schema draft-07 and a
// little more. Three things differ from 2020-12: what stands beside a $ref is not read, so it moves into
// an allOf; unevaluatedProperties is not known, so inherited properties are written out and the object
// is closed by additionalProperties; and files become components, named by their titles.
type embedder struct {
	m          *model
	components map[string]*object // by title
}

func newEmbedder(m *model) *embedder { return &embedder{m: m, components: map[string]*object{}} }

// component embeds a file, with all that it refers to, and returns a reference to it.
func (e *embedder) component(path string) (*object, error) {
	file, ok := e.m.set.byPath[path]
	if !ok {
		return nil, fmt.Errorf("there is no %s", path)
	}
	reference := members("$ref", "#/components/schemas/"+file.title)
	if _, done := e.components[file.title]; done {
		return reference, nil
	}
	e.components[file.title] = nil // a file that refers to itself ends here
	embedded, err := e.schema(file)
	if err != nil {
		return nil, err
	}
	o, ok := embedded.(*object)
	if !ok {
		return nil, fmt.Errorf("%s: is no object", file)
	}
	named := members("x-schema", baseID+path)
	for _, key := range o.keys {
		named.set(key, o.values[key])
	}
	e.components[file.title] = named
	return reference, nil
}

func (e *embedder) schema(s *schema) (any, error) {
	if s.never {
		return false, nil
	}
	raw := s.raw.(*object)
	out := newObject()
	var all []any
	for _, key := range raw.keys {
		switch key {
		case "$schema", "$id", "properties", "required", "allOf", "unevaluatedProperties", "additionalProperties":
		case "$ref":
			reference, err := e.component(s.ref)
			if err != nil {
				return nil, err
			}
			if len(raw.keys) == 1 {
				return reference, nil
			}
			all = append(all, reference)
		case "items":
			items, err := e.schema(s.items)
			if err != nil {
				return nil, err
			}
			out.set(key, items)
		case "anyOf":
			list, err := e.list(s.anyOf)
			if err != nil {
				return nil, err
			}
			out.set(key, list)
		default:
			out.set(key, raw.values[key])
		}
	}
	if err := e.properties(out, s); err != nil {
		return nil, err
	}
	for _, c := range s.cases {
		then, err := e.schema(c.then)
		if err != nil {
			return nil, err
		}
		all = append(all, members("if", c.condition.raw, "then", then))
	}
	if len(all) > 0 {
		out.set("allOf", all)
	}
	return out, nil
}

func (e *embedder) list(schemas []*schema) ([]any, error) {
	out := make([]any, 0, len(schemas))
	for _, s := range schemas {
		embedded, err := e.schema(s)
		if err != nil {
			return nil, err
		}
		out = append(out, embedded)
	}
	return out, nil
}

// properties writes a schema's own properties and those that it takes over.
func (e *embedder) properties(out *object, s *schema) error {
	flat, err := e.m.flatten(s)
	if err != nil {
		return err
	}
	if len(flat.properties) > 0 {
		properties := newObject()
		for _, p := range flat.properties {
			embedded, err := e.schema(p.schema)
			if err != nil {
				return err
			}
			if o, ok := embedded.(*object); ok && o.values["description"] == nil && p.inherited != "" {
				described := members("description", p.inherited)
				for _, key := range o.keys {
					described.set(key, o.values[key])
				}
				embedded = described
			}
			properties.set(p.name, embedded)
		}
		out.set("properties", properties)
	}
	if len(flat.required) > 0 {
		required := make([]any, 0, len(flat.required))
		for _, name := range flat.required {
			if !slices.Contains(required, any(name)) {
				required = append(required, name)
			}
		}
		out.set("required", required)
	}
	if s.closed {
		out.set("additionalProperties", false)
	}
	return nil
}

// members makes an object of names and values, in this order.
func members(pairs ...any) *object {
	o := newObject()
	for i := 0; i+1 < len(pairs); i += 2 {
		o.set(pairs[i].(string), pairs[i+1])
	}
	return o
}
