package access_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/services/access"
	"github.com/iops-dashboard/live/services/internal/gateway"
	"github.com/iops-dashboard/live/services/internal/gateway/memgateway"
	"github.com/iops-dashboard/live/services/internal/registry"
	"github.com/iops-dashboard/live/services/internal/registry/memregistry"
	"github.com/iops-dashboard/live/services/internal/ticket"
	"github.com/iops-dashboard/live/services/internal/ticket/memticket"
)

// visit is one client: it asks for a ticket at a time, and takes so long for each step until its socket is open.
type visit struct {
	registry.Owner
	at, redeem, open, upgrade time.Duration
}

func (v visit) of(o registry.Owner) bool {
	return v.Tenant == o.Tenant && (o.Session == "" && v.Subject == o.Subject || o.Subject == "" && v.Session == o.Session)
}

// revocation is one call at a time, whose steps take so long.
type revocation struct {
	registry.Owner
	at, revoke, list time.Duration
	ended            time.Duration // when it had returned
}

// However handshakes and revocations cross: no socket is open by a ticket from before a revocation, all are by a
// ticket from after it, and the rows are those of the sockets.
func TestRevocationsAndHandshakesCross(t *testing.T) {
	t.Parallel()
	within := func(most time.Duration) *rapid.Generator[time.Duration] {
		return rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.IntRange(0, int(most/(100*time.Millisecond))).Draw(t, "tenths")) * 100 * time.Millisecond
		})
	}
	owner := rapid.Custom(func(t *rapid.T) registry.Owner {
		return registry.Owner{
			Tenant:  rapid.SampledFrom([]string{"acme", "umbrella"}).Draw(t, "tenant"),
			Subject: rapid.SampledFrom([]string{"ada", "eve"}).Draw(t, "subject"),
			Session: rapid.SampledFrom([]string{"s1", "s2"}).Draw(t, "session"),
		}
	})
	visits := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) visit {
		return visit{
			Owner: owner.Draw(t, "who"), at: within(6*time.Second).Draw(t, "at"), redeem: within(8*time.Second).Draw(t, "redeem"),
			open: within(3*time.Second).Draw(t, "open"), upgrade: within(3*time.Second).Draw(t, "upgrade"),
		}
	}), 1, ticket.Limit)
	revocations := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) revocation {
		r := revocation{
			Owner: owner.Draw(t, "whom"), at: within(12*time.Second).Draw(t, "at"),
			revoke: within(2*time.Second).Draw(t, "revoke"), list: within(2*time.Second).Draw(t, "list"),
		}
		if rapid.Bool().Draw(t, "all sessions") {
			r.Session = ""
		} else {
			r.Subject = ""
		}
		return r
	}), 1, 3)
	rapid.Check(t, func(rt *rapid.T) {
		v, r := visits.Draw(rt, "visits"), revocations.Draw(rt, "revocations")
		var complaint string
		synctest.Test(t, func(t *testing.T) { complaint = cross(t, v, r) })
		if complaint != "" {
			rt.Fatal(complaint)
		}
	})
}

// cross plays them, and says what is wrong at the end.
func cross(t *testing.T, visits []visit, revocations []revocation) string {
	connections, sockets, tickets := &memregistry.Registry{}, &memgateway.Gateway{}, &memticket.Tickets{}
	log := slog.New(slog.DiscardHandler)
	door, err := access.NewAuthorizer(access.AuthorizerConfig{Tickets: tickets, Origins: pages, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	revoker, err := access.NewRevoker(access.RevokerConfig{Registry: connections, Gateway: sockets, Closer: sockets, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	type slow struct{ revoke, list time.Duration }
	key := new(int)
	pause := func(of func(slow) time.Duration) func(context.Context) error {
		return func(ctx context.Context) error {
			if s, ok := ctx.Value(key).(slow); ok {
				time.Sleep(of(s))
			}
			return nil
		}
	}
	connections.OnRevoke, connections.OnOwned = pause(func(s slow) time.Duration { return s.revoke }), pause(func(s slow) time.Duration { return s.list })

	start := time.Now()
	var group sync.WaitGroup
	for n, v := range visits {
		group.Go(func() { v.enter(t, fmt.Sprint(n), tickets, door, connections, sockets) })
	}
	for n, r := range revocations {
		group.Go(func() {
			time.Sleep(r.at)
			ctx := context.WithValue(t.Context(), key, slow{r.revoke, r.list})
			if _, err := revoker.Handle(ctx, access.Revocation{Tenant: r.Tenant, Subject: r.Subject, Session: r.Session}); err != nil {
				t.Errorf("revocation %d: %v", n, err)
			}
			revocations[n].ended = time.Since(start)
		})
	}
	group.Wait()

	for n, v := range visits {
		id := fmt.Sprint(n)
		socket := sockets.Post(t.Context(), id, gateway.NewFrame([]byte("{}")), time.Second) == nil
		owned, err := connections.Owned(t.Context(), registry.Owner{Tenant: v.Tenant, Subject: v.Subject})
		if row := slices.ContainsFunc(owned, func(c registry.Connection) bool { return c.ID == id }); err != nil || row != socket {
			return fmt.Sprintf("visit %d has a row: %t, and a socket: %t, %v", n, row, socket, err)
		}
		before, after := false, true
		for _, r := range revocations {
			if v.of(r.Owner) {
				before = before || v.at <= r.at
				after = after && v.at > r.ended+registry.MaxSkew
			}
		}
		if before && socket || after && !socket {
			return fmt.Sprintf("visit %d is open: %t, with a ticket from before a revocation: %t, after all: %t", n, socket, before, after)
		}
	}
	return ""
}

// enter does what a page, the authorizer's API Gateway and $connect do.
func (v visit) enter(t *testing.T, id string, tickets ticket.Tickets, door *access.Authorizer, connections registry.Registry, sockets *memgateway.Gateway) {
	time.Sleep(v.at)
	issued, err := tickets.Issue(t.Context(), ticket.Grant{Tenant: v.Tenant, Subject: v.Subject, Session: v.Session, Origin: page}, ticket.Lifetime)
	if err != nil {
		t.Error(err)
		return
	}
	time.Sleep(v.redeem)
	connectedAt := time.Now()
	answered, err := door.Handle(t.Context(), handshake(t, []string{page}, []string{issued.Text}))
	if answer(answered, err) != 200 {
		t.Errorf("visit %s is not let in: %v", id, err)
		return
	}
	said := func(name string) string {
		text, _ := answered.Context[name].(string)
		return text
	}
	at, err := strconv.ParseInt(said("issued_at"), 10, 64)
	if err != nil {
		t.Error(err)
	}
	time.Sleep(v.open)
	c := registry.Connection{
		ID: id, Tenant: said("tenant"), Subject: said("subject"), Session: said("session"), ConnectedAt: connectedAt, PermittedAt: time.UnixMilli(at),
	}
	if connections.Open(t.Context(), c) == nil {
		time.Sleep(v.upgrade)
		sockets.Open(id)
	}
}
