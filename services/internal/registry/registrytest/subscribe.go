package registrytest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
			if w.Ended {
				line += " ENDED"
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
		if status.Tenant != "acme" || status.Resync != (i > 0) || !slices.Equal(status.Contracts, c.Contracts) || !status.ConnectedAt.Equal(c.ConnectedAt) {
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
		mark(t, h, c.ID)
		wantSeen(t, h, "acme", other.ID+" * *", lineOf(c, s, "student")+" RESYNC", lineOf(c, s, "tutor")+" RESYNC")
	}
	s = subscription(2, "region")
	if status := subscribe(t, h, c.ID, s); !status.Resync {
		t.Error("a sync does not learn of the mark")
	}
	wantSeen(t, h, "acme", other.ID+" * *", lineOf(c, s, "region")+" RESYNC")
	status := subscribe(t, h, c.ID, s)
	for range 2 {
		clearResync(t, h, c.ID, status)
		wantSeen(t, h, "acme", other.ID+" * *", lineOf(c, s, "region"))
	}
	if status := subscribe(t, h, c.ID, s); status.Resync {
		t.Error("a mark outlives its end")
	}
	mark(t, h, c.ID)
	wantSeen(t, h, "acme", other.ID+" * *", lineOf(c, s, "region")+" RESYNC")
}

// A mark that is set while a snapshot is sent is not taken off when that was sent.
func marksMeanwhile(t *testing.T, h Harness) {
	c := Connection("acme", 1)
	openIt(t, h, c)
	s := subscription(1, "student")
	before := subscribe(t, h, c.ID, s)
	for range 3 {
		mark(t, h, c.ID)
		clearResync(t, h, c.ID, before)
		wantSeen(t, h, "acme", lineOf(c, s, "student")+" RESYNC")
		status := subscribe(t, h, c.ID, s)
		if !status.Resync {
			t.Fatal("the mark is lost")
		}
		clearResync(t, h, c.ID, status)
		wantSeen(t, h, "acme", lineOf(c, s, "student"))
		before = status
	}
	// The number of marks is not used again.
	if status := subscribe(t, h, c.ID, s); status.Resync || status.Marks != before.Marks {
		t.Errorf("status %+v after %+v", status, before)
	}
}

// A mark and a subscription at the same time: whoever is first, the new views show the mark.
func markRacingSubscribe(t *testing.T, h Harness) {
	for n := range 8 {
		c := Connection("acme", n)
		openIt(t, h, c)
		subscribe(t, h, c.ID, subscription(1, "student"))
		s := subscription(2, "tutor", "student")
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := h.Registry.Subscribe(t.Context(), c.ID, s); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if err := h.Registry.MarkResync(t.Context(), c.ID); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		got := seen(t, h, registry.Query{Tenant: "acme", Types: allTypes})
		for _, partition := range []string{"student", "tutor"} {
			if want := lineOf(c, s, partition) + " RESYNC"; !slices.Contains(got, want) {
				t.Errorf("%q is not among %q", want, got)
			}
		}
	}
}

