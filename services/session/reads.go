package session

import (
	"cmp"
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/state"
	"github.com/iops-dashboard/live/services/internal/view"
)

const (
	// readAge is how old a read may be that confirms a heartbeat.
	readAge = time.Second
	// readTimeout bounds a read, which may outlive the sync that began it: others wait for it.
	readTimeout = 10 * time.Second
)

// entry is an entity or insight that is there, ready to be matched by any number of views.
type entry struct {
	state.Entry
	image     *view.Image
	insightID contracts.InsightID // of an insight
	foundAt   int64               // of an insight, in unix milliseconds
}

// contents are what was read of the state table.
type contents struct {
	entries    []*entry
	unreadable int // rows that break their contract and are left out
	read       string
}

// How contents were had; of several types, the first that holds for any.
const (
	readFresh  = "fresh"  // by a read that was begun for it
	readJoined = "joined" // by one that began after it was asked for, for somebody else
	readRecent = "recent" // by one that had begun before
	readShared = "shared" // by one of another process, which told of the digest alone
)

// reads shares reads of the state table: all who ask for a tenant and type before a read of it begins get
// that read, and one is under way at a time. What was read is kept for [readAge]. It may be used
// concurrently.
type reads struct {
	table state.Table

	mu sync.Mutex
	of map[source]*queue
}

type source struct{ tenant, entityType string }

// queue is what goes on with one source.
type queue struct {
	running *reading // nil if there is none
	next    *reading // begins when that has ended
	last    *reading // the last that ended well
}

type reading struct {
	ctx      context.Context // of whoever asked first; its end does not end the read
	began    time.Time
	done     chan struct{}
	contents contents
	err      error
}

func newReads(table state.Table) *reads {
	return &reads{table: table, of: map[source]*queue{}}
}

// fresh returns what these types of a tenant hold, by reads that began after the call.
func (r *reads) fresh(ctx context.Context, tenant string, types []string) (contents, error) {
	var readings []*reading
	var all contents
	for _, t := range types {
		reading, first := r.join(ctx, source{tenant, t})
		readings = append(readings, reading)
		switch {
		case first:
			all.read = readFresh
		case all.read == "":
			all.read = readJoined
		}
	}
	var err error
	for _, reading := range readings {
		select {
		case <-reading.done:
		case <-ctx.Done():
			return contents{read: all.read}, fault.New("session.Sync", fault.Transient, context.Cause(ctx))
		}
		err = cmp.Or(err, reading.err)
		all.add(reading.contents)
	}
	return all, err
}

// recent returns what reads have found that began after a time and up to [readAge] ago, if there are such of
// all types.
func (r *reads) recent(tenant string, types []string, after time.Time) (contents, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sweep()
	var all contents
	for _, t := range types {
		q := r.of[source{tenant, t}]
		if q == nil || q.last == nil || !q.last.began.After(after) {
			return contents{}, false
		}
		all.add(q.last.contents)
		all.read = readRecent
	}
	return all, true
}

func (c *contents) add(more contents) {
	c.entries = append(c.entries, more.entries...)
	c.unreadable += more.unreadable
}

// join returns the next reading of a source to begin, and whether nobody has asked for it before.
func (r *reads) join(ctx context.Context, of source) (next *reading, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sweep()
	q := r.of[of]
	if q == nil {
		q = &queue{}
		r.of[of] = q
	}
	if q.next != nil {
		return q.next, false
	}
	next = &reading{ctx: context.WithoutCancel(ctx), done: make(chan struct{})}
	q.next = next
	if q.running == nil {
		q.begin()
		go r.run(of, q)
	}
	return next, true
}

// begin makes the next reading the running one. Whoever comes from now on gets another.
func (q *queue) begin() {
	q.running, q.next = q.next, nil
	if q.running != nil {
		q.running.began = now()
	}
}

// run reads for as long as somebody waits.
func (r *reads) run(of source, q *queue) {
	for running := q.running; running != nil; {
		running.contents, running.err = r.read(running.ctx, of)
		r.mu.Lock()
		if running.err == nil {
			q.last = running
		}
		close(running.done)
		q.begin()
		running = q.running
		r.mu.Unlock()
	}
}

// sweep forgets what is too old to be of use.
func (r *reads) sweep() {
	for of, q := range r.of {
		if q.last != nil && time.Since(q.last.began) > readAge {
			q.last = nil
		}
		if q.last == nil && q.running == nil {
			delete(r.of, of)
		}
	}
}

func (r *reads) read(ctx context.Context, of source) (contents, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var all contents
	if of.entityType == state.InsightType {
		rows, err := state.LatestInsights(ctx, r.table, of.tenant, time.Time{})
		all.take(rows)
		return all, err
	}
	for page, err := range r.table.List(ctx, state.Range{Tenant: of.tenant, EntityType: of.entityType}) {
		if err != nil {
			return contents{}, err
		}
		all.take(page)
	}
	return all, nil
}

// take adds rows of the table.
func (c *contents) take(rows []state.Entry) {
	for _, row := range rows {
		if e := newEntry(row); e != nil {
			c.entries = append(c.entries, e)
		} else {
			c.unreadable++
		}
	}
}

// newEntry returns nil if the row breaks its contract, and no frame could carry it: the normalizer lets none
// through.
func newEntry(row state.Entry) *entry {
	e := &entry{Entry: row, image: view.NewImage(row.Image)}
	if !row.Readable() {
		return nil
	}
	if row.EntityType != state.InsightType {
		return e
	}
	var found struct{ Timestamp time.Time }
	var ok bool
	if e.insightID, ok = row.InsightID(); !ok || json.Unmarshal(row.Image, &found) != nil || found.Timestamp.IsZero() {
		return nil
	}
	e.foundAt = found.Timestamp.UnixMilli()
	return e
}
