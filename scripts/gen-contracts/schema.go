package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// baseID is what every $id starts with; the rest of it is the file's path below contracts/schemas.
const baseID = "https://iops-dashboard.dev/contracts/"

// schema is one schema or subschema of the declared subset.
type schema struct {
	path    string // file, below contracts/schemas
	pointer string // place in the file

	never bool // the boolean schema false

	title       string
	description string
	meaning     string
	unit        string
	maxBytes    int

	ref        string // path of another file
	types      []string
	properties []property
	required   []string
	closed     bool
	items      *schema
	enum       []string
	known      []string // values that readers may meet, among others
	constant   any      // nil, string or json.Number
	minimum    json.Number
	maximum    json.Number
	pattern    string
	format     string

	allOf []*schema // without the cases
	anyOf []*schema
	cases []branch

	raw any
}

type property struct {
	name   string
	schema *schema
}

// branch is an if/then of the one form that the subset has: if the named property has one of these
// values, then these schemas hold as well.
type branch struct {
	condition *schema
	property  string
	values    []string
	then      *schema
}

func (s *schema) String() string { return s.path + "#" + s.pointer }

// values are those that a schema lists: all that there are (enum), or those that are known.
func (s *schema) values() []string {
	if len(s.enum) > 0 {
		return s.enum
	}
	return s.known
}

func (s *schema) property(name string) *schema {
	for _, p := range s.properties {
		if p.name == name {
			return p.schema
		}
	}
	return nil
}

// schemaSet is all files, in the order of their paths.
type schemaSet struct {
	files  []*schema
	byPath map[string]*schema
}

// load reads every schema below root, and checks that each stays within the subset.
func load(root fs.FS) (*schemaSet, error) {
	set := &schemaSet{byPath: map[string]*schema{}}
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if path.Ext(name) != ".json" {
			return fmt.Errorf("%s: only schemas belong here", name)
		}
		content, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		document, err := decode(content)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		s, err := parse(document, name, "")
		if err != nil {
			return err
		}
		o, ok := document.(*object)
		if !ok {
			return fmt.Errorf("%s: a file holds an object", name)
		}
		if id := o.values["$id"]; id != baseID+name {
			return fmt.Errorf("%s: $id must be %s%s", name, baseID, name)
		}
		if o.values["$schema"] != dialect {
			return fmt.Errorf("%s: $schema must be %s", name, dialect)
		}
		if s.title == "" || s.description == "" {
			return fmt.Errorf("%s: a file has a title, which names its type, and a description", name)
		}
		set.files = append(set.files, s)
		set.byPath[name] = s
		return nil
	})
	if err != nil {
		return nil, err
	}
	return set, nil
}

const dialect = "https://json-schema.org/draft/2020-12/schema"

// parse reads one schema; it fails on any keyword, or form of a keyword, outside the subset.
func parse(v any, file, pointer string) (*schema, error) {
	s := &schema{path: file, pointer: pointer, raw: v}
	if v == false {
		s.never = true
		return s, nil
	}
	o, ok := v.(*object)
	if !ok {
		return nil, fmt.Errorf("%s: a schema is an object or false", s)
	}
	for _, keyword := range o.keys {
		read, known := keywords[keyword]
		if !known {
			return nil, fmt.Errorf("%s: unknown keyword %q: teach scripts/gen-contracts what it means, or do without", s, keyword)
		}
		if err := read(s, o.values[keyword]); err != nil {
			return nil, fmt.Errorf("%s/%s: %w", s, keyword, err)
		}
	}
	if len(s.enum)+len(s.known) > 0 && s.title == "" && !strings.Contains(pointer, "/if/") {
		return nil, fmt.Errorf("%s: an enum has a title, which names its type", s)
	}
	if len(s.known) > 0 && (len(s.enum) > 0 || !slices.Equal(s.types, []string{"string"})) {
		return nil, fmt.Errorf("%s: x-known-values are of a string, and stand in no schema with an enum", s)
	}
	for _, name := range s.required {
		if s.property(name) == nil && len(s.allOf) == 0 && !strings.HasSuffix(pointer, "/then") {
			return nil, fmt.Errorf("%s: required names %q, which properties does not", s, name)
		}
	}
	return s, nil
}

func parseList(s *schema, keyword string, v any) ([]*schema, error) {
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return nil, fmt.Errorf("not a list of schemas")
	}
	out := make([]*schema, 0, len(list))
	for i, item := range list {
		sub, err := parse(item, s.path, fmt.Sprintf("%s/%s/%d", s.pointer, keyword, i))
		if err != nil {
			return nil, err
		}
		out = append(out, sub)
	}
	return out, nil
}

// parseCase reads {"if": …, "then": …}.
func parseCase(s *schema, o *object, pointer string) (branch, error) {
	if len(o.keys) != 2 {
		return branch{}, fmt.Errorf("%s#%s: a case is an if and a then, nothing else", s.path, pointer)
	}
	condition, err := parse(o.values["if"], s.path, pointer+"/if")
	if err != nil {
		return branch{}, err
	}
	then, err := parse(o.values["then"], s.path, pointer+"/then")
	if err != nil {
		return branch{}, err
	}
	if len(condition.properties) != 1 || !slices.Equal(condition.required, []string{condition.properties[0].name}) {
		return branch{}, fmt.Errorf("%s: the if of a case names one property, and requires it", condition)
	}
	test := condition.properties[0]
	values := test.schema.enum
	if c, ok := test.schema.constant.(string); ok {
		values = []string{c}
	}
	if len(values) == 0 {
		return branch{}, fmt.Errorf("%s: a case tests a const or an enum of strings", condition)
	}
	return branch{condition: condition, property: test.name, values: values, then: then}, nil
}
