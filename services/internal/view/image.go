package view

import (
	"bytes"
	"encoding/json"
	"slices"
	"sync"
)

// Image is one state of an entity or insight: its attributes as they are on the wire. It is read at most
// once, when it is first asked for an attribute, and may be used concurrently.
type Image struct {
	raw        json.RawMessage
	once       sync.Once
	attributes map[string]value
}

type value struct {
	isNumber, isText bool
	number           decimal
	text             string
}

// NewImage returns the image of these attributes, a JSON object. Of none there is no image: it is nil.
func NewImage(attributes json.RawMessage) *Image {
	if attributes == nil {
		return nil
	}
	return &Image{raw: attributes}
}

// maxNumberLength bounds the cost of a number; contracts allow no more.
const maxNumberLength = 64

func (i *Image) attribute(name string) (value, bool) {
	i.once.Do(func() {
		var members map[string]json.RawMessage
		if json.Unmarshal(i.raw, &members) != nil {
			return
		}
		i.attributes = make(map[string]value, len(members))
		for name, raw := range members {
			var v value
			if v.text, v.isText = readText(raw); !v.isText && len(raw) <= maxNumberLength {
				v.number, v.isNumber = readDecimal(raw)
			}
			i.attributes[name] = v
		}
	})
	v, ok := i.attributes[name]
	return v, ok
}

// Selection says which attributes of a state are sent. It is comparable. The zero value is all of them.
type Selection struct {
	mask uint64 // by the alphabetical order of the kind's attributes
}

// needed marks a selection that has chosen: those attributes are sent which the state cannot do without.
const needed = 1 << 63

// required are the attributes that every insight has; an entity has none that it must have.
var required = []string{"entity_id", "prediction_type", "risk_band", "risk_score", "timestamp"}

// Project returns the attributes without those that are not selected. The rest keeps its bytes and its
// order. If all are selected, what is returned is what was given.
func (s Selection) Project(kind string, attributes json.RawMessage) json.RawMessage {
	if s.mask == 0 {
		return attributes
	}
	names := catalogue(kind).Names()
	selected := func(name string) bool {
		if kind == insight && slices.Contains(required, name) {
			return true
		}
		at, ok := slices.BinarySearch(names, name)
		return ok && s.mask&(1<<at) != 0
	}
	decoder := json.NewDecoder(bytes.NewReader(attributes))
	decoder.UseNumber()
	if _, err := decoder.Token(); err != nil {
		return attributes
	}
	out := append(make(json.RawMessage, 0, len(attributes)), '{')
	for decoder.More() {
		name, err := decoder.Token()
		var member json.RawMessage
		if err == nil {
			err = decoder.Decode(&member)
		}
		if err != nil {
			return attributes
		}
		text, _ := name.(string)
		if !selected(text) {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, '"')
		out = append(out, text...) // the catalogue has no name that needs an escape
		out = append(out, '"', ':')
		out = append(out, member...)
	}
	return append(out, '}')
}
