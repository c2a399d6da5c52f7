package normalizer

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/quarantine"
)

// attributes are the public attributes of a row: texts, lists of texts, and json.Number in its one
// exact form, so that equal values are equal here. Nil is no row.
type attributes map[string]any

// public picks the public attributes out of a row, and completes them. An attribute that is NULL is
// absent. The row is below where in the record.
func (o *outcome) public(row image, where string) (attributes, *quarantine.Reason) {
	picked := attributes{}
	var wrong *quarantine.Reason
	for name, raw := range row {
		a, ok := o.kind.attribute(o.entity, name)
		if !ok {
			continue
		}
		value, fault := publicValue(a, raw, where+"/"+name)
		// Of several faults the first in the alphabet counts, so that a retry says the same.
		if fault != nil && (wrong == nil || fault.Pointer < wrong.Pointer) {
			wrong = fault
		}
		if value != nil {
			picked[name] = value
		}
	}
	if wrong != nil {
		return nil, wrong
	}
	o.kind.complete(picked)
	return picked, nil
}

// dynamoType is the DynamoDB type in which a row has an attribute.
func dynamoType(k contracts.AttributeKind) string {
	switch k {
	case contracts.AttributeInteger, contracts.AttributeNumber:
		return "N"
	case contracts.AttributeTexts:
		return "L"
	default:
		return "S"
	}
}

// publicValue reads the value of an attribute, which is nil for NULL.
func publicValue(a contracts.Attribute, raw json.RawMessage, pointer string) (any, *quarantine.Reason) {
	refuse := func(at, code, message string) (any, *quarantine.Reason) {
		return nil, &quarantine.Reason{Code: code, Pointer: at, Message: message}
	}
	mistyped := func(at, want, kind string) (any, *quarantine.Reason) {
		if kind == "" {
			return refuse(at, "type", "is no DynamoDB attribute value")
		}
		return refuse(at, "type", "must be a DynamoDB "+want+", not "+kind)
	}
	want := dynamoType(a.Kind)
	kind, text := attribute(raw)
	switch {
	case kind == "NULL":
		return nil, nil
	case kind != want:
		return mistyped(pointer, want, kind)
	case want == "S":
		return text, nil
	case want == "N":
		if n, ok := exactNumber(text); ok {
			return n, nil
		}
		return refuse(pointer, "number", "is not a DynamoDB number")
	}
	items, ok := list(raw)
	if !ok {
		return mistyped(pointer, want, "")
	}
	texts := make([]string, len(items))
	for i, item := range items {
		if kind, texts[i] = attribute(item); kind != "S" {
			return mistyped(pointer+"/"+strconv.Itoa(i), "S", kind)
		}
	}
	return texts, nil
}

// json writes the attributes, sorted by name; nil for no row.
func (a attributes) json() json.RawMessage {
	if a == nil {
		return nil
	}
	return marshal(map[string]any(a))
}

// largest names the attribute that takes the most room.
func (a attributes) largest() string {
	var name string
	size := -1
	for _, each := range slices.Sorted(maps.Keys(a)) {
		if n := len(marshal(a[each])); n > size {
			name, size = each, n
		}
	}
	return name
}

// instant is the time that an attribute names, or otherwise if that is not to be had.
func (a attributes) instant(name string, otherwise time.Time) time.Time {
	text, _ := a[name].(string)
	at, err := time.Parse(time.RFC3339, text)
	if at = at.UTC(); err != nil || at.Year() < 1 || at.Year() > 9999 {
		return otherwise
	}
	return at.Truncate(time.Millisecond)
}

// changed lists the names of the attributes that differ, sorted.
func changed(previous, current attributes) []string {
	names := []string{}
	for name, value := range current {
		if before, ok := previous[name]; !ok || !same(before, value) {
			names = append(names, name)
		}
	}
	for name := range maps.Keys(previous) {
		if _, ok := current[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// same compares two values of an attribute.
func same(a, b any) bool {
	x, listed := a.([]string)
	y, both := b.([]string)
	if listed || both {
		return listed && both && slices.Equal(x, y)
	}
	return a == b
}
