// Package view decides what a connection watches: a set of views is compiled once and matched against
// each state of an entity or insight. It is a filter and no permission.
package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/iops-dashboard/live/contracts"
)

// Partition is where a view that is on everything belongs; the others belong to their entity type, or to
// insight.
const Partition = string(contracts.ViewTypeEverything)

// insight is the kind of insights; the kinds of entities are their types.
const insight = string(contracts.ViewTypeInsight)

// kind is what this release knows of an entity type, or of insights.
type kind struct {
	attributes contracts.AttributeSet
	bits       map[string]uint64 // of each attribute in a Selection, by its name
	required   uint64            // bits of the attributes that every state has
}

var kinds = func() map[string]kind {
	// An entity has no attribute that it must have.
	all := map[string]kind{insight: newKind(contracts.InsightAttributes(), "entity_id", "prediction_type", "risk_band", "risk_score", "timestamp")}
	for _, t := range contracts.EntityTypes() {
		all[string(t)] = newKind(contracts.PublicAttributes(t))
	}
	return all
}()

func newKind(attributes contracts.AttributeSet, required ...string) kind {
	k := kind{attributes: attributes, bits: map[string]uint64{}}
	for i, name := range attributes.Names() {
		k.bits[name] = 1 << i
	}
	k.required = k.mask(required)
	return k
}

// mask joins the bits of those attributes that the kind has.
func (k kind) mask(names []string) uint64 {
	var mask uint64
	for _, name := range names {
		mask |= k.bits[name]
	}
	return mask
}

// Set is the views of one connection. A state that any of them matches is watched, with the attributes
// that any of those asks for. It is immutable, and may be used concurrently.
type Set struct {
	views  []contracts.ViewV1 // canonical
	spec   string
	byKind map[string][]matcher
	all    bool // something is watched whatever its kind, also of kinds that are not known here
}

// matcher is one view on one kind.
type matcher struct {
	where  []comparison
	fields Selection
}

// Everything is the view of a connection that has said nothing: all of its tenant.
func Everything() *Set {
	s, err := Compile([]contracts.ViewV1{{EntityType: contracts.ViewTypeEverything}})
	if err != nil {
		panic(err) // it names nothing that could be unknown
	}
	return s
}

// Compile makes a set of views. The error is a [contracts.Invalid] whose pointer leads into the sync command
// with these views, as /views/0/where/1/attribute: a type that is not known, an attribute that the type
// does not have, an operator or value that is not for attributes of that kind.
func Compile(views []contracts.ViewV1) (*Set, error) {
	s := &Set{views: []contracts.ViewV1{}, byKind: map[string][]matcher{}}
	for i, v := range views {
		if err := check(v, fmt.Sprint("/views/", i)); err != nil {
			return nil, err
		}
		s.views = append(s.views, canonical(v))
	}
	slices.SortFunc(s.views, func(a, b contracts.ViewV1) int { return strings.Compare(text(a), text(b)) })
	s.views = slices.CompactFunc(s.views, func(a, b contracts.ViewV1) bool { return text(a) == text(b) })
	s.spec = text(s.views)
	for _, v := range s.views {
		for _, kind := range kindsOf(v) {
			if m, ok := compile(v, kinds[kind]); ok {
				s.byKind[kind] = append(s.byKind[kind], m)
			}
		}
		s.all = s.all || v.EntityType == contracts.ViewTypeEverything && v.Where == nil
	}
	return s, nil
}

// Parse reads what Spec has written, and nothing else: a text that this release would write in another way
// may be one of a later release, and say more than is understood here. The error is a [contracts.Invalid],
// as that of Compile.
func Parse(spec string) (*Set, error) {
	var views []contracts.ViewV1
	if err := json.Unmarshal([]byte(spec), &views); err != nil {
		return nil, contracts.Invalid{Pointer: "/views", Keyword: contracts.KeywordSyntax, Message: "is not a list of views"}
	}
	s, err := Compile(views)
	if err == nil && s.spec != spec {
		return nil, contracts.Invalid{Pointer: "/views", Keyword: contracts.KeywordSyntax, Message: "is not written as views are here"}
	}
	return s, err
}

// Spec is the set as a text. Sets that say the same in another order, or twice, or with numbers in another
// form, have the same.
func (s *Set) Spec() string { return s.spec }

