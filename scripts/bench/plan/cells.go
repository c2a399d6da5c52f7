package plan

import (
	"fmt"

	"github.com/iops-dashboard/live/scripts/bench/sample"
	"github.com/iops-dashboard/live/scripts/bench/stub"
)

// Names of scenarios.
const (
	Cells   = "cells"   // updates by connections by latency
	Verify  = "verify"  // every signature verified
	Quota   = "quota"   // more updates than the account may post
	Latency = "latency" // 512 posts in flight
	Memory  = "memory"  // peak memory by connections
	Hang    = "hang"    // one connection in 100 never answers
	Cold    = "cold"    // from the start of the process to the last of 100 deliveries
	Curves  = "curves"  // cost by connections, by entities, by updates
	Faults  = "faults"  // some connections are gone, slow or broken
	Reads   = "reads"   // of the registry, by connections and by updates a second
)

// Scenarios are all there are, in the order in which they run.
var Scenarios = []string{Verify, Cells, Quota, Latency, Memory, Hang, Faults, Cold, Curves, Reads}

// The cells that most targets are about: Target compares posts, since every variant posts the same frames
// there, and Updates what it takes to deliver updates that come together.
var (
	Target  = Name(1, 1000, 0)
	Updates = Name(10, 1000, 0)
)

// Names of cells that targets are about.
const (
	Over10      = "10x over the quota"
	Over100     = "100x over the quota"
	InFlight    = "512 in flight at 20 ms"
	Memory10    = "10000 connections"
	Memory20    = "20000 connections"
	Registered  = "100000 connections"
	AllAnswer   = "all answer"
	OneSilent   = "1 in 100 never answers"
	FirstPosts  = "first 100 deliveries"
	Signatures  = "signatures"
	quotaRate   = 1000
	quotaBurst  = 500
	inFlight    = 512
	postTimeout = 2000
)

// Name is that of a cell of the grid: updates by connections at milliseconds of latency.
func Name(updates, connections, latency int) string {
	return fmt.Sprintf("%dx%d@%d", updates, connections, latency)
}

// CurveName is that of a cell of the curves.
func CurveName(updates, entities, connections int) string {
	return fmt.Sprintf("%d updates of %d entities to %d", updates, entities, connections)
}

func full() []Cell {
	var cells []Cell
	for _, latency := range []int{0, 5, 20} {
		for _, updates := range []int{1, 10, 1000} {
			for _, connections := range []int{100, 1000, 10_000} {
				rounds := 3
				if name := Name(updates, connections, latency); name == Target || name == Updates {
					rounds = 5
				}
				cells = append(cells, grid(updates, connections, latency, rounds, MaxPosts))
			}
		}
	}
	return append(cells, others(scenarios{rounds: 5, pairs: 7, quotaSeconds: 8, hangSeconds: 3, cold: 7, plainEverywhere: true, audiences: []int{10, 100, 1000, 10_000}})...)
}

func quick() []Cell {
	const posts = 2000
	cells := []Cell{
		grid(1, 1000, 0, 5, 1000), grid(10, 1000, 0, 5, posts), grid(10, 100, 0, 1, posts), grid(1000, 1000, 0, 1, posts),
		grid(10, 1000, 20, 1, posts),
	}
	return append(cells, others(scenarios{rounds: 2, pairs: 3, quotaSeconds: 2, hangSeconds: 1, cold: 3, audiences: []int{1000}})...)
}

func grid(updates, connections, latency, rounds, posts int) Cell {
	variants := []string{Plain, SDK, SDKBatch, Floor, Ours}
	if updates == 1 && connections == 1000 {
		variants = append(variants, Wire, Wrk) // wrk knows neither updates nor connections
	}
	c := Cell{
		Scenario: Cells, Name: Name(updates, connections, latency), Rounds: rounds, Variants: variants, MaxPosts: posts,
		Repeat: maxPasses,
		Workload: sample.Workload{
			Connections: connections, Updates: updates, Entities: min(updates, 100), Pool: pool, WarmUp: 4 * pool,
		},
		Settings: stub.Settings{LatencyMS: latency},
	}
	if latency > 0 {
		c.Repeat = 1 // it lasts long enough
	}
	return c
}

// scenarios say how long the scenarios besides the grid take.
type scenarios struct {
	rounds, pairs, cold       int
	quotaSeconds, hangSeconds float64
	plainEverywhere           bool
	audiences                 []int // whose reads are counted
}

