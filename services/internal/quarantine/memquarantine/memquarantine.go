// Package memquarantine is a quarantine in memory, for tests.
package memquarantine

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/quarantine"
)

// MaxBytes is the largest payload that the fake keeps.
const MaxBytes = 1 << 20

// Quarantine keeps records. Its zero value is ready.
type Quarantine struct {
	mu      sync.Mutex
	records []quarantine.Record
	refuse  func(quarantine.Record) error
}

var _ quarantine.Quarantine = (*Quarantine)(nil)

// Refuse has f decide from now on whether a record is kept: nil keeps. f must not call the
// quarantine; a nil f keeps all.
func (q *Quarantine) Refuse(f func(quarantine.Record) error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refuse = f
}

// Put implements [quarantine.Quarantine].
func (q *Quarantine) Put(ctx context.Context, r quarantine.Record) error {
	const op = "memquarantine.Put"
	if err := ctx.Err(); err != nil {
		return fault.New(op, fault.Transient, err)
	}
	if len(r.Payload) > MaxBytes {
		return fault.Newf(op, fault.TooLarge, "%d bytes", len(r.Payload))
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.refuse != nil {
		if err := q.refuse(r); err != nil {
			return err
		}
	}
	r.Payload = bytes.Clone(r.Payload)
	r.At = r.At.UTC().Truncate(time.Millisecond)
	q.records = append(q.records, r)
	return nil
}

// Records returns what is kept, in order.
func (q *Quarantine) Records() []quarantine.Record {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.records)
}
