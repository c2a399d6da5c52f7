package main

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// realSchemas is a copy of contracts/schemas that a test may change.
func realSchemas(t *testing.T) fstest.MapFS {
	t.Helper()
	out := fstest.MapFS{}
	root := os.DirFS("../../contracts/schemas")
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(root, name)
		out[name] = &fstest.MapFile{Data: content}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSchemasBeyondTheSubsetAreRefused(t *testing.T) {
	const (
		attributes = "defs/common-attributes.json"
		event      = "events/metric-update/v1.json"
		subject    = "entities/subject/v1.json"
		update     = "defs/update.json"
		insight    = "findings/insight/v1.json"
	)
	cases := map[string]struct{ file, old, replacement, want string }{
		"unknown keyword":          {attributes, `"maximum": 5`, `"multipleOf": 5`, `unknown keyword "multipleOf"`},
		"misspelt keyword":         {attributes, `"maximum": 5`, `"maximun": 5`, `unknown keyword "maximun"`},
		"not JSON":                 {attributes, `{`, `{,`, attributes},
		"member twice":             {attributes, `"minimum": 0,`, `"minimum": 0, "minimum": 0,`, "appears twice"},
		"second document":          {"defs/segment.json", "]\n}", "]\n} {}", "after the end"},
		"wrong $id":                {event, `contracts/events/metric-update/v1.json",` + "\n" + `  "title"`, `contracts/events/v1.json",` + "\n" + `  "title"`, "$id must be"},
		"other dialect":            {event, "2020-12", "2019-09", "$schema must be"},
		"reference to nowhere":     {update, `"version.json"`, `"versions.json"`, "there is no defs/versions.json"},
		"reference into a file":    {update, `"version.json"`, `"version.json#/x"`, "relative path"},
		"unknown type":             {attributes, `"type": "integer"`, `"type": "int"`, `no type is called "int"`},
		"unknown format":           {attributes, `"format": "date-time"`, `"format": "date"`, `format "date"`},
		"pattern":                  {"defs/tenant.json", `"^[A-Za-z0-9]`, `"^(`, "missing closing"},
		"open object":              {update, `"additionalProperties": false`, `"title": "UpdateV1"`, "appears twice"},
		"object left open":         {"defs/version.json", ",\n  \"additionalProperties\": false", "", "is closed by"},
		"additionalProperties":     {"defs/version.json", `"additionalProperties": false`, `"additionalProperties": true`, "must be false"},
		"enum of numbers":          {"defs/segment.json", `"thriving"`, `1`, "different texts"},
		"enum without a name":      {event, `"$ref": "../../defs/operation.json"`, `"enum": ["UPSERT", "DELETE", "EXPIRE"]`, "an enum has a title"},
		"two enums of one name":    {"defs/tutor-segment.json", `"TutorSegment"`, `"Segment"`, "is titled Segment too"},
		"two objects of one name":  {"frames/synced/v1.json", `"SyncedFrameV1"`, `"ResyncFrameV1"`, "is titled ResyncFrameV1 too"},
		"known values of a number": {"defs/sync-id.json", `"minimum": 1`, `"x-known-values": ["1"]`, "x-known-values are of a string"},
		"known values and an enum": {"defs/risk-band.json", `"enum"`, `"x-known-values": ["info"], "enum"`, "in no schema with an enum"},
		"list of objects shown":    {insight, `"type": "string",` + "\n" + `        "maxLength": 500`, `"$ref": "../../defs/version.json"`, "an attribute is a number"},
		"insight without sense":    {insight, `"x-meaning": "The writer's own name for this insight",`, ``, "an x-meaning"},
		"no type":                  {insight, `"type": "string",` + "\n" + `      "maxLength": 4000`, `"maxLength": 4000`, "says no type"},
		"anyOf of two objects":     {event, `{ "type": "null" }`, `{ "$ref": "../../entities/tutor/v1.json" }`, "must be a reference, and then"},
		"case with else":           {update, `"then": { "properties": { "reason": false }, "required": ["attributes"] }`, `"then": { "required": ["reason"] }, "else": { "required": ["reason"] }`, "a case is an if and a then"},
		"case without required":    {update, `{ "properties": { "operation": { "const": "UPSERT" } }, "required": ["operation"] }`, `{ "properties": { "operation": { "const": "UPSERT" } } }`, "and requires it"},
		"case for no value":        {update, `{ "const": "REMOVE" }`, `{ "const": "DROP" }`, `"DROP", which its enum does not list`},
		"two cases for a value":    {update, `{ "const": "REMOVE" }`, `{ "const": "UPSERT" }`, "two cases test operation"},
		"required and undeclared":  {update, `"written_at"],`, `"written_at", "age"],`, `required names "age"`},
		"attribute without range":  {attributes, `"maximum": 5`, `"description": "x"`, "appears twice"},
		"number without a unit":    {subject, `"x-unit": "tutors",`, ``, "minimum, maximum and x-unit"},
		"attribute without sense":  {subject, `"x-meaning": "Region in which the subject is taught",`, ``, "an x-meaning"},
		"attribute that is needed": {subject, `"unevaluatedProperties": false`, `"required": ["region"], "unevaluatedProperties": false`, "every attribute is optional"},
		"entity type unlisted":     {"defs/entity-type.json", `, "region"`, ``, "EntityType lists"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			schemas := realSchemas(t)
			before := string(schemas[c.file].Data)
			after := strings.Replace(before, c.old, c.replacement, 1)
			if after == before {
				t.Fatalf("%s has no %s", c.file, c.old)
			}
			schemas[c.file] = &fstest.MapFile{Data: []byte(after)}
			_, err := generate(schemas)
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want it to say %q", err, c.want)
			}
		})
	}
}

