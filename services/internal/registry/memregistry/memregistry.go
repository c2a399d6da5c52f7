// Package memregistry keeps the connection registry in memory, for tests. Nothing in it expires.
package memregistry

import (
	"context"
	"iter"
	"sync"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/registry"
)

// Registry is a [registry.Registry]. The zero value is empty and ready, with pages of 100.
type Registry struct {
	// PageSize is how many connections a page of Watchers holds at most. Defaults to 100.
	PageSize int
	// OnPage is called before page n (from 0) of each read; its error ends that read.
	OnPage func(ctx context.Context, tenant string, n int) error
	// OnOpen and OnClose are called before the call has an effect; their error prevents it.
	OnOpen, OnClose func(ctx context.Context, id string) error

	mu     sync.Mutex
	open   map[string]registry.Connection
	closed map[string]bool
}

var _ registry.Registry = (*Registry)(nil)

// Open registers c.
func (r *Registry) Open(ctx context.Context, c registry.Connection) error {
	const op = "registry.Open"
	if err := registry.Check(op, c); err != nil {
		return err
	}
	if r.OnOpen != nil {
		if err := r.OnOpen(ctx, c.ID); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed[c.ID] {
		return fault.Newf(op, fault.Gone, "closed before")
	}
	if was, ok := r.open[c.ID]; ok {
		if was.Tenant != c.Tenant {
			return fault.Newf(op, fault.Invalid, "open as another tenant's")
		}
		return nil
	}
	if r.open == nil {
		r.open = map[string]registry.Connection{}
	}
	r.open[c.ID] = c
	return nil
}

// Close forgets id for good.
func (r *Registry) Close(ctx context.Context, id string) error {
	if r.OnClose != nil {
		if err := r.OnClose(ctx, id); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, id)
	if r.closed == nil {
		r.closed = map[string]bool{}
	}
	r.closed[id] = true
	return nil
}

// Watchers yields the connections that are open now.
func (r *Registry) Watchers(ctx context.Context, tenant string) iter.Seq2[[]registry.Connection, error] {
	return func(yield func([]registry.Connection, error) bool) {
		size := r.PageSize
		if size == 0 {
			size = 100
		}
		rest := r.watchers(tenant)
		for n := 0; n == 0 || len(rest) > 0; n++ {
			if err := r.page(ctx, tenant, n); err != nil {
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
		return fault.New("registry.Watchers", fault.Transient, context.Cause(ctx))
	}
	if r.OnPage != nil {
		return r.OnPage(ctx, tenant, n)
	}
	return nil
}

func (r *Registry) watchers(tenant string) []registry.Connection {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []registry.Connection
	for _, c := range r.open {
		if c.Tenant == tenant {
			all = append(all, c)
		}
	}
	return all
}
