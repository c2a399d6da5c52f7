package registrytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
		if err := h.Registry.Revoke(t.Context(), o); err == nil || fault.KindOf(err) != fault.Invalid {
			t.Errorf("Revoke, %s: %v, want kind invalid", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Registry.Owned(ctx, registry.Owner{Tenant: "acme", Subject: "sub"}); err == nil || fault.KindOf(err) != fault.Transient {
		t.Errorf("in an ended context: %v, want kind transient", err)
	}
	if err := h.Registry.Revoke(ctx, registry.Owner{Tenant: "acme", Subject: "sub"}); err == nil || fault.KindOf(err) != fault.Transient {
		t.Errorf("Revoke in an ended context: %v, want kind transient", err)
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
		"an end before":      func(c *registry.Connection) { c.Until = c.ConnectedAt },
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
		c.ConnectedAt = c.ConnectedAt.Add(-time.Duration(n) * time.Second)
		openIt(t, h, c)
		openIt(t, h, c)
		return c.ID
	}
	one, two, three := belongs("acme", 1, "ada", "s1"), belongs("acme", 2, "ada", "s1"), belongs("acme", 3, "ada", "s2")
	other, open := belongs("acme", 4, "ada#s1", "ada"), belongs("acme", 5, "", "")
	elsewhere := belongs("umbrella", 6, "ada", "s1")

	want := func(o registry.Owner, want ...string) {
		t.Helper()
		got := ownedBy(t, h, o)
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
	if all, err := h.Registry.Owned(t.Context(), registry.Owner{Tenant: "acme", Session: "s2"}); err != nil || len(all) != 1 ||
		time.Since(all[0].ConnectedAt) < 3*time.Second || time.Since(all[0].ConnectedAt) > time.Minute || all[0].Tenant != "acme" {
		t.Errorf("%+v, %v", all, err)
	}

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

// ownedBy returns the sorted ids of an owner's connections.
func ownedBy(t *testing.T, h Harness, o registry.Owner) []string {
	t.Helper()
	all, err := h.Registry.Owned(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, c := range all {
		ids = append(ids, c.ID)
	}
	slices.Sort(ids)
	return ids
}

// Who may see some entity types only is never in the partition of everything, nor in that of another type.
func permission(t *testing.T, h Harness) {
	c := Connection("acme", 1)
	c.Subject, c.Session, c.EntityTypes = "ada", "s", []string{"insight", "student"}
	openIt(t, h, c)
	all := []string{c.ID + " insight *", c.ID + " student *"}
	wantSeen(t, h, "acme", all...)

	for _, views := range [][]string{{"tutor"}, {"student", "tutor"}} {
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

// Who may see some entity types only and asks for everything watches these.
func narrowed(t *testing.T, h Harness) {
	c := Connection("acme", 1)
	c.Subject, c.Session, c.EntityTypes = "ada", "s", []string{"insight", "student"}
	openIt(t, h, c)
	all := registry.Subscription{SyncID: 1, Views: map[string]string{registry.Everything: "all"}}
	subscribe(t, h, c.ID, all)
	want := registry.Subscription{SyncID: 1, Views: map[string]string{"insight": "all", "student": "all"}}
	wantSeen(t, h, "acme", lineOf(c, want, "insight"), lineOf(c, want, "student"))
	all.SyncID = 2
	if subscribe(t, h, c.ID, all).Resync {
		t.Error("the same again is another subscription")
	}
	closeIt(t, h, c.ID)
	wantSeen(t, h, "acme")
}

func permissionEnds(t *testing.T, h Harness) {
	c, ended := Connection("acme", 1), Connection("acme", 2)
	c.Subject, c.Until = "ada", c.ConnectedAt.Add(time.Hour)
	ended.Subject, ended.ConnectedAt = "ada", ended.ConnectedAt.Add(-time.Minute)
	ended.Until = ended.ConnectedAt.Add(time.Minute - time.Millisecond)
	openIt(t, h, c)
	openIt(t, h, ended)
	wantSeen(t, h, "acme", c.ID+" * *", ended.ID+" * * ENDED")
	if _, err := h.Registry.Subscribe(t.Context(), ended.ID, subscription(1, "student")); !errors.Is(err, registry.ErrEnded) || fault.KindOf(err) != fault.Gone {
		t.Errorf("a subscription after the end: %v, want kind gone", err)
	} else if errors.Is(err, registry.ErrTold) {
		t.Errorf("the first after the end: %v", err)
	}
	_, again := h.Registry.Subscribe(t.Context(), ended.ID, subscription(2, "student"))
	_, blamed := h.Registry.Blame(t.Context(), ended.ID, true)
	for _, err := range []error{again, blamed} {
		if !errors.Is(err, registry.ErrTold) || !errors.Is(err, registry.ErrEnded) || fault.KindOf(err) != fault.Gone {
			t.Errorf("the next after the end: %v", err)
		}
	}
	if status := subscribe(t, h, c.ID, subscription(1, "student")); !status.Until.Equal(c.Until) {
		t.Errorf("it ends at %v, want %v", status.Until, c.Until)
	}
	closeIt(t, h, ended.ID)

	// One that has said what it watches ends in all its partitions.
	soon := Connection("acme", 3)
	soon.Until = soon.ConnectedAt.Add(time.Hour)
	openIt(t, h, soon)
	s := subscription(1, "student", "tutor")
	subscribe(t, h, soon.ID, s)
	closeIt(t, h, c.ID)
	h.Pass(time.Hour)
	wantSeen(t, h, "acme", lineOf(soon, s, "student")+" ENDED", lineOf(soon, s, "tutor")+" ENDED")
	closeIt(t, h, soon.ID)
	wantSeen(t, h, "acme")
}

// of returns connections of a subject.
func of(subject string, n int) []registry.Connection {
	var cs []registry.Connection
	for n := range n {
		c := Connection("acme", n)
		c.Subject, c.Session = subject, "s"
		cs = append(cs, c)
	}
	return cs
}

// tooMany checks that c is refused, and which of the others are told to be silent.
func tooMany(t *testing.T, h Harness, c registry.Connection, silent ...string) {
	t.Helper()
	err := h.Registry.Open(t.Context(), c)
	many, ok := errors.AsType[registry.TooMany](err)
	if !ok || fault.KindOf(err) != fault.Throttled || !slices.Equal(many.Silent, silent) {
		t.Errorf("one more: %v, with %v silent, want %v", err, many.Silent, silent)
	}
}

func perSubject(t *testing.T, h Harness) {
	all := of("ada", PerSubject+1)
	last := all[PerSubject]
	expired := last
	expired.ID, expired.ConnectedAt = "expired=", time.Now().Add(-registry.Lifetime-time.Second)
	openIt(t, h, expired)
	for _, c := range all[:PerSubject] {
		openIt(t, h, c)
	}
	openIt(t, h, all[0]) // again
	tooMany(t, h, last)

	// One says something, and no more; two are heard of again, one by a message that is refused; and one only listens.
	subscribe(t, h, all[1].ID, subscription(1, "student"))
	subscribe(t, h, all[2].ID, subscription(1, "student"))
	h.Pass(time.Minute)
	subscribe(t, h, all[1].ID, subscription(2, "student"))
	if _, err := h.Registry.Blame(t.Context(), all[0].ID, false); err != nil {
		t.Fatal(err)
	}
	h.Pass(registry.Silence - time.Second)
	tooMany(t, h, last, all[2].ID)
	subscribe(t, h, all[1].ID, subscription(3, "student"))
	h.Pass(registry.Silence - time.Second)
	tooMany(t, h, last, all[2].ID, all[0].ID)
	other, nobody, elsewhere := of("eve", 6)[5], of("", 7)[6], Connection("umbrella", 1)
	elsewhere.Subject = "ada"
	for _, c := range []registry.Connection{other, nobody, elsewhere} {
		openIt(t, h, c)
	}
	tooMany(t, h, last, all[2].ID, all[0].ID)
	openIt(t, h, all[3]) // again
	closeIt(t, h, all[0].ID)
	openIt(t, h, last)
	openIt(t, h, last)

	// One whose permission has ended counts no more.
	closeIt(t, h, all[2].ID)
	ended := all[2]
	ended.ID, ended.Until = "ended=", time.Now().Add(-time.Second).Truncate(time.Millisecond)
	ended.ConnectedAt = ended.Until.Add(-time.Minute)
	openIt(t, h, ended)
	after := last
	after.ID = "after="
	openIt(t, h, after)
	for _, c := range []registry.Connection{ended, after} {
		closeIt(t, h, c.ID)
	}
}

// Those that are about to end make room for those that replace them, and not for more.
func perSubjectMoving(t *testing.T, h Harness) {
	all := of("ada", PerSubject+registry.Surplus+1)
	all[0].ConnectedAt = all[0].ConnectedAt.Add(-registry.MoveAfter)
	all[1].ConnectedAt = all[1].ConnectedAt.Add(-time.Hour)
	all[1].Until = time.Now().Add(registry.Notice).Truncate(time.Millisecond)
	for _, c := range all[:PerSubject+1] {
		openIt(t, h, c)
	}
	next := all[PerSubject+1]
	openIt(t, h, next)
	last := all[PerSubject+2]
	tooMany(t, h, last)
	h.Pass(registry.Notice) // the permission of one ends, and so does its place
	tooMany(t, h, last)
	closeIt(t, h, all[0].ID)
	tooMany(t, h, last)
	openIt(t, h, next) // again
	closeIt(t, h, all[2].ID)
	openIt(t, h, last)

	// However many are about to end, the others are no more than the surplus.
	h.Pass(registry.MoveAfter)
	for n := range registry.Surplus {
		c := last
		c.ID, c.ConnectedAt = fmt.Sprint("later", n), c.ConnectedAt.Add(registry.MoveAfter)
		openIt(t, h, c)
	}
	last.ID = "last="
	tooMany(t, h, last)
}

// Services have room of their own.
func perService(t *testing.T, h Harness) {
	pages, services := of("ada", PerSubject+1), of("ada", PerService+1)
	for i := range services {
		services[i].ID, services[i].Service = fmt.Sprint("service", i), true
	}
	for _, c := range pages[:PerSubject] {
		openIt(t, h, c)
	}
	for _, c := range services[:PerService] {
		openIt(t, h, c)
	}
	tooMany(t, h, pages[PerSubject])
	h.Pass(registry.Silence)
	tooMany(t, h, services[PerService]) // and none is silent, as they never spoke
	closeIt(t, h, services[0].ID)
	tooMany(t, h, pages[PerSubject])
	openIt(t, h, services[PerService])
	if status := subscribe(t, h, services[1].ID, subscription(1, "student")); status.Service {
		t.Errorf("status %+v", status)
	}
}

func perSubjectRacing(t *testing.T, h Harness) {
	var opened atomic.Int64
	var group sync.WaitGroup
	all := of("ada", 3*PerSubject)
	for _, c := range all {
		group.Go(func() {
			for {
				err := h.Registry.Open(t.Context(), c)
				switch {
				case err == nil:
					opened.Add(1)
				case fault.KindOf(err) == fault.Transient:
					continue
				case !errors.As(err, new(registry.TooMany)):
					t.Error(err)
				}
				return
			}
		})
	}
	group.Wait()
	if got := opened.Load(); got != PerSubject {
		t.Errorf("%d are open, want %d", got, PerSubject)
	}
}
