// Package memsummary keeps summaries in memory, for tests. Nothing in it expires.
package memsummary

import (
	"context"
	"sync"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/summary"
)

// Store is a [summary.Store]. The zero value is empty and ready.
type Store struct {
	// OnCall is called before each call, by its name, has an effect; its error prevents it.
	OnCall func(ctx context.Context, name string) error

	mu  sync.Mutex
	all map[summary.Key]summary.Summary
}

var _ summary.Store = (*Store)(nil)

// Get returns what is known now.
func (s *Store) Get(ctx context.Context, k summary.Key) (found summary.Summary, err error) {
	err = s.change(ctx, "Get", k, func(now *summary.Summary) { found = *now })
	return found, err
}

// Begin counts.
func (s *Store) Begin(ctx context.Context, k summary.Key, after int64, at time.Time) (began bool, err error) {
	err = s.change(ctx, "Begin", k, func(now *summary.Summary) {
		if began = now.Begun == after; began {
			now.Begun, now.BegunAt = after+1, at.Truncate(time.Millisecond)
		}
	})
	return began, err
}

// End replaces an earlier read.
func (s *Store) End(ctx context.Context, k summary.Key, r summary.Read) error {
	return s.change(ctx, "End", k, func(now *summary.Summary) {
		if r.Number <= now.Begun && r.Number > now.Done.Number {
			r.BegunAt = r.BegunAt.Truncate(time.Millisecond)
			now.Done = r
		}
	})
}

func (s *Store) change(ctx context.Context, name string, k summary.Key, change func(*summary.Summary)) error {
	op := "memsummary." + name
	if err := k.Check(op); err != nil {
		return err
	}
	if s.OnCall != nil {
		if err := s.OnCall(ctx, name); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return fault.New(op, fault.Transient, context.Cause(ctx))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.all[k]
	change(&now)
	if s.all == nil {
		s.all = map[summary.Key]summary.Summary{}
	}
	s.all[k] = now
	return nil
}
