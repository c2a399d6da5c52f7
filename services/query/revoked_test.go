package query_test

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/identity"
	"github.com/iops-dashboard/live/services/internal/registry"
	"github.com/iops-dashboard/live/services/query"
)

// Who is revoked reads no more with a token of before, on any route.
func TestARevokedTokenReadsNothing(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		owner  registry.Owner
		issued time.Duration // after the revocation
		said   bool          // when it was issued
		status int
	}{
		"the subject":       {registry.Owner{Tenant: "acme", Subject: "lovelace"}, -time.Minute, true, 401},
		"the session":       {registry.Owner{Tenant: "acme", Session: "s1"}, -time.Minute, true, 401},
		"a token of nobody": {registry.Owner{Tenant: "acme", Session: "s1"}, 0, false, 401},
		"a clock behind":    {registry.Owner{Tenant: "acme", Session: "s1"}, registry.MaxSkew, true, 401},
		"a token of after":  {registry.Owner{Tenant: "acme", Session: "s1"}, registry.MaxSkew + time.Second, true, 200},
		"another subject":   {registry.Owner{Tenant: "acme", Subject: "s1"}, -time.Minute, true, 200},
		"another session":   {registry.Owner{Tenant: "acme", Session: "s2"}, -time.Minute, true, 200},
		"another tenant":    {registry.Owner{Tenant: "umbrella", Session: "s1"}, -time.Minute, true, 200},
	} {
		for route, request := range map[string]events.APIGatewayV2HTTPRequest{"metrics": metrics(), "insights": insights(), "entity": entity("student", "stu_1")} {
			t.Run(name+" "+route, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t)
					r.put(t, student("stu_1"), `{"health_score":7}`)
					if err := r.registry.Revoke(t.Context(), tc.owner); err != nil {
						t.Fatal(err)
					}
					if tc.said {
						claim("iat", strconv.FormatInt(time.Now().Add(tc.issued).Unix(), 10))(&request)
					}
					response := r.ask(t, request)
					if tc.status == 401 {
						r.problem(t, response, 401, contracts.ErrorCodeUnauthenticated)
					} else if response.StatusCode != tc.status {
						t.Errorf("status %d, %s", response.StatusCode, response.Body)
					}
				})
			})
		}
	}
}

// unknown are revocations that cannot be read.
type unknown struct{ err error }

func (u unknown) Revoked(context.Context, registry.Connection) (bool, error) { return true, u.err }

// As long as nobody can tell who is revoked, nothing is shown.
func TestRevocationsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for kind, status := range map[fault.Kind]int{fault.Transient: 503, fault.Denied: 500} {
		r := newRig(t, func(c *query.Config) { c.Revocations = unknown{fault.Newf("registry", kind, "secret insides")} })
		r.put(t, student("stu_1"), `{"health_score":7}`)
		r.problem(t, r.ask(t, metrics()), status, contracts.ErrorCodeUnavailable)
	}
	open := newRig(t, func(c *query.Config) { c.Auth, c.Revocations = identity.AuthOpen, nil })
	if response := open.ask(t, metrics()); response.StatusCode != 200 {
		t.Errorf("where nobody is asked: %d", response.StatusCode)
	}
}
