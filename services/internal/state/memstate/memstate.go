// Package memstate is a state table in memory, for tests.
package memstate

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"time"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/state"
)

// Table is a state table in memory. It keeps tombstones for ever.
type Table struct {
	epoch int64

	mu    sync.Mutex
	items map[state.Key]stored
}

type stored struct {
	label, sequence string // padded
	revision        int64
	written         time.Time
	image           []byte
}

// New returns an empty table of generation epoch.
func New(epoch int64) *Table {
	return &Table{epoch: epoch, items: map[state.Key]stored{}}
}

var _ state.Table = (*Table)(nil)

// Apply implements [state.Table].
func (t *Table) Apply(ctx context.Context, c state.Change) (state.Result, error) {
	if err := ctx.Err(); err != nil {
		return state.Result{}, fault.New("memstate.Apply", fault.Transient, err)
	}
	if err := c.Validate(); err != nil {
		return state.Result{}, err
	}
	sequence, _ := c.At.Padded()

	t.mu.Lock()
	defer t.mu.Unlock()
	s, known := t.items[c.Key]
	outcome := state.Applied
	if known {
		switch order(c.At.Label, sequence, s) {
		case 0:
			outcome = state.Repeated
		case -1:
			outcome = state.Superseded
		}
	}
	if outcome == state.Applied {
		s = stored{c.At.Label, sequence, s.revision + 1, c.WrittenAt.Truncate(time.Millisecond), bytes.Clone(c.Image)}
		t.items[c.Key] = s
	}
	return state.Result{Outcome: outcome, Version: t.version(s)}, nil
}

func order(label, sequence string, s stored) int {
	if c := strings.Compare(label, s.label); c != 0 {
		return c
	}
	return strings.Compare(sequence, s.sequence)
}

// Get implements [state.Table].
func (t *Table) Get(ctx context.Context, k state.Key) (state.Item, bool, error) {
	if err := ctx.Err(); err != nil {
		return state.Item{}, false, fault.New("memstate.Get", fault.Transient, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.items[k]
	if !ok {
		return state.Item{}, false, nil
	}
	return t.item(s), true, nil
}

// All returns a copy of the whole table.
func (t *Table) All() map[state.Key]state.Item {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make(map[state.Key]state.Item, len(t.items))
	for k, s := range t.items {
		all[k] = t.item(s)
	}
	return all
}

func (t *Table) item(s stored) state.Item {
	return state.Item{
		At:        state.Position{Label: s.label, Sequence: state.Unpadded(s.sequence)},
		Version:   t.version(s),
		WrittenAt: s.written,
		Image:     bytes.Clone(s.image),
	}
}

func (t *Table) version(s stored) contracts.Version {
	return contracts.Version{Epoch: t.epoch, Revision: s.revision}
}
