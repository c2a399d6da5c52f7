// Command bench measures the fan-out: it lets several ways to send post to a stub @connections server
// and compares them. scripts/bench/fanout builds and starts it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/iops-dashboard/live/scripts/bench/lab"
	"github.com/iops-dashboard/live/scripts/bench/plan"
	"github.com/iops-dashboard/live/scripts/bench/report"
	"github.com/iops-dashboard/live/scripts/bench/sample"
	"github.com/iops-dashboard/live/scripts/bench/target"
)

// interrupted is the exit code of a program that ctrl-C has ended.
const interrupted = 130

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	stopped := ctx.Err() != nil
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil && stopped:
		os.Exit(interrupted)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	plan           plan.Options
	jsonFile, plot string
	profiles       string
	root           string
	http, stub     bool
}

func parse(args []string, out io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.BoolVar(&o.plan.Quick, "quick", false, "fewer cells, posts and rounds: at most 3 minutes, not 60")
	flags.StringVar(&o.jsonFile, "json", "", "write all samples and outcomes to this `file`")
	flags.StringVar(&o.plot, "svg", "", "write the plot to this `file`")
	flags.StringVar(&o.profiles, "profile", "", "write a CPU profile of each run of a sender into this `folder`")
	flags.IntVar(&o.plan.Rounds, "rounds", 0, "rounds of every cell (default: of each its own)")
	for name, list := range map[string]*[]string{"scenarios": &o.plan.Scenarios, "cells": &o.plan.Cells, "variants": &o.plan.Variants} {
		flags.Func(name, "only these, by `name,name` (default: all)", func(text string) error {
			*list = strings.Split(text, ",")
			return nil
		})
	}
	flags.BoolVar(&o.http, "http", false, "post over plain HTTP, where AWS has HTTPS")
	flags.BoolVar(&o.stub, "stub", false, "be the stub server (what the bench starts for itself)")
	flags.StringVar(&o.root, "root", ".", "the `folder` of the repository")
	flags.SetOutput(io.Discard)
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		flags.SetOutput(out)
		usage(flags)
		return o, err
	} else if err != nil {
		return o, fmt.Errorf("%w; --help lists the options", err)
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%q is not an option; --help lists them", flags.Arg(0))
	}
	if o.plan.Rounds < 0 {
		return o, errors.New("--rounds must be at least 1")
	}
	return o, nil
}

func usage(flags *flag.FlagSet) {
	w := flags.Output()
	fmt.Fprint(w, `Usage: scripts/bench/fanout [options]

Compares ways to bring updates to WebSocket connections over the @connections API. A stub server in
a process of its own answers over HTTPS (HTTP/1.1), each run of a variant is a process of its own,
and variants take turns, round by round. What counts is the CPU time of the sender; figures by the
clock are disturbed by whatever else the machine does.

Variants:
`)
	for _, v := range plan.Variants {
		fmt.Fprintf(w, "  %-10s %s\n", v.Name, v.Text)
	}
	fmt.Fprintf(w, "\nScenarios: %s.\nCells are named updates x connections @ milliseconds, as %s.\n\nOptions:\n", strings.Join(plan.Scenarios, ", "), plan.Target)
	flags.PrintDefaults()
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	if o.stub {
		return lab.ServeStub(ctx, in, out, o.http)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return bench(ctx, o, []string{self, "--stub"}, out)
}

// bench plans, measures and tells, with a stub that is started by that command.
func bench(ctx context.Context, o options, stub []string, out io.Writer) error {
	runs, err := plan.New(o.plan)
	if err != nil {
		return err
	}
	if len(runs) == 0 {
		return errors.New("none of these variants runs in any of these cells; --help lists them")
	}
	if err := profile(runs, o.profiles); err != nil {
		return err
	}
	files, err := create(o.jsonFile, o.plot)
	if err != nil {
		return err
	}
	defer files.close()
	l, err := lab.Open(ctx, lab.Options{Stub: stub, Root: o.root, PlainHTTP: o.http})
	if err != nil {
		return err
	}
	defer l.Close()
	conditions := conditions(o, l.Pinned)
	fmt.Fprintln(out, conditions)
	began := time.Now()
	samples, err := measure(ctx, l, runs)
	if err != nil {
		return err
	}
	outcomes := target.Evaluate(target.Targets, samples)
	if err := report.Tables(out, samples); err != nil {
		return err
	}
	if err := report.Targets(out, outcomes); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%d runs in %s\n", len(samples), time.Since(began).Round(time.Second))
	if files.json != nil {
		if err := json.NewEncoder(files.json).Encode(map[string]any{
			"began": began.UTC(), "conditions": conditions, "samples": samples, "targets": outcomes,
		}); err != nil {
			return err
		}
	}
	if files.plot != nil {
		return report.Plot(files.plot, samples)
	}
	return nil
}

// profile names the file for each run's profile, if they are wanted.
func profile(runs []plan.Run, folder string) error {
	if folder == "" {
		return nil
	}
	folder, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	for i := range runs {
		r := &runs[i]
		name := fmt.Sprintf("%s, %s, %s, round %d.pprof", r.Scenario, r.Cell, r.Variant.Name, r.Round+1)
		r.Workload.Profile = filepath.Join(folder, name)
	}
	return os.MkdirAll(folder, 0o755)
}

func measure(ctx context.Context, l *lab.Lab, runs []plan.Run) ([]sample.Sample, error) {
	p := newProgress(os.Stderr, runs)
	defer p.end()
	var samples []sample.Sample
	for _, r := range runs {
		p.next(r)
		s, err := l.Run(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("%s, %s, %s: %w", r.Scenario, r.Cell, r.Variant.Name, err)
		}
		samples = append(samples, s)
		p.finished(r)
	}
	return samples, nil
}

// conditions say what the numbers hold for.
func conditions(o options, pinned bool) string {
	scheme, pin := "HTTPS", "not pinned: install taskset (util-linux) and have two cores for steadier numbers"
	if o.http {
		scheme = "plain HTTP"
	}
	if pinned {
		pin = "sender pinned to core 0, stub to core 1"
	}
	text := fmt.Sprintf("%s, HTTP/1.1; %s; %d cores, %s, %s/%s", scheme, pin, runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		text += "; load before: " + strings.Join(strings.Fields(string(load))[:3], " ")
	}
	return text
}

// files are opened before anything runs: a name that cannot be written should not cost an hour.
type files struct{ json, plot *os.File }

func create(jsonFile, plot string) (files, error) {
	var f files
	for name, file := range map[string]**os.File{jsonFile: &f.json, plot: &f.plot} {
		if name == "" {
			continue
		}
		opened, err := os.Create(name)
		if err != nil {
			f.close()
			return f, err
		}
		*file = opened
	}
	return f, nil
}

func (f files) close() {
	for _, file := range []*os.File{f.json, f.plot} {
		if file != nil {
			_ = file.Close()
		}
	}
}
