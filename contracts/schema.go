package contracts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/big"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// schema is one JSON Schema, compiled. It knows the keywords that scripts/gen-contracts lets a schema have,
// and no others. A general validator compiles the schemas of JSON Schema itself before main begins, which is
// half of what a function needs to start; the tests hold this one against such a validator.
type schema struct {
	never      bool // the schema false
	types      []string
	constant   any // nil: none
	enum       []any
	dateTime   bool
	ref        *schema
	properties map[string]*schema
	required   []string
	closed     string // additionalProperties or unevaluatedProperties, where that is false
	items      *schema
	unique     bool
	counts     map[string]int // minItems, maxItems, minLength and maxLength
	pattern    *regexp.Regexp
	least      *big.Rat
	most       *big.Rat
	allOf      []*schema
	anyOf      []*schema
	condition  *schema // if
	then       *schema
}

// typeNames are in the order in which a fault names them.
var typeNames = []string{"null", "boolean", "number", "integer", "string", "array", "object"}

// compiler reads the files of schemas that refer to each other.
type compiler map[string]*schema

// compile panics where an embedded schema does not compile: no test would have passed.
func compile(file string) *schema { return compiler{}.file(file) }

func (c compiler) file(name string) *schema {
	if s := c[name]; s != nil {
		return s
	}
	s := &schema{}
	c[name] = s
	content, err := Schemas.ReadFile(name)
	if err != nil {
		panic("contracts: " + err.Error())
	}
	tree, err := parse(content, 0)
	if err != nil {
		panic("contracts: " + name + ": " + err.Error())
	}
	c.fill(s, tree, name)
	return s
}

func (c compiler) schema(v any, file string) *schema {
	s := &schema{}
	c.fill(s, v, file)
	return s
}

func (c compiler) list(v any, file string) []*schema {
	var all []*schema
	for _, item := range v.([]any) {
		all = append(all, c.schema(item, file))
	}
	return all
}

func (c compiler) fill(s *schema, v any, file string) {
	if v == false {
		s.never = true
		return
	}
	s.counts = map[string]int{}
	for keyword, v := range v.(map[string]any) {
		switch keyword {
		case "$schema", "$id", "title", "description", "examples":
		case "type":
			s.types = texts(v)
			slices.SortFunc(s.types, func(a, b string) int { return slices.Index(typeNames, a) - slices.Index(typeNames, b) })
		case "const":
			s.constant = v
		case "enum":
			s.enum = v.([]any)
		case "format":
			s.dateTime = v == "date-time"
			if !s.dateTime {
				panic(fmt.Sprintf("contracts: %s: format %v", file, v))
			}
		case "$ref":
			s.ref = c.file(path.Join(path.Dir(file), v.(string)))
		case "properties":
			s.properties = map[string]*schema{}
			for name, sub := range v.(map[string]any) {
				s.properties[name] = c.schema(sub, file)
			}
		case "required":
			s.required = texts(v)
		case "additionalProperties", "unevaluatedProperties":
			s.closed = keyword
			if v != false {
				panic(fmt.Sprintf("contracts: %s: %s is not false", file, keyword))
			}
		case "items":
			s.items = c.schema(v, file)
		case "uniqueItems":
			s.unique = v.(bool)
		case "minItems", "maxItems", "minLength", "maxLength":
			n, err := strconv.Atoi(string(v.(json.Number)))
			if err != nil {
				panic("contracts: " + file + ": " + err.Error())
			}
			s.counts[keyword] = n
		case "pattern":
			s.pattern = regexp.MustCompile(v.(string))
		case "minimum":
			s.least = exact(v)
		case "maximum":
			s.most = exact(v)
		case "allOf":
			s.allOf = c.list(v, file)
		case "anyOf":
			s.anyOf = c.list(v, file)
		case "if":
			s.condition = c.schema(v, file)
		case "then":
			s.then = c.schema(v, file)
		default:
			if !strings.HasPrefix(keyword, "x-") {
				panic(fmt.Sprintf("contracts: %s: keyword %s is not known", file, keyword))
			}
		}
	}
}

func texts(v any) []string {
	if text, ok := v.(string); ok {
		return []string{text}
	}
	var all []string
	for _, item := range v.([]any) {
		all = append(all, item.(string))
	}
	return all
}

// exact is the value of a number, which [checkTree] has bounded.
func exact(v any) *big.Rat {
	r, ok := new(big.Rat).SetString(fmt.Sprint(v))
	if !ok {
		panic(fmt.Sprintf("contracts: %v is not a number", v))
	}
	return r
}

// check returns what is wrong with a value at a place, and the names of the members that the schema knows. A
// value that is not of the right kind at all has that one fault.
func (s *schema) check(v any, at []string) (faults []fault, known map[string]bool) {
	if f, ok := s.mistaken(v, at); ok {
		return []fault{f}, nil
	}
	known = map[string]bool{}
	judge := func(sub *schema) (found []fault) {
		found, names := sub.check(v, at)
		if len(found) == 0 {
			maps.Copy(known, names)
		}
		return found
	}
	if s.ref != nil {
		faults = judge(s.ref)
	}
	switch v := v.(type) {
	case map[string]any:
		faults = append(faults, s.checkObject(v, at, known)...)
	case []any:
		faults = append(faults, s.checkArray(v, at)...)
	case string:
		faults = append(faults, s.checkText(v, at)...)
	case nil, bool:
	default:
		faults = append(faults, s.checkNumber(v, at)...)
	}
	for _, sub := range s.allOf {
		faults = append(faults, judge(sub)...)
	}
	if len(s.anyOf) > 0 {
		faults = append(faults, anyOf(s.anyOf, judge)...)
	}
	if s.condition != nil && len(judge(s.condition)) == 0 && s.then != nil {
		faults = append(faults, judge(s.then)...)
	}
	if object, ok := v.(map[string]any); ok && s.closed != "" {
		for name := range object {
			if !known[name] {
				faults = append(faults, faultAt(append(at, name), s.closed, "is not declared in the schema"))
			}
		}
		for name := range object {
			known[name] = true
		}
	}
	return faults, known
}

