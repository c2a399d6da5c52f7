// Package memstate is a state table in memory, for tests.
package memstate

import (
	"bytes"
	"context"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/state"
)

// Table is a state table in memory. It keeps tombstones for ever.
type Table struct {
	// PageSize is how many entities a page holds at most. Defaults to 100.
	PageSize int
	// OnPage is called before page n (from 0) of each List or Latest, and, with 0, before each Page; its error ends that.
	OnPage func(ctx context.Context, r state.Range, n int) error

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

// List implements [state.Table]. Each page shows the table as it is when it is read.
func (t *Table) List(ctx context.Context, r state.Range) iter.Seq2[[]state.Entry, error] {
	return func(yield func([]state.Entry, error) bool) {
		last := ""
		for n := 0; ; n++ {
			if err := ctx.Err(); err != nil {
				yield(nil, fault.New("memstate.List", fault.Transient, err))
				return
			}
			if t.OnPage != nil {
				if err := t.OnPage(ctx, r, n); err != nil {
					yield(nil, err)
					return
				}
			}
			page, more := t.page(r, last)
			if len(page) > 0 && !yield(page, nil) || !more {
				return
			}
			last = page[len(page)-1].EntityID
		}
	}
}

func (t *Table) pageSize() int {
	if t.PageSize == 0 {
		return 100
	}
	return t.PageSize
}

// page returns the entities of a range behind the id last, which may be empty, and whether there are more.
func (t *Table) page(r state.Range, last string) (page []state.Entry, more bool) {
	size := t.pageSize()
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, s := range t.items {
		if k.Tenant == r.Tenant && k.EntityType == r.EntityType && k.EntityID >= r.From && k.EntityID > last && s.image != nil {
			page = append(page, state.Entry{Key: k, Item: t.item(s)})
		}
	}
	slices.SortFunc(page, byID)
	if len(page) > size {
		return page[:size], true
	}
	return page, false
}

// Page implements [state.Table]: its order is that of the bytes of the EntityIDs.
func (t *Table) Page(ctx context.Context, r state.Range, after string, limit int) (state.Page, error) {
	if err := ctx.Err(); err != nil {
		return state.Page{}, fault.New("memstate.Page", fault.Transient, err)
	}
	if t.OnPage != nil {
		if err := t.OnPage(ctx, r, 0); err != nil {
			return state.Page{}, err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var rows []state.Entry
	for _, k := range t.keys(r) {
		if k.EntityID > after {
			rows = append(rows, state.Entry{Key: k, Item: t.item(t.items[k])})
		}
	}
	var p state.Page
	if len(rows) > limit {
		rows = rows[:limit]
		p.Last = rows[limit-1].EntityID
	}
	p.Read = len(rows)
	p.Entries = slices.DeleteFunc(rows, func(e state.Entry) bool { return e.Image == nil })
	return p, nil
}

// Latest implements [state.Table]: it keeps as many rows as limit says, those that were there when it began. Each
// page shows the table as it is when it is read.
func (t *Table) Latest(ctx context.Context, r state.Range, limit int) ([]state.Entry, string, error) {
	t.mu.Lock()
	keys := t.keys(r)
	t.mu.Unlock()
	from := r.From
	if len(keys) > limit {
		keys = keys[len(keys)-limit:]
		from = keys[0].EntityID
	}
	slices.Reverse(keys)
	var all []state.Entry
	for n := 0; n == 0 || len(keys) > 0; n++ {
		if err := ctx.Err(); err != nil {
			return nil, "", fault.New("memstate.Latest", fault.Transient, err)
		}
		if t.OnPage != nil {
			if err := t.OnPage(ctx, r, n); err != nil {
				return nil, "", err
			}
		}
		page := keys[:min(t.pageSize(), len(keys))]
		keys = keys[len(page):]
		t.mu.Lock()
		for _, k := range page {
			if s := t.items[k]; s.image != nil {
				all = append(all, state.Entry{Key: k, Item: t.item(s)})
			}
		}
		t.mu.Unlock()
	}
	return all, from, nil
}

// keys are those of a range, tombstones among them, sorted.
func (t *Table) keys(r state.Range) []state.Key {
	var keys []state.Key
	for k := range t.items {
		if k.Tenant == r.Tenant && k.EntityType == r.EntityType && k.EntityID >= r.From {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b state.Key) int { return strings.Compare(a.EntityID, b.EntityID) })
	return keys
}

func byID(a, b state.Entry) int { return strings.Compare(a.EntityID, b.EntityID) }

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
