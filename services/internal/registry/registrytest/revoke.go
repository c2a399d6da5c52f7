package registrytest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/registry"
)

// permitted is a connection of ada's in session s1 of acme by a permission that is so old; change makes it another's.
func permitted(n int, age time.Duration, change func(*registry.Connection)) registry.Connection {
	c := Connection("acme", n)
	c.Subject, c.Session = "ada", "s1"
	c.PermittedAt = c.ConnectedAt.Add(-age)
	if change != nil {
		change(&c)
	}
	return c
}

func isRevoked(err error) bool {
	return errors.Is(err, registry.ErrRevoked) && fault.KindOf(err) == fault.Gone
}

// What was revoked opens nothing, for good; what was given later, or to others, does.
func revoked(t *testing.T, h Harness) {
	ada, session := registry.Owner{Tenant: "acme", Subject: "ada"}, registry.Owner{Tenant: "acme", Session: "s2"}
	before := permitted(1, time.Minute, nil)
	openIt(t, h, before)
	start := time.Now().Truncate(time.Millisecond)
	for _, o := range []registry.Owner{ada, ada, session, {Tenant: "acme", Subject: "s1"}, {Tenant: "umbrella", Session: "s1"}} {
		if err := h.Registry.Revoke(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	want(t, h, "acme", before) // it is for the caller to end

	for n, c := range []registry.Connection{
		permitted(10, 20*time.Second, nil),
		permitted(11, 20*time.Second, func(c *registry.Connection) { c.Session = "" }),
		permitted(12, 0, func(c *registry.Connection) { c.PermittedAt = start.Add(registry.MaxSkew) }), // by a clock that is ahead
		permitted(13, 0, func(c *registry.Connection) { c.PermittedAt = time.Time{} }),
		permitted(14, 20*time.Second, func(c *registry.Connection) { c.Subject, c.Session = "eve", "s2" }),
		permitted(15, 20*time.Second, func(c *registry.Connection) { c.Subject, c.Session = "", "s2" }),
	} {
		if err := h.Registry.Open(t.Context(), c); !isRevoked(err) {
			t.Errorf("%d: %v, want kind gone, revoked", n, err)
		}
		c.PermittedAt = c.ConnectedAt.Add(time.Hour)
		if err := h.Registry.Open(t.Context(), c); fault.KindOf(err) != fault.Gone {
			t.Errorf("%d, again: %v, want kind gone", n, err)
		}
	}
	if got := ownedBy(t, h, ada); !slices.Equal(got, []string{before.ID}) {
		t.Errorf("ada owns %v", got)
	}
	if err := h.Registry.Open(t.Context(), before); !isRevoked(err) {
		t.Errorf("opened again: %v, want kind gone, revoked", err)
	}
	want(t, h, "acme")

	later := []registry.Connection{
		permitted(20, -2*registry.MaxSkew, nil),
		permitted(21, 20*time.Second, func(c *registry.Connection) { c.Subject = "eve" }),
		permitted(22, 20*time.Second, func(c *registry.Connection) { c.Subject, c.Session = "", "" }),
	}
	for _, c := range later {
		openIt(t, h, c)
	}
	want(t, h, "acme", later...)
	elsewhere := permitted(30, 20*time.Second, func(c *registry.Connection) { c.Tenant, c.Session = "umbrella", "s2" })
	openIt(t, h, elsewhere)
	want(t, h, "umbrella", elsewhere)
}

// Whoever opens while its owner is revoked is refused, or found.
func revokeRacing(t *testing.T, h Harness) {
	const rounds, opens = 4, 8
	for round := range rounds {
		session := registry.Owner{Tenant: "acme", Session: fmt.Sprint("s", round)}
		open := make([]bool, opens)
		var group sync.WaitGroup
		ids := make([]string, opens)
		for n := range opens {
			c := permitted(round*opens+n, time.Second, func(c *registry.Connection) { c.Subject, c.Session = fmt.Sprint("sub", n%4), session.Session })
			ids[n] = c.ID
			group.Go(func() {
				err := h.Registry.Open(t.Context(), c)
				if open[n] = err == nil; err != nil && !isRevoked(err) && fault.KindOf(err) != fault.Throttled {
					t.Errorf("Open: %v", err)
				}
			})
		}
		var found []string
		group.Go(func() {
			if err := h.Registry.Revoke(t.Context(), session); err != nil {
				t.Errorf("Revoke: %v", err)
			}
			found = ownedBy(t, h, session)
		})
		group.Wait()
		for n, id := range ids {
			if open[n] && !slices.Contains(found, id) {
				t.Errorf("round %d: connection %d is open, and nobody ends it", round, n)
			}
			closeIt(t, h, id)
		}
	}
}
