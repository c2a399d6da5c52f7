// Command planner says what a load asks of this system and of two others, what that costs, and which limit it meets first.
// scripts/plan builds and starts it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/iops-dashboard/live/scripts/planner/design"
	"github.com/iops-dashboard/live/scripts/planner/price"
	"github.com/iops-dashboard/live/scripts/planner/report"
)

// What --doc writes, in the folder of the repository.
const (
	pageFile = "infra/COST.md"
	plotFile = "infra/cost.svg"
)

func main() {
	err := run(os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "plan:", err)
		os.Exit(1)
	}
}

type options struct {
	load               design.Load
	json, compare, doc bool
	root               string
}

func parse(args []string, out io.Writer) (options, error) {
	o := options{load: design.Default()}
	l := &o.load
	flags := flag.NewFlagSet("plan", flag.ContinueOnError)
	flags.IntVar(&l.Dashboards, "dashboards", l.Dashboards, "how many are open at a time, all of one tenant")
	flags.Float64Var(&l.Updates, "updates", l.Updates, "of entities, a minute")
	found := false
	flags.Func("insights", "`number` that is found, a minute (default one for 30 updates, as the simulator's rules find)", func(text string) (err error) {
		found = true
		l.Insights, err = strconv.ParseFloat(text, 64)
		return err
	})
	flags.IntVar(&l.Entities, "entities", l.Entities, "how many there are")
	flags.Func("views", "`share` of all updates that a dashboard's views match, as 10% (default 100%)", func(text string) (err error) {
		l.Views, err = share(text)
		return err
	})
	flags.IntVar(&l.Fields, "fields", l.Fields, fmt.Sprintf("attributes that the views ask for, of %d; 0: all", design.Attributes))
	flags.DurationVar(&l.Cadence, "cadence", l.Cadence, "how often writers write: all of 1m comes together; 0s: spread evenly")
	flags.Float64Var(&l.Hours, "hours", l.Hours, "of a day, in which the dashboards are open")
	flags.Float64Var(&l.Opens, "opens", l.Opens, "how often a day each page is loaded anew")
	flags.DurationVar(&l.Poll, "poll", l.Poll, "from one poll to the next, of the design that polls")
	flags.BoolVar(&l.Gzip, "gzip", l.Gzip, "compress the answers to polls, of the design that polls")
	fanout := flags.String("fanout", "lambda", "what posts: lambda or fargate, as with cdk deploy -c fanout=…")
	flags.IntVar(&l.Shards, "shards", l.Shards, "fanout queues, as with -c shards=…")
	flags.IntVar(&l.Tasks, "tasks", l.Tasks, "the most tasks of a shard, as with -c tasks=…")
	flags.BoolVar(&o.compare, "compare", false, "set the three designs side by side")
	flags.BoolVar(&o.json, "json", false, "write all of it as JSON, with the numbers that it rests on")
	flags.BoolVar(&o.doc, "doc", false, "write the tables of "+pageFile+" and the plot of "+plotFile+" anew")
	flags.StringVar(&o.root, "root", ".", "the `folder` of the repository")
	flags.SetOutput(io.Discard)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(out)
		usage(flags)
		return o, err
	case err != nil:
		return o, fmt.Errorf("%w; --help lists the options", err)
	case flags.NArg() > 0:
		return o, fmt.Errorf("%q is not an option; --help lists them", flags.Arg(0))
	}
	if !found {
		l.Insights = design.DefaultInsights(l.Updates)
	}
	if l.Worker = *fanout == "fargate"; !l.Worker && *fanout != "lambda" {
		return o, fmt.Errorf("--fanout is %q: want lambda or fargate", *fanout)
	}
	return o, l.Validate()
}

// share reads a share as 10% or 0.1.
func share(text string) (float64, error) {
	number, isPercent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	switch {
	case err != nil:
		return 0, errors.New("want a share, as 10% or 0.1")
	case isPercent:
		v /= 100
	case v > 1:
		return 0, fmt.Errorf("is more than everything: is it %s%%?", text)
	}
	return v, nil
}

func usage(flags *flag.FlagSet) {
	fmt.Fprint(flags.Output(), `Usage: scripts/plan [options]

Says what a number of dashboards and updates asks of AWS: messages, bytes, units of DynamoDB, what each
service costs in a month, and which limit is met first. Without options it is the default load: 500
updates a minute over 1,000 entities, to 100 dashboards that show everything, day and night.

  scripts/plan --dashboards 300 --views 10%        views that match a tenth of the updates
  scripts/plan --cadence 1m                        writers that write once a minute
  scripts/plan --dashboards 5000 --fanout fargate  tasks, which pack what waits, in place of functions
  scripts/plan --compare                           beside a plain design, and polling

What most of it costs is messages: each update is one to each dashboard whose views match it, unless
several come together. Next are the heartbeats of the dashboards, which read what they watch, and
insights. So ask first what the dashboards need to see. infra/COST.md has the arithmetic, what it
leaves out, and a plot. It runs on this machine alone, and asks AWS nothing.

Options:
`)
	flags.PrintDefaults()
}

func run(args []string, out io.Writer) error {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	prices, err := price.Read()
	if err != nil {
		return err
	}
	if o.doc {
		return document(o.root, prices)
	}
	var plans []design.Plan
	for _, d := range design.Designs {
		plans = append(plans, d.Plan(o.load, prices))
	}
	switch {
	case o.json:
		return report.JSON(out, o.load, plans, prices)
	case o.compare:
		return report.Compare(out, o.load, plans, prices)
	}
	return report.Text(out, o.load, plans[len(plans)-1], prices)
}

// document writes the page's tables and the plot.
func document(root string, prices price.List) error {
	page := filepath.Join(root, filepath.FromSlash(pageFile))
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	made, err := report.Page(string(text), prices)
	if err != nil {
		return fmt.Errorf("%s: %w", pageFile, err)
	}
	if err := os.WriteFile(page, []byte(made), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, filepath.FromSlash(plotFile)), []byte(report.Plot(design.Default(), prices)), 0o644)
}
