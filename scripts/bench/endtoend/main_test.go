package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		args  string
		cells []cell
		each  time.Duration
	}{
		{"", []cell{{10, 20}, {10, 100}, {10, 300}, {100, 20}, {100, 100}, {100, 300}, {500, 20}, {500, 100}, {500, 300}}, 10 * time.Second},
		{"--quick", []cell{{50, 50}}, 5 * time.Second},
		{"--quick --clients 7 --duration 1s", []cell{{7, 50}}, time.Second},
		{"--clients 20,3,20 --rate 1", []cell{{3, 1}, {20, 1}}, 10 * time.Second},
	} {
		o, err := parse(strings.Fields(tc.args), io.Discard)
		if err != nil || !slices.Equal(o.cells(), tc.cells) || o.duration != tc.each {
			t.Errorf("%q is %v for %s, %v", tc.args, o.cells(), o.duration, err)
		}
	}
	o := options{duration: 1500 * time.Millisecond}
	if n, least := o.writes(cell{rate: 20}), o.writes(cell{rate: 0}); n != 30 || least != 1 {
		t.Errorf("20 a second for %s are %d writes; there are at least %d", o.duration, n, least)
	}
	var out bytes.Buffer
	if _, err := parse([]string{"--help"}, &out); !errors.Is(err, flag.ErrHelp) || !strings.Contains(out.String(), "Usage: scripts/bench/end-to-end") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestOptionsThatAreRefused(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"fast":                       `"fast"`,
		"--fast":                     "--help",
		"--clients 0":                "1 to 2000",
		"--clients 10,":              "whole number",
		"--rate 2001":                "1 to 2000",
		"--entities 0":               "1 to 1000",
		"--duration -1s":             "above 0",
		"--duration 11m":             "at most 10m",
		"--clients 2000 --rate 2000": "lower one of them",
		"--json " + t.TempDir() + "/no/such/folder": "no such file",
	} {
		if err := run(t.Context(), strings.Fields(args), io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	err := table(&out, []result{
		{Clients: 200, Rate: 100, PerSecond: 99.5, Written: 1000, P50: 12.34, P95: 45.6, P99: 78.9, Max: 123, Frames: 4000, Updates: 100_000, Bytes: 40_000_000, Complete: 200},
		{Clients: 3, Rate: 20, Written: 10, Failed: 10, Problem: "refused", NotShown: 7, Complete: 1, Lost: 2, Resyncs: 4},
	})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	fields := strings.Fields(lines[len(lines)-2])
	if want := strings.Fields("200 100 99.5 12.3 45.6 78.9 123 20.0 500 25.0 10,000 2.00 100 0"); !slices.Equal(fields, want) {
		t.Errorf("%v, want %v", fields, want)
	}
	for _, want := range []string{"33.3", "2 connections lost", "7 updates not shown", "4 times told to ask again", "a write failed: refused"} {
		if last := lines[len(lines)-1]; !strings.Contains(last, want) {
			t.Errorf("no %q in %s", want, last)
		}
	}
}

func TestWhoeverIsIncompleteFails(t *testing.T) {
	t.Parallel()
	good := result{Clients: 10, Rate: 20, Complete: 10, Lost: 1}
	if err := judge([]result{good, good}); err != nil {
		t.Error(err)
	}
	bad := result{Clients: 10, Rate: 50, Complete: 7}
	if err := judge([]result{good, bad, good}); err == nil || !strings.Contains(err.Error(), "3 of 10 clients") || !strings.Contains(err.Error(), "50 updates") {
		t.Errorf("%v", err)
	}
}

// The whole program, on a real system: two numbers of clients, 10 updates each.
func TestProgram(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "out.json")
	var out bytes.Buffer
	err := run(t.Context(), []string{
		"--clients", "1,3", "--rate", "20", "--duration", "500ms", "--entities", "4", "--json", file, "--dir", dir,
		"--root", filepath.Join("..", "..", ".."),
	}, &out)
	if err != nil {
		dump(t, filepath.Join(dir, "log"))
		t.Fatalf("%v\n%s", err, out.String())
	}
	var written struct {
		Results []result `json:"results"`
	}
	text, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(text, &written) != nil || len(written.Results) != 2 {
		t.Fatalf("%v, %s", err, text)
	}
	for i, clients := range []int{1, 3} {
		r := written.Results[i]
		if r.Clients != clients || r.Complete != clients || r.Written != 10 || r.Failed+r.Lost+r.NotShown != 0 {
			t.Errorf("%+v", r)
		}
		if r.P50 <= 0 || r.Max < r.P99 || r.Frames < clients || r.Updates < r.Frames || r.Bytes <= 0 {
			t.Errorf("it has measured nothing: %+v", r)
		}
	}
	if !strings.Contains(out.String(), "conflation") {
		t.Errorf("no table:\n%s", out.String())
	}
	if _, err := os.Stat(filepath.Join(dir, "env")); err == nil {
		t.Error("the system was not stopped in order: its env file is still there")
	}
}

// dump shows the end of each log, for whoever has to find out why.
func dump(t *testing.T, dir string) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	for _, f := range files {
		text, _ := os.ReadFile(f)
		t.Logf("%s:\n%s", filepath.Base(f), text[max(0, len(text)-2000):])
	}
}
