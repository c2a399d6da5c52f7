package bench

import (
	"context"
	"iter"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/iops-dashboard/live/services/internal/registry"
)

// Reads is what reading the registry took, as if it were the table. It may be used concurrently.
type Reads struct{ audiences, queries, rows, units atomic.Int64 }

// audience is a registry in memory, of connections that watch everything. It counts what its reads would have
// cost in DynamoDB, and is as cheap itself as can be: what is measured is who reads it.
type audience struct {
	reads *Reads

	mu      sync.Mutex
	buckets [registry.Buckets][]registry.Watcher // replaced, never changed
}

var opened = time.Now().Add(-time.Hour)

const (
	queryPage = 1 << 20 // bytes in a page of a Query
	readUnit  = 4 << 10 // bytes of a consistent read unit
)

func newAudience(ids []string, reads *Reads) *audience {
	a := &audience{reads: reads}
	for i, id := range ids {
		b := i * registry.Buckets / len(ids)
		c := registry.Connection{ID: id, Tenant: "default", ConnectedAt: opened}
		a.buckets[b] = append(a.buckets[b], c.Watch(registry.Everything, registry.Everything))
	}
	return a
}

// Watching yields the connections by bucket, as the table's partitions hold them. A query takes a unit for
// each 4 KB that it finds, and one if it finds nothing:
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
func (a *audience) Watching(_ context.Context, q registry.Query) iter.Seq2[[]registry.Watcher, error] {
	return func(yield func([]registry.Watcher, error) bool) {
		a.reads.audiences.Add(1)
		// The partitions of the types that were asked for are empty.
		a.reads.queries.Add(int64(registry.Buckets * len(q.Types)))
		a.reads.units.Add(int64(registry.Buckets * len(q.Types)))
		a.mu.Lock()
		buckets := a.buckets
		a.mu.Unlock()
		for b, rows := range buckets {
			if !a.query(b, rows, yield) {
				return
			}
		}
	}
}

// query yields a bucket in pages. Others run between them, as they would while a table answers.
func (a *audience) query(bucket int, rows []registry.Watcher, yield func([]registry.Watcher, error) bool) bool {
	for first := true; first || len(rows) > 0; first = false {
		bytes, n := 0, 0
		for ; n < len(rows) && bytes < queryPage; n++ {
			bytes += itemBytes(&rows[n], bucket)
		}
		page := rows[:n]
		rows = rows[n:]
		a.reads.queries.Add(1)
		a.reads.rows.Add(int64(n))
		a.reads.units.Add(int64(max(1, (bytes+readUnit-1)/readUnit)))
		if n > 0 && !yield(page, nil) {
			return false
		}
		runtime.Gosched()
	}
	return true
}

// itemBytes is the size of the registry's item of a connection that has said nothing: names and values, and
// numbers by half their digits:
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
func itemBytes(c *registry.Watcher, bucket int) int {
	return len("pk") + len("view#") + len(c.Tenant) + len("#*#") + len(strconv.Itoa(bucket)) + len("sk") + len(c.ID) +
		len("tenant") + len(c.Tenant) + len("connected_at") + 8 + len("expires_at") + 6 + len("views") + len(registry.Everything)
}

func (a *audience) Open(context.Context, registry.Connection) error { return nil }
func (a *audience) Close(_ context.Context, id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for b, rows := range a.buckets {
		is := func(w registry.Watcher) bool { return w.ID == id }
		if slices.ContainsFunc(rows, is) {
			a.buckets[b] = slices.DeleteFunc(slices.Clone(rows), is)
		}
	}
	return nil
}
func (a *audience) Subscribe(context.Context, string, registry.Subscription) (registry.Status, error) {
	return registry.Status{}, nil
}
func (a *audience) Blame(context.Context, string, bool) (int, error) { return 0, nil }
func (a *audience) Charge(context.Context, string, int) error        { return nil }
func (a *audience) Owned(context.Context, registry.Owner) ([]registry.Connection, error) {
	return nil, nil
}
func (a *audience) Revoke(context.Context, registry.Owner) error     { return nil }
func (a *audience) MarkResync(context.Context, string) error         { return nil }
func (a *audience) ClearResync(context.Context, string, int64) error { return nil }
