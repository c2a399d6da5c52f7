package main

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// model is what the schemas say, in the terms of a programming language.
type model struct {
	set      *schemaSet
	kinds    []kind
	structs  []*structure // in the order in which they are first met
	enums    []*enumeration
	entities []entity
	insight  entity
}

// kind is one form of document that crosses a boundary: an event, a frame, an entity's attributes.
type kind struct {
	path     string // without .json
	name     string
	doc      string
	maxBytes int
}

type structure struct {
	origin string // file and place of its schema
	name   string
	doc    string
	fields []field
	cases  []branch
}

type field struct {
	name     string
	doc      string
	required bool
	typ      fieldType
}

// fieldType says what a field may hold. Exactly one of the groups below is set.
type fieldType struct {
	basic    string // string, integer, number, boolean
	constant any    // with basic: the only value

	enum   *enumeration
	object *structure
	items  *fieldType

	raw bool // an object that the cases describe

	union []string // the names of several JSON types, of which a value has one

	nullable bool
}

type enumeration struct {
	origin string // file and place of its schema
	name   string
	doc    string
	values []string
}

// entity is an entity type, or the insight, with the attributes that it shows.
type entity struct {
	name       string // student
	object     *structure
	attributes []attribute
	required   []string
	major      int
}

type attribute struct {
	name, label, meaning, unit string
	doc                        string
	kind                       string // integer, number, text, texts, choice, instant
	minimum, maximum           json.Number
	values                     []string
}

func newModel(set *schemaSet) (*model, error) {
	m := &model{set: set}
	for _, file := range set.files {
		if strings.HasPrefix(file.path, "defs/") {
			continue // types are made of these where something uses them
		}
		m.kinds = append(m.kinds, kind{
			path:     strings.TrimSuffix(file.path, ".json"),
			name:     file.title,
			doc:      file.description,
			maxBytes: file.maxBytes,
		})
		object, err := m.structure(file)
		if err != nil {
			return nil, err
		}
		if name, ok := strings.CutPrefix(path.Dir(file.path), "entities/"); ok {
			e, err := m.entity(name, file, object)
			if err != nil {
				return nil, err
			}
			if len(e.required) > 0 {
				return nil, fmt.Errorf("%s: every attribute is optional", file)
			}
			m.addEntity(e)
		}
		if file.path == insightPath {
			if m.insight, err = m.entity("insight", file, object); err != nil {
				return nil, err
			}
		}
	}
	if m.insight.object == nil {
		return nil, fmt.Errorf("there is no %s", insightPath)
	}
	return m, m.checkEntityTypes()
}

const insightPath = "findings/insight/v1.json"

// addEntity keeps the oldest major version of an entity type: the catalogue of attributes follows it, so
// that a new version changes nothing that is sent today.
func (m *model) addEntity(e entity) {
	at := slices.IndexFunc(m.entities, func(o entity) bool { return o.name == e.name })
	switch {
	case at < 0:
		m.entities = append(m.entities, e)
	case m.entities[at].major > e.major:
		m.entities[at] = e
	}
}

// checkEntityTypes holds the enumeration of entity types and the folders of entities/ together.
func (m *model) checkEntityTypes() error {
	var folders []string
	for _, e := range m.entities {
		folders = append(folders, e.name)
	}
	for _, e := range m.enums {
		if e.name == entityTypeName {
			sorted := slices.Sorted(slices.Values(e.values))
			if !slices.Equal(sorted, folders) {
				return fmt.Errorf("entities/ has %v, but %s lists %v", folders, entityTypeName, sorted)
			}
			// The enumeration gives the order.
			slices.SortFunc(m.entities, func(a, b entity) int {
				return slices.Index(e.values, a.name) - slices.Index(e.values, b.name)
			})
			return nil
		}
	}
	return fmt.Errorf("no schema uses the enum titled %s", entityTypeName)
}

const entityTypeName = "EntityType"

// target follows the reference of s, if it has one.
func (m *model) target(s *schema) (*schema, error) {
	for s.ref != "" {
		next, ok := m.set.byPath[s.ref]
		if !ok {
			return nil, fmt.Errorf("%s: there is no %s", s, s.ref)
		}
		s = next
	}
	return s, nil
}

func (m *model) structure(s *schema) (*structure, error) {
	for _, known := range m.structs {
		if known.name != s.title {
			continue
		}
		if known.origin != s.String() {
			return nil, fmt.Errorf("%s: %s is titled %s too", s, known.origin, s.title)
		}
		return known, nil
	}
	if s.title == "" {
		return nil, fmt.Errorf("%s: an object has a title, which names its type", s)
	}
	if !slices.Equal(s.types, []string{"object"}) {
		return nil, fmt.Errorf("%s: an object says \"type\": \"object\"", s)
	}
	if !s.closed {
		return nil, fmt.Errorf("%s: a producer's object is closed by additionalProperties or unevaluatedProperties", s)
	}
	out := &structure{origin: s.String(), name: s.title, doc: s.description}
	m.structs = append(m.structs, out)
	flat, err := m.flatten(s)
	if err != nil {
		return nil, err
	}
	for _, p := range flat.properties {
		f, err := m.field(p.name, p.schema, p.inherited)
		if err != nil {
			return nil, err
		}
		f.required = slices.Contains(flat.required, p.name)
		out.fields = append(out.fields, f)
	}
	out.cases = s.cases
	return out, nil
}

// flattened is a schema's own properties and those that it takes over by allOf.
type flattened struct {
	properties []flatProperty
	required   []string
}

type flatProperty struct {
	property
	inherited string // description of the property that this one refines
}

