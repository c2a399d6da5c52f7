// Package plan says what a bench runs: cells, in which variants run one after the other, round by
// round and each time in another order, so that what disturbs the machine disturbs all of them.
package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/iops-dashboard/live/scripts/bench/sample"
	"github.com/iops-dashboard/live/scripts/bench/stub"
)

// MaxPosts is how many posts a run makes at most, unless it conflates. A larger cell is extrapolated.
const MaxPosts = 20_000

// maxPasses is how often a small cell of the grid is repeated in one run, and perFrame how many of its updates a variant
// that conflates has in a frame.
const (
	maxPasses = 20
	perFrame  = 60
)

// warmPosts is how many posts warm up a variant that posts fast, and warmSocket for each socket of a larger pool than
// usual: a socket takes about 1 ms of CPU to dial, in which others post.
const (
	warmPosts  = 4000
	warmSocket = 32
)

// pool is how many posts are in flight where nothing else is said.
const pool = 64

// Variant is a way to send.
type Variant struct {
	Name string
	// Sender is what services/cmd/bench calls it; empty is another program.
	Sender string
	// PerFrame is how many updates share a post. 0 conflates: a connection gets what is newest, in as
	// few posts as it takes.
	PerFrame int
	// cost is a guess at the CPU time of a post, for the estimate of the time left.
	cost time.Duration
	Text string
}

// Variants are all there are, in the order of the tables.
var Variants = []Variant{
	{Name: Plain, Sender: "plain", PerFrame: 1, cost: 900 * time.Microsecond, Text: "a goroutine and a post per record and connection, default SDK client"},
	{Name: SDK, Sender: "sdk", PerFrame: 1, cost: 130 * time.Microsecond, Text: "the SDK adapter, tuned transport, bounded pool, a post per record and connection"},
	{Name: SDKBatch, Sender: "sdk", PerFrame: 10, cost: 140 * time.Microsecond, Text: "the same, a post per batch of ten records and connection"},
	{Name: Wire, Sender: "wire", PerFrame: 1, cost: 20 * time.Microsecond, Text: "our own wire, bounded pool, a post per record and connection"},
	{Name: Ours, Sender: "ours", cost: 30 * time.Microsecond, Text: "the engine: mailboxes, views, our own wire; what waits together shares a post"},
	{Name: Floor, Sender: "floor", PerFrame: 1, cost: 20 * time.Microsecond, Text: "requests signed before the clock starts, raw keep-alive connections"},
	{Name: Wrk, PerFrame: 1, cost: 30 * time.Microsecond, Text: "wrk, unsigned, where it is installed"},
}

// Names of variants. Ours is the engine.
const (
	Plain    = "plain"
	SDK      = "sdk"
	SDKBatch = "sdk-batch"
	Wire     = "wire"
	Floor    = "floor"
	Wrk      = "wrk"
	Ours     = "ours"
)

// Run is one run of one variant.
type Run struct {
	Scenario, Cell string
	Round          int
	Variant        Variant
	Workload       sample.Workload
	Settings       stub.Settings
	Scale          float64
	Cost           time.Duration
}

// Cell is what variants are compared in.
type Cell struct {
	Scenario, Name string
	Rounds         int
	Variants       []string
	Workload       sample.Workload // of a variant, but for what the variant decides
	Settings       stub.Settings
	MaxPosts       int
	// Repeat is how many times a run goes through the cell, at most, if that takes few posts: so what is
	// measured lasts, and what a variant does once counts less. 0 is once.
	Repeat int
	// Feed, if not 0, is how many updates a second a variant that conflates gets for FeedSeconds, in place
	// of the workload's: were they all there from the beginning, it would be done at once.
	Feed float64
}

// feedSeconds is for how long that goes on.
const feedSeconds = 4

// Options choose from all that could be run. Zero values choose everything.
type Options struct {
	Quick     bool
	Scenarios []string
	Cells     []string // of the scenario "cells"
	Variants  []string
	Rounds    int
}

