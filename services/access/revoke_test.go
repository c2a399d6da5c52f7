package access_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/access"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/gateway"
	"github.com/iops-dashboard/live/services/internal/gateway/memgateway"
	"github.com/iops-dashboard/live/services/internal/registry"
	"github.com/iops-dashboard/live/services/internal/registry/memregistry"
)

type revokerRig struct {
	*rig
	registry *memregistry.Registry
	gateway  *memgateway.Gateway
	revoker  *access.Revoker
}

// newRevokerRig has two connections of ada's in session s1, one in s2, one of another tenant's ada, and an open one.
func newRevokerRig(t *testing.T) *revokerRig {
	t.Helper()
	r := &revokerRig{rig: newRig(), registry: &memregistry.Registry{}, gateway: &memgateway.Gateway{}}
	for _, c := range []registry.Connection{
		{ID: "one=", Tenant: "acme", Subject: "ada", Session: "s1"}, {ID: "two=", Tenant: "acme", Subject: "ada", Session: "s1"},
		{ID: "three=", Tenant: "acme", Subject: "ada", Session: "s2"}, {ID: "other=", Tenant: "umbrella", Subject: "ada", Session: "s1"},
		{ID: "open=", Tenant: "acme"},
	} {
		c.ConnectedAt = time.Now().Add(-time.Minute)
		if err := r.registry.Open(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		r.gateway.Open(c.ID)
	}
	var err error
	r.revoker, err = access.NewRevoker(access.RevokerConfig{Registry: r.registry, Gateway: r.gateway, Closer: r.gateway, Log: r.logger})
	if err != nil {
		t.Fatal(err)
	}
	r.registry.OnClose = r.socketFirst(t)
	return r
}

// socketFirst sees that no row goes before its socket: the row is how the socket would be found again.
func (r *revokerRig) socketFirst(t *testing.T) func(context.Context, string) error {
	return func(ctx context.Context, id string) error {
		if err := r.gateway.Post(ctx, id, gateway.NewFrame([]byte("{}")), time.Second); fault.KindOf(err) != fault.Gone {
			t.Errorf("the row of %s goes before its socket: %v", id, err)
		}
		return nil
	}
}

// told counts the frames by which the connections were told that they are revoked; there must be no others.
func (r *revokerRig) told(t *testing.T) string {
	t.Helper()
	var all []string
	for _, id := range []string{"one=", "two=", "three=", "other=", "open="} {
		for _, text := range r.gateway.Frames(id) {
			var f contracts.ReconnectFrameV1
			if err := contracts.ValidateProducer(contracts.KindReconnectFrameV1, text); err != nil {
				t.Errorf("%s was sent %s: %v", id, text, err)
			}
			if err := json.Unmarshal(text, &f); err != nil || f.Reason != contracts.ReconnectReasonRevoked || f.WithinMS != 0 {
				t.Errorf("%s was sent %s, %v", id, text, err)
			}
			all = append(all, id)
		}
	}
	return strings.Join(all, " ")
}

// connected lists which of all connections still have a socket, and sees that they are those with a row.
func (r *revokerRig) connected(t *testing.T) string {
	t.Helper()
	rows := map[string]bool{}
	for _, tenant := range []string{"acme", "umbrella"} {
		for page, err := range r.registry.Watching(t.Context(), registry.Query{Tenant: tenant}) {
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range page {
				rows[w.ID] = true
			}
		}
	}
	var open []string
	for _, id := range []string{"one=", "two=", "three=", "other=", "open="} {
		socket := r.gateway.Post(t.Context(), id, gateway.NewFrame([]byte("{}")), time.Second) == nil
		if socket != rows[id] {
			t.Errorf("%s has a socket: %t, and a row: %t", id, socket, rows[id])
		}
		if socket {
			open = append(open, id)
		}
	}
	return strings.Join(open, " ")
}

func TestRevokeRefuses(t *testing.T) {
	t.Parallel()
	for name, what := range map[string]access.Revocation{
		"nobody":  {},
		"all":     {Tenant: "acme"},
		"no one":  {Subject: "ada"},
		"too few": {Tenant: "acme", Subject: "ada", Session: "s1"},
	} {
		r := newRevokerRig(t)
		if done, err := r.revoker.Handle(t.Context(), what); fault.KindOf(err) != fault.Invalid || done.Connections != 0 {
			t.Errorf("%s: %d, %v", name, done.Connections, err)
		}
		if got := r.told(t); got != "" {
			t.Errorf("%s: told are %s", name, got)
		}
		if got := r.connected(t); got != "one= two= three= other= open=" {
			t.Errorf("%s: left are %s", name, got)
		}
	}
	g := &memgateway.Gateway{}
	for _, c := range []access.RevokerConfig{
		{Log: slog.New(slog.DiscardHandler)}, {Registry: &memregistry.Registry{}, Gateway: g, Closer: g},
		{Registry: &memregistry.Registry{}, Gateway: g, Log: slog.New(slog.DiscardHandler)},
		{Registry: &memregistry.Registry{}, Closer: g, Log: slog.New(slog.DiscardHandler)},
	} {
		if _, err := access.NewRevoker(c); err == nil {
			t.Error("NewRevoker accepts what is not complete")
		}
	}
}

// What could not be ended is found again, and holds up nothing else.
func TestRevokeThatFailsIsRepeated(t *testing.T) {
	t.Parallel()
	throttled := fault.New("planted", fault.Throttled, nil)
	once := func(of string, then func(context.Context, string) error) func(context.Context, string) error {
		failed := false
		return func(ctx context.Context, id string) error {
			if id != of || failed {
				return then(ctx, id)
			}
			failed = true
			return throttled
		}
	}
	anyOnce := func() func(context.Context) error {
		f := once("", func(context.Context, string) error { return nil })
		return func(ctx context.Context) error { return f(ctx, "") }
	}
	for name, tc := range map[string]struct {
		plant       func(*revokerRig)
		first, then int // connections that are ended
	}{
		"the socket":     {func(r *revokerRig) { r.gateway.Script("two=", nil, throttled) }, 1, 1},
		"the row":        {func(r *revokerRig) { r.registry.OnClose = once("two=", r.registry.OnClose) }, 1, 1},
		"the revocation": {func(r *revokerRig) { r.registry.OnRevoke = anyOnce() }, 2, 0},
		"the list":       {func(r *revokerRig) { r.registry.OnOwned = anyOnce() }, 0, 2},
	} {
		r := newRevokerRig(t)
		tc.plant(r)
		what := access.Revocation{Tenant: "acme", Session: "s1"}
		if done, err := r.revoker.Handle(t.Context(), what); fault.KindOf(err) != fault.Throttled || done.Connections != tc.first {
			t.Errorf("%s: %d, %v, want %d ended and kind throttled", name, done.Connections, err, tc.first)
		}
		if done, err := r.revoker.Handle(t.Context(), what); err != nil || done.Connections != tc.then {
			t.Errorf("%s, again: %d, %v, want %d ended", name, done.Connections, err, tc.then)
		}
		if got := r.connected(t); got != "three= other= open=" {
			t.Errorf("%s: left are %s", name, got)
		}
	}
}

// Whoever cannot be told is closed all the same.
func TestRevokeOfWhoCannotBeTold(t *testing.T) {
	t.Parallel()
	for _, kind := range []fault.Kind{fault.Throttled, fault.Transient, fault.Denied, fault.TooLarge, fault.Internal} {
		r := newRevokerRig(t)
		r.gateway.Script("two=", fault.New("gateway.Post", kind, nil))
		if done, err := r.revoker.Handle(t.Context(), access.Revocation{Tenant: "acme", Session: "s1"}); err != nil || done.Connections != 2 {
			t.Errorf("%s: %d, %v, want two ended", kind, done.Connections, err)
		}
		if got := r.told(t); got != "one=" {
			t.Errorf("%s: told are %s", kind, got)
		}
		if got := r.connected(t); got != "three= other= open=" {
			t.Errorf("%s: left are %s", kind, got)
		}
	}
}

// A socket that hangs costs the others no time, unless there are many of them.
func TestRevokeOfSlowSockets(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		slow     int
		ownTime  time.Duration // until the last of all others is closed
		wholeFor time.Duration
	}{
		"one": {1, 0, 500 * time.Millisecond}, "as many as a user may have": {10, 0, 500 * time.Millisecond}, "160": {160, 5 * time.Second, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRevokerRig(t)
				start := time.Now()
				var mu sync.Mutex
				var last time.Duration
				r.registry.OnClose = func(_ context.Context, id string) error {
					mu.Lock()
					defer mu.Unlock()
					if !strings.HasPrefix(id, "slow") {
						last = max(last, time.Since(start))
					}
					return nil
				}
				for n := range tc.slow {
					c := registry.Connection{ID: fmt.Sprintf("slow%d=", n), Tenant: "acme", Subject: "ada", Session: "s3", ConnectedAt: start.Add(-time.Minute)}
					if err := r.registry.Open(t.Context(), c); err != nil {
						t.Fatal(err)
					}
					r.gateway.Open(c.ID)
					r.gateway.Hold(c.ID)
				}
				done, err := r.revoker.Handle(t.Context(), access.Revocation{Tenant: "acme", Subject: "ada"})
				if err != nil || done.Connections != 3+tc.slow {
					t.Errorf("%d, %v", done.Connections, err)
				}
				if last > tc.ownTime || time.Since(start) != tc.wholeFor {
					t.Errorf("the others after %v, want %v, and all after %v, want %v", last, tc.ownTime, time.Since(start), tc.wholeFor)
				}
			})
		})
	}
}

