package normalizer

import (
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

// member is what a replayed record has besides what DynamoDB says. The normalizer ignores it, and keeps it with the
// record if that goes to the quarantine once more: so it is known there how often it was tried.
const member = "replay"

type marks struct {
	Run      string `json:"run,omitempty"`
	Count    int    `json:"count,omitempty"`
	Of       string `json:"of,omitempty"`
	EditedBy string `json:"edited_by,omitempty"`
}

var errNoRecord = errors.New("is no JSON object, so it is no record of a stream")

// Mark returns the record with those of the attributes that tell of its replays. All else of the record stays as it is, to
// the byte. Other attributes have no place in a record.
func Mark(record string, attributes map[string]redrive.Attribute) (string, error) {
	record, _, members, err := unmark(record)
	if err != nil {
		return "", err
	}
	m := marks{
		Run:      string(attributes[redrive.RunAttribute].Value),
		Of:       string(attributes[redrive.OfAttribute].Value),
		EditedBy: string(attributes[redrive.EditedAttribute].Value),
	}
	m.Count, _ = strconv.Atoi(string(attributes[redrive.CountAttribute].Value))
	if m == (marks{}) {
		return record, nil
	}
	text, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	at, separator := strings.IndexByte(record, '{')+1, ""
	if n := len(members); n > 0 {
		at, separator = members[n-1].end, ","
	}
	return record[:at] + separator + `"` + member + `":` + string(text) + record[at:], nil
}

// Unmark returns a record as it was before it was marked, and the marks as the attributes that they were. The error is
// that it is no JSON object.
func Unmark(record string) (string, map[string]redrive.Attribute, error) {
	record, attributes, _, err := unmark(record)
	return record, attributes, err
}

// unmark returns the members that are left, too.
func unmark(record string) (string, map[string]redrive.Attribute, []span, error) {
	attributes := map[string]redrive.Attribute{}
	members, err := scan(record)
	if err != nil {
		return "", nil, nil, err
	}
	for i := len(members) - 1; i >= 0; i-- {
		m := members[i]
		if m.name != member {
			continue
		}
		for name, a := range readMarks(m.value) {
			if _, later := attributes[name]; !later {
				attributes[name] = a
			}
		}
		from, to := m.start, m.end // and a comma
		switch {
		case i > 0:
			from = members[i-1].end
		case len(members) > 1:
			to = members[1].start
		}
		record = record[:from] + record[to:]
		members, _ = scan(record)
	}
	return record, attributes, members, nil
}

// readMarks takes from the member what it can: somebody may have edited it.
func readMarks(value json.RawMessage) map[string]redrive.Attribute {
	var fields map[string]json.RawMessage
	if json.Unmarshal(value, &fields) != nil {
		return nil
	}
	attributes := map[string]redrive.Attribute{}
	for field, name := range map[string]string{"run": redrive.RunAttribute, "of": redrive.OfAttribute, "edited_by": redrive.EditedAttribute} {
		var text string
		if json.Unmarshal(fields[field], &text) == nil && text != "" {
			attributes[name] = redrive.Text(text)
		}
	}
	var count int
	if json.Unmarshal(fields["count"], &count) == nil && count != 0 {
		attributes[redrive.CountAttribute] = redrive.Attribute{Type: "Number", Value: strconv.AppendInt(nil, int64(count), 10)}
	}
	return attributes
}

// span is a member of an object, and where it is in the text.
type span struct {
	name       string
	value      json.RawMessage
	start, end int
}

// scan finds the members of a JSON object.
func scan(text string) ([]span, error) {
	d := json.NewDecoder(strings.NewReader(text))
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return nil, errNoRecord
	}
	var members []span
	for d.More() {
		rest := text[d.InputOffset():]
		m := span{start: len(text) - len(strings.TrimLeft(rest, ", \t\r\n"))}
		name, err := d.Token()
		if err != nil {
			return nil, errNoRecord
		}
		m.name = name.(string) // the decoder takes no other
		if err := d.Decode(&m.value); err != nil {
			return nil, errNoRecord
		}
		m.end = int(d.InputOffset())
		members = append(members, m)
	}
	if _, err := d.Token(); err != nil {
		return nil, errNoRecord
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errNoRecord
	}
	return members, nil
}
