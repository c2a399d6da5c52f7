package session

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/registry"
	"github.com/iops-dashboard/live/services/internal/summary"
)

const (
	// shareSpacing is the least time between two reads that begin for the same views: of many who come at the same
	// time, as when a network returns, one reads in so long.
	shareSpacing = 250 * time.Millisecond
	// shareLease is how long others wait for a read that has begun. Then its reader counts as dead.
	shareLease = 2 * time.Second
	// shareWait is how long a sync waits for others' reads altogether, before it reads by itself: less than a browser
	// waits for an answer (frontend/src/live/timing.ts).
	shareWait = 2 * time.Second
	// sharePoll is how often it looks, and up to twice that.
	sharePoll = 50 * time.Millisecond
	// tellTimeout is how long a sync takes at most to tell others what it has read.
	tellTimeout = 500 * time.Millisecond
)

// turn is what a sync finds out from others who read for the same views.
type turn struct {
	key    summary.Key
	digest string // by a read that may answer it; empty: there is none
	// If number is not 0 it is this sync's turn to read, and to tell.
	number int64
	began  time.Time
}

// share asks for a digest by a read of another process, and waits for it if need be, or until it is this sync's turn to
// read. The read began after the call, so after the views were stored, whatever the clocks say: or it would not know of a
// write between the two, whose update has met the views of before. A heartbeat, which finds its views as they were since a
// while, is answered by a read of up to [readAge] ago, by the clock of its reader, that has the right digest.
//
// It costs one read unit, one more for each look while it waits, and two write units whom it makes read. It never
// fails: without a store, or with one that is out of order, each reads by itself.
func (s *Sync) share(ctx context.Context, c command, status registry.Status, types []string) turn {
	if s.config.Summaries == nil {
		return turn{}
	}
	types = slices.Sorted(slices.Values(types))
	of := turn{key: summary.Key{Tenant: status.Tenant, Of: summary.Of(c.set.Spec(), strings.Join(types, ","))}}
	waiting, cancel := context.WithTimeout(ctx, shareWait)
	defer cancel()
	first, err := s.config.Summaries.Get(waiting, of.key)
	if err != nil {
		return s.alone(ctx, of, err)
	}
	since := status.Since.Add(registry.MaxSkew)
	if first.Done.Digest == *c.Digest && first.Done.BegunAt.After(since) && time.Since(first.Done.BegunAt) <= readAge {
		of.digest = first.Done.Digest
		return of
	}
	for seen, seenAt := first, now(); ; {
		if seen.Done.Number > first.Begun {
			of.digest = seen.Done.Digest
			return of
		}
		rest := shareLease
		if seen.Done.Number == seen.Begun {
			rest = shareSpacing
		}
		// Clocks differ: who is ahead must not keep others waiting for longer.
		if t := now(); seen.Begun == 0 || t.Sub(seen.BegunAt) >= rest || t.Sub(seenAt) >= rest {
			began, err := s.config.Summaries.Begin(waiting, of.key, seen.Begun, t)
			if err != nil {
				return s.alone(ctx, of, err)
			}
			if began {
				of.number, of.began = seen.Begun+1, t
				return of
			}
		}
		select {
		case <-time.After(sharePoll + s.upTo(sharePoll)):
		case <-waiting.Done():
			return of
		}
		next, err := s.config.Summaries.Get(waiting, of.key)
		if err != nil {
			return s.alone(ctx, of, err)
		}
		if next.Begun != seen.Begun || next.Done.Number != seen.Done.Number {
			seenAt = now()
		}
		seen = next
	}
}

// tell lets others know what was read in this sync's turn.
func (s *Sync) tell(ctx context.Context, of turn, digest string) {
	if of.number == 0 {
		return
	}
	telling, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	if err := s.config.Summaries.End(telling, of.key, summary.Read{Number: of.number, BegunAt: of.began, Digest: digest}); err != nil {
		s.alone(ctx, of, err)
	}
}

// alone notes that nothing can be shared.
func (s *Sync) alone(ctx context.Context, of turn, err error) turn {
	if ctx.Err() == nil { // else the sync has ended, and the store may be well
		s.config.Log.WarnContext(ctx, "nothing is shared", "kind", fault.KindOf(err).String(), "error", err.Error())
	}
	return of
}

// now is without the monotonic clock, which stands still in a frozen sandbox.
func now() time.Time { return time.Now().Round(0) }
