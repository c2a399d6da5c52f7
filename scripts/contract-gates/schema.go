package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// baseID is what every $id starts with; the rest of it is the file's path below contracts/schemas.
const baseID = "https://iops-dashboard.dev/contracts/"

// kindPath tells the forms of documents from the definitions that they share.
var kindPath = regexp.MustCompile(`^[a-z]+/[a-z0-9-]+/v[1-9][0-9]*$`)

// place is one schema or subschema, and where it is written.
type place struct {
	file    string // below contracts/schemas
	pointer string // JSON Pointer in the file
	value   any
}

func (p place) String() string { return "schemas/" + p.file + "#" + p.pointer }

var escapePointer = strings.NewReplacer("~", "~0", "/", "~1")

// below is the place of a subschema.
func (p place) below(value any, tokens ...string) place {
	pointer := p.pointer
	for _, t := range tokens {
		pointer += "/" + escapePointer.Replace(t)
	}
	return place{p.file, pointer, value}
}

// bundle is a schema with every file that it refers to: all that decides what a document may be.
type bundle struct {
	root  string // path of the file that describes whole documents
	files map[string]any
}

func (b bundle) rootPlace() place { return place{file: b.root, value: b.files[b.root]} }

// target is where a $ref leads. loadSchemas and parseBundle have seen to it that there is something.
func (b bundle) target(from place, ref string) place {
	name := path.Join(path.Dir(from.file), ref)
	return place{file: name, value: b.files[name]}
}

// loadSchemas reads the files below a folder and returns one bundle for each kind, by kind.
func loadSchemas(folder fs.FS) (map[string]bundle, error) {
	files := map[string]any{}
	err := fs.WalkDir(folder, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(folder, name)
		if err != nil {
			return err
		}
		if files[name], err = decode(content); err != nil {
			return fmt.Errorf("schemas/%s: %w", name, err)
		}
		return checkKeywords(place{file: name, value: files[name]})
	})
	if err != nil {
		return nil, err
	}
	out := map[string]bundle{}
	for name := range files {
		kind := strings.TrimSuffix(name, ".json")
		if strings.HasPrefix(name, "defs/") {
			continue
		}
		if !kindPath.MatchString(kind) {
			return nil, fmt.Errorf("schemas/%s: a schema is a file like events/metric-update/v1.json", name)
		}
		b := bundle{root: name, files: map[string]any{}}
		if err := b.gather(files, name); err != nil {
			return nil, err
		}
		out[kind] = b
	}
	return out, nil
}

// gather adds a file of all, and those that it refers to.
func (b bundle) gather(all map[string]any, name string) error {
	if _, done := b.files[name]; done {
		return nil
	}
	b.files[name] = all[name]
	for _, ref := range references(all[name]) {
		target := path.Join(path.Dir(name), ref)
		if _, ok := all[target]; !ok {
			return fmt.Errorf("schemas/%s: refers to %s, which is not there", name, target)
		}
		if err := b.gather(all, target); err != nil {
			return err
		}
	}
	return nil
}

func references(v any) []string {
	var out []string
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if ref, ok := value.(string); ok && key == "$ref" {
				out = append(out, ref)
			}
			out = append(out, references(value)...)
		}
	case []any:
		for _, item := range v {
			out = append(out, references(item)...)
		}
	}
	return out
}

// text writes a bundle as one JSON Schema that stands alone: the other files become its $defs, found by
// their own $id. Members are sorted, so that the text changes only with what it says.
func (b bundle) text() []byte {
	root := maps.Clone(b.files[b.root].(map[string]any))
	defs := map[string]any{}
	for name, file := range b.files {
		if name != b.root {
			defs[name] = file
		}
	}
	if len(defs) > 0 {
		root["$defs"] = defs
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(root); err != nil {
		panic(err) // it was JSON before
	}
	return out.Bytes()
}

// parseBundle is the opposite of text.
func parseBundle(kind string, text []byte) (bundle, error) {
	document, err := decode(text)
	if err != nil {
		return bundle{}, err
	}
	root, ok := document.(map[string]any)
	if !ok {
		return bundle{}, fmt.Errorf("is not a schema")
	}
	all := map[string]any{}
	if defs, ok := root["$defs"].(map[string]any); ok {
		maps.Copy(all, defs)
	}
	delete(root, "$defs")
	name := kind + ".json"
	all[name] = root
	for file, schema := range all {
		if err := checkKeywords(place{file: file, value: schema}); err != nil {
			return bundle{}, err
		}
	}
	b := bundle{root: name, files: map[string]any{}}
	return b, b.gather(all, name)
}

// decode reads one JSON document; numbers stay as they are written.
func decode(document []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("text after the end of the document")
	}
	return v, nil
}

// checkKeywords refuses a schema with a keyword that nobody has told this program the meaning of: it
// could not classify a change of it.
func checkKeywords(p place) error {
	s, ok := p.value.(map[string]any)
	if !ok {
		if p.value == false {
			return nil
		}
		return fmt.Errorf("%s: a schema is an object or false", p)
	}
	for _, keyword := range slices.Sorted(maps.Keys(s)) {
		value := s[keyword]
		_, known := ruleOf[keyword]
		switch {
		case keyword == "properties":
			properties, ok := value.(map[string]any)
			if !ok {
				return fmt.Errorf("%s/properties: not an object", p)
			}
			for _, name := range slices.Sorted(maps.Keys(properties)) {
				if err := checkKeywords(p.below(properties[name], "properties", name)); err != nil {
					return err
				}
			}
		case keyword == "items" || keyword == "if" || keyword == "then":
			if err := checkKeywords(p.below(value, keyword)); err != nil {
				return err
			}
		case keyword == "allOf" || keyword == "anyOf":
			list, ok := value.([]any)
			if !ok {
				return fmt.Errorf("%s/%s: not a list", p, keyword)
			}
			for i, item := range list {
				if err := checkKeywords(p.below(item, keyword, fmt.Sprint(i))); err != nil {
					return err
				}
			}
		case !known && !slices.Contains(structural, keyword) && !slices.Contains(annotations, keyword):
			return fmt.Errorf("%s: nothing knows how a change of the keyword %q is classified: add it to scripts/contract-gates/keywords.go", p, keyword)
		}
	}
	return nil
}
