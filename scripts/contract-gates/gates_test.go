package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

func TestContractsKeepTheirPromises(t *testing.T) {
	if err := run("../..", false, io.Discard); err != nil {
		t.Error(err)
	}
}

// realContracts is a copy of contracts/ that a test may change.
func realContracts(t *testing.T) fstest.MapFS {
	t.Helper()
	out := fstest.MapFS{}
	root := os.DirFS("../../contracts")
	for _, folder := range []string{"schemas", "examples", "rejects", "published"} {
		files, err := filesBelow(root, folder)
		if err != nil {
			t.Fatal(err)
		}
		for name, content := range files {
			out[name] = &fstest.MapFile{Data: content}
		}
	}
	list, err := fs.ReadFile(root, sumFile)
	if err != nil {
		t.Fatal(err)
	}
	out[sumFile] = &fstest.MapFile{Data: list}
	return out
}

// replace changes every occurrence of a text in a file.
func replace(t *testing.T, contracts fstest.MapFS, name, old, new string) {
	t.Helper()
	before := contracts[name]
	if before == nil || !bytes.Contains(before.Data, []byte(old)) {
		t.Fatalf("%s has no %s", name, old)
	}
	contracts[name] = &fstest.MapFile{Data: bytes.ReplaceAll(before.Data, []byte(old), []byte(new))}
}

// everywhere changes a text in every file below a folder.
func everywhere(contracts fstest.MapFS, folder, old, new string) {
	for name, file := range contracts {
		if strings.HasPrefix(name, folder+"/") {
			contracts[name] = &fstest.MapFile{Data: bytes.ReplaceAll(file.Data, []byte(old), []byte(new))}
		}
	}
}

const (
	attributes = "schemas/defs/common-attributes.json"
	event      = "schemas/events/metric-update/v1.json"
	segment    = "schemas/defs/segment.json"
	student    = "schemas/entities/student/v1.json"
)

