package main

import "strings"

// open derives a consumer's schema from a producer's. A producer may send only what it declared; a
// consumer must live through what a later producer of the same major version adds:
//
//   - objects are not closed, and a property that a case forbids is merely unknown there;
//   - an enum becomes a string, its values kept in x-known-values.
//
// The condition of a case is a question, not a demand, and stays as it is.
func open(v any) any {
	switch v := v.(type) {
	case *object:
		return openObject(v)
	case []any:
		out := make([]any, 0, len(v))
		for _, item := range v {
			out = append(out, open(item))
		}
		return out
	}
	return v
}

func openObject(o *object) *object {
	out := newObject()
	for _, key := range o.keys {
		value := o.values[key]
		switch key {
		case "additionalProperties", "unevaluatedProperties":
		case "$id":
			out.set(key, baseID+"consumer/"+strings.TrimPrefix(value.(string), baseID))
		case "$schema", "if", "examples", "const":
			out.set(key, value)
		case "enum":
			out.set("type", "string")
			out.set("x-known-values", value)
		case "properties":
			if kept := openProperties(value.(*object)); len(kept.keys) > 0 {
				out.set(key, kept)
			}
		default:
			out.set(key, open(value))
		}
	}
	return out
}

func openProperties(o *object) *object {
	out := newObject()
	for _, name := range o.keys {
		if o.values[name] != false {
			out.set(name, open(o.values[name]))
		}
	}
	return out
}
