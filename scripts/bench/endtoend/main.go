// Command endtoend measures the whole system on this machine: it writes to the metrics table at a
// steady rate and says when many WebSocket clients show it. scripts/bench/end-to-end builds and
// starts it.
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
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/iops-dashboard/live/scripts/bench/progress"
)

const (
	// interrupted is the exit code of a program that ctrl-C has ended.
	interrupted = 130
	// patience is how long the last updates of a configuration may take.
	patience = 30 * time.Second
	// warmUpRate is how many entities a second are written once before each configuration.
	warmUpRate = 100

	maxClients, maxRate, maxEntities = 2000, 2000, 1000
	// maxShown bounds memory: what all clients together may be shown in a configuration.
	maxShown = 10_000_000
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second ctrl-C ends us at once, and the kernel ends the system
	err := run(ctx, os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil && ctx.Err() != nil:
		os.Exit(interrupted)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	clients, rates []int
	entities       int
	duration       time.Duration
	jsonFile       string
	root, dir      string
	shards         int
	fanout         string
}

// cell is one configuration.
type cell struct{ clients, rate int }

// cells are in an order in which clients only join: whoever leaves would disturb the next one.
func (o options) cells() []cell {
	var all []cell
	for _, clients := range o.clients {
		for _, rate := range o.rates {
			all = append(all, cell{clients, rate})
		}
	}
	return all
}

func (o options) writes(c cell) int {
	return max(int(o.duration.Seconds()*float64(c.rate)), 1)
}

// cost guesses how long a configuration takes.
func (o options) cost() time.Duration {
	return o.duration + time.Duration(o.entities)*time.Second/warmUpRate + 2*time.Second
}

func parse(args []string, out io.Writer) (options, error) {
	var o options
	var quick bool
	flags := flag.NewFlagSet("end-to-end", flag.ContinueOnError)
	flags.Func("clients", "WebSocket clients, each of these numbers: `n,n` (default 10,100,500)", list(&o.clients, maxClients))
	flags.Func("rate", "updates a second, each of these numbers: `n,n` (default 20,100,300)", list(&o.rates, maxRate))
	flags.IntVar(&o.entities, "entities", 100, "how many entities are written, in turn")
	flags.DurationVar(&o.duration, "duration", 0, "how long to write in each configuration (default 10s)")
	flags.BoolVar(&quick, "quick", false, "what is not said otherwise is 50 clients, 50 updates a second, for 5s")
	flags.StringVar(&o.jsonFile, "json", "", "write the results to this `file`, too")
	flags.IntVar(&o.shards, "shards", 1, "fanout queues, as of scripts/up")
	flags.StringVar(&o.fanout, "fanout", "worker", "who serves a fanout queue: worker or function, as of scripts/up")
	flags.StringVar(&o.dir, "dir", "", "the `folder` for the system's data and logs (default: one that is removed)")
	flags.StringVar(&o.root, "root", ".", "the `folder` of the repository")
	flags.SetOutput(io.Discard)
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		flags.SetOutput(out)
		fmt.Fprintf(out, usage, maxShown)
		flags.PrintDefaults()
		return o, err
	} else if err != nil {
		return o, fmt.Errorf("%w; --help lists the options", err)
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%q is not an option; --help lists them", flags.Arg(0))
	}
	clients, rates, duration := []int{10, 100, 500}, []int{20, 100, 300}, 10*time.Second
	if quick {
		clients, rates, duration = []int{50}, []int{50}, 5*time.Second
	}
	if o.clients == nil {
		o.clients = clients
	}
	if o.rates == nil {
		o.rates = rates
	}
	if o.duration == 0 {
		o.duration = duration
	}
	if o.entities < 1 || o.entities > maxEntities {
		return o, fmt.Errorf("--entities must be 1 to %d", maxEntities)
	}
	if o.duration < 0 || o.duration > 10*time.Minute {
		return o, errors.New("--duration must be above 0 and at most 10m")
	}
	if shown := slices.Max(o.clients) * o.writes(cell{rate: slices.Max(o.rates)}); shown > maxShown {
		return o, fmt.Errorf("--clients times --rate times --duration is %d, above %d: lower one of them", shown, maxShown)
	}
	return o, nil
}

const usage = `Usage: scripts/bench/end-to-end [options]

Starts a system of its own (scripts/up) on loopback, connects WebSocket clients to it, writes to the
metrics table at a steady rate, and measures how long a write takes until each client shows it. Every
number of clients is combined with every rate. Before each configuration every entity is written
once; after it there are 30 s for all clients to show the final value of every entity. If one does
not, the exit code is 1.

Clients, writers and the system share this machine: what they measure depends on all of them. At most
%d updates are shown in a configuration, all clients together.

Options:
`

