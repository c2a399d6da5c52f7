// Package nextmajor is a worked METRIC_UPDATE version 2, which nobody sends. It is for tests: those of
// the normalizer, the fanout, the generator and the gates run it beside version 1, so that the way to a
// new major version ("Make a new major version" in contracts/README.md) is known to be open before
// somebody needs it. A test of scripts/layout keeps it out of everything else.
//
// Version 2 differs in two attributes: ib_calls_7d is called inbound_calls_7d, and churn_risk_14d is a
// percentage, no longer a probability.
package nextmajor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/big"
	"slices"
	"strings"

	"github.com/iops-dashboard/live/contracts"
)

// Version is the major version, and DataSchema what its events name as their contract.
const (
	Version    = 2
	DataSchema = "https://iops-dashboard.dev/contracts/events/metric-update/v2.json"
)

// What changed its name, and what its unit.
const (
	oldName, newName = "ib_calls_7d", "inbound_calls_7d"
	rescaled         = "churn_risk_14d"
)

var hundred = big.NewRat(100, 1)

// Up says attributes of version 1 in the words of version 2, and Down the reverse. What neither version
// names goes through, numbers stay exact, and one after the other gives the same state as before. The
// type of the entity makes no difference.
func Up(_ string, attributes json.RawMessage) (json.RawMessage, error) {
	return convert(attributes, oldName, newName, hundred)
}

// Down is the reverse of Up.
func Down(_ string, attributes json.RawMessage) (json.RawMessage, error) {
	return convert(attributes, newName, oldName, new(big.Rat).Inv(hundred))
}

func convert(attributes json.RawMessage, from, to string, factor *big.Rat) (json.RawMessage, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(attributes, &all); err != nil || all == nil {
		return nil, fmt.Errorf("attributes are no object")
	}
	if value, ok := all[from]; ok {
		delete(all, from)
		all[to] = value
	}
	if value, ok := all[rescaled]; ok {
		number, ok := new(big.Rat).SetString(string(value))
		if !ok {
			return nil, fmt.Errorf("%s is no number", rescaled)
		}
		number.Mul(number, factor)
		digits, exact := number.FloatPrec()
		if !exact {
			return nil, fmt.Errorf("%s has no end", rescaled)
		}
		all[rescaled] = json.RawMessage(number.FloatString(digits))
	}
	return json.Marshal(all)
}

// UpEvent makes the event of version 2 out of that of version 1, and DownEvent the reverse. Identity,
// tenant and version of the entity stay.
func UpEvent(document []byte) ([]byte, error) {
	return convertEvent(document, DataSchema, Up, oldName, newName)
}

// DownEvent is the reverse of UpEvent.
func DownEvent(document []byte) ([]byte, error) {
	return convertEvent(document, contracts.MetricUpdateV1DataSchema, Down, newName, oldName)
}

func convertEvent(document []byte, dataSchema string, say func(string, json.RawMessage) (json.RawMessage, error), from, to string) ([]byte, error) {
	var event map[string]any
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	if err := decoder.Decode(&event); err != nil {
		return nil, err
	}
	data, _ := event["data"].(map[string]any)
	for _, image := range []string{"current", "previous"} {
		if data[image] == nil {
			continue
		}
		attributes, err := json.Marshal(data[image])
		if err != nil {
			return nil, err
		}
		if attributes, err = say("", attributes); err != nil {
			return nil, err
		}
		data[image] = json.RawMessage(attributes)
	}
	names, _ := data["changed"].([]any)
	for i, name := range names {
		if name == from {
			names[i] = to
		}
	}
	slices.SortFunc(names, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	event["dataschema"] = dataSchema
	return json.Marshal(event)
}

// edits make the schemas of version 2 out of those of version 1. Those that do not differ are shared.
var edits = []struct {
	from, to string // below contracts/schemas
	replace  []string
}{
	{"defs/common-attributes.json", "defs/common-attributes-v2.json", []string{
		`"CommonAttributes"`, `"CommonAttributesV2"`,
		`"` + oldName + `"`, `"` + newName + `"`,
		`"Probability of leaving`, `"Chance of leaving`,
		`"x-unit": "probability"`, `"x-unit": "percent"`,
		"0 is certain to stay, 1 is", "0 is certain to stay, 100 is",
		`"maximum": 1` + "\n", `"maximum": 100` + "\n",
	}},
	{"defs/update.json", "defs/update-v2.json", []string{`"UpdateV1"`, `"UpdateV2"`, `/v1.json" }`, `/v2.json" }`}},
	{"entities/student/v1.json", "entities/student/v2.json", []string{`"title": "Student"`, `"title": "StudentV2"`}},
	{"entities/tutor/v1.json", "entities/tutor/v2.json", []string{`"title": "Tutor"`, `"title": "TutorV2"`}},
	{"entities/subject/v1.json", "entities/subject/v2.json", []string{`"title": "Subject"`, `"title": "SubjectV2"`}},
	{"entities/region/v1.json", "entities/region/v2.json", []string{`"title": "Region",` + "\n" + `  "description"`, `"title": "RegionV2",` + "\n" + `  "description"`}},
	{"events/metric-update/v1.json", "events/metric-update/v2.json", []string{
		`"MetricUpdateV1"`, `"MetricUpdateV2"`, `"MetricUpdateDataV1"`, `"MetricUpdateDataV2"`,
		`metric-update/v1.json"`, `metric-update/v2.json"`, `/v1.json" }, {`, `/v2.json" }, {`,
	}},
	{"frames/metric-update/v1.json", "frames/metric-update/v2.json", []string{
		`"MetricUpdateFrameV1"`, `"MetricUpdateFrameV2"`, `"const": 1 `, `"const": 2 `, `defs/update.json`, `defs/update-v2.json`,
	}},
}

// Schemas returns what version 2 adds to contracts/schemas, by path below that.
func Schemas() (map[string][]byte, error) {
	added := map[string][]byte{}
	for _, e := range edits {
		content, err := fs.ReadFile(contracts.Schemas, "schemas/"+e.from)
		if err != nil {
			return nil, err
		}
		text := strings.Replace(string(content), "/contracts/"+e.from, "/contracts/"+e.to, 1)
		if strings.HasPrefix(e.from, "entities/") {
			e.replace = append(e.replace, "defs/common-attributes.json", "defs/common-attributes-v2.json")
		}
		for i := 0; i < len(e.replace); i += 2 {
			if !strings.Contains(text, e.replace[i]) {
				return nil, fmt.Errorf("%s has no %s any more", e.from, e.replace[i])
			}
			text = strings.ReplaceAll(text, e.replace[i], e.replace[i+1])
		}
		added[e.to] = []byte(text)
	}
	return added, nil
}