// Whoever changes its views, or what it reads, is owed all that they hold until it was sent.
func changes(t *testing.T, h Harness) {
	c := Connection("acme", 1)
	c.Contracts = []string{"METRIC_UPDATE/1"}
	openIt(t, h, c)
	s := subscription(1, "student")
	first := subscribe(t, h, c.ID, s)
	if first.Resync || first.Since.IsZero() {
		t.Errorf("the first: %+v", first)
	}
	s.SyncID, s.Contracts = 2, c.Contracts // which it had said
	before := subscribe(t, h, c.ID, s)
	if before.Resync || !before.Since.Equal(first.Since) {
		t.Errorf("the same again: %+v after %+v", before, first)
	}
	for _, change := range []func(*registry.Subscription){
		func(s *registry.Subscription) { s.Views["student"] += " and more" },
		func(s *registry.Subscription) {
			s.Views = map[string]string{"student": s.Views["student"], "tutor": "t"}
		},
		func(s *registry.Subscription) { s.Views = map[string]string{"student": s.Views["student"]} },
		func(s *registry.Subscription) { s.Contracts = []string{"METRIC_UPDATE/2"} },
		func(s *registry.Subscription) { s.Views = nil },
	} {
		s.SyncID++
		change(&s)
		changed := subscribe(t, h, c.ID, s)
		if !changed.Resync || changed.Since.Before(before.Since) {
			t.Errorf("%+v: %+v after %+v", s, changed, before)
		}
		clearResync(t, h, c.ID, before) // what was sent for the views before
		s.SyncID++
		again := subscribe(t, h, c.ID, s)
		if !again.Resync || !again.Since.Equal(changed.Since) || again.Marks != changed.Marks {
			t.Errorf("%+v again: %+v after %+v", s, again, changed)
		}
		for _, line := range seen(t, h, registry.Query{Tenant: "acme", Types: allTypes}) {
			if strings.Contains(line, "RESYNC") {
				t.Errorf("a change shows as a mark: %q", line)
			}
		}
		clearResync(t, h, c.ID, changed)
		if before = subscribe(t, h, c.ID, s); before.Resync {
			t.Errorf("%+v is still owed", s)
		}
	}
}

func tooSoon(t *testing.T, h Harness) {
	c, other := Connection("acme", 1), Connection("acme", 2)
	openIt(t, h, c)
	openIt(t, h, other)
	var refused error
	for n := range int64(2 * registry.SubscribeBurst) {
		if _, refused = h.Registry.Subscribe(t.Context(), c.ID, subscription(n+1, "student")); refused != nil {
			break
		}
		if n >= registry.SubscribeBurst { // as fast as it comes, it gained a token or two
			t.Logf("%d at once", n)
		}
	}
	soon, ok := errors.AsType[registry.TooSoon](refused)
	if !ok || fault.KindOf(refused) != fault.Throttled || soon.After <= 0 || soon.After > registry.SubscribeInterval {
		t.Fatalf("the last of many: %v", refused)
	}
	if errors.Is(refused, registry.ErrTold) {
		t.Errorf("the first that is refused: %v", refused)
	}
	subscribe(t, h, other.ID, subscription(1, "student"))
	told := true
	for n := range int64(10) {
		switch _, err := h.Registry.Subscribe(t.Context(), c.ID, subscription(100+n, "student")); {
		case err == nil: // it gained a token
			told = false
		case errors.Is(err, registry.ErrTold) != told || !errors.As(err, new(registry.TooSoon)) || fault.KindOf(err) != fault.Throttled:
			t.Errorf("refused again (%t): %v", told, err)
		default:
			told = true
		}
	}
	h.Pass(registry.SubscribeInterval)
	subscribe(t, h, c.ID, subscription(200, "student"))
	var group sync.WaitGroup
	var first atomic.Int64
	for range 8 {
		group.Go(func() {
			if _, err := h.Registry.Subscribe(t.Context(), c.ID, subscription(200, "student")); err != nil && !errors.Is(err, registry.ErrTold) {
				first.Add(1)
			}
		})
	}
	group.Wait()
	if first.Load() > 2 { // one, and one more if it gained a token meanwhile
		t.Errorf("%d of those that are refused at the same time are the first", first.Load())
	}
}

func mark(t *testing.T, h Harness, id string) {
	t.Helper()
	if err := h.Registry.MarkResync(t.Context(), id); err != nil {
		t.Fatal(err)
	}
}

func clearResync(t *testing.T, h Harness, id string, status registry.Status) {
	t.Helper()
	if err := h.Registry.ClearResync(t.Context(), id, status.Marks); err != nil {
		t.Fatal(err)
	}
}

