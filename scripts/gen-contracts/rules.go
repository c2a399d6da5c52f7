package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"path"
	"slices"
	"strings"
)

// A rule says which JSON values may stand at one place: all that the schemas which apply there say, put
// together. The fast validators are written from rules, so a keyword that rules do not know is an error
// here, and not a constraint that gets lost.
type rule struct {
	types valueTypes

	texts                []string // the only texts; nil for any
	minLength, maxLength int      // in characters
	patterns             []string
	dateTime             bool

	minimum, maximum json.Number // empty for none

	items              *rule // nil for any
	minItems, maxItems int
	unique             bool

	form *form // nil for any object
}

// valueTypes is a set of the types of JSON. Whole numbers and others are told apart, because "number"
// means both.
type valueTypes uint8

const (
	nullType valueTypes = 1 << iota
	booleanType
	wholeType
	fractionType
	textType
	arrayType
	objectType

	numberType = wholeType | fractionType
	anyType    = nullType | booleanType | numberType | textType | arrayType | objectType
)

var typesByName = map[string]valueTypes{
	"null": nullType, "boolean": booleanType, "integer": wholeType, "number": numberType,
	"string": textType, "array": arrayType, "object": objectType,
}

// form is what an object must look like.
type form struct {
	title    string // names its Go type and its validator
	members  []formMember
	required []string
	closed   bool
	cases    []formCase
}

type formMember struct {
	name string
	rule *rule
}

// formCase says what more holds where a member has one of some values.
type formCase struct {
	property string
	values   []string
	then     *form
}

const unlimited = int(^uint(0) >> 1)

func anyValue() *rule {
	return &rule{types: anyType, maxLength: unlimited, maxItems: unlimited}
}

// byType reports whether the first byte of a value tells if it keeps the rule.
func (r *rule) byType() bool {
	numbers := r.types & numberType
	return (numbers == 0 || numbers == numberType) &&
		r.texts == nil && r.minLength == 0 && r.maxLength == unlimited && len(r.patterns) == 0 && !r.dateTime &&
		r.minimum == "" && r.maximum == "" &&
		r.items == nil && r.minItems == 0 && r.maxItems == unlimited && !r.unique &&
		r.form == nil
}

func (f *form) member(name string) *rule {
	for _, m := range f.members {
		if m.name == name {
			return m.rule
		}
	}
	return nil
}

// rulebook holds the rules of one role: those of producers, or those that open made of them.
type rulebook struct {
	schemas map[string]any // by path below the role's folder
	rules   map[string]*rule
	busy    map[string]bool
	titles  map[string]string // where each form is, by its title
	carried map[string]bool   // titles of forms that stand in a case, so that Go types leave them as they are
}

