// Package fanout delivers METRIC_UPDATE and INSIGHT_CREATED events to the browsers that watch. Where
// something here is said of an entity, it holds for an insight too. A worker receives from a queue in
// windows, and each window goes through the same stages:
//
//	receive → decode → conflate → read the registry → frame → post → verdict → settle
//
// Each stage is a file of that name, or of the thing that it makes.
//
// # What is promised
//
// A message is deleted when the newest update of its entity in the window was posted to every
// connection of its tenant, or the connection is gone. If anything of that fails, the message
// stays in the queue: it is received again after its visibility timeout, and moves to the
// dead-letter queue after maxReceiveCount. What was posted already is then posted again; that is
// harmless, because updates carry versions and the browser keeps the newest.
//
// Within a window an older update of an entity is never posted after a newer one, and a connection
// gets its frames in order, one at a time. Windows overlap, so between windows order is not
// promised; again versions decide.
//
// A message that is not a valid event goes to the dead-letter queue at once, with the reason, and
// does not touch the others.
package fanout

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/iops-dashboard/live/services/internal/gateway"
	"github.com/iops-dashboard/live/services/internal/queue"
	"github.com/iops-dashboard/live/services/internal/registry"
	"github.com/iops-dashboard/live/services/internal/run"
)

// Config is what a Worker needs. Zero values mean the defaults.
type Config struct {
	Queue    queue.Queue
	Registry registry.Registry
	Gateway  gateway.Gateway
	Log      *slog.Logger

	// Majors are the contracts that are read and written. Defaults to [Published].
	Majors []Major

	// Window is how many messages are conflated together at most. A window takes what the queue
	// has and never waits for more. Defaults to 100.
	Window int
	// UnderWay is how many messages are worked on at most, in all windows. A window whose last
	// connection is slow waits for it while others go on. Defaults to 6400.
	UnderWay int
	// Readers is how many windows read the registry at a time. While all of them read, nothing is
	// received, so messages gather and the next window conflates more. Defaults to 2.
	Readers int
	// Posters is how many posts are in flight at most, in all windows. A connection that does not
	// answer keeps one in each window that has something for it, for PostTimeout at each try: with
	// many windows a second, a few such connections slow down all. Defaults to 64.
	Posters int
	// Parked is how many connections may wait for their next try without a poster. More than that
	// keep their posters, which slows the whole down. Defaults to 1024.
	Parked int

	// PostTimeout ends a post. Defaults to 2 s.
	PostTimeout time.Duration
	// Tries is how often a frame is posted that is refused by an outage or a throttle. Defaults to 3.
	Tries int
	// NewbornAge is how old a connection must be before its absence is believed: the gateway does
	// not know a connection whose handshake is still under way. Defaults to 10 s.
	NewbornAge time.Duration

	// Visibility is the queue's visibility timeout. A window gives up after two thirds of it, and
	// has one sixth to settle, so that it never works on what somebody else has received.
	// Defaults to 30 s.
	Visibility time.Duration
	// Grace is how long windows may go on after the stop, before they are cut off. Defaults to 10 s.
	Grace time.Duration

	// Observe is called after each window, from many goroutines, if it is not nil.
	Observe func(Report)
}

func (c Config) withDefaults() Config {
	if c.Majors == nil {
		c.Majors = Published()
	}
	defaultTo(&c.Window, 100)
	defaultTo(&c.UnderWay, 6400)
	defaultTo(&c.Readers, 2)
	defaultTo(&c.Posters, 64)
	defaultTo(&c.Parked, 1024)
	defaultTo(&c.PostTimeout, 2*time.Second)
	defaultTo(&c.Tries, 3)
	defaultTo(&c.NewbornAge, 10*time.Second)
	defaultTo(&c.Visibility, 30*time.Second)
	defaultTo(&c.Grace, 10*time.Second)
	return c
}

func defaultTo[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Config) validate() error {
	var errs []error
	if c.Queue == nil || c.Registry == nil || c.Gateway == nil || c.Log == nil {
		errs = append(errs, errors.New("needs Queue, Registry, Gateway and Log"))
	}
	for name, n := range map[string]int{
		"Window": c.Window, "Readers": c.Readers, "Posters": c.Posters, "Parked": c.Parked, "Tries": c.Tries,
	} {
		if n < 1 {
			errs = append(errs, fmt.Errorf("%s is %d, want 1 or more", name, n))
		}
	}
	if c.UnderWay < c.Window {
		errs = append(errs, fmt.Errorf("UnderWay is %d, less than one Window of %d", c.UnderWay, c.Window))
	}
	if need := max(c.NewbornAge, time.Duration(c.Tries)*c.PostTimeout); need >= c.budget() {
		errs = append(errs, fmt.Errorf("a window has %v (two thirds of Visibility), and one connection may need %v", c.budget(), need))
	}
	return errors.Join(errs...)
}

// budget is how long a window may work on its messages.
func (c Config) budget() time.Duration { return c.Visibility * 2 / 3 }

// settling is how long a window may take, after that, to give its messages back.
func (c Config) settling() time.Duration { return c.Visibility / 6 }

// Worker runs the stages. Make one with New.
type Worker struct {
	Config
	majors  majors
	posters *pool
	room    *semaphore.Weighted // one place for each message under way
	readers chan struct{}       // one place for each window that reads the registry
}

// New returns a Worker, or an error that names everything that is wrong with the configuration.
func New(c Config) (*Worker, error) {
	c = c.withDefaults()
	known, err := newMajors(c.Majors)
	if err := errors.Join(err, c.validate()); err != nil {
		return nil, fmt.Errorf("fanout: %w", err)
	}
	return &Worker{
		Config:  c,
		majors:  known,
		posters: newPool(c.Posters, c.Parked),
		room:    semaphore.NewWeighted(int64(c.UnderWay)),
		readers: make(chan struct{}, c.Readers),
	}, nil
}

// Run works until ctx ends. Then it receives no more and lets the windows under way finish; those
// that do not within the grace are cut off with cause [run.ErrStop] and hand their messages
// back. When it returns, nothing of it runs any more. It can be called again.
func (w *Worker) Run(ctx context.Context) error {
	work, cutOff := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cutOff(nil)

	var underWay sync.WaitGroup
	w.receive(ctx, func(b batch) {
		underWay.Go(func() { w.process(work, b) })
	})

	finished := make(chan struct{})
	go func() {
		underWay.Wait()
		close(finished)
	}()
	grace := time.NewTimer(w.Grace)
	defer grace.Stop()
	select {
	case <-finished:
	case <-grace.C:
		w.Log.WarnContext(work, "windows cut off", "grace_ms", w.Grace.Milliseconds())
		cutOff(run.ErrStop)
		<-finished
	}
	return nil
}