// A gateway does not know a connection whose handshake has not ended. Closed then, it would open a moment later.
func TestRevokeDuringAHandshake(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		age, opens time.Duration // opens: never, if negative
		most       time.Duration
		first      error // of the gateway
	}{
		"that ends":           {age: time.Second, opens: 3 * time.Second, most: 10 * time.Second},
		"that ends late":      {opens: 9 * time.Second, most: 11 * time.Second},
		"that never ends":     {age: 4 * time.Second, opens: -1, most: 7 * time.Second},
		"that has just ended": {age: time.Second},
		"that ended long ago": {age: 10 * time.Second, opens: -1},
		"in an outage":        {opens: time.Second, most: 11 * time.Second, first: fault.New("gateway.Post", fault.Transient, nil)},
		"of many":             {opens: time.Second, most: 11 * time.Second, first: fault.New("gateway.Post", fault.Throttled, nil)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRevokerRig(t)
				start := time.Now()
				c := registry.Connection{ID: "young=", Tenant: "acme", Subject: "eve", Session: "s9", ConnectedAt: start.Add(-tc.age)}
				if err := r.registry.Open(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				r.gateway.Script(c.ID, tc.first)
				switch {
				case tc.opens == 0:
					r.gateway.Open(c.ID)
				case tc.opens > 0:
					time.AfterFunc(tc.opens, func() { r.gateway.Open(c.ID) })
				}
				done, err := r.revoker.Handle(t.Context(), access.Revocation{Tenant: "acme", Subject: "eve"})
				if took := time.Since(start); err != nil || done.Connections != 1 || took > tc.most {
					t.Errorf("%d, %v, after %v, want one ended after %v at most", done.Connections, err, took, tc.most)
				}
				time.Sleep(time.Minute)
				if err := r.gateway.Post(t.Context(), c.ID, gateway.NewFrame([]byte("{}")), time.Second); fault.KindOf(err) != fault.Gone {
					t.Errorf("the socket is open: %v", err)
				}
				if frames := len(r.gateway.Frames(c.ID)); (frames == 1) != (tc.opens >= 0) {
					t.Errorf("it was told %d times", frames)
				}
				if left, err := r.registry.Owned(t.Context(), registry.Owner{Tenant: "acme", Subject: "eve"}); err != nil || len(left) != 0 {
					t.Errorf("%v are left, %v", left, err)
				}
			})
		})
	}
}

