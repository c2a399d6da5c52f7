package access_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

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
		c.ConnectedAt = time.Now()
		if err := r.registry.Open(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		r.gateway.Open(c.ID)
	}
	var err error
	if r.revoker, err = access.NewRevoker(access.RevokerConfig{Registry: r.registry, Gateway: r.gateway, Log: r.logger}); err != nil {
		t.Fatal(err)
	}
	return r
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
		if got := r.connected(t); got != "one= two= three= other= open=" {
			t.Errorf("%s: left are %s", name, got)
		}
	}
	if _, err := access.NewRevoker(access.RevokerConfig{Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("NewRevoker accepts what is not complete")
	}
}

// What could not be ended is found again.
func TestRevokeThatFailsIsRepeated(t *testing.T) {
	t.Parallel()
	for name, plant := range map[string]func(*revokerRig){
		"the socket": func(r *revokerRig) { r.gateway.Script("two=", fault.New("gateway.Disconnect", fault.Throttled, nil)) },
		"the row": func(r *revokerRig) {
			failed := false
			r.registry.OnClose = func(_ context.Context, id string) error {
				if id != "two=" || failed {
					return nil
				}
				failed = true
				return fault.New("registry.Close", fault.Throttled, nil)
			}
		},
	} {
		r := newRevokerRig(t)
		plant(r)
		what := access.Revocation{Tenant: "acme", Session: "s1"}
		if done, err := r.revoker.Handle(t.Context(), what); fault.KindOf(err) != fault.Throttled || done.Connections != 1 {
			t.Errorf("%s: %d, %v, want one ended and kind throttled", name, done.Connections, err)
		}
		if done, err := r.revoker.Handle(t.Context(), what); err != nil || done.Connections != 1 {
			t.Errorf("%s, again: %d, %v, want the other ended", name, done.Connections, err)
		}
		if got := r.connected(t); got != "three= other= open=" {
			t.Errorf("%s: left are %s", name, got)
		}
	}
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	for want, what := range map[string]access.Revocation{
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
		if got := r.connected(t); got != want {
			t.Errorf("%+v leaves %s, want %s", what, got, want)
		}
	}
}
