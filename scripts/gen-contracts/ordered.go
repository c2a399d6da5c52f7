package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// object is a JSON object that remembers the order of its members: that order is the order of
// fields in the generated types.
type object struct {
	keys   []string
	values map[string]any
}

func (o *object) set(key string, value any) {
	if _, ok := o.values[key]; !ok {
		o.keys = append(o.keys, key)
	}
	o.values[key] = value
}

func newObject() *object { return &object{values: map[string]any{}} }

// decode reads one JSON document into *object, []any, string, json.Number, bool and nil.
func decode(document []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	v, err := decodeValue(d)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("text after the end of the document")
	}
	return v, nil
}

func decodeValue(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		o := newObject()
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			name := key.(string)
			if _, twice := o.values[name]; twice {
				return nil, fmt.Errorf("member %q appears twice", name)
			}
			value, err := decodeValue(d)
			if err != nil {
				return nil, err
			}
			o.set(name, value)
		}
		_, err := d.Token()
		return o, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			value, err := decodeValue(d)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err := d.Token()
		return list, err
	}
	return token, nil
}

// encode writes a document as people write it: two spaces a level, and what is short on one line.
func encode(v any) []byte {
	var b bytes.Buffer
	encodeValue(&b, v, "")
	b.WriteByte('\n')
	return b.Bytes()
}

// lineWidth is the longest line on which encode keeps an array or object together.
const lineWidth = 100

func encodeValue(b *bytes.Buffer, v any, indent string) {
	if o, isObject := v.(*object); !isObject || len(o.keys) <= 1 {
		if line := inline(v); len(indent)+len(line) <= lineWidth {
			b.WriteString(line)
			return
		}
	}
	deeper := indent + "  "
	switch v := v.(type) {
	case *object:
		b.WriteString("{\n")
		for i, key := range v.keys {
			fmt.Fprintf(b, "%s%s: ", deeper, quoted(key))
			encodeValue(b, v.values[key], deeper)
			if i < len(v.keys)-1 {
				b.WriteByte(',')
			}
			b.WriteByte('\n')
		}
		b.WriteString(indent + "}")
	case []any:
		b.WriteString("[\n")
		for i, item := range v {
			b.WriteString(deeper)
			encodeValue(b, item, deeper)
			if i < len(v)-1 {
				b.WriteByte(',')
			}
			b.WriteByte('\n')
		}
		b.WriteString(indent + "]")
	default:
		b.WriteString(inline(v))
	}
}

func inline(v any) string {
	switch v := v.(type) {
	case *object:
		if len(v.keys) == 0 {
			return "{}"
		}
		parts := make([]string, 0, len(v.keys))
		for _, key := range v.keys {
			parts = append(parts, quoted(key)+": "+inline(v.values[key]))
		}
		return "{ " + strings.Join(parts, ", ") + " }"
	case []any:
		parts := make([]string, 0, len(v))
		for _, item := range v {
			parts = append(parts, inline(item))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case string:
		return quoted(v)
	case json.Number:
		return v.String()
	case bool:
		if v {
			return "true"
		}
		return "false"
	default:
		return "null"
	}
}

func quoted(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // a string always encodes
	}
	return strings.TrimSuffix(b.String(), "\n")
}