func faultAt(at []string, keyword, message string) fault {
	return fault{Invalid{pointerTo(at), keyword, message}, len(at)}
}

// mistaken reports the fault of a value that nothing else need be said of.
func (s *schema) mistaken(v any, at []string) (fault, bool) {
	keyword, message := "", ""
	switch is := typeOf(v); {
	case s.never:
		keyword, message = "false", "must not be here"
	case len(s.types) > 0 && !slices.Contains(s.types, is) && !(is == "number" && slices.Contains(s.types, "integer") && exact(v).IsInt()):
		keyword, message = "type", "must be "+strings.Join(s.types, " or ")+", not "+is
	case s.constant != nil && !equal(v, s.constant):
		keyword, message = "const", fmt.Sprintf("must be %v", s.constant)
	case s.enum != nil && !slices.ContainsFunc(s.enum, func(known any) bool { return equal(v, known) }):
		keyword, message = "enum", fmt.Sprintf("must be one of %v", s.enum)
	case s.dateTime && is == "string" && !isDateTime([]byte(v.(string))):
		keyword, message = "format", "is not a valid date-time"
	default:
		return fault{}, false
	}
	return faultAt(at, keyword, message), true
}

func typeOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	}
	return "number"
}

// equal compares numbers by value.
func equal(a, b any) bool {
	if typeOf(a) != typeOf(b) {
		return false
	}
	switch a := a.(type) {
	case nil, bool, string:
		return a == b
	case []any:
		return slices.EqualFunc(a, b.([]any), equal)
	case map[string]any:
		return maps.EqualFunc(a, b.(map[string]any), equal)
	}
	return exact(a).Cmp(exact(b)) == 0
}

func (s *schema) checkObject(object map[string]any, at []string, known map[string]bool) (faults []fault) {
	for _, name := range s.required {
		if _, ok := object[name]; !ok {
			faults = append(faults, faultAt(append(at, name), "required", "is missing"))
		}
	}
	for name, sub := range s.properties {
		if v, ok := object[name]; ok {
			known[name] = true
			found, _ := sub.check(v, append(at, name))
			faults = append(faults, found...)
		}
	}
	return faults
}

func (s *schema) checkArray(array []any, at []string) (faults []fault) {
	if least, ok := s.counts["minItems"]; ok && len(array) < least {
		faults = append(faults, faultAt(at, "minItems", fmt.Sprintf("must have at least %d items, not %d", least, len(array))))
	}
	if most, ok := s.counts["maxItems"]; ok && len(array) > most {
		faults = append(faults, faultAt(at, "maxItems", fmt.Sprintf("must have at most %d items, not %d", most, len(array))))
	}
	if i, j := repeated(array); s.unique && j > 0 {
		faults = append(faults, faultAt(at, "uniqueItems", fmt.Sprintf("items %d and %d are equal", i, j)))
	}
	if s.items != nil {
		for i, item := range array {
			found, _ := s.items.check(item, append(at, strconv.Itoa(i)))
			faults = append(faults, found...)
		}
	}
	return faults
}

// repeated returns two places with equal items, or zeros.
func repeated(array []any) (first, second int) {
	seen := map[string]int{} // texts, by far the most
	for j, item := range array {
		if text, ok := item.(string); ok {
			if i, before := seen[text]; before {
				return i, j
			}
			seen[text] = j
			continue
		}
		for i := range j {
			if equal(array[i], item) {
				return i, j
			}
		}
	}
	return 0, 0
}

func (s *schema) checkText(text string, at []string) (faults []fault) {
	n := utf8.RuneCountInString(text)
	if least, ok := s.counts["minLength"]; ok && n < least {
		faults = append(faults, faultAt(at, "minLength", fmt.Sprintf("must have at least %d characters, not %d", least, n)))
	}
	if most, ok := s.counts["maxLength"]; ok && n > most {
		faults = append(faults, faultAt(at, "maxLength", fmt.Sprintf("must have at most %d characters, not %d", most, n)))
	}
	if s.pattern != nil && !s.pattern.MatchString(text) {
		faults = append(faults, faultAt(at, "pattern", "must match "+s.pattern.String()))
	}
	return faults
}

func (s *schema) checkNumber(v any, at []string) (faults []fault) {
	if s.least != nil && exact(v).Cmp(s.least) < 0 {
		faults = append(faults, faultAt(at, "minimum", "must be at least "+decimal(s.least)+", not "+decimal(exact(v))))
	}
	if s.most != nil && exact(v).Cmp(s.most) > 0 {
		faults = append(faults, faultAt(at, "maximum", "must be at most "+decimal(s.most)+", not "+decimal(exact(v))))
	}
	return faults
}

// anyOf is "this, or null": of a value that is not null only the first says anything useful.
func anyOf(alternatives []*schema, judge func(*schema) []fault) (faults []fault) {
	for _, sub := range alternatives {
		found := judge(sub)
		if len(found) == 0 {
			return nil
		}
		if len(faults) == 0 || !slices.Equal(sub.types, []string{"null"}) {
			faults = append(faults, found...)
		}
	}
	return faults
}

// decode reads exactly one JSON value, its numbers as they are written.
func decode(document []byte) (tree any, err error) {
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	if err := d.Decode(&tree); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errSyntax
	}
	return tree, nil
}
