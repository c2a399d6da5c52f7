// Package identity tells who asks an HTTP API: from the claims of a token that API Gateway has checked, its
// signature, issuer, audience and times, and from nothing else that the client sent.
package identity

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
)

// DefaultTenant is whose data those see whom nobody asked for a token.
const DefaultTenant = "default"

// Auth says who is let in.
type Auth string

// The ways to let people in.
const (
	AuthOpen   Auth = "open"   // everybody, as [DefaultTenant]
	AuthTicket Auth = "ticket" // who has a token, which an HTTP API has checked, or a ticket that it gave
)

// typePattern is what an entity type looks like. New types may come, so they are not listed.
var typePattern = regexp.MustCompile(`^[a-z][a-z_]{0,63}$`)

// Claims are the names of the claims of a token that say what its subject may do. They must be such as its
// issuer writes, and no user can.
type Claims struct {
	// Tenant holds the tenant; every token must have it.
	Tenant string
	// EntityTypes lists what may be seen, as a list, or a text with spaces or commas between. Absent: all.
	EntityTypes string
	// Service is true in the tokens of services. Empty: no token is a service's.
	Service string
}

// maxName is the length of the longest subject and session, in bytes: both are in keys of a table. OpenID Connect has
// subjects of 255 at most: https://openid.net/specs/openid-connect-core-1_0.html#IDToken
const maxName = 256

// sessionClaims name the session of a token, the first that it has: that of OpenID Connect, Cognito's, or the
// token itself.
var sessionClaims = []string{"sid", "origin_jti", "jti"}

// Identity is who asks.
type Identity struct {
	Tenant  string
	Subject string // empty without a token, as Session
	Session string
	// EntityTypes are what they may see, insight among them, sorted; nil for all.
	EntityTypes []string
	Service     bool
	// IssuedAt is when the token was made, and Until when it expires; zero if it does not say.
	IssuedAt, Until time.Time
}

// Anybody is who asks where no token is wanted.
func Anybody() Identity { return Identity{Tenant: DefaultTenant} }

// MaySee reports whether they may see the entities of a type, or, as insight, the insights.
func (i Identity) MaySee(entityType string) bool {
	return i.EntityTypes == nil || slices.Contains(i.EntityTypes, entityType)
}

// Why Read refuses. The errors that it returns are of kind Denied, and wrap one of these.
var (
	// ErrUnknown: the token says no subject, session or tenant, or one that is none, or a time that is none.
	ErrUnknown = errors.New("the token says no subject, session or tenant, or a time that is none")
	// ErrEntityTypes: what the token says of entity types makes no sense, which must not mean all.
	ErrEntityTypes = errors.New("the token's entity types are not such")
)

// Read returns who asks.
func (c Claims) Read(request events.APIGatewayV2HTTPRequest) (Identity, error) {
	const op = "identity.Read"
	var claims map[string]string
	if a := request.RequestContext.Authorizer; a != nil && a.JWT != nil {
		claims = a.JWT.Claims
	}
	i := Identity{Tenant: claims[c.Tenant], Subject: claims["sub"], Service: c.Service != "" && claims[c.Service] == "true"}
	for name, to := range map[string]*time.Time{"iat": &i.IssuedAt, "exp": &i.Until} {
		if said, ok := claims[name]; ok {
			seconds, err := strconv.ParseInt(said, 10, 64)
			if err != nil {
				return Identity{}, fault.New(op, fault.Denied, ErrUnknown)
			}
			*to = time.Unix(seconds, 0)
		}
	}
	for _, name := range sessionClaims {
		if i.Session == "" {
			i.Session = claims[name]
		}
	}
	named := func(s string) bool { return s != "" && len(s) <= maxName }
	if !named(i.Subject) || !named(i.Session) || !contracts.TenantPattern.MatchString(i.Tenant) {
		return Identity{}, fault.New(op, fault.Denied, ErrUnknown)
	}
	if said, ok := claims[c.EntityTypes]; ok {
		if i.EntityTypes = entityTypes(said); i.EntityTypes == nil {
			return Identity{}, fault.New(op, fault.Denied, ErrEntityTypes)
		}
	}
	return i, nil
}

// entityTypes reads a claim as an HTTP API writes it: a text as it is, a list as [student tutor]. Nil: it
// makes no sense.
func entityTypes(said string) []string {
	if inner, ok := strings.CutPrefix(said, "["); ok {
		said = strings.TrimSuffix(inner, "]")
	}
	types := strings.FieldsFunc(said, func(r rune) bool { return r == ' ' || r == ',' })
	if len(types) == 0 || slices.ContainsFunc(types, func(s string) bool { return !typePattern.MatchString(s) }) {
		return nil
	}
	slices.Sort(types)
	return slices.Compact(types)
}
