package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/iops-dashboard/live/contracts"
)

// example is a document of the contracts.
func example(t *testing.T, kind contracts.Kind, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "contracts", "examples", filepath.FromSlash(string(kind)), name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestFramesAreRead(t *testing.T) {
	t.Parallel()
	version := contracts.Version{Epoch: 1795000000000, Revision: 12}
	for name, want := range map[string]frame{
		"delete": {kind: "METRIC_UPDATE"},
		"full": {"METRIC_UPDATE", []update{
			{"student_1", version, 11}, {"tutor_1", version, 58},
		}},
	} {
		r := newReader()
		text := example(t, contracts.KindMetricUpdateFrameV1, name)
		for range 2 { // by reading it, and by knowing it
			got, err := r.read(text)
			if err != nil || got.kind != want.kind || len(got.updates) < len(want.updates) || !slices.Equal(got.updates[:len(want.updates)], want.updates) {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
	}
}

func TestFramesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "no frame", `{"data": 1}`, `{"data": [{"operation": "UPSERT", "attributes": []}]}`} {
		if f, err := newReader().read([]byte(text)); err == nil || !strings.Contains(err.Error(), "cannot be read") {
			t.Errorf("%s is %+v, %v", text, f, err)
		}
	}
}

func TestReaderForgets(t *testing.T) {
	t.Parallel()
	r := newReader()
	for i := range 3 * keptFrames {
		if _, err := r.read(fmt.Appendf(nil, `{"type": "%d"}`, i)); err != nil || len(r.known) > keptFrames {
			t.Fatalf("%v, %d frames are kept", err, len(r.known))
		}
	}
}