func TestPlantedFaultsAreFound(t *testing.T) {
	cases := map[string]struct {
		plant func(t *testing.T, contracts fstest.MapFS)
		want  []string
	}{
		"rename a field": {
			func(t *testing.T, c fstest.MapFS) {
				everywhere(c, "schemas", `"health_score"`, `"wellness_score"`)
				everywhere(c, "examples", `"health_score"`, `"wellness_score"`)
			},
			[]string{attributes + "#/properties/wellness_score: rename: health_score went and wellness_score came in the same release", " more.", "Keep the old field and send both"},
		},
		"tighten a range": {
			func(t *testing.T, c fstest.MapFS) { replace(t, c, attributes, `"maximum": 5`, `"maximum": 4.9`) },
			[]string{attributes + "#/properties/avg_rating/maximum: range: maximum was 5 and is 4.9", "Put the old range back", "README.md"},
		},
		"widen a range": {
			func(t *testing.T, c fstest.MapFS) { replace(t, c, attributes, `"maximum": 5`, `"maximum": 10`) },
			[]string{"avg_rating/maximum: range: maximum was 5 and is 10"},
		},
		"add a required field": {
			func(t *testing.T, c fstest.MapFS) {
				replace(t, c, event, `"required": ["data"]`, `"required": ["data", "shard"]`)
				replace(t, c, event, `"dataschema": {`, `"shard": { "type": "string", "description": "x" }, "dataschema": {`)
			},
			[]string{event + "#/required: required-added: the new field shard is required", "Make the new field optional"},
		},
		"change a unit": {
			func(t *testing.T, c fstest.MapFS) {
				replace(t, c, attributes, `"x-unit": "stars"`, `"x-unit": "percent"`)
			},
			[]string{`avg_rating/x-unit: unit: the unit was "stars" and is "percent"`},
		},
		"raise the limit of size": {
			func(t *testing.T, c fstest.MapFS) {
				replace(t, c, event, `"x-max-bytes": 24576`, `"x-max-bytes": 32768`)
			},
			[]string{event + "#/x-max-bytes: size: x-max-bytes was 24576 and is 32768"},
		},
		"add an enum value without an example": {
			func(t *testing.T, c fstest.MapFS) { replace(t, c, segment, `"churned"`, `"churned", "dormant"`) },
			[]string{segment + `#/enum/4: no example: the value "dormant" occurs in no document below contracts/examples`, "consumers are tried on what the examples show"},
		},
		"add a field without an example": {
			func(t *testing.T, c fstest.MapFS) {
				replace(t, c, student, `"segment": {`, `"mood": { "title": "Mood", "x-meaning": "x", "type": "string" }, "segment": {`)
			},
			[]string{student + "#/properties/mood: no example: the field mood occurs in no document"},
		},
		"edit a published schema": {
			func(t *testing.T, c fstest.MapFS) {
				replace(t, c, "published/entities/student/v1/1.json", `"maximum": 5`, `"maximum": 10`)
			},
			[]string{"published/entities/student/v1/1.json: frozen: was changed after it was released", "git checkout -- contracts/published"},
		},
		"edit a published schema and its hash": {
			func(t *testing.T, c fstest.MapFS) {
				const name = "published/entities/student/v1/1.json"
				old := sum(c[name].Data)
				replace(t, c, name, `"maximum": 5`, `"maximum": 10`)
				replace(t, c, sumFile, old, sum(c[name].Data))
			},
			[]string{"avg_rating/maximum: range: maximum was 10 and is 5"},
		},
		"drop a release": {
			func(t *testing.T, c fstest.MapFS) { delete(c, "published/entities/student/v1/1.json") },
			[]string{"published/entities/student/v1/1.json: frozen: was released and is gone"},
		},
		"release without the command": {
			func(t *testing.T, c fstest.MapFS) {
				c["published/entities/student/v1/9.json"] = c["published/entities/student/v1/1.json"]
			},
			[]string{"published/entities/student/v1/9.json: frozen: has no line in published.sum", "is missing"},
		},
		"stray file among the releases": {
			func(t *testing.T, c fstest.MapFS) {
				c["published/entities/student/v1/notes.md"] = &fstest.MapFile{}
				c["published/entities/student/v1/2.json"] = &fstest.MapFile{Data: []byte("{")}
			},
			[]string{"notes.md: frozen: is no release", "2.json: frozen: cannot be read"},
		},
		"garbage in published.sum": {
			func(t *testing.T, c fstest.MapFS) {
				c[sumFile] = &fstest.MapFile{Data: append([]byte("<<<<<<< HEAD\n"), c[sumFile].Data...)}
			},
			[]string{`published.sum: frozen: the line "<<<<<<< HEAD" is no hash and path`},
		},
		"improve a text without a release": {
			func(t *testing.T, c fstest.MapFS) { replace(t, c, segment, "from best to worst", "the best first") },
			[]string{"schemas/entities/student/v1.json: unreleased: differs from its release", "only texts and layout changed", "scripts/gen --publish"},
		},
		"delete a schema": {
			func(t *testing.T, c fstest.MapFS) {
				delete(c, "schemas/frames/metric-update/v1.json")
			},
			[]string{"schemas/frames/metric-update/v1.json: withdrawn: was released and is gone", "examples/frames/metric-update/v1: stray: is the folder of no schema"},
		},
		"add a schema": {
			func(t *testing.T, c fstest.MapFS) { c["schemas/events/other/v1.json"] = c[student] },
			[]string{"no examples: has no document in contracts/examples/events/other/v1/", "no rejects: has no document in contracts/rejects/events/other/v1/"},
		},
		"examples of nothing": {
			func(t *testing.T, c fstest.MapFS) {
				c["examples/events/nothing/v1/full.json"] = &fstest.MapFile{}
				c["examples/entities/student/v1/full.yaml"] = &fstest.MapFile{}
			},
			[]string{"examples/events/nothing/v1: stray", "full.yaml: stray: is no JSON document"},
		},
		"an example that old consumers cannot read": {
			func(t *testing.T, c fstest.MapFS) {
				replace(t, c, "examples/entities/student/v1/full.json", `"avg_rating": 4.75`, `"avg_rating": 9`)
			},
			[]string{"examples/entities/student/v1/full.json: unreadable: a consumer built on release 1 refuses it at /avg_rating"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			contracts := realContracts(t)
			c.plant(t, contracts)
			found, err := check(contracts)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if !strings.Contains(found.Error(), want) {
					t.Errorf("nothing says %q: %v", want, found)
				}
			}
		})
	}
}

func TestSchemasThatCannotBeJudged(t *testing.T) {
	cases := map[string]struct {
		plant func(t *testing.T, contracts fstest.MapFS)
		want  string
	}{
		"unknown keyword":      {func(t *testing.T, c fstest.MapFS) { replace(t, c, segment, `"enum"`, `"oneOf"`) }, `keyword "oneOf" is classified`},
		"not JSON":             {func(t *testing.T, c fstest.MapFS) { replace(t, c, segment, `"enum"`, `enum`) }, segment},
		"two documents":        {func(t *testing.T, c fstest.MapFS) { replace(t, c, segment, "\n}", "\n} {}") }, "text after the end"},
		"reference to nowhere": {func(t *testing.T, c fstest.MapFS) { delete(c, segment) }, "refers to defs/segment.json, which is not there"},
		"wrong place": {func(t *testing.T, c fstest.MapFS) {
			c["schemas/events/x.json"] = &fstest.MapFile{Data: []byte("{}")}
		}, "a schema is a file like"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			contracts := realContracts(t)
			c.plant(t, contracts)
			if _, err := check(contracts); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want it to say %s", err, c.want)
			}
		})
	}
}

