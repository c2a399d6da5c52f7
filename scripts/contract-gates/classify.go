package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// change is one difference between two versions of a schema, as producers and consumers see it.
type change struct {
	at     place
	rule   string
	text   string
	breaks bool // FULL compatibility: old consumers must read new documents, new consumers old ones
}

func (c change) String() string { return fmt.Sprintf("%s: %s: %s", c.at, c.rule, c.text) }

// span says how far apart two versions are.
type span bool

const (
	// neighbours: nothing was released between the two, so a field that went and one that came are
	// taken for a rename.
	neighbours span = true
	// apart: what went and what came may have done so in different releases.
	apart span = false
)

// classify lists what differs between two versions of a kind. Texts for people change freely and are not
// listed. Allowed are optional fields that come or go, enum values that come, and a new wording of
// x-meaning; everything else breaks somebody.
func classify(old, new bundle, how span) []change {
	c := &comparison{how: how, seen: map[string]bool{}}
	c.nodes(old.expand(old.rootPlace()), new.expand(new.rootPlace()))
	slices.SortFunc(c.found, func(a, b change) int {
		return cmp.Or(
			-compareBool(a.breaks, b.breaks),
			cmp.Compare(a.at.String(), b.at.String()),
			cmp.Compare(a.rule, b.rule),
			cmp.Compare(a.text, b.text),
		)
	})
	return slices.CompactFunc(c.found, func(a, b change) bool { return a.String() == b.String() })
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

type comparison struct {
	how   span
	seen  map[string]bool
	found []change
}

func (c *comparison) breaks(at place, rule, format string, args ...any) {
	c.found = append(c.found, change{at, rule, fmt.Sprintf(format, args...), true})
}

func (c *comparison) allowed(at place, rule, format string, args ...any) {
	c.found = append(c.found, change{at, rule, fmt.Sprintf(format, args...), false})
}

// nodes compares what two versions say of one value.
func (c *comparison) nodes(old, new *node) {
	if pair := old.key() + "→ " + new.key(); c.seen[pair] {
		return
	} else {
		c.seen[pair] = true
	}
	if !c.sameSort(old, new) {
		return // the rest would say the same in other words
	}
	for _, keyword := range slices.Sorted(maps.Keys(ruleOf)) {
		c.assertions(old, new, keyword)
	}
	c.texts(old, new)
	if old.closed != new.closed {
		c.breaks(new.where(), "closed", "the object was %s and is %s", openness(old), openness(new))
	}
	c.members(old, new)
	c.parts(old, new)

	for _, b := range slices.Concat(old.cases, new.cases) {
		// A value that only one of the two knows is "other" to the other.
		if old.canHave(b.property, b.value) && new.canHave(b.property, b.value) {
			c.nodes(old.given(b.property, b.value), new.given(b.property, b.value))
		}
	}
}

// sameSort reports whether there is more to compare: not where the type changed, because then the rest
// did too, nor where one value is all that is possible.
func (c *comparison) sameSort(old, new *node) bool {
	for _, keyword := range lists {
		before, after := old.values(keyword), new.values(keyword)
		if (before == nil) != (after == nil) {
			c.breaks(new.where(), "enum", "%s was %s and is %s", keyword, listOf(before), listOf(after))
			return false
		}
		for _, value := range before {
			if !slices.Contains(after, value) {
				c.breaks(new.lists[keyword][0], "enum-removed", "%q is gone", value)
			}
		}
		for _, value := range after {
			if !slices.Contains(before, value) {
				c.allowed(new.lists[keyword][0], "enum-added", "the value %q is new", value)
			}
		}
	}
	if c.assertions(old, new, "const") || old.asserts["const"] != nil {
		return false
	}
	return !c.assertions(old, new, "type")
}

func listOf(values []string) string {
	if values == nil {
		return "not given"
	}
	return strings.Join(values, ", ")
}

// assertions compares one keyword whose every change breaks, and reports whether there was one.
func (c *comparison) assertions(old, new *node, keyword string) bool {
	before, after := old.asserts[keyword], new.asserts[keyword]
	if maps.EqualFunc(before, after, func(place, place) bool { return true }) {
		return false
	}
	at := new.where()
	for _, have := range []map[string]place{before, after} {
		if _, p, ok := first(have); ok {
			at = p
		}
	}
	c.breaks(at, ruleOf[keyword], "%s was %s and is %s", keyword, listed(before), listed(after))
	return true
}

func first(m map[string]place) (string, place, bool) {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		return key, m[key], true
	}
	return "", place{}, false
}