// New returns the runs in their order, and reports a choice that does not exist.
func New(o Options) ([]Run, error) {
	cells := full()
	if o.Quick {
		cells = quick()
	}
	var grid []string
	for _, c := range cells {
		if c.Scenario == Cells {
			grid = append(grid, c.Name)
		}
	}
	var variants []string
	for _, v := range Variants {
		variants = append(variants, v.Name)
	}
	for _, err := range []error{
		known("scenario", o.Scenarios, Scenarios), known("cell", o.Cells, grid), known("variant", o.Variants, variants),
	} {
		if err != nil {
			return nil, err
		}
	}
	chosen := func(from []string, name string) bool { return len(from) == 0 || slices.Contains(from, name) }
	cells = slices.DeleteFunc(cells, func(c Cell) bool {
		return !chosen(o.Scenarios, c.Scenario) || c.Scenario == Cells && !chosen(o.Cells, c.Name)
	})
	var runs []Run
	for _, scenario := range Scenarios {
		for round, more := 0, true; more; round++ {
			more = false
			var together []Run
			for _, c := range cells {
				if o.Rounds > 0 {
					c.Rounds = o.Rounds
				}
				if c.Scenario != scenario || round >= c.Rounds {
					continue
				}
				more = true
				for _, v := range Variants {
					if slices.Contains(c.Variants, v.Name) && chosen(o.Variants, v.Name) {
						together = append(together, c.run(v, round))
					}
				}
			}
			rand.Shuffle(len(together), func(i, j int) { together[i], together[j] = together[j], together[i] })
			runs = append(runs, together...)
		}
	}
	return runs, nil
}

func known(what string, chosen, all []string) error {
	for _, name := range chosen {
		if !slices.Contains(all, name) {
			return fmt.Errorf("no %s is called %q; there are %s", what, name, strings.Join(all, ", "))
		}
	}
	return nil
}

// run is the cell as one variant sees it.
func (c Cell) run(v Variant, round int) Run {
	w := c.Workload
	w.Variant, w.PerFrame = v.Sender, v.PerFrame
	frames := 0
	if v.PerFrame == 0 {
		w.PerFrame = w.Updates
		frames = divideUp(w.Entities, perFrame)
	} else {
		frames = divideUp(w.Updates, v.PerFrame)
	}
	if v.cheap() && w.WarmUp > 0 && (c.Settings.LatencyMS == 0 || w.Pool > pool) {
		w.WarmUp = max(warmPosts, warmSocket*w.Pool) // what dials when it has to, has dialed then
	}
	scale := 1.0
	switch allowed := max(1, c.limit(v)/w.Connections); {
	case c.Feed > 0 && v.PerFrame == 0:
		w.Rate, w.Updates = c.Feed, int(feedSeconds*c.Feed)
	case w.Rate > 0:
	case v.PerFrame > 0 && frames > allowed:
		frames = allowed
		scale = float64(w.Updates) / float64(allowed*v.PerFrame)
		w.Updates = allowed * v.PerFrame
	case c.Repeat > 1:
		passes := min(c.Repeat, max(1, c.repeated(v)/(w.Connections*frames)))
		w.Together = w.Updates
		w.Updates *= passes
		scale = 1 / float64(passes)
		frames *= passes
	}
	posts := w.Connections * frames
	cost := 250*time.Millisecond + time.Duration(posts+w.WarmUp)*v.cost
	if v.Name != Plain {
		cost += time.Duration(posts/w.Pool*c.Settings.LatencyMS) * time.Millisecond
	}
	if w.Rate > 0 {
		cost = time.Duration(float64(time.Second) * float64(w.Updates) / w.Rate)
		if v.PerFrame > 0 && c.Settings.Rate > 0 {
			cost = time.Duration(w.TimeLimitMS) * time.Millisecond
		}
	}
	return Run{
		Scenario: c.Scenario, Cell: c.Name, Round: round, Variant: v,
		Workload: w, Settings: c.Settings, Scale: scale, Cost: cost,
	}
}

// limit is how many posts a run may make. A short bench saves on those that take long.
func (c Cell) limit(v Variant) int {
	if v.cheap() {
		return max(c.MaxPosts, MaxPosts)
	}
	return c.MaxPosts
}

// repeated is how many posts are enough to measure.
func (c Cell) repeated(v Variant) int {
	if v.cheap() {
		return max(c.MaxPosts, MaxPosts)
	}
	return min(c.MaxPosts, MaxPosts/4)
}

func (v Variant) cheap() bool { return v.cost < 100*time.Microsecond }

func divideUp(a, b int) int { return (a + b - 1) / b }
