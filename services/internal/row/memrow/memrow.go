// Package memrow keeps rows in memory, for tests.
package memrow

import (
	"context"
	"maps"
	"sync"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/row"
)

// Table is a [row.Writer]. The zero value is empty and ready.
type Table struct {
	// OnWrite is called before a row is written; its error prevents it.
	OnWrite func(ctx context.Context, r row.Row) error
	// Written is called with each row that was written.
	Written func(r row.Row)

	mu   sync.Mutex
	rows map[key]row.Row
}

type key struct {
	entityType contracts.EntityType
	id         string
}

var _ row.Writer = (*Table)(nil)

// Write keeps r.
func (t *Table) Write(ctx context.Context, r row.Row) error {
	const op = "memrow.Write"
	if err := row.Check(op, r); err != nil {
		return err
	}
	if t.OnWrite != nil {
		if err := t.OnWrite(ctx, r); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return fault.New(op, fault.Transient, context.Cause(ctx))
	}
	t.keep(r)
	if t.Written != nil {
		t.Written(r)
	}
	return nil
}

func (t *Table) keep(r row.Row) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := key{r.EntityType, r.EntityID}
	all := maps.Clone(t.rows[k].Attributes)
	if all == nil {
		all = map[string]any{}
	}
	maps.Copy(all, r.Attributes)
	r.Attributes = all
	if t.rows == nil {
		t.rows = map[key]row.Row{}
	}
	t.rows[k] = r
}

// Row returns the whole row of an entity, and whether there is one.
func (t *Table) Row(entityType contracts.EntityType, id string) (row.Row, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, ok := t.rows[key{entityType, id}]
	r.Attributes = maps.Clone(r.Attributes)
	return r, ok
}
