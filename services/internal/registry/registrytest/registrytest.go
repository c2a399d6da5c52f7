// Package registrytest is the conformance suite of the registry port. Every adapter runs it.
package registrytest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/registry"
)

// Harness is an empty registry under test.
type Harness struct {
	Registry registry.Registry
	// FailPage makes page n (from 0) of later reads fail, until a call with a negative n.
	FailPage func(n int)
	// Pass moves the registry's clock on.
	Pass func(d time.Duration)
}

// PerSubject is how many connections a harness must let a subject have, and PerService how many services.
const (
	PerSubject = 4
	PerService = 5
)

// PageSize is what a harness must set as the page size of its registry.
const PageSize = 2

// Run puts the registries that newHarness makes through the suite.
func Run(t *testing.T, newHarness func(t *testing.T) Harness) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Harness)
	}{
		{"ASecondPageThatFailsEndsTheRead", failingPage},
		{"OpenWithoutAnIdentityIsInvalid", invalid},
		{"OpenAfterCloseIsGone", openAfterClose},
		{"OpenAsAnotherTenantIsInvalid", otherTenant},
		{"CloseOfAnUnknownConnection", closeUnknown},
		{"OpenTwice", openTwice},
		{"CloseTwice", closeTwice},
		{"ConcurrentOpenAndClose", concurrent},
		{"ContractsAreKept", contracts},
		{"SubscribeOfAClosedConnection", subscribeClosed},
		{"SubscribeThatIsInvalid", subscribeInvalid},
		{"SubscribeThatIsSuperseded", subscribeSuperseded},
		{"SubscribeReplacesViews", subscribeReplaces},
		{"SubscribeRacingClose", subscribeRacingClose},
		{"SubscribeRacingSubscribe", subscribeRacing},
		{"SubscribeThatComesTooSoon", tooSoon},
		{"ChargeUsesUpThePace", charged},
		{"ChargeOfAClosedConnection", chargeClosed},
		{"BlameOfAClosedConnection", blameClosed},
		{"BlameUsesUpThePace", blamePaced},
		{"BlameCountsWhatIsGross", blameGross},
		{"Changes", changes},
		{"Marks", marks},
		{"MarksMeanwhile", marksMeanwhile},
		{"MarkRacingSubscribe", markRacingSubscribe},
		{"MarkOfAClosedConnection", markClosed},
		{"OwnedByNobodyIsInvalid", ownedInvalid},
		{"OpenWithAnOddIdentityIsInvalid", identityInvalid},
		{"Owned", owned},
		{"RevokedPermissions", revoked},
		{"RevokeRacingOpen", revokeRacing},
		{"PermissionBoundsTheViews", permission},
		{"EverythingIsNarrowed", narrowed},
		{"PermissionEnds", permissionEnds},
		{"ConnectionsOfASubject", perSubject},
		{"ConnectionsOfASubjectThatMove", perSubjectMoving},
		{"ConnectionsOfASubjectThatRace", perSubjectRacing},
		{"ServicesOfASubject", perService},
		{"Buckets", buckets},
		{"AllPages", allPages},
		{"LeavingAReadEarly", leaveEarly},
		{"TenantsAreApart", tenants},
		{"EmptyTenant", empty},
		{"EndedContext", ended},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, newHarness(t))
		})
	}
}

// Connection returns a connection of tenant with an id like API Gateway's.
func Connection(tenant string, n int) registry.Connection {
	return registry.Connection{
		ID:          fmt.Sprintf("c-%s_%07d=", tenant, n),
		Tenant:      tenant,
		ConnectedAt: time.Now().Truncate(time.Millisecond).UTC(),
	}
}

func failingPage(t *testing.T, h Harness) {
	open(t, h, "acme", 40) // 20 pages at least
	h.FailPage(1)
	var pages, failures int
	for page, err := range h.Registry.Watching(t.Context(), registry.Query{Tenant: "acme"}) {
		if failures > 0 {
			t.Fatal("the read goes on after its error")
		}
		if err != nil {
			failures++
			if page != nil {
				t.Error("a page comes with the error")
			}
			if !fault.KindOf(err).Temporary() {
				t.Errorf("kind %v", fault.KindOf(err))
			}
			continue
		}
		pages++
	}
	if failures != 1 {
		t.Errorf("the error was yielded %d times", failures)
	}
	h.FailPage(-1)
	if got := len(watchers(t, h, "acme")); got != 40 {
		t.Errorf("the next read finds %d of 40", got)
	}
}

func invalid(t *testing.T, h Harness) {
	good := Connection("acme", 1)
	for name, spoil := range map[string]func(*registry.Connection){
		"id":     func(c *registry.Connection) { c.ID = "" },
		"tenant": func(c *registry.Connection) { c.Tenant = "" },
		"key":    func(c *registry.Connection) { c.Tenant = "acme#*" },
		"order":  func(c *registry.Connection) { c.Contracts = []string{"B/1", "A/1"} },
		"twice":  func(c *registry.Connection) { c.Contracts = []string{"A/1", "A/1"} },
		"empty":  func(c *registry.Connection) { c.Contracts = []string{"", "A/1"} },
		"time":   func(c *registry.Connection) { c.ConnectedAt = time.Time{} },
	} {
		c := good
		spoil(&c)
		if err := h.Registry.Open(t.Context(), c); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v, want kind invalid", name, err)
		}
	}
	want(t, h, "acme")
}

func openAfterClose(t *testing.T, h Harness) {
	c := Connection("acme", 1)
	closeIt(t, h, c.ID)
	for range 2 {
		if err := h.Registry.Open(t.Context(), c); fault.KindOf(err) != fault.Gone {
			t.Errorf("Open: %v, want kind gone", err)
		}
	}
	want(t, h, "acme")
}

