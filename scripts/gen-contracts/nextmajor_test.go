package main

import (
	"bytes"
	"os"
	"testing"
	"testing/fstest"

	"github.com/iops-dashboard/live/contracts/nextmajor"
)

// A new major version is generated beside the old one, of which nothing changes.
func TestANewMajorVersion(t *testing.T) {
	t.Parallel()
	schemas := realSchemas(t)
	before, err := generate(os.DirFS("../../contracts/schemas"))
	if err != nil {
		t.Fatal(err)
	}
	added, err := nextmajor.Schemas()
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range added {
		schemas[name] = &fstest.MapFile{Data: content}
	}
	after, err := generate(schemas)
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string][]string{
		"zz_types.go":                           {"type MetricUpdateV1 struct", "type MetricUpdateV2 struct", "type MetricUpdateFrameV2 struct", "type StudentV2 struct"},
		"ts/zz_types.ts":                        {"MetricUpdateV1", "MetricUpdateV2", "UpdateV2", "inbound_calls_7d"},
		"GLOSSARY.md":                           {"ib_calls_7d", "inbound_calls_7d", "percent"},
		"asyncapi.json":                         {"metric-update/v2.json"},
		"consumer/events/metric-update/v2.json": {"../../entities/student/v2.json"},
	} {
		for _, text := range want {
			if !bytes.Contains(after[file], []byte(text)) {
				t.Errorf("%s does not tell of %s", file, text)
			}
		}
	}
	for name, content := range before {
		if bytes.HasPrefix([]byte(name), []byte("consumer/")) && !bytes.Equal(after[name], content) {
			t.Errorf("%s of version 1 changes", name)
		}
	}
}
