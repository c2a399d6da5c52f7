package registrytest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/registry"
)

var allTypes = []string{"student", "tutor", "subject", "region", "insight"}

func subscription(syncID int64, views ...string) registry.Subscription {
	s := registry.Subscription{SyncID: syncID, Views: map[string]string{}}
	for _, partition := range views {
		s.Views[partition] = fmt.Sprintf(`[{"entity_type":"%s"}] of %d — Zoë`, partition, syncID)
	}
	return s
}

func subscribe(t *testing.T, h Harness, id string, s registry.Subscription) registry.Status {
	t.Helper()
	status, err := h.Registry.Subscribe(t.Context(), id, s)
	if err != nil {
		t.Fatalf("Subscribe: %v", err)
	}
	return status
}

// seen lists the watchers of a tenant as "id type views", with a mark where there is one.
func seen(t *testing.T, h Harness, q registry.Query) []string {
	t.Helper()
	all := []string{}
	for page, err := range h.Registry.Watching(t.Context(), q) {
		if err != nil {
			t.Fatalf("Watching: %v", err)
		}
		for _, w := range page {
			line := strings.Join([]string{w.ID, w.Type, w.Views}, " ")
			if w.Resync {
				line += " RESYNC"
			}
			all = append(all, line)
		}
	}
	slices.Sort(all)
	return all
}

func wantSeen(t *testing.T, h Harness, tenant string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := seen(t, h, registry.Query{Tenant: tenant, Types: allTypes}); !slices.Equal(got, want) {
		t.Errorf("watching of %s:\n got %q\nwant %q", tenant, got, want)
	}
}

func lineOf(c registry.Connection, s registry.Subscription, partition string) string {
	return c.ID + " " + partition + " " + s.Views[partition]
}

func subscribeClosed(t *testing.T, h Harness) {
	c := Connection("acme", 1)
	if _, err := h.Registry.Subscribe(t.Context(), c.ID, subscription(1, "student")); fault.KindOf(err) != fault.Gone {
		t.Errorf("never opened: %v, want kind gone", err)
	}
	openIt(t, h, c)
	closeIt(t, h, c.ID)
	if _, err := h.Registry.Subscribe(t.Context(), c.ID, subscription(1, "student")); fault.KindOf(err) != fault.Gone {
		t.Errorf("closed: %v, want kind gone", err)
	}
	wantSeen(t, h, "acme")
}

func subscribeInvalid(t *testing.T, h Harness) {
	c := Connection("acme", 1)
	openIt(t, h, c)
	for name, s := range map[string]registry.Subscription{
		"no sync id":            subscription(0, "student"),
		"everything and a type": subscription(1, registry.Everything, "student"),
		"a key's separator":     subscription(1, "a#b"),
		"no views":              {SyncID: 1, Views: map[string]string{"student": ""}},
		"unsorted contracts":    {SyncID: 1, Contracts: []string{"B/1", "A/1"}},
	} {
		if _, err := h.Registry.Subscribe(t.Context(), c.ID, s); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v, want kind invalid", name, err)
		}
	}
	wantSeen(t, h, "acme", c.ID+" * *")
}

func subscribeSuperseded(t *testing.T, h Harness) {
	c := Connection("acme", 1)
	openIt(t, h, c)
	later := subscription(7, "tutor")
	subscribe(t, h, c.ID, later)
	_, err := h.Registry.Subscribe(t.Context(), c.ID, subscription(6, "student"))
	if fault.KindOf(err) != fault.Invalid || !errors.Is(err, registry.ErrSuperseded) {
		t.Errorf("an older one: %v", err)
	}
	subscribe(t, h, c.ID, later) // a retry
	wantSeen(t, h, "acme", lineOf(c, later, "tutor"))
}

func subscribeReplaces(t *testing.T, h Harness) {
	c, other := Connection("acme", 1), Connection("acme", 2)
	c.Contracts = []string{"METRIC_UPDATE/1"}
	openIt(t, h, c)
	openIt(t, h, other)
	for i, views := range [][]string{{"student", "insight"}, {"student"}, {"tutor", "region"}, {}, {"subject"}, {registry.Everything}} {
		s := subscription(int64(i+1), views...)
		status := subscribe(t, h, c.ID, s)
		if status.Tenant != "acme" || status.Resync || !slices.Equal(status.Contracts, c.Contracts) || !status.ConnectedAt.Equal(c.ConnectedAt) {
			t.Errorf("status %+v", status)
		}
		want := []string{other.ID + " * *"}
		for _, partition := range views {
			want = append(want, lineOf(c, s, partition))
		}
		wantSeen(t, h, "acme", want...)
		if got := seen(t, h, registry.Query{Tenant: "acme", Types: []string{"student"}}); len(views) == 1 && views[0] == "student" && len(got) != 2 {
			t.Errorf("students are watched by %v", got)
		}
	}
	s := subscription(9, "student")
	s.Contracts = []string{"METRIC_UPDATE/2"}
	if status := subscribe(t, h, c.ID, s); !slices.Equal(status.Contracts, s.Contracts) {
		t.Errorf("contracts %v", status.Contracts)
	}
	closeIt(t, h, c.ID)
	wantSeen(t, h, "acme", other.ID+" * *")
}

