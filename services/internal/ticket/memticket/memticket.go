// Package memticket keeps tickets in memory, for tests.
package memticket

import (
	"context"
	"sync"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/ticket"
)

// Tickets is a [ticket.Tickets]. The zero value is empty and ready. What expires is never removed.
type Tickets struct {
	// OnIssue and OnRedeem are called before the call has an effect; their error prevents it.
	OnIssue, OnRedeem func(ctx context.Context) error

	mu     sync.Mutex
	grants map[string]grant // by digest
	issued map[window]int
}

type grant struct {
	ticket.Grant
	until time.Time
}

type window struct {
	tenant, subject string
	begin           int64
}

var _ ticket.Tickets = (*Tickets)(nil)

func ask(ctx context.Context, op string, on func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return fault.New(op, fault.Transient, err)
	}
	if on == nil {
		return nil
	}
	return on(ctx)
}

// Issue keeps g.
func (t *Tickets) Issue(ctx context.Context, g ticket.Grant, lifetime time.Duration) (ticket.Ticket, error) {
	const op = "ticket.Issue"
	if err := ticket.Check(op, g, lifetime); err != nil {
		return ticket.Ticket{}, err
	}
	if err := ask(ctx, op, t.OnIssue); err != nil {
		return ticket.Ticket{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := window{g.Tenant, g.Subject, ticket.Begin(time.Now()).UnixMilli()}
	if t.issued[now] == ticket.Limit {
		return ticket.Ticket{}, fault.New(op, fault.Throttled, ticket.ErrTooMany)
	}
	if t.grants == nil {
		t.grants, t.issued = map[string]grant{}, map[window]int{}
	}
	t.issued[now]++
	issued, digest := ticket.New(lifetime)
	g.IssuedAt = issued.IssuedAt
	t.grants[digest] = grant{g, issued.ExpiresAt}
	return issued, nil
}

// Redeem forgets the ticket.
func (t *Tickets) Redeem(ctx context.Context, text string) (ticket.Grant, error) {
	const op = "ticket.Redeem"
	if err := ask(ctx, op, t.OnRedeem); err != nil {
		return ticket.Grant{}, err
	}
	digest := ticket.Digest(text)
	t.mu.Lock()
	defer t.mu.Unlock()
	g, ok := t.grants[digest]
	delete(t.grants, digest)
	if !ok || !time.Now().Truncate(time.Millisecond).Before(g.until) {
		return ticket.Grant{}, fault.Newf(op, fault.Gone, "forged, redeemed or expired")
	}
	return g.Grant, nil
}
