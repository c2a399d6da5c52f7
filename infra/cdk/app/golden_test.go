package app_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What the templates say changes only if it is meant to: a change of the code, or of the CDK, shows here as what it
// changes in the cloud. go test ./app -update writes the files anew.
func TestTemplatesAreGolden(t *testing.T) {
	for _, variant := range checked {
		c := synth(t, variant)
		folder := filepath.Join("testdata", variant)
		kept := map[string]bool{}
		for _, stack := range slices.Sorted(maps.Keys(c.templates)) {
			t.Run(variant+"/"+stack, func(t *testing.T) {
				content, err := os.ReadFile(filepath.Join(c.folder, stack+".template.json"))
				if err != nil {
					t.Fatal(err)
				}
				got := normal(t, content)
				path := filepath.Join(folder, stack+".json")
				if *update {
					must(os.MkdirAll(folder, 0o755))
					must(os.WriteFile(path, got, 0o644))
				}
				want, err := os.ReadFile(path)
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Fatal(err)
				}
				if changed := differ(t, want, got); changed != "" {
					t.Errorf("%s is not what the code makes; if it is meant, go test ./app -update\n%s", path, changed)
				}
			})
			kept[stack+".json"] = true
		}
		files, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if !kept[f.Name()] {
				t.Errorf("%s is of no stack any more: delete it", filepath.Join(folder, f.Name()))
			}
		}
	}
}

var hash = regexp.MustCompile(`\b[0-9a-f]{64}\b`)

// normal is a template in one form: keys in order, the hashes of assets as one word, and without what the command line
// of the CDK adds for itself.
func normal(t *testing.T, content []byte) []byte {
	t.Helper()
	var all map[string]any
	decoder := json.NewDecoder(bytes.NewReader(hash.ReplaceAll(content, []byte("HASH"))))
	decoder.UseNumber()
	if err := decoder.Decode(&all); err != nil {
		t.Fatal(err)
	}
	delete(all, "Rules")
	if parameters, ok := all["Parameters"].(map[string]any); ok {
		delete(parameters, "BootstrapVersion")
		if len(parameters) == 0 {
			delete(all, "Parameters")
		}
	}
	resources, _ := all["Resources"].(map[string]any)
	for _, x := range resources {
		delete(x.(map[string]any), "Metadata")
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(all); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// differ says which values of two templates differ, by their paths; nothing if none does.
func differ(t *testing.T, want, got []byte) string {
	t.Helper()
	before, after := flat(t, want), flat(t, got)
	paths := maps.Clone(before)
	maps.Copy(paths, after)
	var lines []string
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		old, was := before[path]
		now, is := after[path]
		if was && is && old == now {
			continue
		}
		same := 0 // what both begin with
		for was && is && same < min(len(old), len(now)) && old[same] == now[same] {
			same++
		}
		if was {
			lines = append(lines, "- "+path+" = "+part(old, same))
		}
		if is {
			lines = append(lines, "+ "+path+" = "+part(now, same))
		}
	}
	const most = 40
	if n := len(lines) - most; n > 0 {
		lines = append(lines[:most], fmt.Sprintf("and %d more", n))
	}
	return strings.Join(lines, "\n")
}

// part is the part of a long value that differs from the other.
func part(value string, same int) string {
	const before, most = 40, 200
	if len(value) <= most {
		return value
	}
	from := max(0, same-before)
	to := min(len(value), from+most)
	return "…" + value[from:to] + "…"
}

// flat is each value of a document by its path.
func flat(t *testing.T, content []byte) map[string]string {
	t.Helper()
	all := map[string]string{}
	if len(content) == 0 {
		return all
	}
	var document any
	if err := json.Unmarshal(content, &document); err != nil {
		t.Fatal(err)
	}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, x := range v {
				walk(path+"/"+key, x)
			}
		case []any:
			for i, x := range v {
				walk(fmt.Sprintf("%s/%d", path, i), x)
			}
		default:
			text, _ := json.Marshal(v)
			all[path] = string(text)
		}
	}
	walk("", document)
	return all
}

// A difference is told by its path.
func TestDifferencesAreTold(t *testing.T) {
	before := []byte(`{"Resources": {"a": {"Type": "A", "Properties": {"x": 1, "y": ["p", "q"]}}}}`)
	after := []byte(`{"Resources": {"a": {"Type": "A", "Properties": {"x": 2, "y": ["p"]}}, "b": {"Type": "B"}}}`)
	want := strings.Join([]string{
		"- /Resources/a/Properties/x = 1", "+ /Resources/a/Properties/x = 2", `- /Resources/a/Properties/y/1 = "q"`, `+ /Resources/b/Type = "B"`,
	}, "\n")
	if got := differ(t, before, after); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	long := strings.Repeat("x", 1000)
	if got := differ(t, []byte(`{"a": "`+long+`1"}`), []byte(`{"a": "`+long+`2"}`)); len(got) > 200 || !strings.Contains(got, `x1"`) || !strings.Contains(got, `x2"`) {
		t.Errorf("a long text is told as %s", got)
	}
	if got := differ(t, before, before); got != "" {
		t.Errorf("a document differs from itself: %s", got)
	}
}
