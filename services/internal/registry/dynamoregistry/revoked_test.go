package dynamoregistry_test

import (
	"context"
	"testing"
	"time"

	"github.com/iops-dashboard/live/services/internal/awstest"
	"github.com/iops-dashboard/live/services/internal/registry"
	"github.com/iops-dashboard/live/services/internal/registry/dynamoregistry"
	"github.com/iops-dashboard/live/services/internal/registry/memregistry"
)

// Whoever looks for a revocation finds it, whatever they want the permission for.
func TestRevoked(t *testing.T) {
	t.Parallel()
	type revoker interface {
		registry.Registry
		Revoked(context.Context, registry.Connection) (bool, error)
	}
	for name, r := range map[string]revoker{
		"memory": &memregistry.Registry{}, "DynamoDB": dynamoregistry.New(awstest.DynamoDB(t), awstest.Table(t), dynamoregistry.Options{}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ada := registry.Connection{Tenant: "acme", Subject: "ada", Session: "s1", PermittedAt: time.Now().Add(-time.Minute)}
			later, other, twin := ada, ada, ada
			later.PermittedAt = time.Now().Add(time.Minute)
			other.Subject, other.Session = "s1", "ada"
			twin.Tenant = "umbrella"
			want := func(c registry.Connection, want bool) {
				t.Helper()
				if got, err := r.Revoked(t.Context(), c); got != want || err != nil {
					t.Errorf("%+v: %v, %v", c, got, err)
				}
			}
			want(ada, false)
			want(registry.Connection{Tenant: "acme"}, false)
			for _, owner := range []registry.Owner{{Tenant: "acme", Session: "s1"}, {Tenant: "acme", Subject: "ada"}} {
				if err := r.Revoke(t.Context(), owner); err != nil {
					t.Fatal(err)
				}
				want(ada, true)
				want(later, false)
				want(other, false)
				want(twin, false)
				ada.Session = "s2"
				want(ada, owner.Session == "")
			}
		})
	}
}
