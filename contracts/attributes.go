package contracts

import (
	"maps"
	"slices"
)

// AttributeKind says what sort of value an attribute has.
type AttributeKind string

// The kinds of attributes.
const (
	AttributeInteger AttributeKind = "integer" // a whole number
	AttributeNumber  AttributeKind = "number"  // any number
	AttributeText    AttributeKind = "text"    // free text
	AttributeTexts   AttributeKind = "texts"   // a list of free texts
	AttributeChoice  AttributeKind = "choice"  // one of KnownValues
	AttributeInstant AttributeKind = "instant" // a time, RFC 3339
)

// Attribute describes one public attribute of an entity type or of insights.
type Attribute struct {
	Name    string // as on the wire
	Kind    AttributeKind
	Label   string // heads a column
	Meaning string // one sentence, without its full stop
	Unit    string // empty where there is none

	Minimum, Maximum float64  // inclusive; of integers and numbers only
	KnownValues      []string // of choices only
}

// EntityTypes lists the entity types in the order in which people should meet them.
func EntityTypes() []EntityType { return slices.Clone(entityTypes) }

// AttributeSet is the attributes of one entity type, or of insights. The zero value is empty. It is immutable.
type AttributeSet struct{ byName map[string]Attribute }

var attributeSets = func() map[EntityType]AttributeSet {
	out := make(map[EntityType]AttributeSet, len(attributes))
	for t, list := range attributes {
		out[t] = newAttributeSet(list)
	}
	return out
}()

var insightSet = newAttributeSet(insightAttributes)

func newAttributeSet(list []Attribute) AttributeSet {
	byName := make(map[string]Attribute, len(list))
	for _, a := range list {
		byName[a.Name] = a
	}
	return AttributeSet{byName}
}

// PublicAttributes is the allow-list of an entity type: what it does not have must not leave the table.
// It is empty for a type that is not known.
func PublicAttributes(t EntityType) AttributeSet { return attributeSets[t] }

// InsightAttributes is the allow-list of insights, with the same force. One of them, risk_band, is not
// in the table: [RiskBandOf] says what it is.
func InsightAttributes() AttributeSet { return insightSet }

// Has reports whether the set has an attribute of this name.
func (s AttributeSet) Has(name string) bool {
	_, ok := s.byName[name]
	return ok
}

// Get returns the attribute of this name. Its KnownValues must not be changed.
func (s AttributeSet) Get(name string) (Attribute, bool) {
	a, ok := s.byName[name]
	return a, ok
}

// Len is the number of attributes.
func (s AttributeSet) Len() int { return len(s.byName) }

// Names returns the names in alphabetical order.
func (s AttributeSet) Names() []string { return slices.Sorted(maps.Keys(s.byName)) }
