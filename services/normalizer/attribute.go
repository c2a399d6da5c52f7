package normalizer

import (
	"encoding/json"
)

// The ten types of a DynamoDB attribute value.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html
var attributeTypes = map[string]bool{
	"S": true, "N": true, "B": true, "BOOL": true, "NULL": true,
	"L": true, "M": true, "SS": true, "NS": true, "BS": true,
}

// attribute decodes an attribute value: its type, and the text of an S or N. The type is empty if
// it is no attribute value.
func attribute(raw json.RawMessage) (kind, text string) {
	if kind, text, ok := plainAttribute(raw); ok {
		return kind, text
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || len(members) != 1 {
		return "", ""
	}
	for name, value := range members {
		kind = name
		if !attributeTypes[name] {
			return "", ""
		}
		if name == "S" || name == "N" {
			var decoded *string
			if err := json.Unmarshal(value, &decoded); err != nil || decoded == nil {
				return "", ""
			}
			text = *decoded
		}
	}
	return kind, text
}

// list returns the attribute values in an L, undecoded.
func list(raw json.RawMessage) ([]json.RawMessage, bool) {
	var value struct{ L *[]json.RawMessage }
	if err := json.Unmarshal(raw, &value); err != nil || value.L == nil {
		return nil, false
	}
	return *value.L, true
}

// plainAttribute is attribute for the usual case, {"N":"12"} or {"S":"text"} with no space and
// nothing escaped, at a tenth of the cost.
func plainAttribute(raw []byte) (kind, text string, ok bool) {
	const open, end = `{"N":"`, `"}`
	if len(raw) < len(open)+len(end) || raw[0] != '{' || raw[1] != '"' || string(raw[3:6]) != `":"` || string(raw[len(raw)-2:]) != end {
		return "", "", false
	}
	switch raw[2] {
	case 'N':
		kind = "N"
	case 'S':
		kind = "S"
	default:
		return "", "", false
	}
	inner := raw[len(open) : len(raw)-len(end)]
	for _, c := range inner {
		if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return "", "", false
		}
	}
	return kind, string(inner), true
}
