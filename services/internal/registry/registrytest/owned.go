package registrytest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/registry"
)

func ownedInvalid(t *testing.T, h Harness) {
	for name, o := range map[string]registry.Owner{
		"nobody":          {},
		"no tenant":       {Subject: "sub"},
		"a separator":     {Tenant: "acme#*", Subject: "sub"},
		"only the tenant": {Tenant: "acme"},
		"both":            {Tenant: "acme", Subject: "sub", Session: "s"},
	} {
		if _, err := h.Registry.Owned(t.Context(), o); err == nil || fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v, want kind invalid", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Registry.Owned(ctx, registry.Owner{Tenant: "acme", Subject: "sub"}); err == nil || fault.KindOf(err) != fault.Transient {
		t.Errorf("in an ended context: %v, want kind transient", err)
	}
}

func identityInvalid(t *testing.T, h Harness) {
	for name, spoil := range map[string]func(*registry.Connection){
		"a long subject":     func(c *registry.Connection) { c.Subject = strings.Repeat("x", 257) },
		"a long session":     func(c *registry.Connection) { c.Session = strings.Repeat("x", 257) },
		"no type at all":     func(c *registry.Connection) { c.EntityTypes = []string{} },
		"an empty type":      func(c *registry.Connection) { c.EntityTypes = []string{""} },
		"everything":         func(c *registry.Connection) { c.EntityTypes = []string{registry.Everything} },
		"a key's separator":  func(c *registry.Connection) { c.EntityTypes = []string{"student#*"} },
		"types out of order": func(c *registry.Connection) { c.EntityTypes = []string{"tutor", "student"} },
		"a type twice":       func(c *registry.Connection) { c.EntityTypes = []string{"student", "student"} },
		"many types":         func(c *registry.Connection) { c.EntityTypes = strings.Split("abcdefghijklmnopq", "") },
	} {
		c := Connection("acme", 1)
		spoil(&c)
		if err := h.Registry.Open(t.Context(), c); err == nil || fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v, want kind invalid", name, err)
		}
	}
	wantSeen(t, h, "acme")
}

func owned(t *testing.T, h Harness) {
	belongs := func(tenant string, n int, subject, session string) string {
		c := Connection(tenant, n)
		c.Subject, c.Session = subject, session
		openIt(t, h, c)
		openIt(t, h, c)
		return c.ID
	}
	one, two, three := belongs("acme", 1, "ada", "s1"), belongs("acme", 2, "ada", "s1"), belongs("acme", 3, "ada", "s2")
	other, open := belongs("acme", 4, "ada#s1", "ada"), belongs("acme", 5, "", "")
	elsewhere := belongs("umbrella", 6, "ada", "s1")

	want := func(o registry.Owner, want ...string) {
		t.Helper()
		got, err := h.Registry.Owned(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%+v owns %v, want %v", o, got, want)
		}
	}
	ada := registry.Owner{Tenant: "acme", Subject: "ada"}
	want(ada, one, two, three)
	want(registry.Owner{Tenant: "acme", Session: "s1"}, one, two)
	want(registry.Owner{Tenant: "acme", Session: "ada"}, other)
	want(registry.Owner{Tenant: "umbrella", Subject: "ada"}, elsewhere)
	want(registry.Owner{Tenant: "acme", Subject: "s1"})

	subscribe(t, h, one, registry.Subscription{SyncID: 1}) // to nothing
	subscribe(t, h, two, subscription(1, "student", "tutor"))
	want(ada, one, two, three)
	for _, id := range []string{one, two, open} {
		closeIt(t, h, id)
		closeIt(t, h, id)
	}
	want(ada, three)
	want(registry.Owner{Tenant: "acme", Session: "s1"})
}

// Who may see some entity types only is never in the partition of everything, nor in that of another type.
func permission(t *testing.T, h Harness) {
	c := Connection("acme", 1)
	c.Subject, c.Session, c.EntityTypes = "ada", "s", []string{"insight", "student"}
	openIt(t, h, c)
	all := []string{c.ID + " insight *", c.ID + " student *"}
	wantSeen(t, h, "acme", all...)

	for _, views := range [][]string{{registry.Everything}, {"tutor"}, {"student", "tutor"}} {
		if _, err := h.Registry.Subscribe(t.Context(), c.ID, subscription(1, views...)); !errors.Is(err, registry.ErrForbidden) || fault.KindOf(err) != fault.Denied {
			t.Errorf("%v: %v, want kind denied", views, err)
		}
		wantSeen(t, h, "acme", all...)
	}
	s := subscription(2, "student")
	status := subscribe(t, h, c.ID, s)
	if status.Subject != "ada" || status.Session != "s" || !slices.Equal(status.EntityTypes, c.EntityTypes) {
		t.Errorf("status %+v", status)
	}
	wantSeen(t, h, "acme", lineOf(c, s, "student"))
	if _, err := h.Registry.Subscribe(t.Context(), c.ID, subscription(3, "region")); !errors.Is(err, registry.ErrForbidden) || fault.KindOf(err) != fault.Denied {
		t.Errorf("later: %v, want kind denied", err)
	}
	closeIt(t, h, c.ID)
	wantSeen(t, h, "acme")
}

// What the fan-out reads of a connection is as little as it needs.
func identityIsHidden(t *testing.T, h Harness) {
	c := Connection("acme", 1)
	c.Subject, c.Session, c.EntityTypes = "ada", "s", []string{"student"}
	openIt(t, h, c)
	for page, err := range h.Registry.Watching(t.Context(), registry.Query{Tenant: "acme", Types: []string{"student"}}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range page {
			if w.Subject != "" || w.Session != "" || w.EntityTypes != nil {
				t.Errorf("a watcher tells %+v", w)
			}
		}
	}
}
