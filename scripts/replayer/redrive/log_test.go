package redrive_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

const begun = `{"at":"2026-11-22T10:00:00Z","outcome":"began","run":"run","source":"dlq","target":"queue","filter":"some","by":"me"}` + "\n"

func write(t *testing.T, folder, run, text string) string {
	t.Helper()
	path := filepath.Join(folder, run+".jsonl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A run that was killed while it wrote left half a line: it is cut off, and what follows is read.
func TestHalfALastLine(t *testing.T) {
	t.Parallel()
	whole := begun + `{"outcome":"sending","id":"1"}` + "\n"
	for _, half := range []string{"{", `{"outcome":"sent","id":"1"`, `{"outcome":"sent","id":"1"}`, "\x00\x00"} {
		folder := t.TempDir()
		path := write(t, folder, "run", whole+half)
		log, err := redrive.Open(folder, "run")
		if err != nil || !log.Resumed() || log.Begin().Filter != "some" {
			t.Fatalf("%q: %v", half, err)
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != whole {
			t.Errorf("%q: %v, %s", half, err, text)
		}
		if all, err := redrive.History(folder); err != nil || len(all) != 1 || all[0].Problem != "" || all[0].Unsure != 1 || all[0].Sent != 0 {
			t.Errorf("%q: %+v, %v", half, all, err)
		}
	}
}

// What breaks a log in the middle is no kill: the run is not resumed, since nobody knows what it did, and the file stays.
func TestABrokenLineInTheMiddle(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]string{"no JSON": "{\"outcome\":\"se\n", "no object": "3\n", "empty": "\n", "too long": `{"id":"` + strings.Repeat("x", 1<<20) + "\"}\n"} {
		folder := t.TempDir()
		text := begun + broken + `{"outcome":"sent","id":"1"}` + "\n"
		path := write(t, folder, "run", text)
		if log, err := redrive.Open(folder, "run"); err == nil || !strings.Contains(err.Error(), "line 2") || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, %v", name, log, err)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, []byte(text)) {
			t.Errorf("%s: the file has changed: %v", name, err)
		}
	}
}

func TestHistoryListsABrokenFile(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	write(t, folder, "broken", strings.Replace(begun, "10:00", "11:00", 1)+"{\n"+begun)
	write(t, folder, "other", "no line of a run\n")
	write(t, folder, "run", begun+`{"outcome":"sent","id":"1"}`+"\n"+`{"outcome":"ended","result":{"why":"interrupted","left":3}}`+"\n")
	if err := os.WriteFile(filepath.Join(folder, "notes.txt"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := redrive.History(folder)
	if err != nil || len(all) != 3 {
		t.Fatalf("%+v, %v", all, err)
	}
	if s := all[0]; s.Run != "broken" || !strings.Contains(s.Problem, "line 2") || s.Source != "dlq" {
		t.Errorf("%+v", s)
	}
	if s := all[1]; s.Run != "run" || s.Problem != "" || s.Sent != 1 || s.Result.Left != 3 {
		t.Errorf("%+v", s)
	}
	if s := all[2]; s.Run != "other" || !strings.Contains(s.Problem, "line 1") {
		t.Errorf("%+v", s)
	}
	if all, err := redrive.History(filepath.Join(folder, "none")); err != nil || all != nil {
		t.Errorf("%+v, %v", all, err)
	}
}

// A lock is of the open file: a second one in this process is as strange to it as another process.
func TestOneRunInTwoProcesses(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	first, err := redrive.Open(folder, "run")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := redrive.Open(folder, "run"); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Error(err)
	}
	other, err := redrive.Open(folder, "other")
	if err != nil {
		t.Fatal(err)
	}
	for _, log := range []*redrive.Log{first, other} {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}
	again, err := redrive.Open(folder, "run")
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// A run goes on as it began, or not at all: another filter would make another run of it.
func TestResumedWithSomethingElse(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(1)
		r.must("run", func(p *redrive.Plan) { p.Filter = "some" })
		for name, change := range map[string]func(*redrive.Plan){
			"filter": func(p *redrive.Plan) { p.Filter = "other" },
			"source": func(p *redrive.Plan) { p.Filter, p.SourceName = "some", "other" },
			"target": func(p *redrive.Plan) { p.Filter, p.TargetName = "some", "other" },
		} {
			r.put(1)
			if _, err := r.do(t.Context(), "run", change); err == nil || !strings.Contains(err.Error(), "cannot be resumed") {
				t.Errorf("%s: %v", name, err)
			}
		}
		r.atTarget(1)
		r.visible(3)
	})
}

func TestNamesOfRuns(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "../run", "a/b", ".run", "run\n", strings.Repeat("x", 65)} {
		if _, err := redrive.Open(t.TempDir(), name); err == nil {
			t.Errorf("%q is taken", name)
		}
	}
}