// newRulebook reads each schema as the role knows it.
func newRulebook(set *schemaSet, role func(any) any) (*rulebook, error) {
	b := &rulebook{
		schemas: map[string]any{},
		rules:   map[string]*rule{},
		busy:    map[string]bool{},
		titles:  map[string]string{},
		carried: map[string]bool{},
	}
	for _, s := range set.files {
		b.schemas[s.path] = role(s.raw)
	}
	for _, s := range set.files {
		if _, err := b.file(s.path); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// file is the rule of one file.
func (b *rulebook) file(name string) (*rule, error) {
	if r, ok := b.rules[name]; ok {
		return r, nil
	}
	s, ok := b.schemas[name]
	if !ok {
		return nil, fmt.Errorf("there is no %s", name)
	}
	if b.busy[name] {
		return nil, fmt.Errorf("%s refers to itself: a form has a depth", name)
	}
	b.busy[name] = true
	defer delete(b.busy, name)
	r, err := b.rule(s, name, "")
	if err != nil {
		return nil, err
	}
	b.rules[name] = r
	return r, nil
}

// ruleDraft is a schema on its way to a rule.
type ruleDraft struct {
	book          *rulebook
	file, pointer string

	title  string
	own    *rule // what the schema says itself
	form   form  // what it says of objects
	formed bool  // whether it says anything of objects
	sealed bool  // closed by unevaluatedProperties: what others declare counts as declared
	others []*rule
}

// clauses is the part of JSON Schema that the fast validators know.
var clauses map[string]func(d *ruleDraft, v any) error

func init() { // breaks the initialisation cycle: some clauses hold schemas
	clauses = map[string]func(*ruleDraft, any) error{
		"title":                 func(d *ruleDraft, v any) error { return readText(&d.title, v) },
		"type":                  clauseType,
		"const":                 clauseConst,
		"enum":                  clauseEnum,
		"minimum":               func(d *ruleDraft, v any) error { return readNumber(&d.own.minimum, v) },
		"maximum":               func(d *ruleDraft, v any) error { return readNumber(&d.own.maximum, v) },
		"minLength":             func(d *ruleDraft, v any) error { return clauseCount(&d.own.minLength, v) },
		"maxLength":             func(d *ruleDraft, v any) error { return clauseCount(&d.own.maxLength, v) },
		"minItems":              func(d *ruleDraft, v any) error { return clauseCount(&d.own.minItems, v) },
		"maxItems":              func(d *ruleDraft, v any) error { return clauseCount(&d.own.maxItems, v) },
		"uniqueItems":           func(d *ruleDraft, v any) error { d.own.unique = true; return readTrue(nil, v) },
		"pattern":               clausePattern,
		"format":                clauseFormat,
		"items":                 clauseItems,
		"properties":            clauseProperties,
		"required":              func(d *ruleDraft, v any) error { d.formed = true; return readTexts(&d.form.required, v) },
		"additionalProperties":  func(d *ruleDraft, v any) error { d.formed, d.form.closed = true, true; return readFalse(v) },
		"unevaluatedProperties": func(d *ruleDraft, v any) error { d.formed, d.sealed = true, true; return readFalse(v) },
		"$ref":                  clauseRef,
		"allOf":                 clauseAllOf,
		"anyOf":                 clauseAnyOf,
	}
	// These say nothing about what is valid. Size is looked at before anything else is.
	for _, annotation := range []string{"$schema", "$id", "$comment", "description", "examples", "deprecated", "x-meaning", "x-unit", "x-known-values", "x-max-bytes"} {
		clauses[annotation] = func(*ruleDraft, any) error { return nil }
	}
}

func (b *rulebook) rule(v any, file, pointer string) (*rule, error) {
	if v == false {
		r := anyValue()
		r.types = 0
		return r, nil
	}
	o, ok := v.(*object)
	if !ok {
		return nil, fmt.Errorf("%s#%s: a schema is an object or false", file, pointer)
	}
	d := &ruleDraft{book: b, file: file, pointer: pointer, own: anyValue()}
	for _, keyword := range o.keys {
		clause, known := clauses[keyword]
		if !known {
			return nil, fmt.Errorf("%s#%s: the fast validators do not know %q: teach scripts/gen-contracts/rules.go what it means, or do without", file, pointer, keyword)
		}
		if err := clause(d, o.values[keyword]); err != nil {
			return nil, fmt.Errorf("%s#%s/%s: %w", file, pointer, keyword, err)
		}
	}
	r, err := d.rule()
	if err != nil {
		return nil, fmt.Errorf("%s#%s: %w", file, pointer, err)
	}
	return r, nil
}

// maxUnique bounds the arrays whose items are compared with each other.
const maxUnique = 256

// rule puts together what a schema says itself and what it refers to.
func (d *ruleDraft) rule() (*rule, error) {
	if d.own.dateTime && len(d.own.patterns) == 0 {
		return nil, errors.New("a date-time has a pattern as well: validators do not agree on what the format forgives")
	}
	if d.own.unique && (d.own.items == nil || d.own.items.types != textType || d.own.maxItems > maxUnique) {
		return nil, fmt.Errorf("uniqueItems is for texts, and for at most %d of them (maxItems)", maxUnique)
	}
	r := d.own
	if d.formed {
		r.form = &d.form
	}
	for _, other := range d.others {
		var err error
		if r, err = r.and(other); err != nil {
			return nil, err
		}
	}
	if !d.formed {
		return r, nil
	}
	f := *r.form // others may share it
	r.form = &f
	f.closed = f.closed || d.sealed
	f.title = d.title
	for _, c := range f.cases {
		if err := f.holds(c); err != nil {
			return nil, err
		}
	}
	place := d.file + "#" + d.pointer
	if other, taken := d.book.titles[f.title]; taken && f.title != "" {
		return nil, fmt.Errorf("title %q is that of %s too", f.title, other)
	}
	d.book.titles[f.title] = place
	return r, nil
}

// holds checks that a case tests a text that f has, and speaks of members that f has.
func (f *form) holds(c formCase) error {
	test := f.member(c.property)
	if test == nil || test.types != textType {
		return fmt.Errorf("a case tests %q, which is not a text here", c.property)
	}
	for _, m := range c.then.members {
		if f.member(m.name) == nil {
			return fmt.Errorf("a case speaks of %q, which is not a property here", m.name)
		}
	}
	return nil
}

// and is the rule of values that keep both.
func (r *rule) and(other *rule) (*rule, error) {
	out := *r
	out.types &= other.types
	if out.texts == nil {
		out.texts = other.texts
	} else if other.texts != nil {
		out.texts = slices.DeleteFunc(slices.Clone(r.texts), func(t string) bool { return !slices.Contains(other.texts, t) })
	}
	out.minLength = max(r.minLength, other.minLength)
	out.maxLength = min(r.maxLength, other.maxLength)
	out.patterns = slices.Clone(r.patterns)
	for _, p := range other.patterns {
		if !slices.Contains(out.patterns, p) {
			out.patterns = append(out.patterns, p)
		}
	}
	out.dateTime = r.dateTime || other.dateTime
	if other.minimum != "" && (r.minimum == "" || rational(other.minimum).Cmp(rational(r.minimum)) > 0) {
		out.minimum = other.minimum
	}
	if other.maximum != "" && (r.maximum == "" || rational(other.maximum).Cmp(rational(r.maximum)) < 0) {
		out.maximum = other.maximum
	}
	var err error
	if out.items == nil {
		out.items = other.items
	} else if other.items != nil {
		if out.items, err = r.items.and(other.items); err != nil {
			return nil, err
		}
	}
	out.minItems = max(r.minItems, other.minItems)
	out.maxItems = min(r.maxItems, other.maxItems)
	out.unique = r.unique || other.unique
	if out.form == nil {
		out.form = other.form
	} else if other.form != nil && other.form != r.form {
		out.form, err = r.form.and(other.form)
	}
	return &out, err
}

// and is the form of objects that have both. It has no title yet.
func (f *form) and(other *form) (*form, error) {
	if len(other.cases) > 0 {
		return nil, errors.New("an object that others take over has no cases")
	}
	out := &form{
		members:  slices.Clone(other.members),
		required: slices.Clone(other.required),
		closed:   f.closed || other.closed,
		cases:    f.cases,
	}
	for _, m := range f.members {
		at := slices.IndexFunc(out.members, func(o formMember) bool { return o.name == m.name })
		if at < 0 {
			out.members = append(out.members, m)
			continue
		}
		both, err := out.members[at].rule.and(m.rule)
		if err != nil {
			return nil, err
		}
		out.members[at].rule = both
	}
	if f.closed && len(out.members) > len(f.members) || other.closed && len(out.members) > len(other.members) {
		return nil, errors.New("additionalProperties refuses what another schema of the same object declares: use unevaluatedProperties, in the outer one")
	}
	for _, name := range f.required {
		if !slices.Contains(out.required, name) {
			out.required = append(out.required, name)
		}
	}
	return out, nil
}

func rational(n json.Number) *big.Rat {
	r, _ := new(big.Rat).SetString(n.String()) // any number of JSON is one
	return r
}

func readFalse(v any) error {
	if v != false {
		return errors.New("must be false, or left out")
	}
	return nil
}

func clauseCount(dst *int, v any) (err error) {
	*dst, err = count(v)
	return err
}

func clauseType(d *ruleDraft, v any) error {
	names, ok := v.([]any)
	if !ok {
		names = []any{v}
	}
	var types valueTypes
	for _, name := range names {
		s, _ := name.(string)
		if typesByName[s] == 0 {
			return fmt.Errorf("no type is called %v", name)
		}
		types |= typesByName[s]
	}
	d.own.types &= types
	return nil
}

func clauseConst(d *ruleDraft, v any) error {
	switch v := v.(type) {
	case string:
		d.own.types &= textType
		d.own.texts = []string{v}
		return nil
	case json.Number:
		// Between itself and itself: 1.0 is 1.
		c := anyValue()
		c.types, c.minimum, c.maximum = numberType, v, v
		d.others = append(d.others, c)
		return nil
	}
	return errors.New("must be a text or a number")
}

func clauseEnum(d *ruleDraft, v any) error {
	e := anyValue()
	e.types = textType
	d.others = append(d.others, e)
	return readTexts(&e.texts, v)
}

func clausePattern(d *ruleDraft, v any) error {
	s, ok := v.(string)
	if !ok {
		return errors.New("not a text")
	}
	d.own.patterns = []string{s}
	return nil
}

func clauseFormat(d *ruleDraft, v any) error {
	if v != "date-time" {
		return fmt.Errorf("the fast validators do not know the format %v", v)
	}
	d.own.dateTime = true
	return nil
}

func clauseItems(d *ruleDraft, v any) (err error) {
	d.own.items, err = d.book.rule(v, d.file, d.pointer+"/items")
	return err
}

func clauseProperties(d *ruleDraft, v any) error {
	o, ok := v.(*object)
	if !ok {
		return errors.New("not an object")
	}
	d.formed = true
	for _, name := range o.keys {
		r, err := d.book.rule(o.values[name], d.file, d.pointer+"/properties/"+name)
		if err != nil {
			return err
		}
		d.form.members = append(d.form.members, formMember{name, r})
	}
	return nil
}

func clauseRef(d *ruleDraft, v any) error {
	ref, ok := v.(string)
	if !ok || strings.Contains(ref, "#") {
		return errors.New("must be the relative path of another file")
	}
	r, err := d.book.file(path.Join(path.Dir(d.file), ref))
	d.others = append(d.others, r)
	return err
}

func clauseAllOf(d *ruleDraft, v any) error {
	list, ok := v.([]any)
	if !ok {
		return errors.New("not a list of schemas")
	}
	for i, item := range list {
		pointer := fmt.Sprintf("%s/allOf/%d", d.pointer, i)
		o, ok := item.(*object)
		if !ok || o.values["if"] == nil {
			r, err := d.book.rule(item, d.file, pointer)
			if err != nil {
				return err
			}
			d.others = append(d.others, r)
			continue
		}
		if err := d.addCase(o, pointer); err != nil {
			return err
		}
	}
	return nil
}

func (d *ruleDraft) addCase(o *object, pointer string) error {
	test, err := parseCase(&schema{path: d.file}, o, pointer)
	if err != nil {
		return err
	}
	then, err := d.book.rule(o.values["then"], d.file, pointer+"/then")
	if err != nil {
		return err
	}
	c := formCase{property: test.property, values: test.values, then: &form{}}
	if then.form != nil {
		c.then = then.form
	}
	rest := *then
	rest.form = nil
	if rest.types != anyType || !rest.byType() || c.then.closed || len(c.then.cases) > 0 {
		return errors.New("the then of a case has properties and required, and nothing else")
	}
	for _, m := range c.then.members {
		if m.rule.form != nil {
			d.book.carried[m.rule.form.title] = true
		}
	}
	d.formed = true
	d.form.cases = append(d.form.cases, c)
	return nil
}

// clauseAnyOf knows "this, or null".
func clauseAnyOf(d *ruleDraft, v any) error {
	list, ok := v.([]any)
	if !ok || len(list) != 2 {
		return errors.New("must be a schema, and then null")
	}
	this, err := d.book.rule(list[0], d.file, d.pointer+"/anyOf/0")
	if err != nil {
		return err
	}
	other, err := d.book.rule(list[1], d.file, d.pointer+"/anyOf/1")
	if err != nil {
		return err
	}
	if other.types != nullType || !other.byType() {
		return errors.New("must be a schema, and then null")
	}
	orNull := *this
	orNull.types |= nullType // nothing else in a rule is about null
	d.others = append(d.others, &orNull)
	return nil
}
