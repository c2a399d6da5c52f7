package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// opened is what a consumer holds documents against, as scripts/gen derives it: nothing is closed, an
// enum is any text, and a member that a case forbids is merely unknown.
func opened(b bundle) bundle {
	out := bundle{root: b.root, files: map[string]any{}}
	for name, file := range b.files {
		out.files[name] = open(file)
	}
	return out
}

func open(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, 0, len(v))
		for _, item := range v {
			out = append(out, open(item))
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			switch key {
			case "additionalProperties", "unevaluatedProperties":
			case "enum":
				out["type"] = "string"
				out["x-known-values"] = value
			case "properties":
				kept := map[string]any{}
				for name, property := range value.(map[string]any) {
					if property != false {
						kept[name] = open(property)
					}
				}
				if len(kept) > 0 {
					out[key] = kept
				}
			case "if", "examples", "const":
				out[key] = value
			default:
				out[key] = open(value)
			}
		}
		return out
	}
	return v
}

// compile makes a validator of a bundle. Formats are asserted.
func compile(b bundle) (*jsonschema.Schema, error) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(b.text()))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(baseID+b.root, document); err != nil {
		return nil, err
	}
	return c.Compile(baseID + b.root)
}

// unreadable reports the examples that a consumer built on some release could not read. After classify
// there should be none: this is the proof by documents.
func unreadable(contracts fs.FS, kinds map[string]bundle, past published) (problems, error) {
	examples, err := filesBelow(contracts, "examples")
	if err != nil {
		return nil, err
	}
	var found problems
	for kind := range kinds {
		for i, release := range past.releases[kind] {
			consumer, err := compile(opened(release))
			if err != nil {
				return nil, fmt.Errorf("published/%s/%d.json: %w", kind, i+1, err)
			}
			for _, name := range slices.Sorted(maps.Keys(examples)) {
				if !strings.HasPrefix(name, "examples/"+kind+"/") {
					continue
				}
				document, err := jsonschema.UnmarshalJSON(bytes.NewReader(examples[name]))
				if err != nil {
					continue // the tests of contracts/ say so
				}
				var refused *jsonschema.ValidationError
				if err := consumer.Validate(document); errors.As(err, &refused) {
					found = append(found, problem{name, "unreadable",
						fmt.Sprintf("a consumer built on release %d refuses it at %s", i+1, deepest(refused)),
						"Mend the example or, if the schema now allows it, begin a new major version: see contracts/README.md"})
				}
			}
		}
	}
	return found, nil
}

// deepest is the JSON Pointer to the innermost fault.
func deepest(e *jsonschema.ValidationError) string {
	for len(e.Causes) > 0 {
		e = e.Causes[0]
	}
	return "/" + strings.Join(e.InstanceLocation, "/")
}