func TestCheckNamesWhatIsStaleAndTheRemedy(t *testing.T) {
	root := t.TempDir()
	write := func(name, content string) {
		path := filepath.Join(root, "contracts", filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, file := range realSchemas(t) {
		write("schemas/"+name, string(file.Data))
	}
	check := func() error { return run(root, true, io.Discard) }
	wantStale := func(names ...string) {
		t.Helper()
		err := check()
		if err == nil {
			t.Fatal("nothing is stale")
		}
		for _, name := range append(names, "scripts/gen") {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("%v\ndoes not name %s", err, name)
			}
		}
	}

	wantStale("contracts/zz_types.go", "contracts/ts/zz_types.ts", "contracts/consumer/defs/version.json")
	var out bytes.Buffer
	if err := run(root, false, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "wrote contracts/zz_types.go") {
		t.Errorf("says %q", out.String())
	}
	if err := check(); err != nil {
		t.Fatal(err)
	}

	write("zz_types.go", "package contracts\n")
	write("zz_old.go", "package contracts\n")
	write("consumer/events/old/v1.json", "{}\n")
	wantStale("contracts/zz_types.go is stale", "contracts/zz_old.go has no schema", "contracts/consumer/events/old/v1.json has no schema")
	if err := run(root, false, io.Discard); err != nil {
		t.Fatal(err)
	}
	if err := check(); err != nil {
		t.Fatal(err)
	}
}

func TestGeneratedFilesAreCurrent(t *testing.T) {
	if err := run("../..", true, io.Discard); err != nil {
		t.Error(err)
	}
}

func TestOpen(t *testing.T) {
	closed, err := decode([]byte(`{
  "$id": "https://iops-dashboard.dev/contracts/x.json",
  "type": "object",
  "properties": {"enum": {"title": "Colour", "enum": ["red"]}, "kind": {"const": "x"}, "gone": false},
  "allOf": [
    {"if": {"properties": {"enum": {"enum": ["red"]}}, "required": ["enum"]}, "then": {"properties": {"kind": false}, "required": ["kind"]}}
  ],
  "unevaluatedProperties": false,
  "additionalProperties": false
}`))
	if err != nil {
		t.Fatal(err)
	}
	before := string(encode(closed))
	const want = `{ "$id": "https://iops-dashboard.dev/contracts/consumer/x.json", "type": "object", ` +
		`"properties": { "enum": { "title": "Colour", "type": "string", "x-known-values": ["red"] }, "kind": { "const": "x" } }, ` +
		`"allOf": [{ "if": { "properties": { "enum": { "enum": ["red"] } }, "required": ["enum"] }, "then": { "required": ["kind"] } }] }`
	if got := inline(open(closed)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if string(encode(closed)) != before {
		t.Error("the closed schema was changed")
	}
}

// A later major version lies beside the others: all have their types, and the catalogue stays with the
// oldest, until that is retired.
func TestMajorVersionsLieSideBySide(t *testing.T) {
	schemas := realSchemas(t)
	copyAs := func(from, to string, changes ...string) {
		text := strings.NewReplacer(changes...).Replace(string(schemas[from].Data))
		schemas[to] = &fstest.MapFile{Data: []byte(text)}
	}
	copyAs("entities/tutor/v1.json", "entities/tutor/v100.json", "tutor/v1.json", "tutor/v100.json", `"Tutor"`, `"TutorV100"`,
		"Where the tutor stands", "Where this tutor stands")
	copyAs("entities/tutor/v1.json", "entities/tutor/v20.json", "tutor/v1.json", "tutor/v20.json", `"Tutor"`, `"TutorV20"`)
	copyAs("events/metric-update/v1.json", "events/metric-update/v20.json", "metric-update/v1.json", "metric-update/v20.json",
		"MetricUpdateV1", "MetricUpdateV20", "MetricUpdateDataV1", "MetricUpdateDataV20", "tutor/v1.json", "tutor/v100.json")
	files, err := generate(schemas)
	if err != nil {
		t.Fatal(err)
	}
	for file, wants := range map[string][]string{
		"zz_types.go":      {`"events/metric-update/v20"`, `"entities/tutor/v100"`, "type MetricUpdateDataV1 struct", "type MetricUpdateDataV20 struct"},
		"zz_attributes.go": {" KindTutor,", "Where the tutor stands"},
		"ts/zz_types.ts":   {"  | MetricUpdateV1\n", "  | MetricUpdateV20", "  tutor: Tutor;"},
		"asyncapi.json":    {`"version": { "const": "1" }`, `"version": { "const": "20" }`},
	} {
		for _, want := range wants {
			if !strings.Contains(string(files[file]), want) {
				t.Errorf("%s has no %s", file, want)
			}
		}
	}

	delete(schemas, "entities/tutor/v1.json")
	for name, file := range schemas {
		schemas[name] = &fstest.MapFile{Data: bytes.ReplaceAll(file.Data, []byte("tutor/v1.json"), []byte("tutor/v20.json"))}
	}
	if files, err = generate(schemas); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(files["zz_attributes.go"]), " KindTutorV20,") {
		t.Error("with version 1 gone, the catalogue does not follow version 20")
	}
}

func TestUnionsWriteOneMemberForFormsThatAreAlike(t *testing.T) {
	files, err := generate(realSchemas(t))
	if err != nil {
		t.Fatal(err)
	}
	const want = `export interface UpdateRemoveV1 extends UpdateBaseV1 {
  entity_type: "student" | "tutor" | "subject" | "region";
  operation: "REMOVE";
  reason: Known<RemovalReason>;
  attributes?: never;
}
`
	if !strings.Contains(string(files["ts/zz_types.ts"]), want) {
		t.Error("UpdateRemoveV1 is not written as expected")
	}
}
