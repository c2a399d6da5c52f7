// Package memregistry keeps the connection registry in memory, for tests. Nothing in it expires but permissions.
package memregistry

import (
	"context"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/registry"
)

// Registry is a [registry.Registry]. The zero value is empty and ready, with pages of 100.
type Registry struct {
	// PageSize is how many watchers a page holds at most. Defaults to 100.
	PageSize int
	// PerSubject is how many connections a subject may have, and PerService how many services of its name may have
	// beside them. Default to any number.
	PerSubject, PerService int
	// Now tells the time. Defaults to time.Now.
	Now func() time.Time
	// OnPage is called before page n (from 0) of each read; its error ends that read.
	OnPage func(ctx context.Context, tenant string, n int) error
	// OnOpen, OnClose, OnSubscribe, OnBlame, OnCharge and OnMark are called before the call has an effect; their error
	// prevents it.
	OnOpen, OnClose, OnSubscribe, OnBlame, OnCharge, OnMark func(ctx context.Context, id string) error
	// OnRevoke and OnOwned are called before a Revoke has an effect, and before an Owned; their error prevents it.
	OnRevoke, OnOwned func(ctx context.Context) error

	mu      sync.Mutex
	open    map[string]*connection
	closed  map[string]bool
	revoked map[registry.Owner]time.Time
}

type connection struct {
	registry.Connection
	subscription registry.Subscription
	since        time.Time
	service      bool
	full         time.Time // see registry.Pace
	told         time.Time // see refuse
	gross        int
	marks        int64
	marked       bool // since ClearResync
	changed      bool // since ClearResync
}

var _ registry.Registry = (*Registry)(nil)

func ask(ctx context.Context, on func(context.Context, string) error, id string) error {
	if on == nil {
		return nil
	}
	return on(ctx, id)
}

// Open registers c.
func (r *Registry) Open(ctx context.Context, c registry.Connection) error {
	const op = "registry.Open"
	if err := registry.Check(op, c); err != nil {
		return err
	}
	if err := ask(ctx, r.OnOpen, c.ID); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed[c.ID] {
		return fault.Newf(op, fault.Gone, "closed before")
	}
	for _, o := range c.Owners() {
		if at, ok := r.revoked[o]; ok && c.Revoked(at) {
			r.close(c.ID)
			return fault.New(op, fault.Gone, registry.ErrRevoked)
		}
	}
	if was := r.open[c.ID]; was != nil {
		if was.Tenant != c.Tenant {
			return fault.Newf(op, fault.Invalid, "open as another tenant's")
		}
		return nil
	}
	if err := r.admit(op, c); err != nil {
		return err
	}
	if r.open == nil {
		r.open = map[string]*connection{}
	}
	views := map[string]string{}
	for _, partition := range c.Partitions() {
		views[partition] = registry.Everything
	}
	service := c.Service
	c.PermittedAt, c.Service = time.Time{}, false
	r.open[c.ID] = &connection{Connection: c, subscription: registry.Subscription{Views: views}, service: service}
	return nil
}

// admit returns an error if the subject of c has as many connections as it may.
func (r *Registry) admit(op string, c registry.Connection) error {
	limit := r.PerSubject
	if c.Service {
		limit = r.PerService
	}
	if c.Subject == "" || limit == 0 {
		return nil
	}
	var members []registry.Member
	for _, other := range r.open {
		if other.Tenant == c.Tenant && other.Subject == c.Subject && other.service == c.Service && other.End().After(r.now()) {
			members = append(members, registry.Member{Connection: other.Connection, Spoke: other.full})
		}
	}
	return registry.Admit(op, members, limit, r.now())
}

func (r *Registry) now() time.Time {
	if r.Now == nil {
		return time.Now()
	}
	return r.Now()
}

// Close forgets id for good.
func (r *Registry) Close(ctx context.Context, id string) error {
	if err := ask(ctx, r.OnClose, id); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.close(id)
	return nil
}

func (r *Registry) close(id string) {
	delete(r.open, id)
	if r.closed == nil {
		r.closed = map[string]bool{}
	}
	r.closed[id] = true
}

// Revoke remembers when it was called last.
func (r *Registry) Revoke(ctx context.Context, o registry.Owner) error {
	const op = "registry.Revoke"
	if err := registry.CheckOwner(op, o); err != nil {
		return err
	}
	if err := ended(ctx, op, r.OnRevoke); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.revoked == nil {
		r.revoked = map[registry.Owner]time.Time{}
	}
	r.revoked[o] = r.now().Truncate(time.Millisecond)
	return nil
}

func ended(ctx context.Context, op string, on func(context.Context) error) error {
	if ctx.Err() != nil {
		return fault.New(op, fault.Transient, context.Cause(ctx))
	}
	if on == nil {
		return nil
	}
	return on(ctx)
}