func others(s scenarios) []Cell {
	at := func(variants ...string) []string {
		if s.plainEverywhere {
			variants = append(variants, Plain, SDK)
		}
		return append(variants, Ours)
	}
	cells := []Cell{
		{
			Scenario: Verify, Name: Signatures, Rounds: 1, Variants: []string{Plain, SDK, SDKBatch, Wire, Floor, Ours},
			Workload: sample.Workload{Connections: 50, Updates: 4, Entities: 2, Pool: 8},
			Settings: stub.Settings{Verify: true},
		},
		quota(Over10, 100, 20, s), quota(Over100, 1000, 50, s),
		{
			Scenario: Latency, Name: InFlight, Rounds: s.rounds, Variants: at(Wire, Floor),
			Workload: sample.Workload{Connections: 4000, Updates: 10, Entities: 20, Pool: inFlight, WarmUp: 4000, Quota: 30_000},
			Settings: stub.Settings{LatencyMS: 20},
			MaxPosts: 2 * MaxPosts, // the end, when fewer are in flight, should not count for much
			Feed:     20,           // three or four updates in the time of a post to each: it always waits for something
		},
		memory(Memory10, 10_000, s.rounds, at()), memory(Memory20, 20_000, s.rounds, []string{SDK, Ours}),
		memory(Registered, 100_000, 1, []string{Ours}),
		hang(AllAnswer, 0, s), hang(OneSilent, 0.01, s), faults(s),
		{
			Scenario: Cold, Name: FirstPosts, Rounds: s.cold, Variants: []string{Plain, SDK, Ours},
			Workload: sample.Workload{Connections: 100, Updates: 1, Entities: 1, Pool: pool},
			Settings: stub.Settings{LatencyMS: 5},
		},
	}
	for _, n := range []int{100, 300, 1000, 3000, 10_000} {
		cells = append(cells, curve(10, 10, n, s))
	}
	for _, n := range []int{1, 100, 1000} {
		cells = append(cells, curve(1000, n, 1000, s))
	}
	for _, n := range []int{100, 1000} {
		cells = append(cells, curve(n, 10, 1000, s))
	}
	for _, n := range s.audiences {
		for _, rate := range []int{500 / 60, 100} {
			cells = append(cells, reads(n, rate, s))
		}
	}
	for i := range cells {
		cells[i].MaxPosts = max(cells[i].MaxPosts, MaxPosts)
	}
	return cells
}

// quota has 100 connections get so many updates a second.
func quota(name string, rate float64, entities int, s scenarios) Cell {
	return Cell{
		Scenario: Quota, Name: name, Rounds: max(1, s.rounds/2), Variants: []string{Plain, SDKBatch, Ours},
		Workload: sample.Workload{
			Connections: 100, Updates: int(rate * s.quotaSeconds), Entities: entities, Rate: rate, Pool: pool,
			TimeLimitMS: int(2000 * s.quotaSeconds), Quota: quotaRate,
		},
		Settings: stub.Settings{LatencyMS: 5, Rate: quotaRate, Burst: quotaBurst},
	}
}

func memory(name string, connections, rounds int, variants []string) Cell {
	return Cell{
		Scenario: Memory, Name: name, Rounds: min(rounds, 3), Variants: variants,
		Workload: sample.Workload{Connections: connections, Updates: 1, Entities: 1, Pool: pool},
	}
}

// hang has 400 connections get five updates a second. Plain is not asked: it would wait for ever.
func hang(name string, silent float64, s scenarios) Cell {
	const rate = 5
	return Cell{
		Scenario: Hang, Name: name, Rounds: s.pairs, Variants: []string{SDK, Ours},
		Workload: sample.Workload{
			Connections: 400, Updates: int(rate * s.hangSeconds), Entities: 5, Rate: rate, Pool: pool,
			PostTimeoutMS: postTimeout, TimeLimitMS: int(1000*s.hangSeconds) + 2*postTimeout,
		},
		Settings: stub.Settings{LatencyMS: 5, Silent: silent},
	}
}

// reads has so many updates a second, the lower number being that of the default load.
func reads(connections, rate int, s scenarios) Cell {
	return Cell{
		Scenario: Reads, Name: fmt.Sprintf("%d updates/s to %d", rate, connections), Rounds: 1, Variants: []string{Ours},
		Workload: sample.Workload{
			Connections: connections, Updates: int(float64(rate) * s.quotaSeconds), Entities: 100, Rate: float64(rate), Pool: pool, Quota: 10_000,
		},
		Settings: stub.Settings{LatencyMS: 5},
	}
}

// faults has 100 connections get ten updates a second, some of which answer 410, 429 or 500 to all posts.
func faults(s scenarios) Cell {
	const rate = 10
	return Cell{
		Scenario: Faults, Name: "5% gone, 2% slow, 5% broken", Rounds: 1, Variants: []string{Plain, SDK, Ours},
		Workload: sample.Workload{
			Connections: 100, Updates: int(rate * s.hangSeconds), Entities: 10, Rate: rate, Pool: pool,
			TimeLimitMS: int(3000 * s.hangSeconds),
		},
		Settings: stub.Settings{LatencyMS: 5, Gone: 0.05, Throttled: 0.02, Broken: 0.05},
	}
}

func curve(updates, entities, connections int, s scenarios) Cell {
	return Cell{
		Scenario: Curves, Name: CurveName(updates, entities, connections), Rounds: min(s.rounds, 3), Variants: []string{Ours},
		// As often for all sizes: what is made for each connection counts alike.
		Repeat: 4, MaxPosts: 4 * 10_000,
		Workload: sample.Workload{
			Connections: connections, Updates: updates, Entities: entities, Pool: pool, WarmUp: 4 * pool,
		},
	}
}