// Split returns the parts of the set by partition: all of it as one, if any of it is on everything.
func (s *Set) Split() map[string]*Set {
	parts := map[string][]contracts.ViewV1{}
	for _, v := range s.views {
		if v.EntityType == contracts.ViewTypeEverything {
			return map[string]*Set{Partition: s}
		}
		parts[string(v.EntityType)] = append(parts[string(v.EntityType)], v)
	}
	all := map[string]*Set{}
	for partition, views := range parts {
		part, err := Compile(views)
		if err != nil {
			panic(err) // they were compiled before
		}
		all[partition] = part
	}
	return all
}

// Match reports whether a state is watched, and which of its attributes. The kind is an entity type, or
// insight. There is no match where there is no state.
func (s *Set) Match(kind string, image *Image) (Selection, bool) {
	if image == nil || image.raw == nil {
		return Selection{}, false
	}
	var fields Selection
	matched := false
	for _, m := range s.byKind[kind] {
		if !m.matches(image) {
			continue
		}
		if m.fields.mask == 0 {
			return Selection{}, true
		}
		matched = true
		fields.mask |= m.fields.mask
	}
	if s.all && !matched {
		_, known := kinds[kind]
		return Selection{}, !known
	}
	return fields, matched
}

func (m matcher) matches(image *Image) bool {
	for i := range m.where {
		if !m.where[i].holds(image) {
			return false
		}
	}
	return true
}

// kindsOf lists what a view is on; nothing if its type is not known.
func kindsOf(v contracts.ViewV1) []string {
	if v.EntityType == contracts.ViewTypeEverything {
		return slices.Sorted(maps.Keys(kinds))
	}
	if _, known := kinds[string(v.EntityType)]; !known {
		return nil
	}
	return []string{string(v.EntityType)}
}

// check finds what no kind of the view can have.
func check(v contracts.ViewV1, pointer string) error {
	refuse := func(at, keyword, message string) error {
		return contracts.Invalid{Pointer: pointer + at, Keyword: keyword, Message: message}
	}
	of := kindsOf(v)
	if len(of) == 0 {
		return refuse("/entity_type", "enum", "is nothing that can be watched")
	}
	known := func(name string) (contracts.Attribute, bool) {
		for _, kind := range of {
			if a, ok := kinds[kind].attributes.Get(name); ok {
				return a, true
			}
		}
		return contracts.Attribute{}, false
	}
	for i, c := range v.Where {
		at := fmt.Sprint("/where/", i)
		a, ok := known(c.Attribute)
		if !ok {
			return refuse(at+"/attribute", "enum", "is no attribute of what is watched")
		}
		switch _, err := compileComparison(c, a); err {
		case nil:
		case errOperator:
			return refuse(at+"/operator", "enum", "cannot be asked of this attribute")
		default:
			return refuse(at+"/value", "type", "is not a value of this attribute")
		}
	}
	for i, name := range v.Fields {
		if _, ok := known(name); !ok {
			return refuse(fmt.Sprint("/fields/", i), "enum", "is no attribute of what is watched")
		}
	}
	return nil
}

// compile makes the matcher of a view for one of its kinds, unless it can match none of that kind.
func compile(v contracts.ViewV1, k kind) (matcher, bool) {
	var m matcher
	for _, c := range v.Where {
		a, ok := k.attributes.Get(c.Attribute)
		if !ok {
			return m, false
		}
		compiled, err := compileComparison(c, a)
		if err != nil {
			return m, false
		}
		m.where = append(m.where, compiled)
	}
	if v.Fields != nil {
		m.fields = Selection{chosen | k.required | k.mask(v.Fields)}
	}
	return m, true
}

// canonical is the one form of a view.
func canonical(v contracts.ViewV1) contracts.ViewV1 {
	out := contracts.ViewV1{EntityType: v.EntityType}
	for _, c := range v.Where {
		if number, ok := readDecimal(c.Value); ok {
			c.Value = json.RawMessage(number.String())
		} else if s, ok := readText(c.Value); ok {
			c.Value = json.RawMessage(text(s))
		}
		out.Where = append(out.Where, c)
	}
	slices.SortFunc(out.Where, func(a, b contracts.ComparisonV1) int { return strings.Compare(text(a), text(b)) })
	out.Where = slices.CompactFunc(out.Where, func(a, b contracts.ComparisonV1) bool { return text(a) == text(b) })
	if v.Fields != nil {
		out.Fields = slices.Compact(slices.Sorted(slices.Values(v.Fields)))
	}
	return out
}

// text writes what is known to have a JSON form.
func text(v any) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic("view: " + err.Error())
	}
	return strings.TrimSuffix(b.String(), "\n")
}