// Subscribe replaces the views of id.
func (r *Registry) Subscribe(ctx context.Context, id string, s registry.Subscription) (registry.Status, error) {
	const op = "registry.Subscribe"
	if err := registry.CheckSubscription(op, s); err != nil {
		return registry.Status{}, err
	}
	if err := ask(ctx, r.OnSubscribe, id); err != nil {
		return registry.Status{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.open[id]
	switch {
	case c == nil:
		return registry.Status{}, fault.Newf(op, fault.Gone, "not open")
	case c.Ended(r.now()):
		return registry.Status{}, c.refuse(op, fault.Gone, registry.ErrEnded, c.Until)
	case c.subscription.SyncID > s.SyncID:
		return registry.Status{}, fault.New(op, fault.Invalid, registry.ErrSuperseded)
	}
	s = registry.Narrow(c.Connection, s)
	if err := registry.CheckPermission(op, c.Connection, s); err != nil {
		return registry.Status{}, err
	}
	now := r.now()
	full, wait := registry.Pace(c.full, now)
	if wait > 0 {
		return registry.Status{}, c.refuse(op, fault.Throttled, registry.TooSoon{After: wait}, c.full)
	}
	c.full = full
	said := c.Contracts
	if s.Contracts != nil {
		said = s.Contracts
	}
	first := c.subscription.SyncID == 0
	if first || !maps.Equal(c.subscription.Views, s.Views) || !slices.Equal(c.Contracts, said) {
		c.since = now.Truncate(time.Millisecond)
		if !first {
			c.changed = true
			c.marks++
		}
	}
	c.Contracts = said
	c.subscription = registry.Subscription{SyncID: s.SyncID, Views: maps.Clone(s.Views)}
	return registry.Status{Connection: c.Connection, Resync: c.marked || c.changed, Marks: c.marks, Since: c.since}, nil
}

// refuse is an error with ErrTold, but for the first of each time.
func (c *connection) refuse(op string, kind fault.Kind, why error, of time.Time) error {
	if c.told.Equal(of) {
		return fault.Newf(op, kind, "%w, %w", why, registry.ErrTold)
	}
	c.told = of
	return fault.New(op, kind, why)
}

// Blame makes id pay.
func (r *Registry) Blame(ctx context.Context, id string, gross bool) (int, error) {
	const op = "registry.Blame"
	if err := ask(ctx, r.OnBlame, id); err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.open[id]
	if c == nil {
		return 0, fault.Newf(op, fault.Gone, "not open")
	}
	if c.Ended(r.now()) {
		return 0, c.refuse(op, fault.Gone, registry.ErrEnded, c.Until)
	}
	full, wait := registry.Pace(c.full, r.now())
	switch {
	case wait <= 0:
		c.full = full
	case !gross:
		return 0, fault.New(op, fault.Throttled, registry.TooSoon{After: wait})
	}
	if gross {
		c.gross++
	}
	return c.gross, nil
}

// Charge makes id pay.
func (r *Registry) Charge(ctx context.Context, id string, tokens int) error {
	if err := ask(ctx, r.OnCharge, id); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.open[id]; c != nil {
		c.full = c.full.Add(time.Duration(tokens) * registry.SubscribeInterval)
	}
	return nil
}

// MarkResync marks id.
func (r *Registry) MarkResync(ctx context.Context, id string) error {
	return r.mark(ctx, id, func(c *connection) {
		c.marked = true
		c.marks++
	})
}

// ClearResync takes the mark off id, unless there are more than marks.
func (r *Registry) ClearResync(ctx context.Context, id string, marks int64) error {
	return r.mark(ctx, id, func(c *connection) {
		if c.marks == marks {
			c.marked, c.changed = false, false
		}
	})
}

func (r *Registry) mark(ctx context.Context, id string, change func(*connection)) error {
	if err := ask(ctx, r.OnMark, id); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.open[id]; c != nil {
		change(c)
	}
	return nil
}

// Watching yields the watchers that are there now.
func (r *Registry) Watching(ctx context.Context, q registry.Query) iter.Seq2[[]registry.Watcher, error] {
	return func(yield func([]registry.Watcher, error) bool) {
		size := r.PageSize
		if size == 0 {
			size = 100
		}
		rest := r.watchers(q)
		for n := 0; n == 0 || len(rest) > 0; n++ {
			if err := r.page(ctx, q.Tenant, n); err != nil {
				yield(nil, err)
				return
			}
			page := rest[:min(size, len(rest))]
			rest = rest[len(page):]
			if len(page) > 0 && !yield(page, nil) {
				return
			}
		}
	}
}

func (r *Registry) page(ctx context.Context, tenant string, n int) error {
	if err := ctx.Err(); err != nil {
		return fault.New("registry.Watching", fault.Transient, context.Cause(ctx))
	}
	if r.OnPage != nil {
		return r.OnPage(ctx, tenant, n)
	}
	return nil
}

func (r *Registry) watchers(q registry.Query) []registry.Watcher {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []registry.Watcher
	for _, c := range r.open {
		if c.Tenant != q.Tenant || q.Buckets != nil && !slices.Contains(q.Buckets, registry.Bucket(c.ID)) {
			continue
		}
		for partition, views := range c.subscription.Views {
			if partition == registry.Everything || slices.Contains(q.Types, partition) {
				w := c.Watch(partition, views)
				w.Resync, w.Ended = c.marked, c.Ended(r.now())
				all = append(all, w)
			}
		}
	}
	return all
}

// Owned lists those that are open now.
func (r *Registry) Owned(ctx context.Context, o registry.Owner) ([]registry.Connection, error) {
	const op = "registry.Owned"
	if err := registry.CheckOwner(op, o); err != nil {
		return nil, err
	}
	if err := ended(ctx, op, r.OnOwned); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []registry.Connection
	for id, c := range r.open {
		if slices.Contains(c.Owners(), o) {
			all = append(all, registry.Connection{ID: id, Tenant: c.Tenant, ConnectedAt: c.ConnectedAt})
		}
	}
	return all, nil
}