func listed(m map[string]place) string {
	if len(m) == 0 {
		return "not given"
	}
	var out []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if n, ok := m[key].value.(json.Number); ok {
			key = n.String() // as people wrote it
		}
		out = append(out, key)
	}
	return strings.Join(out, ", ")
}

func openness(n *node) string {
	if n.closed {
		return "closed"
	}
	return "open"
}

// texts compares the words that carry meaning. No program can tell a better wording from another
// meaning, so the former is assumed of x-meaning, and listed for people to judge.
func (c *comparison) texts(old, new *node) {
	switch {
	case old.unit == nil && new.unit != nil:
		c.allowed(*new.unit, "unit-named", "the unit is %q, and was not named before", new.unit.value)
	case old.unit != nil && new.unit == nil:
		c.breaks(new.where(), "unit", "the unit was %q and is not named any more", old.unit.value)
	case old.unit != nil && old.unit.value != new.unit.value:
		c.breaks(*new.unit, "unit", "the unit was %q and is %q", old.unit.value, new.unit.value)
	}
	if old.meaning != nil && new.meaning != nil && old.meaning.value != new.meaning.value {
		c.allowed(*new.meaning, "reworded", "is this still the same thing? It was %q and is %q", old.meaning.value, new.meaning.value)
	}
}

// members compares the fields of two objects.
func (c *comparison) members(old, new *node) {
	var gone, come []string
	for _, name := range old.names() {
		was := old.property(name)
		_, wasRequired := old.required[name]
		is := new.property(name)
		if is == nil {
			gone = append(gone, name)
			if wasRequired {
				c.breaks(was.where(), "required-removed", "the required field %s is gone", name)
			} else {
				c.allowed(was.where(), "field-removed", "the optional field %s is gone", name)
			}
			continue
		}
		at, isRequired := new.required[name]
		if isRequired && !wasRequired {
			c.breaks(at, "now-required", "%s was optional and is required", name)
		}
		if wasRequired && !isRequired {
			c.breaks(is.where(), "now-optional", "%s was required and is optional", name)
		}
		c.nodes(was, is)
	}
	for _, name := range new.names() {
		if old.property(name) != nil {
			continue
		}
		come = append(come, name)
		is := new.property(name)
		if at, required := new.required[name]; required {
			c.breaks(at, "required-added", "the new field %s is required", name)
		} else {
			c.allowed(is.where(), "field-added", "the optional field %s is new", name)
		}
	}
	if c.how == neighbours && len(gone) > 0 && len(come) > 0 {
		c.breaks(new.property(come[0]).where(), "rename", "%s went and %s came in the same release, which is a rename to everybody else",
			strings.Join(gone, ", "), strings.Join(come, ", "))
	}
}

// parts compares the items of arrays, and alternatives.
func (c *comparison) parts(old, new *node) {
	switch {
	case (len(old.items) == 0) != (len(new.items) == 0):
		c.breaks(new.where(), "type", "what the items of the array are was said in one version only")
	case len(old.items) > 0:
		c.nodes(old.bundle.expand(old.items...), new.bundle.expand(new.items...))
	}
	same := slices.EqualFunc(old.anyOf, new.anyOf, func(a, b []place) bool { return len(a) == len(b) })
	if !same {
		c.breaks(new.where(), "alternatives", "anyOf lists others than before")
		return
	}
	for i, list := range old.anyOf {
		for j := range list {
			c.nodes(old.bundle.expand(old.anyOf[i][j]), new.bundle.expand(new.anyOf[i][j]))
		}
	}
}