// A life of releases, on disk: the first, a compatible one, a refused one.
func TestPublish(t *testing.T) {
	root := t.TempDir()
	contracts := filepath.Join(root, "contracts")
	write := func(name, content string) {
		t.Helper()
		path := filepath.Join(contracts, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	publish := func() (string, error) {
		var out bytes.Buffer
		err := run(root, true, &out)
		return out.String(), err
	}
	wantNews := func(news string) {
		t.Helper()
		out, err := publish()
		if err != nil || !strings.Contains(out, news) {
			t.Fatalf("got %q, %v; want %q", out, err, news)
		}
		if err := run(root, false, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	const head = `{"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://iops-dashboard.dev/contracts/events/thing/v1.json", "type": "object", "additionalProperties": false, "properties": `
	schema := func(properties string) { write("schemas/events/thing/v1.json", head+properties+"}") }
	example := func(document string) { write("examples/events/thing/v1/full.json", document) }

	schema(`{"a": {"type": "number", "maximum": 5, "x-meaning": "How many"}}`)
	if _, err := publish(); err == nil {
		t.Fatal("released without an example")
	}
	example(`{"a": 1}`)
	write("rejects/events/thing/v1/a.json", `{}`)
	wantNews("released events/thing/v1, release 1: first release")
	wantNews("every schema is as it was last released")

	schema(`{"a": {"type": "number", "maximum": 5, "x-meaning": "How many of them"}, "b": {"enum": ["x"]}}`)
	if err := run(root, false, io.Discard); err == nil || !strings.Contains(err.Error(), "no example") {
		t.Fatalf("got %v", err)
	}
	example(`{"a": 1, "b": "x"}`)
	if err := run(root, false, io.Discard); err == nil || !strings.Contains(err.Error(), "the optional field b is new") {
		t.Fatalf("got %v", err)
	}
	wantNews("is this still the same thing?")

	schema(`{"a": {"type": "number", "maximum": 5, "x-meaning": "How many of them"}}`)
	example(`{"a": 1}`)
	wantNews("release 3: the optional field b is gone")

	// Compared with release 3 this is a new optional field; release 1 and 2 knew it otherwise.
	schema(`{"a": {"type": "number", "maximum": 5, "x-meaning": "How many of them"}, "b": {"type": "string", "maxLength": 4}}`)
	example(`{"a": 1, "b": "x"}`)
	var refused problems
	if _, err := publish(); !errors.As(err, &refused) || len(refused) != 1 || !strings.Contains(refused[0].text, "events/thing/v1 release 2") {
		t.Fatalf("got %v", err)
	}

	list, err := os.ReadFile(filepath.Join(contracts, sumFile))
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(list), "\n"); lines != 3 {
		t.Errorf("%d lines in published.sum:\n%s", lines, list)
	}
}

func TestReleasesAreListedInOrder(t *testing.T) {
	if byRelease("published/a/b/v1/10.json", "published/a/b/v1/9.json") < 0 || byRelease("published/a/b/v1/10.json", "published/a/c/v1/9.json") > 0 {
		t.Error("release 10 comes after release 9 of its kind, and before the next kind")
	}
}

// What this program takes for a consumer is what scripts/gen makes.
func TestOpenedIsTheGeneratedConsumer(t *testing.T) {
	closed, err := loadSchemas(os.DirFS("../../contracts/schemas"))
	if err != nil {
		t.Fatal(err)
	}
	generated, err := loadSchemas(os.DirFS("../../contracts/consumer"))
	if err != nil {
		t.Fatal(err)
	}
	for kind, b := range closed {
		want := strings.ReplaceAll(string(generated[kind].text()), baseID+"consumer/", baseID)
		if got := string(opened(b).text()); got != want {
			t.Errorf("%s: run scripts/gen; or it derives consumers otherwise than readers.go:\ngot  %s\nwant %s", kind, got, want)
		}
	}
}

func TestBundlesStandAlone(t *testing.T) {
	kinds, err := loadSchemas(os.DirFS("../../contracts/schemas"))
	if err != nil {
		t.Fatal(err)
	}
	for kind, b := range kinds {
		again, err := parseBundle(kind, b.text())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again.text(), b.text()) {
			t.Errorf("%s changes when it is read again", kind)
		}
		if _, err := compile(again); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
