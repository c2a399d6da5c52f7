package contracttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/iops-dashboard/live/contracts"
)

// trialsOf makes the trials of a kind from its examples, its rejects and its schema.
func trialsOf(k contracts.Kind) ([]trial, error) {
	examples, err := documentsOf("examples", k)
	if err != nil {
		return nil, err
	}
	rejects, err := documentsOf("rejects", k)
	if err != nil {
		return nil, err
	}
	form, err := formOf(k)
	if err != nil {
		return nil, err
	}

	var out []trial
	tried := map[string]bool{} // places of known values
	for _, e := range examples {
		out = append(out, trial{"example/" + e.name, "every consumer reads every example", e.content, accept})

		tree, err := decode(e.content)
		if err != nil {
			return nil, fmt.Errorf("examples/%s/%s: %w", k, e.name, err)
		}
		if later := encode(withFields(tree)); k.MaxBytes() == 0 || len(later) <= k.MaxBytes() {
			out = append(out, trial{"fields-of-the-future/" + e.name, "a later producer of this major version may add fields", later, accept})
		}
		for _, place := range form.knownValues(tree) {
			if tried[place.schema] {
				continue
			}
			tried[place.schema] = true
			out = append(out, trial{
				"value-of-the-future" + pointer(place.tokens),
				"a later producer of this major version may add enum values; an unknown one is \"other\"",
				encode(with(tree, place.tokens, ofTheFuture(place.value))), accept,
			})
		}
	}

	model := examples[slices.IndexFunc(examples, func(d document) bool { return d.name == "full.json" })]
	tree, err := decode(model.content)
	if err != nil {
		return nil, err
	}
	for _, name := range form.constants() {
		var unknown any
		why := "its type is not known here"
		switch value := form.constant(name).(type) {
		case string:
			unknown = "OF_THE_FUTURE"
			if name == "dataschema" {
				unknown, why = path.Dir(value)+"/v99.json", "its major version is not known here"
			}
		case json.Number:
			unknown, why = json.Number("99"), "its major version is not known here"
		}
		out = append(out, trial{"unknown-" + name, why, encode(with(tree, []any{name}, unknown)), refuse})
	}

	for name, broken := range map[string][]byte{
		"nothing":       {},
		"half":          model.content[:len(model.content)/2],
		"trailing-text": append(slices.Clone(model.content), "}"...),
		"no-json":       []byte("METRIC_UPDATE"),
		"null":          []byte("null"),
		"number":        []byte("7"),
		"text":          []byte(`"METRIC_UPDATE"`),
		"array":         slices.Concat([]byte("["), model.content, []byte("]")),
	} {
		out = append(out, trial{"broken/" + name, "it is no JSON object", broken, refuse})
	}

	hostile := func(value string) []byte {
		return slices.Concat([]byte(`{"hostile":`+value+`,`), bytes.TrimLeft(model.content, "{ \n\t"))
	}
	for name, document := range map[string][]byte{
		"deep":           hostile(strings.Repeat("[", 11_000) + strings.Repeat("]", 11_000)),
		"huge-number":    hostile("1e999999999"),
		"many-digits":    hostile(strings.Repeat("9", 10_000)),
		"wrong-utf-8":    hostile("\"\xff\xfe\""),
		"long-text":      hostile(`"` + strings.Repeat("x", 1<<20) + `"`),
		"members-twice":  slices.Concat(bytes.TrimRight(model.content, "} \n\t"), []byte(`,`), bytes.TrimLeft(model.content, "{ \n\t")),
		"no-members":     []byte("{}"),
		"null-character": hostile(`"\u0000"`),
	} {
		out = append(out, trial{"hostile/" + name, "a document must not stop its reader", document, survive})
	}
	for _, r := range rejects {
		var reject struct{ Instance json.RawMessage }
		if err := json.Unmarshal(r.content, &reject); err != nil {
			return nil, fmt.Errorf("rejects/%s/%s: %w", k, r.name, err)
		}
		out = append(out, trial{"reject/" + r.name, "a document must not stop its reader", reject.Instance, survive})
	}
	slices.SortStableFunc(out, func(a, b trial) int { return strings.Compare(a.name, b.name) })
	return out, nil
}

// ofTheFuture is a value that no list has yet, written like those that it has: a pattern may bind both.
func ofTheFuture(value string) string {
	if value == strings.ToUpper(value) {
		return "OF_THE_FUTURE"
	}
	return "of_the_future"
}

type document struct {
	name    string
	content []byte
}

func documentsOf(folder string, k contracts.Kind) ([]document, error) {
	dir := path.Join(folder, string(k))
	entries, err := fs.ReadDir(contracts.Documents, dir)
	if err != nil {
		return nil, fmt.Errorf("contracttest: no kind %q: %w", k, err)
	}
	var out []document
	for _, e := range entries {
		content, err := contracts.Documents.ReadFile(path.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		out = append(out, document{e.Name(), content})
	}
	return out, nil
}

// withFields adds a field to every object of a document.
func withFields(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{"field_of_the_future": map[string]any{"nested": []any{json.Number("1"), "text", nil}}}
		for name, value := range v {
			out[name] = withFields(value)
		}
		return out
	case []any:
		out := make([]any, 0, len(v))
		for _, item := range v {
			out = append(out, withFields(item))
		}
		return out
	}
	return v
}

// with is a copy of a document in which another value stands at the place that tokens (names and
// indexes) lead to.
func with(v any, tokens []any, value any) any {
	if len(tokens) == 0 {
		return value
	}
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, member := range v {
			out[name] = member
		}
		name := tokens[0].(string)
		out[name] = with(v[name], tokens[1:], value)
		return out
	case []any:
		out := slices.Clone(v)
		i := tokens[0].(int)
		out[i] = with(v[i], tokens[1:], value)
		return out
	}
	return v
}

func pointer(tokens []any) string {
	var b strings.Builder
	for _, token := range tokens {
		fmt.Fprintf(&b, "/%v", token)
	}
	return b.String()
}

// decode keeps numbers as they are written.
func decode(content []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(content))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}

func encode(v any) []byte {
	content, err := json.Marshal(v)
	if err != nil {
		panic(err) // it was JSON before
	}
	return content
}
