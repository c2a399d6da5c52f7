package main

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"pgregory.net/rapid"
)

// document draws a document that a producer may send.
func document(t *rapid.T, whole *node) any {
	n := settled(t, whole)
	for value := range n.asserts["const"] {
		return mustDecode(value)
	}
	if values := n.values("enum"); values != nil {
		return rapid.SampledFrom(values).Draw(t, "enum")
	}
	types := n.types()
	if len(types) == 0 {
		t.Fatalf("%s: nothing fits all of %s", n.where(), n.key())
	}
	switch rapid.SampledFrom(types).Draw(t, "type") {
	case "object":
		return object(t, n)
	case "array":
		low, high := n.bounds("minItems", "maxItems", 0, 3)
		out := []any{}
		for range rapid.IntRange(int(low), int(min(high, low+3))).Draw(t, "items") {
			item := document(t, n.bundle.expand(n.items...))
			if n.asserts["uniqueItems"] == nil || !slices.ContainsFunc(out, func(have any) bool { return fmt.Sprint(have) == fmt.Sprint(item) }) {
				out = append(out, item)
			}
		}
		return out
	case "string":
		return n.draw(t)
	case "integer":
		low, high := n.bounds("minimum", "maximum", -1000, 1000)
		return json.Number(strconv.FormatInt(rapid.Int64Range(int64(low), int64(high)).Draw(t, "integer"), 10))
	case "number":
		low, high := n.bounds("minimum", "maximum", -1000, 1000)
		return json.Number(strconv.FormatFloat(rapid.Float64Range(low, high).Draw(t, "number"), 'g', -1, 64))
	case "boolean":
		return rapid.Bool().Draw(t, "boolean")
	}
	return nil
}

func object(t *rapid.T, n drawn) any {
	out := map[string]any{}
	for _, name := range n.names() {
		_, required := n.required[name]
		if value, drawn := n.chosen[name]; drawn {
			out[name] = value
		} else if required || rapid.Bool().Draw(t, name) {
			out[name] = document(t, n.property(name))
		}
	}
	return out
}

// drawn is a node whose cases and alternatives are decided.
type drawn struct {
	*node
	chosen map[string]any
}

// settled decides which of the cases and alternatives of a node hold.
func settled(t *rapid.T, n *node) drawn {
	out := drawn{n.bundle.expand(n.parts...), map[string]any{}}
	for len(out.cases) > 0 {
		c := out.cases[0]
		if _, done := out.chosen[c.property]; !done {
			out.chosen[c.property] = document(t, out.property(c.property))
		}
		out.cases = out.cases[1:]
		if out.chosen[c.property] == c.value {
			out.add(c.then)
		}
	}
	for len(out.anyOf) > 0 {
		list := slices.DeleteFunc(slices.Clone(out.anyOf[0]), func(p place) bool {
			both := drawn{out.bundle.expand(append(slices.Clone(out.parts), p)...), nil}
			return len(both.types()) == 0
		})
		out.anyOf = out.anyOf[1:]
		out.add(rapid.SampledFrom(list).Draw(t, "alternative"))
	}
	return out
}

// types are those that everything said of the node allows.
func (n drawn) types() []string {
	types := []string{"object", "array", "string", "integer", "number", "boolean", "null"}
	for list := range n.asserts["type"] {
		types = slices.DeleteFunc(types, func(name string) bool { return !slices.Contains(strings.Split(list, " or "), name) })
	}
	if n.asserts["type"] == nil && len(n.properties) > 0 {
		return []string{"object"}
	}
	return types
}

func (n drawn) bounds(low, high string, from, to float64) (float64, float64) {
	for text := range n.asserts[low] {
		from = max(from, parseNumber(text))
		to = max(to, from)
	}
	if n.asserts[high] != nil {
		to = math.Inf(1)
	}
	for text := range n.asserts[high] {
		to = min(to, parseNumber(text))
		from = min(from, to)
	}
	return from, to
}

func parseNumber(text string) float64 {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		panic(err)
	}
	return v
}

// instants fit the format date-time; a pattern picks among them.
var instants = []string{"2026-11-22T10:00:00.123Z", "2026-11-22T10:00:00Z", "2024-02-29T23:59:59.999+02:00"}

// draw is a text that fits everything said of it.
func (n drawn) draw(t *rapid.T) string {
	low, high := n.bounds("minLength", "maxLength", 0, math.Inf(1))
	var patterns []*regexp.Regexp
	for text := range n.asserts["pattern"] {
		patterns = append(patterns, regexp.MustCompile(mustDecode(text).(string)))
	}
	slices.SortFunc(patterns, func(a, b *regexp.Regexp) int { return strings.Compare(a.String(), b.String()) })
	fits := func(s string) bool {
		length := float64(len([]rune(s)))
		return low <= length && length <= high &&
			!slices.ContainsFunc(patterns, func(p *regexp.Regexp) bool { return !p.MatchString(s) })
	}
	switch {
	case n.asserts["format"] != nil:
		return rapid.SampledFrom(slices.DeleteFunc(slices.Clone(instants), func(s string) bool { return !fits(s) })).Draw(t, "instant")
	case len(patterns) > 0:
		return rapid.StringMatching(patterns[0].String()).Filter(fits).Draw(t, "text")
	}
	return rapid.StringN(int(low), int(min(high, low+20)), -1).Draw(t, "text")
}

func mustDecode(text string) any {
	v, err := decode([]byte(text))
	if err != nil {
		panic(err)
	}
	return v
}
