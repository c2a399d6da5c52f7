// Package fanout delivers METRIC_UPDATE and INSIGHT_CREATED events to the browsers that watch. Where
// something here is said of an entity, it holds for an insight too. One engine does it, in two shells:
// [Worker] receives from the queue for as long as it lives, [Function] is a Lambda function that is
// handed its messages. An event goes through these stages, each a file of that name or of the thing
// that it makes:
//
//	receive → decode → read the registry → match → conflate → mailbox → frame → post → verdict → settle
//
// # How it is fast
//
// Connections of a tenant that watch the same, in the same words, share a channel: a log with the newest
// state of each entity, compacted, in the order of change. A mailbox is a place in that log, so it costs
// the same whatever waits in it. A connection has one post in flight; when that has ended, all that came
// meanwhile goes into the next, each entity once and at its newest. An idle connection so waits for
// nothing, and one that is busy or slow gets fewer and fresher frames. What two connections are to get
// from the same stretch of a log is encoded, joined and hashed once.
//
// # What is promised
//
// A message is deleted when, for every connection that the registry named in a read which began after
// the message was received, this state of the entity or a later one was posted, or the connection is
// gone, or it does not match and did not, or it was marked in the registry as one that must
// synchronise, or it was told that its permission has ended. Until then the message is kept hidden; if
// the worker dies, it comes back. What was posted already is then posted again; that is harmless, because
// updates carry versions and the browser keeps the newest.
//
// A message that is not a valid event goes to the dead-letter queue at once, with the reason, and
// does not touch the others.
package fanout

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/iops-dashboard/live/services/internal/gateway"
	"github.com/iops-dashboard/live/services/internal/queue"
	"github.com/iops-dashboard/live/services/internal/registry"
)

// Config is what both shells need. Zero values mean the defaults.
type Config struct {
	Queue    queue.Queue
	Registry registry.Registry
	Gateway  gateway.Gateway
	Log      *slog.Logger
	// Closer closes connections whose permission has ended. Nil: they are told so, and stay open.
	Closer gateway.Closer
	// Meter is told what happens. Defaults to nobody.
	Meter Meter

	// Majors are the contracts that are read and written. Defaults to [Published].
	Majors []Major
	// Buckets are the parts of every audience that are served from here; the queue belongs to them.
	// Defaults to all.
	Buckets []int

	// Receivers is how many receives wait for messages at a time. Defaults to 2.
	Receivers int
	// UnderWay is how many messages are worked on at most; no more are received. Defaults to 6400.
	UnderWay int
	// Readers is how many reads of the registry are under way at a time; a tenant has one at most, and
	// the messages that arrive during it share the next. Defaults to 4.
	Readers int
	// Posters is how many posts are in flight at most. By Little's law their number is the wanted rate
	// times the duration of a post. Defaults to 64.
	Posters int
	// Rate is how many posts a second there may be: the share of the account's quota that is meant for
	// this process. Where the gateway throttles, there are fewer. Defaults to [DefaultRate].
	Rate float64

	// PostTimeout ends a post. Defaults to 2 s.
	PostTimeout time.Duration
	// Tries is how often a post is tried that is refused by an outage. Defaults to 3.
	Tries int
	// NewbornAge is how old a connection must be before its absence is believed: the gateway does
	// not know a connection whose handshake is still under way. Defaults to 10 s.
	NewbornAge time.Duration
	// Cadences are the pauses between the posts to a reader that is too slow: the first when that is
	// first noticed, the next each time it is noticed again. Defaults to 1 s, 5 s, 15 s.
	Cadences []time.Duration

	// Visibility is the queue's visibility timeout, in which no one else receives a message. It is
	// renewed for as long as a message is worked on. Defaults to 30 s.
	Visibility time.Duration
	// Patience is how long a message is worked on at most; then it is left to come again. Defaults to
	// 2 min, or to twice a longer Visibility.
	Patience time.Duration
	// Grace is how long work may go on after the stop, before it is cut off. Defaults to 10 s.
	Grace time.Duration
}

func (c Config) withDefaults() Config {
	if c.Majors == nil {
		c.Majors = Published()
	}
	if c.Meter == nil {
		c.Meter = unmetered{}
	}
	if c.Cadences == nil {
		c.Cadences = []time.Duration{time.Second, 5 * time.Second, 15 * time.Second}
	}
	defaultTo(&c.Receivers, 2)
	defaultTo(&c.UnderWay, 6400)
	defaultTo(&c.Readers, 4)
	defaultTo(&c.Posters, 64)
	defaultTo(&c.Rate, DefaultRate)
	defaultTo(&c.PostTimeout, 2*time.Second)
	defaultTo(&c.Tries, 3)
	defaultTo(&c.NewbornAge, 10*time.Second)
	defaultTo(&c.Visibility, 30*time.Second)
	defaultTo(&c.Patience, max(2*time.Minute, 2*c.Visibility))
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
		"Receivers": c.Receivers, "Readers": c.Readers, "Posters": c.Posters, "Tries": c.Tries, "Cadences": len(c.Cadences),
	} {
		if n < 1 {
			errs = append(errs, fmt.Errorf("%s is %d, want 1 or more", name, n))
		}
	}
	if c.UnderWay < queue.MaxBatch {
		errs = append(errs, fmt.Errorf("room UnderWay for %d, less than one batch of %d", c.UnderWay, queue.MaxBatch))
	}
	if c.Rate < 0 {
		errs = append(errs, fmt.Errorf("a Rate of %v, want more than 0", c.Rate))
	}
	for _, b := range c.Buckets {
		if b < 0 || b >= registry.Buckets {
			errs = append(errs, fmt.Errorf("bucket %d, want 0 to %d", b, registry.Buckets-1))
		}
	}
	if need := max(c.NewbornAge, c.PostTimeout); need >= c.Patience || c.Visibility > c.Patience {
		errs = append(errs, fmt.Errorf("a Patience of %v, less than Visibility or than the %v that one connection may need", c.Patience, need))
	}
	return errors.Join(errs...)
}

// shell is what both shells have.
type shell struct {
	Config
	majors majors
	pace   *pace
	sets   *viewSets
}

func newShell(c Config) (shell, error) {
	c = c.withDefaults()
	known, err := newMajors(c.Majors)
	if err := errors.Join(err, c.validate()); err != nil {
		return shell{}, fmt.Errorf("fanout: %w", err)
	}
	return shell{Config: c, majors: known, pace: newPace(c.Rate), sets: newViewSets()}, nil
}