// Whoever wins, a closed connection is nobody's watcher.
func subscribeRacingClose(t *testing.T, h Harness) {
	var wg sync.WaitGroup
	for n := range 8 {
		c := Connection("acme", n)
		openIt(t, h, c)
		for syncID := range int64(3) {
			wg.Go(func() {
				_, err := h.Registry.Subscribe(t.Context(), c.ID, subscription(syncID+1, "student", "tutor"))
				if kind := fault.KindOf(err); err != nil && kind != fault.Gone && kind != fault.Invalid && !kind.Temporary() {
					t.Errorf("Subscribe: %v", err)
				}
			})
		}
		wg.Go(func() { closeIt(t, h, c.ID) })
	}
	wg.Wait()
	for n := range 8 {
		closeIt(t, h, Connection("acme", n).ID) // what was written while it was closed is in the list
	}
	wantSeen(t, h, "acme")
}

func subscribeRacing(t *testing.T, h Harness) {
	c := Connection("acme", 1)
	openIt(t, h, c)
	var wg sync.WaitGroup
	for syncID := range int64(6) {
		wg.Go(func() {
			s := subscription(syncID+1, allTypes[syncID%5])
			for try := 0; ; try++ {
				_, err := h.Registry.Subscribe(t.Context(), c.ID, s)
				if err == nil || errors.Is(err, registry.ErrSuperseded) {
					return
				}
				if !fault.KindOf(err).Temporary() || try == 20 {
					t.Errorf("Subscribe: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	last := subscription(7, "insight")
	subscribe(t, h, c.ID, last)
	wantSeen(t, h, "acme", lineOf(c, last, "insight"))
}

func marks(t *testing.T, h Harness) {
	c, other := Connection("acme", 1), Connection("acme", 2)
	openIt(t, h, c)
	openIt(t, h, other)
	s := subscription(1, "student", "tutor")
	subscribe(t, h, c.ID, s)
	for range 2 {
		if err := h.Registry.MarkResync(t.Context(), c.ID); err != nil {
			t.Fatal(err)
		}
		wantSeen(t, h, "acme", other.ID+" * *", lineOf(c, s, "student")+" RESYNC", lineOf(c, s, "tutor")+" RESYNC")
	}
	s = subscription(2, "region")
	if status := subscribe(t, h, c.ID, s); !status.Resync {
		t.Error("a sync does not learn of the mark")
	}
	wantSeen(t, h, "acme", other.ID+" * *", lineOf(c, s, "region")+" RESYNC")
	for range 2 {
		if err := h.Registry.ClearResync(t.Context(), c.ID); err != nil {
			t.Fatal(err)
		}
		wantSeen(t, h, "acme", other.ID+" * *", lineOf(c, s, "region"))
	}
}

func markClosed(t *testing.T, h Harness) {
	c := Connection("acme", 1)
	openIt(t, h, c)
	closeIt(t, h, c.ID)
	for _, id := range []string{c.ID, "never-opened="} {
		for _, mark := range []func() error{
			func() error { return h.Registry.MarkResync(t.Context(), id) },
			func() error { return h.Registry.ClearResync(t.Context(), id) },
		} {
			if err := mark(); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
	}
	wantSeen(t, h, "acme")
	if err := h.Registry.Open(t.Context(), c); fault.KindOf(err) != fault.Gone {
		t.Errorf("Open after the mark: %v, want kind gone", err)
	}
}

// The buckets are parts of the audience: together they are all of it, and nobody is in two.
func buckets(t *testing.T, h Harness) {
	open(t, h, "acme", 60)
	all := seen(t, h, registry.Query{Tenant: "acme"})
	var parts []string
	for shard := range 4 {
		q := registry.Query{Tenant: "acme", Buckets: []int{shard, shard + 4, shard + 8, shard + 12}}
		part := seen(t, h, q)
		if len(part) == 0 || len(part) == len(all) {
			t.Errorf("shard %d has %d of %d", shard, len(part), len(all))
		}
		parts = append(parts, part...)
	}
	slices.Sort(parts)
	if !slices.Equal(parts, all) {
		t.Errorf("%d in the parts, %d in all", len(parts), len(all))
	}
	if got := seen(t, h, registry.Query{Tenant: "acme", Buckets: []int{}}); len(got) != 0 {
		t.Errorf("no bucket has %v", got)
	}
}
