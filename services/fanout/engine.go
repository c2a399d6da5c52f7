package fanout

import (
	"context"
	"sync"
	"time"

	"github.com/iops-dashboard/live/services/internal/run"
)

// engine brings events to mailboxes and mailboxes to connections, until it is closed. Its lock guards
// tenants, channels and mailboxes; nothing is posted, read or encoded under it.
type engine struct {
	*shell
	ctx     context.Context // of all work; ends when it is cut off
	cancel  context.CancelCauseFunc
	running sync.WaitGroup

	readers chan struct{} // one place for each read of the registry

	mu         sync.Mutex
	closed     bool
	tenants    map[string]*tenant
	rounds     map[*round]struct{} // not settled
	channelIDs int64
	ready      []*mailbox // that wait for a poster, the longest first
	parked     map[*mailbox]*time.Timer
	posters    int // that run
	idle       int // of them, that wait for work
	work       *sync.Cond
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
	e.work = sync.NewCond(&e.mu)
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
	e.work.Broadcast()
	e.mu.Unlock()
	e.running.Wait()

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

// startPosters has posters at work for n of the mailboxes that are ready, and no more than allowed. They stay:
// a goroutine that has posted has the stack for it.
func (e *engine) startPosters(n int) {
	if e.closed {
		return
	}
	for range min(n, e.idle) {
		e.work.Signal()
	}
	for range min(n-e.idle, e.Posters-e.posters) {
		e.posters++
		e.running.Go(e.post)
	}
}

// post serves mailboxes until the engine is closed.
func (e *engine) post() {
	room := make([]target, 2) // a mailbox has a place for its type and one for *, mostly
	for box := e.next(); box != nil; box = e.next() {
		e.serve(box, room)
	}
}

// next waits for the mailbox that has waited longest. There is none when the engine is closed.
func (e *engine) next() *mailbox {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.ready) == 0 && !e.closed {
		e.idle++
		e.work.Wait()
		e.idle--
	}
	if e.closed {
		return nil
	}
	box := e.ready[0]
	e.ready[0] = nil
	e.ready = e.ready[1:]
	box.state, box.more = posting, false
	return box
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
