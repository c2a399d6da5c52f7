package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
)

// node is everything that schemas say about one value, wherever they say it: references are followed
// and what allOf joins is joined, so that moving a definition to another file changes nothing.
type node struct {
	bundle     bundle
	parts      []place
	never      bool
	closed     bool
	asserts    map[string]map[string]place // keyword → canonical value → where
	lists      map[string][]place          // enum and x-known-values
	required   map[string]place
	properties map[string][]place
	items      []place
	anyOf      [][]place
	unit       *place
	meaning    *place
	cases      []branch
}

// branch is one value of an if and its then.
type branch struct {
	property, value string
	then            place
}

// expand joins what several schemas demand of one value.
func (b bundle) expand(parts ...place) *node {
	n := &node{
		bundle:     b,
		asserts:    map[string]map[string]place{},
		lists:      map[string][]place{},
		required:   map[string]place{},
		properties: map[string][]place{},
	}
	for _, p := range parts {
		n.add(p)
	}
	return n
}

// where is the place to name when nothing better is known.
func (n *node) where() place { return n.parts[0] }

func (n *node) add(p place) {
	n.parts = append(n.parts, p)
	s, ok := p.value.(map[string]any)
	if !ok {
		n.never = true
		return
	}
	// What is said beside a reference comes before what is said where it leads.
	if unit, ok := s["x-unit"]; ok && n.unit == nil {
		n.unit = new(p.below(unit, "x-unit"))
	}
	if meaning, ok := s["x-meaning"]; ok && n.meaning == nil {
		n.meaning = new(p.below(meaning, "x-meaning"))
	}
	for _, keyword := range slices.Sorted(maps.Keys(s)) {
		value := s[keyword]
		at := p.below(value, keyword)
		if _, plain := ruleOf[keyword]; plain {
			if n.asserts[keyword] == nil {
				n.asserts[keyword] = map[string]place{}
			}
			n.asserts[keyword][canonical(keyword, value)] = at
			continue
		}
		switch keyword {
		case "$ref":
			n.add(n.bundle.target(p, value.(string)))
		case "additionalProperties", "unevaluatedProperties":
			n.closed = true
		case "enum", "x-known-values":
			n.lists[keyword] = append(n.lists[keyword], at)
		case "required":
			for _, name := range texts(value) {
				if _, twice := n.required[name]; !twice {
					n.required[name] = at
				}
			}
		case "properties":
			for name, property := range value.(map[string]any) {
				n.properties[name] = append(n.properties[name], at.below(property, name))
			}
		case "items":
			n.items = append(n.items, at)
		case "anyOf":
			var list []place
			for i, item := range value.([]any) {
				list = append(list, at.below(item, fmt.Sprint(i)))
			}
			n.anyOf = append(n.anyOf, list)
		case "allOf":
			for i, item := range value.([]any) {
				part := at.below(item, fmt.Sprint(i))
				if s, ok := item.(map[string]any); ok && s["if"] != nil {
					n.cases = append(n.cases, branches(part)...)
					continue
				}
				n.add(part)
			}
		}
	}
}

// branches reads {"if": …, "then": …}, one branch for each value that the if names.
func branches(p place) []branch {
	s := p.value.(map[string]any)
	condition, _ := s["if"].(map[string]any)
	properties, _ := condition["properties"].(map[string]any)
	var out []branch
	for name, test := range properties {
		test, _ := test.(map[string]any)
		values := texts(test["enum"])
		if value, ok := test["const"].(string); ok {
			values = append(values, value)
		}
		for _, value := range values {
			out = append(out, branch{name, value, p.below(s["then"], "then")})
		}
	}
	return out
}

// property is what is demanded of a member, or nil where the object cannot have it.
func (n *node) property(name string) *node {
	parts, ok := n.properties[name]
	if !ok {
		return nil
	}
	p := n.bundle.expand(parts...)
	if p.never {
		return nil
	}
	return p
}

// names lists the members that the object can have.
func (n *node) names() []string {
	var out []string
	for name := range n.properties {
		if n.property(name) != nil {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// values is what an enum or x-known-values lists; nil where there is none. Of two lists a value must be
// on both.
func (n *node) values(keyword string) []string {
	var out []string
	for i, list := range n.lists[keyword] {
		if i == 0 {
			out = texts(list.value)
			continue
		}
		out = slices.DeleteFunc(out, func(v string) bool { return !slices.Contains(texts(list.value), v) })
	}
	return out
}

// canHave reports whether a member may have a value that a case tests for.
func (n *node) canHave(property, value string) bool {
	p := n.property(property)
	if p == nil {
		return false
	}
	if values := p.values("enum"); values != nil {
		return slices.Contains(values, value)
	}
	if constants := p.asserts["const"]; constants != nil {
		_, ok := constants[canonical("const", value)]
		return ok
	}
	return true
}

// given is the node of those objects whose member has the value; of the other cases it knows nothing.
func (n *node) given(property, value string) *node {
	out := n.bundle.expand(n.parts[0])
	for _, p := range n.parts[1:] {
		if !slices.ContainsFunc(out.parts, func(have place) bool { return have.String() == p.String() }) {
			out.add(p)
		}
	}
	out.cases = nil
	for _, c := range n.cases {
		if c.property == property && c.value == value {
			out.add(c.then)
		}
	}
	return out
}

// key tells nodes apart.
func (n *node) key() string {
	var b strings.Builder
	for _, p := range n.parts {
		b.WriteString(p.String() + " ")
	}
	return b.String()
}

func texts(v any) []string {
	var out []string
	list, _ := v.([]any)
	for _, item := range list {
		if text, ok := item.(string); ok {
			out = append(out, text)
		}
	}
	return out
}

// canonical writes a value so that two texts with one meaning are equal: 1 and 1.0, "string" and ["string"].
func canonical(keyword string, v any) string {
	if n, ok := v.(json.Number); ok {
		if r, ok := new(big.Rat).SetString(n.String()); ok {
			return strings.TrimSuffix(r.RatString(), "/1")
		}
	}
	if name, ok := v.(string); ok && keyword == "type" {
		v = []any{name}
	}
	if keyword == "type" {
		names := texts(v)
		slices.Sort(names)
		return strings.Join(names, " or ")
	}
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // it was JSON before
	}
	return string(text)
}
