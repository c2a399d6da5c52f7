package normalizer

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/quarantine"
)

// attributes are the public attributes of a row: texts, and json.Number in its one exact form, so
// that equal values are equal here. Nil is no row.
type attributes map[string]any

// public picks the public attributes out of a row. An attribute that is NULL is absent. The row is
// below where in the record.
func public(t contracts.EntityType, row image, where string) (attributes, *quarantine.Reason) {
	allowed := contracts.PublicAttributes(t)
	picked := attributes{}
	var wrong *quarantine.Reason
	refuse := func(name, code, message string) {
		// Of several faults the first in the alphabet counts, so that a retry says the same.
		if pointer := where + "/" + name; wrong == nil || pointer < wrong.Pointer {
			wrong = &quarantine.Reason{Code: code, Pointer: pointer, Message: message}
		}
	}
	for name, raw := range row {
		a, ok := allowed.Get(name)
		if !ok {
			continue
		}
		want := "S"
		if a.Kind == contracts.AttributeInteger || a.Kind == contracts.AttributeNumber {
			want = "N"
		}
		switch kind, text := attribute(raw); {
		case kind == "NULL":
		case kind == "":
			refuse(name, "type", "is no DynamoDB attribute value")
		case kind != want:
			refuse(name, "type", "must be a DynamoDB "+want+", not "+kind)
		case want == "S":
			picked[name] = text
		default:
			if n, ok := exactNumber(text); ok {
				picked[name] = n
			} else {
				refuse(name, "number", "is not a DynamoDB number")
			}
		}
	}
	if wrong != nil {
		return nil, wrong
	}
	return picked, nil
}

// json writes the attributes, sorted by name; nil for no row.
func (a attributes) json() json.RawMessage {
	if a == nil {
		return nil
	}
	return marshal(map[string]any(a))
}

// lastUpdated is the writer's own time, or otherwise if that is not to be had.
func (a attributes) lastUpdated(otherwise time.Time) time.Time {
	text, _ := a["last_updated"].(string)
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
		if before, ok := previous[name]; !ok || before != value {
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
