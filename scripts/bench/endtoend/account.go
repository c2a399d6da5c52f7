package main

import (
	"math"
	"slices"
	"time"

	"github.com/iops-dashboard/live/contracts"
)

// journal is what a run writes: write n, with the value first+n, of entity n modulo their number.
type journal struct {
	names []string // of the entities
	first int      // higher than any value of an earlier run
	began time.Time

	// Each write is its writer's alone until all have ended.
	writes []write
}

type write struct {
	at  time.Duration // when its call began, since the run did
	err error
}

func newJournal(names []string, first, writes int, now time.Time) *journal {
	return &journal{names: names, first: first, began: now, writes: make([]write, writes)}
}

// finals is the last write of each entity that succeeded, or -1.
func (j *journal) finals() []int {
	finals := slices.Repeat([]int{-1}, len(j.names))
	for n, w := range j.writes {
		if w.err == nil {
			finals[n%len(j.names)] = n
		}
	}
	return finals
}

// failure is why a write failed, if one did.
func (j *journal) failure() error {
	for _, w := range j.writes {
		if w.err != nil {
			return w.err
		}
	}
	return nil
}

// record is what one client has seen of a run.
type record struct {
	run             *journal
	frames, updates int
	bytes           int64
	newest          []contracts.Version // of each entity
	shown           []int               // by that version: a write, or -1
	sightings       []sighting
}

// sighting is the moment at which an entity came to show a write.
type sighting struct {
	write int
	at    time.Duration // since the run began
}

func newRecord(run *journal) *record {
	return &record{
		run: run, newest: make([]contracts.Version, len(run.names)),
		shown: slices.Repeat([]int{-1}, len(run.names)),
	}
}

// take records what a frame of so many bytes brings. One that brings nothing of this run does not count.
func (r *record) take(updates []update, size int, now time.Time) {
	before := r.updates
	for _, u := range updates {
		n := u.value - r.run.first
		if n < 0 || n >= len(r.run.writes) || u.name != r.run.names[n%len(r.run.names)] {
			continue
		}
		r.updates++
		if e := n % len(r.run.names); u.version.Compare(r.newest[e]) > 0 {
			r.newest[e], r.shown[e] = u.version, n
			r.sightings = append(r.sightings, sighting{n, now.Sub(r.run.began)})
		}
	}
	if r.updates > before {
		r.frames++
		r.bytes += int64(size)
	}
}

// complete reports whether each entity shows its final write.
func (r *record) complete(finals []int) bool {
	for e, n := range finals {
		if r.shown[e] < n {
			return false
		}
	}
	return true
}

// latencies appends how long each write took to be shown, by itself or by a later one of its entity.
// A write that failed has none.
func (r *record) latencies(all []time.Duration) []time.Duration {
	entities := len(r.run.names)
	next := make([]int, entities) // the first write of each entity that is not shown yet
	for e := range next {
		next[e] = e
	}
	for _, s := range r.sightings {
		e := s.write % entities
		for ; next[e] <= s.write; next[e] += entities {
			if w := r.run.writes[next[e]]; w.err == nil {
				all = append(all, s.at-w.at)
			}
		}
	}
	return all
}

// result is what a configuration came to. Latencies are in milliseconds.
type result struct {
	Clients  int `json:"clients"`
	Rate     int `json:"rate"` // updates a second that were asked for
	Entities int `json:"entities"`
	// PerSecond is how many calls a second were begun.
	PerSecond float64 `json:"writes_per_second"`
	Written   int     `json:"written"`
	Failed    int     `json:"failed"`
	Problem   string  `json:"problem,omitempty"` // why a write failed
	// NotShown is how many updates are missing, over all clients: neither they nor later ones came.
	NotShown int     `json:"not_shown"`
	P50      float64 `json:"p50_ms"`
	P95      float64 `json:"p95_ms"`
	P99      float64 `json:"p99_ms"`
	Max      float64 `json:"max_ms"`
	// Over all clients.
	Frames  int   `json:"frames"`
	Updates int   `json:"updates"`
	Bytes   int64 `json:"bytes"`
	// Complete is how many clients show every final value.
	Complete int `json:"complete"`
	Lost     int `json:"lost"`    // clients whose connection ended
	Resyncs  int `json:"resyncs"` // how often a client was told to ask again
}

// evaluate fills in what the journal and the records of all clients say.
func (j *journal) evaluate(records []*record) result {
	r := result{Clients: len(records), Entities: len(j.names)}
	var last time.Duration
	for _, w := range j.writes {
		last = max(last, w.at)
		if w.err != nil {
			r.Failed++
		} else {
			r.Written++
		}
	}
	if last > 0 {
		r.PerSecond = float64(len(j.writes)-1) / last.Seconds()
	}
	if err := j.failure(); err != nil {
		r.Problem = err.Error()
	}
	finals := j.finals()
	latencies := make([]time.Duration, 0, r.Written*len(records))
	for _, c := range records {
		r.Frames += c.frames
		r.Updates += c.updates
		r.Bytes += c.bytes
		if c.complete(finals) {
			r.Complete++
		}
		latencies = c.latencies(latencies)
	}
	r.NotShown = r.Written*len(records) - len(latencies)
	slices.Sort(latencies)
	r.P50, r.P95, r.P99, r.Max = quantile(latencies, 0.50), quantile(latencies, 0.95), quantile(latencies, 0.99), quantile(latencies, 1)
	return r
}

// quantile is the lowest of sorted values that so large a share of them does not exceed, in
// milliseconds; of none it is 0.
func quantile(sorted []time.Duration, share float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	i := int(math.Ceil(share*float64(len(sorted)))) - 1
	return float64(sorted[max(i, 0)]) / float64(time.Millisecond)
}
