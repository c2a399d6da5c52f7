package view

import (
	"bytes"
	"encoding/json"
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

func (i *Image) attribute(name string) (value, bool) {
	i.once.Do(func() {
		var members map[string]json.RawMessage
		if json.Unmarshal(i.raw, &members) != nil {
			return
		}
		i.attributes = make(map[string]value, len(members))
		for name, raw := range members {
			var v value
			if v.text, v.isText = readText(raw); !v.isText {
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
	mask uint64 // see kind.bits
}

// chosen marks a selection that is not all of them, even where it is none.
const chosen = 1 << 63

// Project returns the attributes, a JSON object, without those that are not selected. The rest keeps its
// bytes and its order. If all are selected, what is returned is what was given.
//
// It does not check the object. Of what is not valid it returns some part.
func (s Selection) Project(kind string, attributes json.RawMessage) json.RawMessage {
	if s.mask == 0 {
		return attributes
	}
	k := kinds[kind]
	out := append(make(json.RawMessage, 0, len(attributes)), '{')
	for rest := attributes; ; {
		start := bytes.IndexByte(rest, '"')
		if start < 0 {
			return append(out, '}')
		}
		rest = rest[start:]
		name := textEnd(rest)
		end := name + memberEnd(rest[name:])
		if end == len(rest) {
			return attributes // there is no bracket behind it
		}
		if s.mask&k.bit(rest[:name]) != 0 {
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(out, rest[:end]...)
		}
		rest = rest[end:]
	}
}

// bit returns that of an attribute, by its name as a JSON text, or 0.
func (k kind) bit(name []byte) uint64 {
	if bytes.IndexByte(name, '\\') < 0 {
		return k.bits[string(name[1:len(name)-1])]
	}
	text, _ := readText(name)
	return k.bits[text]
}

// textEnd is the length of the JSON text that b starts with, or of b if it does not end.
func textEnd(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// memberEnd is how far it is, from behind a name, to the comma or bracket that ends its member, or to the
// end of b.
func memberEnd(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i += textEnd(b[i:]) - 1
		case '{', '[':
			depth++
		case ',':
			if depth == 0 {
				return i
			}
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
		}
	}
	return len(b)
}