// What is not known to have ended is left to be found again.
func TestRevokeThatRunsOutOfTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRevokerRig(t)
		young := registry.Connection{ID: "young=", Tenant: "acme", Subject: "ada", Session: "s1", ConnectedAt: time.Now()}
		if err := r.registry.Open(t.Context(), young); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		what := access.Revocation{Tenant: "acme", Session: "s1"}
		if done, err := r.revoker.Handle(ctx, what); fault.KindOf(err) != fault.Transient || done.Connections != 2 {
			t.Errorf("%d, %v, want two ended and kind transient", done.Connections, err)
		}
		if left, err := r.registry.Owned(t.Context(), registry.Owner{Tenant: "acme", Session: "s1"}); err != nil || len(left) != 1 || left[0].ID != young.ID {
			t.Errorf("%v are left, %v", left, err)
		}
	})
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	for want, what := range map[string]access.Revocation{ // the others are told
		"three= other= open=":           {Tenant: "acme", Session: "s1"},
		"other= open=":                  {Tenant: "acme", Subject: "ada"},
		"one= two= three= open=":        {Tenant: "umbrella", Subject: "ada"},
		"one= two= three= other= open=": {Tenant: "acme", Subject: "eve"},
	} {
		r := newRevokerRig(t)
		if _, err := r.revoker.Handle(t.Context(), what); err != nil {
			t.Fatal(err)
		}
		r.quiet(t, "one=", "two=", "umbrella")
		told := strings.Fields(r.told(t))
		if got := r.connected(t); got != want {
			t.Errorf("%+v leaves %s, want %s", what, got, want)
		}
		for _, id := range []string{"one=", "two=", "three=", "other=", "open="} {
			if slices.Contains(told, id) == slices.Contains(strings.Fields(want), id) {
				t.Errorf("%+v: told are %v", what, told)
			}
		}
	}
}
