package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/iops-dashboard/live/scripts/bench/lab"
	"github.com/iops-dashboard/live/scripts/bench/plan"
	"github.com/iops-dashboard/live/scripts/bench/sample"
	"github.com/iops-dashboard/live/scripts/bench/stub"
)

// TestMain lets the test's binary be the stub, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "--stub" {
		if err := run(context.Background(), os.Args[1:], os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

var root = filepath.Join("..", "..")

// Real senders post to a real stub over TLS, and every signature is verified. One lab serves all of
// it: what takes time is to build the sender.
func TestLab(t *testing.T) {
	t.Parallel()
	l, err := lab.Open(t.Context(), lab.Options{Stub: []string{os.Args[0], "--stub"}, Root: root})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	for _, v := range plan.Variants {
		if v.Sender != "" {
			t.Run(v.Name, func(t *testing.T) { reaches(t, l, v) })
		}
	}
	t.Run("failures tell why", func(t *testing.T) {
		for text, w := range map[string]sample.Workload{
			"no variant is called": {Variant: "theirs"},
			"connections is 0":     {Variant: "sdk", Pool: 1},
		} {
			_, err := l.Run(t.Context(), plan.Run{Variant: plan.Variant{Sender: w.Variant}, Workload: w})
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%v does not say %q", err, text)
			}
		}
	})
	t.Run("stops in mid run and twice", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := l.Run(ctx, plan.Run{Variant: plan.Variants[0]}); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want the run to end with its context", err)
		}
		l.Close()
		l.Close()
		if _, err := l.Run(t.Context(), plan.Run{Variant: plan.Variants[0]}); err == nil {
			t.Error("a closed lab still runs")
		}
	})
}

func reaches(t *testing.T, l *lab.Lab, v plan.Variant) {
	s, err := l.Run(t.Context(), plan.Run{
		Scenario: plan.Verify, Cell: "tiny", Variant: v, Scale: 1, Settings: stub.Settings{Verify: true},
		Workload: sample.Workload{Variant: v.Sender, Connections: 20, Updates: 2, Entities: 1, PerFrame: max(v.PerFrame, 1), Pool: 4, WarmUp: 8},
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.Stub.Forged != 0 || s.Stub.Unreadable != 0 || s.Stub.Complete != 20 || s.Result.Verdicts["ok"] != s.Result.Posts {
		t.Errorf("%+v, stub %+v", s.Result, s.Stub)
	}
	if s.Result.CPU <= 0 || s.Result.Wall <= 0 || s.Result.PeakRSS <= 0 || s.Cold <= 0 || s.Result.P99 <= 0 {
		t.Errorf("it has measured nothing: %+v", s.Result)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--help"}, nil, &out); !errors.Is(err, flag.ErrHelp) || !strings.Contains(out.String(), "Usage: scripts/bench/fanout") {
		t.Errorf("%v\n%s", err, out.String())
	}
	for _, args := range [][]string{
		{"fast"}, {"--fast"}, {"--rounds", "-1"}, {"--cells", "1x1"}, {"--variants", "theirs"}, {"--scenarios", "none"},
		{"--variants", plan.Floor, "--scenarios", plan.Cold}, {"--json", filepath.Join(t.TempDir(), "no", "such", "folder")},
	} {
		if err := run(t.Context(), args, nil, io.Discard); err == nil {
			t.Errorf("%v is accepted", args)
		}
	}
}

// The whole program, on the smallest cell, over plain HTTP.
func TestProgram(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	jsonFile, plot := filepath.Join(dir, "out.json"), filepath.Join(dir, "out.svg")
	o, err := parse([]string{
		"--cells", plan.Name(1, 100, 0), "--scenarios", plan.Cells, "--variants", "sdk,floor", "--rounds", "2",
		"--json", jsonFile, "--svg", plot, "--profile", dir, "--root", root, "--http",
	}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := bench(t.Context(), o, []string{os.Args[0], "--stub"}, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1x100@0", "floor", "not measured", "4 runs"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	var written struct {
		Samples []sample.Sample `json:"samples"`
	}
	text, err := os.ReadFile(jsonFile)
	if err != nil || json.Unmarshal(text, &written) != nil || len(written.Samples) != 4 || written.Samples[0].Result.Posts != 20*100 {
		t.Errorf("%v, %d samples", err, len(written.Samples))
	}
	if profiles, err := filepath.Glob(filepath.Join(dir, "*.pprof")); err != nil || len(profiles) != 4 {
		t.Errorf("%v, profiles %v", err, profiles)
	}
	if text, err := os.ReadFile(plot); err != nil || !bytes.HasPrefix(text, []byte("<svg")) {
		t.Errorf("%v: the plot is %.20s", err, text)
	}
}
