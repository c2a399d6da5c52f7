package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func glossaryOf(t *testing.T) string {
	t.Helper()
	files, err := generate(realSchemas(t))
	if err != nil {
		t.Fatal(err)
	}
	return string(files["GLOSSARY.md"])
}

// Reads the schemas without the generator's model, and looks up each name that they declare.
func TestGlossaryHasEveryFieldOfEveryContract(t *testing.T) {
	page := glossaryOf(t)
	for file, content := range realSchemas(t) {
		var tree any
		if err := json.Unmarshal(content.Data, &tree); err != nil {
			t.Fatal(err)
		}
		contract := strings.TrimSuffix(file, ".json")
		if !strings.HasPrefix(file, "defs/") && !strings.Contains(page, "[`"+contract+"`](schemas/"+file+")") {
			t.Errorf("%s is not among the contracts", contract)
		}
		for _, name := range declared(tree) {
			at := strings.Index(page, "\n| `"+name+"` | ")
			if at < 0 {
				t.Errorf("%s declares %s, which the glossary does not explain", file, name)
			}
		}
		if !strings.HasPrefix(file, "defs/") && !strings.Contains(page[strings.Index(page, "## Fields"):], "`"+contract+"`") {
			t.Errorf("no field is carried by %s", contract)
		}
	}
}

func declared(tree any) []string {
	var out []string
	switch v := tree.(type) {
	case map[string]any:
		if properties, ok := v["properties"].(map[string]any); ok {
			for name := range properties {
				out = append(out, name)
			}
		}
		for _, sub := range v {
			out = append(out, declared(sub)...)
		}
	case []any:
		for _, sub := range v {
			out = append(out, declared(sub)...)
		}
	}
	return out
}

func TestGlossaryRows(t *testing.T) {
	lines := strings.Split(glossaryOf(t), "\n")
	for _, want := range []string{
		"| `avg_rating` | Average rating of recent sessions. A rolling average: 0 is the worst, 5 the best. | number 0 to 5; optional | stars |  | ",
		"| `type` | Names what happened, and with it the meaning of data. | this text; required |  | `INSIGHT_CREATED`, ",
		"| `value` | What to compare with: a number for attributes that are numbers, a text for all others. | " +
			"text of at most 256 characters or number -9007199254740991 to 9007199254740991; required |  |  | `commands/sync/v1` |",
		"| `record` | The stream record as Lambda delivered it. Any JSON: not even its form can be relied on. | any JSON; optional |  |  | `records/quarantine/v1` |",
		"| `where` | All of these must hold. Absent: everything matches. | list of 1 to 8 items, each: `ComparisonV1`; optional |  |  | `commands/sync/v1` |",
	} {
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, want) }) {
			t.Errorf("the glossary has no line\n%s", want)
		}
	}
	at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "| `avg_rating` |") })
	for _, carrier := range []string{"entities/student/v1", "entities/tutor/v1", "events/metric-update/v1", "frames/metric-update/v1", "frames/snapshot/v1", "http/metrics/v1"} {
		if at < 0 || !strings.Contains(lines[at], "`"+carrier+"`") {
			t.Errorf("nothing says that %s carries avg_rating", carrier)
		}
	}
	if !slices.ContainsFunc(lines, func(l string) bool {
		return strings.HasPrefix(l, "| `attributes` |") && strings.Contains(l, "as `operation` says")
	}) {
		t.Error("nothing says when attributes are there")
	}
	for _, l := range lines {
		if strings.HasPrefix(l, "|") && strings.Count(strings.ReplaceAll(l, `\|`, ""), "|") != 6 && strings.Count(strings.ReplaceAll(l, `\|`, ""), "|") != 7 {
			t.Errorf("not a row of a table: %s", l)
		}
	}
}
