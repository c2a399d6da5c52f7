package main

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// uncovered reports what the examples leave out: a folder of no schema, a schema without examples or
// rejects, a field or an enum value that no example shows. What no example shows, no consumer has been
// tried on.
func uncovered(contracts fs.FS, kinds map[string]bundle) (problems, error) {
	var found problems
	documents := map[string]map[string][]byte{}
	for _, folder := range []string{"examples", "rejects"} {
		files, err := filesBelow(contracts, folder)
		if err != nil {
			return nil, err
		}
		documents[folder] = files
		count := map[string]int{}
		for _, name := range slices.Sorted(maps.Keys(files)) {
			kind := strings.TrimPrefix(path.Dir(name), folder+"/")
			if kind == folder {
				continue // vectors of other tests lie at the top
			}
			count[kind]++
			switch _, known := kinds[kind]; {
			case !known && count[kind] == 1:
				found = append(found, problem{folder + "/" + kind, "stray", "is the folder of no schema",
					fmt.Sprintf("Write contracts/schemas/%s.json, or move the documents to %s/<path of their schema>/", kind, folder)})
			case known && path.Ext(name) != ".json":
				found = append(found, problem{name, "stray", "is no JSON document", "Move it elsewhere"})
			}
		}
		for _, kind := range slices.Sorted(maps.Keys(kinds)) {
			if count[kind] == 0 {
				found = append(found, problem{"schemas/" + kind + ".json", "no " + folder,
					fmt.Sprintf("has no document in contracts/%s/%s/", folder, kind),
					map[string]string{
						"examples": "Add minimal.json and full.json there: what every consumer must read, forever",
						"rejects":  "Add a document for each rule of the schema, with why, pointer and keyword",
					}[folder]})
			}
		}
	}

	if len(found) > 0 {
		return found, nil // fields are missed for a reason that is already told
	}

	declared, shown := map[string]string{}, map[string]bool{}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		b := kinds[kind]
		for name, schema := range b.files {
			declare(place{file: name, value: schema}, declared)
		}
		for name, content := range documents["examples"] {
			if path.Dir(name) != "examples/"+kind {
				continue
			}
			document, err := decode(content)
			if err != nil {
				continue // the tests of contracts/ say so
			}
			show(b, b.rootPlace(), document, shown)
		}
	}
	for _, at := range slices.Sorted(maps.Keys(declared)) {
		if !shown[at] {
			found = append(found, problem{at, "no example", declared[at] + " occurs in no document below contracts/examples",
				"Add it to one: consumers are tried on what the examples show"})
		}
	}
	return found, nil
}

// declare lists the fields and the enum values of one file by their place, each with its name.
func declare(p place, into map[string]string) {
	s, ok := p.value.(map[string]any)
	if !ok {
		return
	}
	properties, _ := s["properties"].(map[string]any)
	for name, property := range properties {
		at := p.below(property, "properties", name)
		// A then only refines what the object has anyway.
		if property != false && !strings.HasSuffix(p.pointer, "/then") {
			into[at.String()] = "the field " + name
		}
		declare(at, into)
	}
	for _, keyword := range lists {
		for i, value := range texts(s[keyword]) {
			into[p.below(value, keyword, strconv.Itoa(i)).String()] = fmt.Sprintf("the value %q", value)
		}
	}
	declare(p.below(s["items"], "items"), into)
	declare(p.below(s["then"], "then"), into)
	for _, keyword := range []string{"allOf", "anyOf"} {
		list, _ := s[keyword].([]any)
		for i, item := range list {
			declare(p.below(item, keyword, strconv.Itoa(i)), into)
		}
	}
}

// show marks the fields and enum values that a document has.
func show(b bundle, p place, document any, shown map[string]bool) {
	s, ok := p.value.(map[string]any)
	if !ok {
		return
	}
	if ref, ok := s["$ref"].(string); ok {
		show(b, b.target(p, ref), document, shown)
	}
	object, _ := document.(map[string]any)
	properties, _ := s["properties"].(map[string]any)
	for name, property := range properties {
		if value, ok := object[name]; ok {
			at := p.below(property, "properties", name)
			shown[at.String()] = true
			show(b, at, value, shown)
		}
	}
	for _, keyword := range lists {
		for i, value := range texts(s[keyword]) {
			if document == value {
				shown[p.below(value, keyword, strconv.Itoa(i)).String()] = true
			}
		}
	}
	list, _ := document.([]any)
	for _, item := range list {
		show(b, p.below(s["items"], "items"), item, shown)
	}
	alternatives, _ := s["anyOf"].([]any)
	for i, item := range alternatives {
		show(b, p.below(item, "anyOf", strconv.Itoa(i)), document, shown)
	}
	parts, _ := s["allOf"].([]any)
	for i, item := range parts {
		at := p.below(item, "allOf", strconv.Itoa(i))
		if part, ok := item.(map[string]any); !ok || part["if"] == nil {
			show(b, at, document, shown)
			continue
		}
		for _, c := range branches(at) {
			if object[c.property] == c.value {
				show(b, c.then, document, shown)
			}
		}
	}
}
