// Package bench is the sender of scripts/bench: it brings the same updates to the same connections
// in one of several ways, and measures what that took of this process.
//
// A way is a [Variant], and a file of its own here or, where it needs an SDK client or an adapter,
// in services/cmd/bench.
package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Workload is what one process is to do. scripts/bench writes it as JSON.
type Workload struct {
	Variant string `json:"variant"`
	// Endpoint is the callback address with its stage, without "/@connections".
	Endpoint    string `json:"endpoint"`
	Connections int    `json:"connections"`
	// Updates go round over so many entities, each time with the entity's next revision.
	Updates  int `json:"updates"`
	Entities int `json:"entities"`
	// Rate is how many updates a second there are. 0 has all of them wait from the beginning.
	Rate float64 `json:"rate"`
	// Together is how many updates wait at a time: a variant that conflates gets the next when these are
	// settled, and no batch holds updates of both. 0: all of them.
	Together int `json:"together"`
	// PerFrame is how many updates at most share a post, where the variant can join them.
	PerFrame int `json:"per_frame"`
	// Pool is how many posts are in flight at most, where the variant has a bound.
	Pool int `json:"pool"`
	// Quota is how many posts a second the account may make, for variants that pace themselves; 0: no
	// limit.
	Quota float64 `json:"quota"`
	// WarmUp is how many posts are made before the clock starts, about.
	WarmUp int `json:"warm_up"`
	// PostTimeoutMS ends a post without an answer, where the variant can. 0 waits for ever.
	PostTimeoutMS int `json:"post_timeout_ms"`
	// TimeLimitMS ends the run with what was reached. 0 waits for ever.
	TimeLimitMS int `json:"time_limit_ms"`
	// ListPerBatch lists the connections once a batch, and not for each record as the plain design.
	ListPerBatch bool `json:"list_per_batch"`
	// Profile is the file that gets a CPU profile of the run, without the warm-up; empty: none.
	Profile string `json:"profile"`
}

// Check reports everything that is wrong with w.
func (w Workload) Check() error {
	var all []error
	for name, n := range map[string]int{
		"connections": w.Connections, "updates": w.Updates, "entities": w.Entities, "per_frame": w.PerFrame, "pool": w.Pool,
	} {
		if n < 1 {
			all = append(all, fmt.Errorf("%s is %d, want at least 1", name, n))
		}
	}
	if w.Endpoint == "" {
		all = append(all, errors.New("no endpoint"))
	}
	return errors.Join(all...)
}

// Job is what a variant has to deliver.
type Job struct {
	// Connections are all there are. A variant must not change them.
	Connections []string
	Feed        *Feed
	// Tally is told of every post.
	Tally *Tally
}

// Variant is one way to bring updates to connections.
type Variant interface {
	// Run brings what the feed has to all connections, and returns when every post has its verdict.
	// A post that fails is for the tally. An error means that the run is worth nothing, and a context
	// that ends only that it took too long. It may be called again when it has returned.
	Run(ctx context.Context, j Job) error
}

// Result is what a run took. It is written as JSON for scripts/bench.
type Result struct {
	Variant  string           `json:"variant"`
	Posts    int64            `json:"posts"`
	Verdicts map[string]int64 `json:"verdicts"`
	Wall     float64          `json:"wall_seconds"`
	CPU      float64          `json:"cpu_seconds"` // user and system
	PeakRSS  int64            `json:"peak_rss_bytes"`
	P50      float64          `json:"p50_ms"` // of one post's time to its verdict
	P99      float64          `json:"p99_ms"`
	// Reads of the registry's audience, the queries that they took, the rows that they found, and the read
	// units that DynamoDB would have charged.
	Reads     int64 `json:"reads"`
	Queries   int64 `json:"queries"`
	Rows      int64 `json:"rows"`
	ReadUnits int64 `json:"read_units"`
	// Final is the last revision of each entity that was fed.
	Final map[string]int64 `json:"final"`
	// Released is how many updates the variant took from the feed.
	Released int `json:"released"`
	// Interrupted says that the time limit ended the run.
	Interrupted bool `json:"interrupted"`
}

// Measure warms v up and runs it once.
func Measure(ctx context.Context, v Variant, w Workload) (Result, error) {
	if err := w.Check(); err != nil {
		return Result{}, fmt.Errorf("workload: %w", err)
	}
	connections := connectionIDs(w.Connections)
	if n := min(w.WarmUp, len(connections)); n > 0 {
		warm := Job{Connections: connections[:n], Feed: warmFeed(w.WarmUp / n), Tally: NewTally()}
		if err := v.Run(ctx, warm); err != nil {
			return Result{}, fmt.Errorf("warm-up: %w", err)
		}
	}
	if w.TimeLimitMS > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(w.TimeLimitMS)*time.Millisecond)
		defer cancel()
	}
	j := Job{Connections: connections, Feed: NewFeed(w), Tally: NewTally()}
	stopProfile, err := profile(w.Profile)
	if err != nil {
		return Result{}, err
	}
	defer stopProfile()
	j.Tally.Begin()
	err = v.Run(ctx, j)
	late := errors.Is(ctx.Err(), context.DeadlineExceeded)
	if err != nil && !late {
		return Result{}, err
	}
	r, err := j.Tally.result()
	r.Variant, r.Interrupted = w.Variant, late
	r.Released, r.Final = j.Feed.released()
	return r, err
}
