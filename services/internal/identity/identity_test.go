package identity_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/identity"
)

func request(claims map[string]string) events.APIGatewayV2HTTPRequest {
	return events.APIGatewayV2HTTPRequest{RequestContext: events.APIGatewayV2HTTPRequestContext{
		Authorizer: &events.APIGatewayV2HTTPRequestContextAuthorizerDescription{JWT: &events.APIGatewayV2HTTPRequestContextAuthorizerJWTDescription{Claims: claims}},
	}}
}

func TestRead(t *testing.T) {
	t.Parallel()
	names := identity.Claims{Tenant: "custom:tenant", EntityTypes: "entity_types", Service: "service"}
	for name, tc := range map[string]struct {
		claims map[string]string
		want   identity.Identity
		err    error
	}{
		"no claims":         {nil, identity.Identity{}, identity.ErrUnknown},
		"no tenant":         {map[string]string{"sub": "ada", "sid": "s", "tenant": "acme"}, identity.Identity{}, identity.ErrUnknown},
		"a tenant of a key": {map[string]string{"sub": "ada", "sid": "s", "custom:tenant": "a#b"}, identity.Identity{}, identity.ErrUnknown},
		"no subject":        {map[string]string{"sid": "s", "custom:tenant": "acme"}, identity.Identity{}, identity.ErrUnknown},
		"no session":        {map[string]string{"sub": "ada", "custom:tenant": "acme"}, identity.Identity{}, identity.ErrUnknown},
		"a long subject":    {map[string]string{"sub": strings.Repeat("x", 257), "sid": "s", "custom:tenant": "acme"}, identity.Identity{}, identity.ErrUnknown},
		"a long session":    {map[string]string{"sub": "ada", "sid": strings.Repeat("x", 257), "custom:tenant": "acme"}, identity.Identity{}, identity.ErrUnknown},
		"issued some day":   {map[string]string{"sub": "ada", "sid": "s", "custom:tenant": "acme", "iat": "some day"}, identity.Identity{}, identity.ErrUnknown},
		"issued in 2026":    {map[string]string{"sub": "ada", "sid": "s", "custom:tenant": "acme", "iat": "1795000000", "exp": "1795003600"}, identity.Identity{Tenant: "acme", Subject: "ada", Session: "s", IssuedAt: time.Unix(1795000000, 0), Until: time.Unix(1795003600, 0)}, nil},
		"no types":          {map[string]string{"sub": "ada", "sid": "s", "custom:tenant": "acme", "entity_types": ""}, identity.Identity{}, identity.ErrEntityTypes},
		"types of a key":    {map[string]string{"sub": "ada", "sid": "s", "custom:tenant": "acme", "entity_types": "a#b"}, identity.Identity{}, identity.ErrEntityTypes},
		"all":               {map[string]string{"sub": "ada", "sid": "s", "jti": "j", "custom:tenant": "acme"}, identity.Identity{Tenant: "acme", Subject: "ada", Session: "s"}, nil},
		"of Cognito":        {map[string]string{"sub": "ada", "origin_jti": "o", "jti": "j", "custom:tenant": "acme"}, identity.Identity{Tenant: "acme", Subject: "ada", Session: "o"}, nil},
		"a service of two types": {
			map[string]string{"sub": "ada", "jti": "j", "custom:tenant": "acme", "service": "true", "entity_types": "[tutor insight tutor]"},
			identity.Identity{Tenant: "acme", Subject: "ada", Session: "j", Service: true, EntityTypes: []string{"insight", "tutor"}}, nil,
		},
	} {
		got, err := names.Read(request(tc.claims))
		if !errors.Is(err, tc.err) || err != nil && fault.KindOf(err) != fault.Denied || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for _, r := range []events.APIGatewayV2HTTPRequest{{}, {RequestContext: events.APIGatewayV2HTTPRequestContext{Authorizer: &events.APIGatewayV2HTTPRequestContextAuthorizerDescription{}}}} {
		if _, err := names.Read(r); !errors.Is(err, identity.ErrUnknown) {
			t.Errorf("without an authorizer: %v", err)
		}
	}
	// A token has no claim without a name.
	if got, err := (identity.Claims{Tenant: "custom:tenant"}).Read(request(map[string]string{"sub": "ada", "sid": "s", "custom:tenant": "acme", "": "true"})); err == nil && got.Service {
		t.Errorf("a service: %+v", got)
	}
}

func TestMaySee(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]bool{"tutor": true, "insight": true, "student": false, "": false} {
		if got := (identity.Identity{EntityTypes: []string{"insight", "tutor"}}).MaySee(kind); got != want {
			t.Errorf("%q: %v", kind, got)
		}
		if who := identity.Anybody(); !who.MaySee(kind) || who.Tenant != "default" {
			t.Errorf("%+v", who)
		}
	}
}