func otherTenant(t *testing.T, h Harness) {
	c := Connection("acme", 1)
	openIt(t, h, c)
	other := c
	other.Tenant = "umbrella"
	if err := h.Registry.Open(t.Context(), other); fault.KindOf(err) != fault.Invalid {
		t.Errorf("Open: %v, want kind invalid", err)
	}
	want(t, h, "acme", c)
	want(t, h, "umbrella")
}

func closeUnknown(t *testing.T, h Harness) {
	closeIt(t, h, "never-opened=")
	want(t, h, "acme")
}

func openTwice(t *testing.T, h Harness) {
	c := Connection("acme", 1)
	openIt(t, h, c)
	again := c
	again.ConnectedAt = c.ConnectedAt.Add(time.Hour)
	openIt(t, h, again)
	want(t, h, "acme", c)
}

func closeTwice(t *testing.T, h Harness) {
	c, other := Connection("acme", 1), Connection("acme", 2)
	openIt(t, h, c)
	openIt(t, h, other)
	closeIt(t, h, c.ID)
	closeIt(t, h, c.ID)
	want(t, h, "acme", other)
}

func concurrent(t *testing.T, h Harness) {
	const connections, each = 10, 3
	var wg sync.WaitGroup
	for n := range connections {
		c := Connection("acme", n)
		for range each {
			wg.Go(func() {
				if err := h.Registry.Open(t.Context(), c); err != nil && fault.KindOf(err) != fault.Gone {
					t.Errorf("Open: %v", err)
				}
			})
			wg.Go(func() {
				if err := h.Registry.Close(t.Context(), c.ID); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
		}
	}
	wg.Wait()
	want(t, h, "acme")
}

func contracts(t *testing.T, h Harness) {
	silent, one, two := Connection("acme", 1), Connection("acme", 2), Connection("acme", 3)
	one.Contracts = []string{"METRIC_UPDATE/1"}
	two.Contracts = []string{"INSIGHT_CREATED/1", "METRIC_UPDATE/1", "METRIC_UPDATE/2"}
	for _, c := range []registry.Connection{silent, one, two} {
		openIt(t, h, c)
	}
	want(t, h, "acme", silent, one, two)
}

func allPages(t *testing.T, h Harness) {
	all := open(t, h, "acme", 60) // some bucket of 16 holds more than a page
	want(t, h, "acme", all...)
	for page, err := range h.Registry.Watching(t.Context(), registry.Query{Tenant: "acme"}) {
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 || len(page) > PageSize {
			t.Errorf("a page of %d", len(page))
		}
	}
}

func leaveEarly(t *testing.T, h Harness) {
	open(t, h, "acme", 40)
	for range h.Registry.Watching(t.Context(), registry.Query{Tenant: "acme"}) {
		break
	}
}

func tenants(t *testing.T, h Harness) {
	// One tenant's name starts with the other's: a key must not match by prefix.
	a, b := open(t, h, "acme", 5), open(t, h, "acme-2", 5)
	want(t, h, "acme", a...)
	want(t, h, "acme-2", b...)
}

func empty(t *testing.T, h Harness) { want(t, h, "acme") }

func ended(t *testing.T, h Harness) {
	open(t, h, "acme", 3)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var last error
	for _, err := range h.Registry.Watching(ctx, registry.Query{Tenant: "acme"}) {
		last = err
	}
	if fault.KindOf(last) != fault.Transient || last == nil {
		t.Errorf("Watching in an ended context: %v, want kind transient", last)
	}
}

func open(t *testing.T, h Harness, tenant string, n int) []registry.Connection {
	t.Helper()
	all := make([]registry.Connection, n)
	for i := range all {
		all[i] = Connection(tenant, i)
		openIt(t, h, all[i])
	}
	return all
}

func openIt(t *testing.T, h Harness, c registry.Connection) {
	t.Helper()
	if err := h.Registry.Open(t.Context(), c); err != nil {
		t.Fatalf("Open: %v", err)
	}
}

func closeIt(t *testing.T, h Harness, id string) {
	t.Helper()
	if err := h.Registry.Close(t.Context(), id); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

func watchers(t *testing.T, h Harness, tenant string) []registry.Connection {
	t.Helper()
	var all []registry.Connection
	for page, err := range h.Registry.Watching(t.Context(), registry.Query{Tenant: tenant}) {
		if err != nil {
			t.Fatalf("Watching: %v", err)
		}
		for _, w := range page {
			if w.Type != registry.Everything || w.Views != registry.Everything || w.Resync {
				t.Errorf("%s watches %q of %q, resync %t", w.ID, w.Views, w.Type, w.Resync)
			}
			all = append(all, registry.Connection{ID: w.ID, Tenant: w.Tenant, ConnectedAt: w.ConnectedAt, Contracts: w.Contracts})
		}
	}
	return all
}

func want(t *testing.T, h Harness, tenant string, want ...registry.Connection) {
	t.Helper()
	got := watchers(t, h, tenant)
	byID := func(a, b registry.Connection) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	}
	want = slices.Clone(want)
	slices.SortFunc(got, byID)
	slices.SortFunc(want, byID)
	same := func(a, b registry.Connection) bool {
		return a.ID == b.ID && a.Tenant == b.Tenant && a.ConnectedAt.Equal(b.ConnectedAt) && slices.Equal(a.Contracts, b.Contracts)
	}
	if !slices.EqualFunc(got, want, same) {
		t.Errorf("watchers of %s:\n got %v\nwant %v", tenant, got, want)
	}
}
