package fanout

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/iops-dashboard/live/services/internal/run"
)

// engine brings events to mailboxes and mailboxes to connections, until it is closed. Its lock guards
// tenants, channels and mailboxes; nothing is posted, read or encoded under it.
type engine struct {
	*shell
	ctx    context.Context // of all work; ends when it is cut off
	cancel context.CancelCauseFunc
	work   sync.WaitGroup // everything that runs

	readers chan struct{} // one place for each read of the registry
	crossed atomic.Int64

	mu         sync.Mutex
	closed     bool
	tenants    map[string]*tenant
	rounds     map[*round]struct{} // not settled
	channelIDs int64
	ready      []*mailbox // that wait for a poster, the longest first
	parked     map[*mailbox]*time.Timer
	posters    int // that run
}

// newEngine returns an engine that works until it is closed. Values of ctx go on, its end does not.
func (s *shell) newEngine(ctx context.Context) *engine {
	e := &engine{
		shell:   s,
		readers: make(chan struct{}, s.Readers),
		tenants: map[string]*tenant{},
		rounds:  map[*round]struct{}{},
		parked:  map[*mailbox]*time.Timer{},
	}
	e.ctx, e.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	return e
}

// close cuts off what is under way, and returns when nothing runs any more. Every parcel has had its
// end then.
func (e *engine) close() {
	e.cancel(run.ErrStop)
	e.mu.Lock()
	e.closed = true
	for box := range e.parked {
		e.unpark(box)
	}
	e.mu.Unlock()
	e.work.Wait()

	e.mu.Lock()
	defer e.mu.Unlock()
	for r := range e.rounds {
		delete(e.rounds, r)
		e.report(r, unfinished)
		for _, p := range r.parcels {
			p.end(unfinished)
		}
	}
}

// startPosters has as many posters as there is work for, and no more than allowed.
func (e *engine) startPosters() {
	for range min(len(e.ready), e.Posters-e.posters) {
		if e.closed {
			return
		}
		e.posters++
		e.work.Go(e.post)
	}
}

// post serves mailboxes until none waits.
func (e *engine) post() {
	for {
		e.mu.Lock()
		if len(e.ready) == 0 || e.closed {
			e.posters--
			e.mu.Unlock()
			return
		}
		box := e.ready[0]
		e.ready[0] = nil
		e.ready = e.ready[1:]
		box.state, box.more = posting, false
		e.mu.Unlock()
		e.serve(box)
	}
}

// waiting is how many mailboxes have something that waits.
func (e *engine) waiting() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.ready) + len(e.parked)
}

// take waits for a place in a semaphore, and reports whether it has one.
func take(ctx context.Context, places chan struct{}) bool {
	if ctx.Err() != nil {
		return false
	}
	select {
	case places <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// sleep waits for d, and reports whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
