package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/iops-dashboard/live/scripts/replayer/filter"
)

// Whoever wakes at night copies the examples, and the commands of the runbook: they are understood, and none is refused.
func TestExamples(t *testing.T) {
	t.Parallel()
	help := strings.Join([]string{about, inspect{}.Help(), replay{}.Help(), edit{}.Help(), export{}.Help(), importing{}.Help(), resyncing{}.Help(), history{}.Help()}, "\n")
	runbook, err := os.ReadFile(filepath.Join("..", "..", "infra", "RUNBOOK.md"))
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile("(?m)^(?:    )?(scripts/replay [^\n]*)|`(scripts/replay [^`\n]+)`")
	for name, tc := range map[string]struct {
		text string
		want int
	}{"help": {help, 20}, "runbook": {string(runbook), 20}} {
		found := commands.FindAllStringSubmatch(tc.text, -1)
		if len(found) < tc.want {
			t.Errorf("%s: only %d examples", name, len(found))
		}
		for _, f := range found {
			understood(t, f[1]+f[2])
		}
	}
}

func understood(t *testing.T, line string) {
	t.Helper()
	text := strings.TrimPrefix(line, "scripts/replay ")
	for _, end := range []string{"    ", " #", " | "} {
		text, _, _ = strings.Cut(text, end)
	}
	var args []string
	for i, part := range strings.Split(text, "'") {
		if i%2 == 1 {
			args = append(args, part)
		} else {
			args = append(args, strings.Fields(part)...)
		}
	}
	var g grammar
	parser, err := kong.New(&g, kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Errorf("%s: %v", line, err)
		return
	}
	chosen := map[string]which{"inspect": g.Inspect.which, "replay": g.Replay.which, "edit": g.Edit.which, "export": g.Export.which}[args[0]]
	said, err := chosen.conditions(time.Now())
	if err == nil {
		_, err = said.filter()
	}
	if err == nil && g.Edit.Set != "" {
		_, err = filter.Compile(g.Edit.Set)
	}
	if err != nil {
		t.Errorf("%s: %v", line, err)
	}
	if why := g.Replay.refuse(); args[0] == "replay" && why != "" {
		t.Errorf("%s: %s", line, why)
	}
	if why := g.Export.how.refuse(g.Export.which != which{}); args[0] == "export" && why != "" {
		t.Errorf("%s: %s", line, why)
	}
}

func TestInstant(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"": {}, "2026-01-31T12:00:00Z": time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC), "90m": now.Add(-90 * time.Minute), "2d": now.AddDate(0, 0, -2), "0.5d": now.Add(-12 * time.Hour),
	} {
		if got, err := instant("--since", text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"-2h", "-1d", "101d", "2026-01-31", "d", "NaNd"} {
		if got, err := instant("--since", text, now); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestBar(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		done, all int
		want      string
	}{{0, 10, "[--------------------]"}, {5, 10, "[##########----------]"}, {10, 10, "[####################]"}, {12, 10, "[####################]"}, {0, 0, "[####################]"}} {
		if got := bar(tc.done, tc.all); got != tc.want {
			t.Errorf("%d of %d: %s", tc.done, tc.all, got)
		}
	}
}
