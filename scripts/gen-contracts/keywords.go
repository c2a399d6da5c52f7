package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
)

var (
	typeNames   = []string{"object", "array", "string", "integer", "number", "boolean", "null"}
	formatNames = []string{"date-time"}
)

// keywords is the declared subset of JSON Schema. Each entry reads a keyword's value into s, or says
// what is wrong with it.
var keywords map[string]func(s *schema, v any) error

func init() { // breaks the initialisation cycle: some keywords hold schemas
	keywords = map[string]func(*schema, any) error{
		"$schema":     readNothing,
		"$id":         readNothing,
		"examples":    readNothing,
		"minLength":   readCount,
		"maxLength":   readCount,
		"minItems":    readCount,
		"maxItems":    readCount,
		"uniqueItems": readTrue,

		"title":       func(s *schema, v any) error { return readText(&s.title, v) },
		"description": func(s *schema, v any) error { return readText(&s.description, v) },
		"x-meaning":   func(s *schema, v any) error { return readText(&s.meaning, v) },
		"x-unit":      func(s *schema, v any) error { return readText(&s.unit, v) },
		"minimum":     func(s *schema, v any) error { return readNumber(&s.minimum, v) },
		"maximum":     func(s *schema, v any) error { return readNumber(&s.maximum, v) },
		"required":    func(s *schema, v any) error { return readTexts(&s.required, v) },
		"enum":        func(s *schema, v any) error { return readTexts(&s.enum, v) },

		"x-known-values": func(s *schema, v any) error { return readTexts(&s.known, v) },

		"$ref":                  readRef,
		"type":                  readType,
		"const":                 readConst,
		"pattern":               readPattern,
		"format":                readFormat,
		"properties":            readProperties,
		"items":                 readItems,
		"allOf":                 readAllOf,
		"anyOf":                 readAnyOf,
		"additionalProperties":  readClosed,
		"unevaluatedProperties": readClosed,
		"x-max-bytes":           readMaxBytes,
	}
}

func readNothing(*schema, any) error { return nil }

func readCount(_ *schema, v any) error {
	_, err := count(v)
	return err
}

func count(v any) (int, error) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, errors.New("not a number")
	}
	i, err := strconv.Atoi(n.String())
	if err != nil || i < 0 {
		return 0, fmt.Errorf("%s is not a count", n)
	}
	return i, nil
}

func readTrue(_ *schema, v any) error {
	if v != true {
		return errors.New("must be true, or left out")
	}
	return nil
}

func readText(dst *string, v any) error {
	text, ok := v.(string)
	if !ok || text == "" {
		return errors.New("not a text")
	}
	*dst = text
	return nil
}

func readTexts(dst *[]string, v any) error {
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return errors.New("not a list of texts")
	}
	for _, item := range list {
		text, ok := item.(string)
		if !ok || text == "" || slices.Contains(*dst, text) {
			return errors.New("not a list of different texts")
		}
		*dst = append(*dst, text)
	}
	return nil
}

func readNumber(dst *json.Number, v any) error {
	n, ok := v.(json.Number)
	if !ok {
		return errors.New("not a number")
	}
	*dst = n
	return nil
}

func readRef(s *schema, v any) error {
	ref, ok := v.(string)
	if !ok || path.Ext(ref) != ".json" || path.IsAbs(ref) {
		return errors.New("must be the relative path of another file")
	}
	s.ref = path.Join(path.Dir(s.path), ref)
	return nil
}

func readType(s *schema, v any) error {
	if name, ok := v.(string); ok {
		v = []any{name}
	}
	if err := readTexts(&s.types, v); err != nil {
		return err
	}
	for _, name := range s.types {
		if !slices.Contains(typeNames, name) {
			return fmt.Errorf("no type is called %q", name)
		}
	}
	return nil
}

func readConst(s *schema, v any) error {
	switch v.(type) {
	case string, json.Number:
		s.constant = v
		return nil
	}
	return errors.New("must be a text or a number")
}

func readPattern(s *schema, v any) error {
	if err := readText(&s.pattern, v); err != nil {
		return err
	}
	_, err := regexp.Compile(s.pattern)
	return err
}

func readFormat(s *schema, v any) error {
	if err := readText(&s.format, v); err != nil {
		return err
	}
	if !slices.Contains(formatNames, s.format) {
		return fmt.Errorf("format %q is not one of %v", s.format, formatNames)
	}
	return nil
}

func readProperties(s *schema, v any) error {
	o, ok := v.(*object)
	if !ok {
		return errors.New("not an object")
	}
	for _, name := range o.keys {
		sub, err := parse(o.values[name], s.path, s.pointer+"/properties/"+name)
		if err != nil {
			return err
		}
		s.properties = append(s.properties, property{name, sub})
	}
	return nil
}

func readItems(s *schema, v any) (err error) {
	s.items, err = parse(v, s.path, s.pointer+"/items")
	return err
}

// readAllOf separates the references, whose properties the schema takes over, from its cases.
func readAllOf(s *schema, v any) error {
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return errors.New("not a list of schemas")
	}
	for i, item := range list {
		pointer := fmt.Sprintf("%s/allOf/%d", s.pointer, i)
		if o, ok := item.(*object); ok && o.values["if"] != nil {
			c, err := parseCase(s, o, pointer)
			if err != nil {
				return err
			}
			s.cases = append(s.cases, c)
			continue
		}
		sub, err := parse(item, s.path, pointer)
		if err != nil {
			return err
		}
		if sub.ref == "" {
			return errors.New("holds references and cases only")
		}
		s.allOf = append(s.allOf, sub)
	}
	return nil
}

// readAnyOf takes the one form whose faults are easy to explain: a reference, or null.
func readAnyOf(s *schema, v any) error {
	list, err := parseList(s, "anyOf", v)
	if err != nil {
		return err
	}
	if len(list) != 2 || list[0].ref == "" || !slices.Equal(list[1].types, []string{"null"}) {
		return errors.New("must be a reference, and then {\"type\": \"null\"}")
	}
	s.anyOf = list
	return nil
}

func readClosed(s *schema, v any) error {
	if v != false {
		return errors.New("must be false, or left out")
	}
	s.closed = true
	return nil
}

func readMaxBytes(s *schema, v any) (err error) {
	s.maxBytes, err = count(v)
	return err
}