func (m *model) flatten(s *schema) (flattened, error) {
	var out flattened
	for _, part := range s.allOf {
		base, err := m.target(part)
		if err != nil {
			return out, err
		}
		if len(base.cases) > 0 {
			return out, fmt.Errorf("%s: an object that others take over has no cases", base)
		}
		flat, err := m.flatten(base)
		if err != nil {
			return out, err
		}
		out.properties = append(out.properties, flat.properties...)
		out.required = append(out.required, flat.required...)
	}
	for _, p := range s.properties {
		at := slices.IndexFunc(out.properties, func(f flatProperty) bool { return f.name == p.name })
		if at < 0 {
			out.properties = append(out.properties, flatProperty{property: p})
			continue
		}
		out.properties[at] = flatProperty{property: p, inherited: out.properties[at].schema.description}
	}
	out.required = append(out.required, s.required...)
	return out, nil
}

func (m *model) field(name string, s *schema, inherited string) (field, error) {
	typ, err := m.fieldType(s)
	if err != nil {
		return field{}, err
	}
	target, err := m.target(s)
	if err != nil {
		return field{}, err
	}
	doc := s.meaning
	for _, text := range []string{s.description, inherited, target.description} {
		if doc == "" {
			doc = text
		}
	}
	if doc == "" {
		return field{}, fmt.Errorf("%s: a field has a description", s)
	}
	return field{name: name, doc: doc, typ: typ}, nil
}

func (m *model) fieldType(s *schema) (fieldType, error) {
	site := s
	s, err := m.target(s)
	if err != nil {
		return fieldType{}, err
	}
	switch c := s.constant.(type) {
	case string:
		return fieldType{basic: "string", constant: c}, nil
	case json.Number:
		return fieldType{basic: "integer", constant: c}, nil
	}
	if len(s.values()) > 0 {
		e, err := m.enumeration(s)
		return fieldType{enum: e}, err
	}
	if len(s.anyOf) > 0 {
		t, err := m.fieldType(s.anyOf[0])
		t.nullable = true
		return t, err
	}
	types := s.types
	nullable := slices.Contains(types, "null")
	if nullable {
		types = slices.DeleteFunc(slices.Clone(types), func(t string) bool { return t == "null" })
	}
	if len(types) == 0 && nullable {
		return fieldType{basic: "null"}, nil
	}
	if len(types) == 0 {
		return fieldType{}, fmt.Errorf("%s: says no type", site)
	}
	if len(types) > 1 {
		return fieldType{union: s.types}, nil
	}
	switch types[0] {
	case "array":
		if s.items == nil {
			return fieldType{}, fmt.Errorf("%s: an array has items", s)
		}
		items, err := m.fieldType(s.items)
		return fieldType{items: &items, nullable: nullable}, err
	case "object":
		if len(s.properties) == 0 && len(s.allOf) == 0 {
			return fieldType{raw: true, nullable: nullable}, nil
		}
		object, err := m.structure(s)
		return fieldType{object: object, nullable: nullable}, err
	}
	return fieldType{basic: types[0], nullable: nullable}, nil
}

func (m *model) enumeration(s *schema) (*enumeration, error) {
	for _, known := range m.enums {
		if known.name != s.title {
			continue
		}
		if known.origin != s.String() {
			return nil, fmt.Errorf("%s: %s is titled %s too", s, known.origin, s.title)
		}
		return known, nil
	}
	e := &enumeration{origin: s.String(), name: s.title, doc: s.description, values: s.values()}
	m.enums = append(m.enums, e)
	return e, nil
}

func (m *model) entity(name string, file *schema, object *structure) (entity, error) {
	flat, err := m.flatten(file)
	if err != nil {
		return entity{}, err
	}
	major, err := majorOf(file.path)
	if err != nil {
		return entity{}, err
	}
	e := entity{name: name, object: object, required: flat.required, major: major}
	for _, p := range flat.properties {
		a, err := m.attribute(p)
		if err != nil {
			return e, err
		}
		e.attributes = append(e.attributes, a)
	}
	return e, nil
}

// majorOf is the number that ends a path: 2 of entities/student/v2.json.
func majorOf(file string) (int, error) {
	name := strings.TrimSuffix(path.Base(file), ".json")
	major, err := strconv.Atoi(strings.TrimPrefix(name, "v"))
	if err != nil || major < 1 || name != fmt.Sprintf("v%d", major) {
		return 0, fmt.Errorf("%s: a form is a file like events/metric-update/v1.json", file)
	}
	return major, nil
}

func (m *model) attribute(p flatProperty) (attribute, error) {
	s, err := m.target(p.schema)
	if err != nil {
		return attribute{}, err
	}
	a := attribute{
		name:    p.name,
		label:   p.schema.title,
		meaning: p.schema.meaning,
		unit:    p.schema.unit,
		doc:     p.schema.description,
		minimum: s.minimum,
		maximum: s.maximum,
		values:  s.values(),
	}
	switch {
	case len(a.values) > 0:
		a.kind = "choice"
	case s.format == "date-time":
		a.kind = "instant"
	case slices.Equal(s.types, []string{"string"}):
		a.kind = "text"
	case slices.Equal(s.types, []string{"array"}) && s.items != nil && slices.Equal(s.items.types, []string{"string"}):
		a.kind = "texts"
	case slices.Equal(s.types, []string{"integer"}), slices.Equal(s.types, []string{"number"}):
		a.kind = s.types[0]
		if a.minimum == "" || a.maximum == "" || a.unit == "" {
			return a, fmt.Errorf("%s: a number has minimum, maximum and x-unit", p.schema)
		}
	default:
		return a, fmt.Errorf("%s: an attribute is a number, a text, a list of texts or an enum", p.schema)
	}
	if a.label == "" || a.meaning == "" {
		return a, fmt.Errorf("%s: an attribute has a title, which heads its column, and an x-meaning", p.schema)
	}
	return a, nil
}
