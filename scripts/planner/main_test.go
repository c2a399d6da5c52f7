package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/iops-dashboard/live/scripts/planner/design"
	"github.com/iops-dashboard/live/scripts/planner/price"
	"github.com/iops-dashboard/live/scripts/planner/report"
)

var update = flag.Bool("update", false, "write infra/COST.md and infra/cost.svg anew")

var root = filepath.Join("..", "..")

// The page and its plot are what the arithmetic says now.
func TestDocumentIsCurrent(t *testing.T) {
	t.Parallel()
	if *update {
		if err := run([]string{"--doc", "--root", root}, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	prices, err := price.Read()
	if err != nil {
		t.Fatal(err)
	}
	page := read(t, pageFile)
	made, err := report.Page(page, prices)
	if err != nil {
		t.Fatal(err)
	}
	for name, same := range map[string]bool{pageFile: made == page, plotFile: report.Plot(design.Default(), prices) == read(t, plotFile)} {
		if !same {
			t.Errorf("%s is stale: scripts/plan --doc", name)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestOptions(t *testing.T) {
	t.Parallel()
	o, err := parse(strings.Fields("--dashboards 300 --updates 60 --views 10% --cadence 1m --fanout fargate --shards 2"), io.Discard)
	l := o.load
	if err != nil || l.Dashboards != 300 || l.Insights != 2 || l.Views != 0.1 || l.Cadence != time.Minute || !l.Worker || l.Shards != 2 || l.Entities != 1000 {
		t.Errorf("%v: %+v", err, l)
	}
	if o, err := parse([]string{"--views", "0.25", "--insights", "0"}, io.Discard); err != nil || o.load.Views != 0.25 || o.load.Insights != 0 {
		t.Errorf("%v: %+v", err, o.load)
	}
	if o, err := parse(nil, io.Discard); err != nil || o.load != design.Default() {
		t.Errorf("%v: %+v", err, o.load)
	}
	var out bytes.Buffer
	if err := run([]string{"--help"}, &out); !errors.Is(err, flag.ErrHelp) || !strings.Contains(out.String(), "Usage: scripts/plan") || !strings.Contains(out.String(), "-dashboards") {
		t.Errorf("%v\n%s", err, out.String())
	}
	for text, says := range map[string]string{
		"--dashboards many":      "--help",
		"--dashboards 0":         "--dashboards is 0",
		"--insights -3":          "--insights is -3",
		"--views 10":             "10%?",
		"--views some":           "as 10% or 0.1",
		"--views 0":              "--views is 0%",
		"--fanout ec2":           "lambda or fargate",
		"--cadence 60":           "--help",
		"--cheap":                "--help",
		"300":                    `"300" is not an option`,
		"--doc --root /nowhere/": pageFile[strings.LastIndex(pageFile, "/"):],
	} {
		if err := run(strings.Fields(text), io.Discard); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v does not say %q", text, err, says)
		}
	}
}

func TestOutputs(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"":                 "First limit: ",
		"--compare":        "polling",
		"--json":           `"plans"`,
		"--json --compare": `"plans"`,
	} {
		var out bytes.Buffer
		if err := run(strings.Fields(args), &out); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%q: %v, no %q in\n%s", args, err, want, out.String())
		}
		if strings.Contains(args, "--json") && !json.Valid(out.Bytes()) {
			t.Errorf("%q is no JSON", args)
		}
	}
}