// list reads whole numbers of 1 to limit into a sorted list.
func list(into *[]int, limit int) func(string) error {
	return func(text string) error {
		var all []int
		for _, part := range strings.Split(text, ",") {
			n, err := strconv.Atoi(part)
			if err != nil || n < 1 || n > limit {
				return fmt.Errorf("%q is not a whole number of 1 to %d", part, limit)
			}
			all = append(all, n)
		}
		slices.Sort(all)
		*into = slices.Compact(all)
		return nil
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	var file *os.File
	if o.jsonFile != "" { // before anything runs: a name that cannot be written should cost no time
		if file, err = os.Create(o.jsonFile); err != nil {
			return err
		}
		defer file.Close()
	}
	began, conditions := time.Now(), o.conditions()
	fmt.Fprintln(out, conditions)
	s, err := startSystem(ctx, o.root, o.dir, "--shards", strconv.Itoa(o.shards), "--fanout", o.fanout)
	if err != nil {
		return err
	}
	defer s.stop()
	results, err := measure(ctx, s, o)
	if len(results) == 0 {
		return err
	}
	if err := table(out, results); err != nil {
		return err
	}
	if file != nil {
		if err := json.NewEncoder(file).Encode(map[string]any{"began": began.UTC(), "conditions": conditions, "results": results}); err != nil {
			return err
		}
	}
	if err != nil {
		return fmt.Errorf("%d of %d configurations were measured: %w", len(results), len(o.cells()), err)
	}
	return judge(results)
}

// judge is an error if a client did not show every final value.
func judge(results []result) error {
	for _, r := range results {
		if r.Complete < r.Clients {
			return fmt.Errorf("%d of %d clients did not show every final value at %d updates a second; --dir keeps the logs of such a run",
				r.Clients-r.Complete, r.Clients, r.Rate)
		}
	}
	return nil
}

// conditions say what the numbers hold for.
func (o options) conditions() string {
	text := fmt.Sprintf("%d entities, %s of writes each, fanout %s x %d; %d cores for all, %s, %s/%s",
		o.entities, o.duration, o.fanout, o.shards, runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		text += "; load before: " + strings.Join(strings.Fields(string(load))[:3], " ")
	}
	return text
}

// measure goes through all configurations on one system. With an error it returns what it has.
func measure(ctx context.Context, s *system, o options) ([]result, error) {
	ctx, cancel := s.during(ctx)
	defer cancel()
	b := &bench{
		table: s.env["METRICS_TABLE"], writes: newDynamoDB(s.env), next: 1,
		audience: audience{url: s.env["WEBSOCKET_URL"], frames: newReader()},
	}
	defer b.audience.dismiss()
	for i := range o.entities {
		b.names = append(b.names, fmt.Sprintf("end_to_end_%d", i))
	}
	cells := o.cells()
	p := progress.New(os.Stderr, len(cells), time.Duration(len(cells))*o.cost())
	defer p.End()
	var results []result
	for _, c := range cells {
		end := p.Keep(fmt.Sprintf("%d clients, %d updates/s", c.clients, c.rate))
		r, err := b.cell(ctx, c, o.writes(c))
		end()
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return results, err
		}
		results = append(results, r)
		p.Finished(o.cost())
	}
	return results, nil
}

// bench is a running system with those who write to it and those who watch.
type bench struct {
	table    string
	writes   updater
	audience audience
	names    []string
	next     int // the first value that was not written yet
}

func (b *bench) cell(ctx context.Context, c cell, writes int) (result, error) {
	if err := b.audience.grow(ctx, c.clients); err != nil {
		return result{}, err
	}
	warm, err := b.run(ctx, len(b.names), warmUpRate)
	if err != nil {
		return result{}, err
	}
	if warm.Complete < warm.Clients {
		err := fmt.Errorf("%d of %d clients did not show what was written to warm up; --dir keeps the logs of such a run",
			warm.Clients-warm.Complete, warm.Clients)
		if lost := b.audience.problem(); lost != nil {
			err = fmt.Errorf("%w; a connection was lost: %w", err, lost)
		}
		return warm, err
	}
	return b.run(ctx, writes, c.rate)
}

// run writes so many updates and waits until all of them are shown.
func (b *bench) run(ctx context.Context, writes, rate int) (result, error) {
	j := newJournal(b.names, b.next, writes, time.Now())
	b.next += writes
	b.audience.watch(j)
	j.write(ctx, b.writes, b.table, rate)
	b.audience.settle(ctx, j.finals(), patience)
	if err := ctx.Err(); err != nil {
		return result{}, err
	}
	r := b.audience.report(j)
	r.Rate = rate
	if r.Written == 0 {
		return r, fmt.Errorf("no write succeeded: %s", r.Problem)
	}
	return r, nil
}