func markClosed(t *testing.T, h Harness) {
	c := Connection("acme", 1)
	openIt(t, h, c)
	closeIt(t, h, c.ID)
	for _, id := range []string{c.ID, "never-opened="} {
		for _, mark := range []func() error{
			func() error { return h.Registry.MarkResync(t.Context(), id) },
			func() error { return h.Registry.ClearResync(t.Context(), id, 1) },
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

func blameClosed(t *testing.T, h Harness) {
	c := Connection("acme", 1)
	for range 2 {
		for _, gross := range []bool{false, true} {
			if _, err := h.Registry.Blame(t.Context(), c.ID, gross); err == nil || fault.KindOf(err) != fault.Gone {
				t.Errorf("%v, want kind gone", err)
			}
		}
		closeIt(t, h, c.ID)
	}
	wantSeen(t, h, "acme")
}

// Subscriptions and messages that are none share one bucket.
func charge(t *testing.T, h Harness, id string, tokens int) {
	t.Helper()
	if err := h.Registry.Charge(t.Context(), id, tokens); err != nil {
		t.Error(err)
	}
}

func charged(t *testing.T, h Harness) {
	c, other := Connection("acme", 1), Connection("acme", 2)
	openIt(t, h, c)
	openIt(t, h, other)
	subscribe(t, h, c.ID, subscription(1, "student"))
	subscribe(t, h, other.ID, subscription(1, "student"))
	charge(t, h, c.ID, registry.SubscribeBurst-10)
	subscribe(t, h, c.ID, subscription(2, "student"))
	charge(t, h, c.ID, 2*registry.SubscribeBurst)
	_, err := h.Registry.Subscribe(t.Context(), c.ID, subscription(3, "student"))
	soon, ok := errors.AsType[registry.TooSoon](err)
	if most := (2*registry.SubscribeBurst - 7) * registry.SubscribeInterval; !ok || soon.After > most || soon.After < most/2 {
		t.Fatalf("what owes so much: %v, after %v", err, soon.After)
	}
	h.Pass(soon.After)
	subscribe(t, h, c.ID, subscription(4, "student"))
	subscribe(t, h, other.ID, subscription(2, "student"))
}

func chargeClosed(t *testing.T, h Harness) {
	c := Connection("acme", 1)
	charge(t, h, c.ID, 1)
	openIt(t, h, c)
	charge(t, h, c.ID, 1) // before it has said anything
	wantSeen(t, h, "acme", c.ID+" * *")
	closeIt(t, h, c.ID)
	charge(t, h, c.ID, 1)
	wantSeen(t, h, "acme")
}

func blamePaced(t *testing.T, h Harness) {
	c := Connection("acme", 1)
	openIt(t, h, c)
	subscribe(t, h, c.ID, subscription(1, "student"))
	spent := 1
	var err error
	for ; err == nil && spent < 10*registry.SubscribeBurst; spent++ {
		_, err = h.Registry.Blame(t.Context(), c.ID, false)
	}
	soon, ok := errors.AsType[registry.TooSoon](err)
	if !ok || fault.KindOf(err) != fault.Throttled || soon.After <= 0 || soon.After > registry.SubscribeInterval {
		t.Fatalf("after %d: %v, want kind throttled", spent, err)
	}
	if spent <= registry.SubscribeBurst {
		t.Errorf("only %d are allowed", spent)
	}
	if _, err := h.Registry.Subscribe(t.Context(), c.ID, subscription(2, "student")); !errors.As(err, new(registry.TooSoon)) {
		t.Errorf("a subscription then: %v", err)
	}
	if n, err := h.Registry.Blame(t.Context(), c.ID, true); n != 1 || err != nil {
		t.Errorf("a gross one then: %d, %v", n, err)
	}
}

func blameGross(t *testing.T, h Harness) {
	c, other := Connection("acme", 1), Connection("acme", 2)
	openIt(t, h, c)
	openIt(t, h, other)
	for i, tc := range []struct {
		gross bool
		want  int
	}{{false, 0}, {true, 1}, {false, 1}, {true, 2}} {
		if n, err := h.Registry.Blame(t.Context(), c.ID, tc.gross); n != tc.want || err != nil {
			t.Errorf("%d: %d, %v, want %d", i, n, err, tc.want)
		}
	}
	if n, err := h.Registry.Blame(t.Context(), other.ID, true); n != 1 || err != nil {
		t.Errorf("the other: %d, %v", n, err)
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if _, err := h.Registry.Blame(t.Context(), other.ID, true); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n, err := h.Registry.Blame(t.Context(), other.ID, false); n != 5 || err != nil {
		t.Errorf("after a race: %d, %v", n, err)
	}
}
