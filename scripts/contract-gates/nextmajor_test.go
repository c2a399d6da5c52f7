package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/iops-dashboard/live/contracts/nextmajor"
)

// A new major version that is made as contracts/README.md says passes every gate, and is released.
func TestANewMajorVersion(t *testing.T) {
	t.Parallel()
	contracts := realContracts(t)
	root := t.TempDir()
	write := func(name string, content []byte) {
		t.Helper()
		path := filepath.Join(root, "contracts", filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, file := range contracts {
		write(name, file.Data)
	}
	schemas, err := nextmajor.Schemas()
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range schemas {
		write("schemas/"+name, content)
	}
	for name, file := range contracts {
		if strings.HasPrefix(name, "examples/events/metric-update/v1/") {
			next, err := nextmajor.UpEvent(file.Data)
			if err != nil {
				t.Fatal(err)
			}
			write(strings.Replace(name, "/v1/", "/v2/", 1), next)
		}
		for _, kind := range []string{"entities/student", "entities/tutor", "entities/subject", "entities/region"} {
			if strings.HasPrefix(name, "examples/"+kind+"/v1/") {
				next, err := nextmajor.Up("", file.Data)
				if err != nil {
					t.Fatal(err)
				}
				write(strings.Replace(name, "/v1/", "/v2/", 1), next)
			}
		}
		if strings.HasPrefix(name, "examples/frames/metric-update/v1/") {
			write(strings.Replace(name, "/v1/", "/v2/", 1), upFrame(t, file.Data))
		}
	}
	for kind := range schemas {
		if kind, ok := strings.CutSuffix(kind, "/v2.json"); ok {
			write("rejects/"+kind+"/v2/not-an-object.json", []byte(`{"why": "no object", "pointer": "", "keyword": "type", "instance": []}`))
		}
	}

	if err := run(root, false, io.Discard); err == nil || !strings.Contains(err.Error(), "schemas/events/metric-update/v2.json: unreleased") {
		t.Fatalf("before its release: %v", err)
	}
	var out strings.Builder
	if err := run(root, true, &out); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"events/metric-update/v2", "frames/metric-update/v2", "entities/region/v2"} {
		if !strings.Contains(out.String(), "released "+kind+", release 1: first release") {
			t.Errorf("%s is not released: %s", kind, out.String())
		}
	}
	if strings.Contains(out.String(), "/v1,") {
		t.Errorf("version 1 is released anew: %s", out.String())
	}
	if err := run(root, false, io.Discard); err != nil {
		t.Error(err)
	}
}

// upFrame makes the frame of version 2 out of that of version 1.
func upFrame(t *testing.T, document []byte) []byte {
	t.Helper()
	var frame map[string]any
	if err := json.Unmarshal(document, &frame); err != nil {
		t.Fatal(err)
	}
	frame["version"] = nextmajor.Version
	for _, update := range frame["data"].([]any) {
		update := update.(map[string]any)
		if update["attributes"] == nil {
			continue
		}
		attributes, err := json.Marshal(update["attributes"])
		if err == nil {
			attributes, err = nextmajor.Up("", attributes)
		}
		if err != nil {
			t.Fatal(err)
		}
		update["attributes"] = json.RawMessage(attributes)
	}
	next, err := json.Marshal(frame)
	if err != nil {
		t.Fatal(err)
	}
	return next
}
