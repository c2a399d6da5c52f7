package access_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"go.uber.org/goleak"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/access"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/identity"
	"github.com/iops-dashboard/live/services/internal/ticket"
	"github.com/iops-dashboard/live/services/internal/ticket/memticket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const page, otherPage = "https://app.example.com", "http://127.0.0.1:5173"

var pages = []string{page, otherPage}

// strangers are origins that are not quite those of the pages.
var strangers = []string{
	"null", "", "*", "https://evil.example", "https://app.example.com.evil.example", "https://evil-app.example.com", "https://app.example.co",
	"http://app.example.com", "https://app.example.com:443", "https://app.example.com:8443", "https://APP.example.com", "HTTPS://app.example.com",
	"https://app.example.com/", "https://app.example.com.", " https://app.example.com", "https://app.example.com,https://app.example.com",
	"https://app.example.com https://evil.example", "https://user@app.example.com", "http://127.0.0.1", "http://localhost:5173", "127.0.0.1:5173",
}

type rig struct {
	tickets *memticket.Tickets
	log     *bytes.Buffer
	logger  *slog.Logger
}

func newRig() *rig {
	r := &rig{tickets: &memticket.Tickets{}, log: &bytes.Buffer{}}
	r.logger = slog.New(slog.NewJSONHandler(r.log, nil))
	return r
}

func (r *rig) issuer(t *testing.T) *access.Tickets {
	t.Helper()
	h, err := access.NewTickets(access.TicketsConfig{
		Tickets: r.tickets, Origins: pages, Log: r.logger,
		Claims: identity.Claims{Tenant: "custom:tenant", EntityTypes: "entity_types", Service: "service"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// request is a page's, with a token that has these claims.
func request(t *testing.T, claims map[string]string) events.APIGatewayV2HTTPRequest {
	t.Helper()
	var r events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal([]byte(`{
		"version": "2.0", "routeKey": "POST /tickets", "rawPath": "/tickets", "rawQueryString": "",
		"headers": {"authorization": "Bearer canary", "content-length": "0", "origin": "`+page+`", "x-forwarded-for": "192.0.2.1"},
		"requestContext": {
			"accountId": "123456789012", "apiId": "abcd1234", "domainName": "abcd1234.execute-api.us-east-1.amazonaws.com", "domainPrefix": "abcd1234",
			"authorizer": {"jwt": {"claims": {}, "scopes": null}},
			"http": {"method": "POST", "path": "/tickets", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "test/1"},
			"requestId": "JKJaXmPLvHcESHA=", "routeKey": "POST /tickets", "stage": "$default",
			"time": "22/Nov/2026:10:00:00 +0000", "timeEpoch": 1795341600000
		},
		"isBase64Encoded": false
	}`), &r); err != nil {
		t.Fatal(err)
	}
	r.RequestContext.Authorizer.JWT.Claims = claims
	return r
}

func claims() map[string]string {
	return map[string]string{"iss": "https://issuer.example", "sub": "ada", "custom:tenant": "acme", "sid": "s1", "jti": "j1"}
}

func with(name, value string) func(*events.APIGatewayV2HTTPRequest) {
	return func(r *events.APIGatewayV2HTTPRequest) {
		if value == "" {
			delete(r.RequestContext.Authorizer.JWT.Claims, name)
			return
		}
		r.RequestContext.Authorizer.JWT.Claims[name] = value
	}
}

func from(origins ...string) func(*events.APIGatewayV2HTTPRequest) {
	return func(r *events.APIGatewayV2HTTPRequest) {
		delete(r.Headers, "origin")
		if len(origins) > 0 {
			r.Headers["origin"] = strings.Join(origins, ",") // as an HTTP API joins them
		}
	}
}

func TestTicketsRefuse(t *testing.T) {
	t.Parallel()
	failing := func(kind fault.Kind) func(*rig) {
		return func(r *rig) {
			r.tickets.OnIssue = func(context.Context) error { return fault.Newf("ticket.Issue", kind, "secret insides") }
		}
	}
	for name, tc := range map[string]struct {
		prepare func(*rig)
		request func(*events.APIGatewayV2HTTPRequest)
		status  int
		code    contracts.ErrorCode
	}{
		"outage":               {prepare: failing(fault.Transient), status: 503, code: contracts.ErrorCodeUnavailable},
		"throttled by AWS":     {prepare: failing(fault.Throttled), status: 503, code: contracts.ErrorCodeUnavailable},
		"configuration":        {prepare: failing(fault.Denied), status: 503, code: contracts.ErrorCodeUnavailable},
		"no authorizer":        {request: func(r *events.APIGatewayV2HTTPRequest) { r.RequestContext.Authorizer = nil }, status: 401, code: contracts.ErrorCodeUnauthenticated},
		"another authorizer":   {request: func(r *events.APIGatewayV2HTTPRequest) { r.RequestContext.Authorizer.JWT = nil }, status: 401, code: contracts.ErrorCodeUnauthenticated},
		"no subject":           {request: with("sub", ""), status: 401, code: contracts.ErrorCodeUnauthenticated},
		"a long subject":       {request: with("sub", strings.Repeat("x", 257)), status: 401, code: contracts.ErrorCodeUnauthenticated},
		"no tenant":            {request: with("custom:tenant", ""), status: 401, code: contracts.ErrorCodeUnauthenticated},
		"a tenant like a key":  {request: with("custom:tenant", "acme#*"), status: 401, code: contracts.ErrorCodeUnauthenticated},
		"a tenant of a pair":   {request: with("custom:tenant", "[acme umbrella]"), status: 401, code: contracts.ErrorCodeUnauthenticated},
		"a claim by the way":   {request: func(r *events.APIGatewayV2HTTPRequest) { with("custom:tenant", "")(r); with("tenant", "acme")(r) }, status: 401, code: contracts.ErrorCodeUnauthenticated},
		"no session":           {request: func(r *events.APIGatewayV2HTTPRequest) { with("sid", "")(r); with("jti", "")(r) }, status: 401, code: contracts.ErrorCodeUnauthenticated},
		"an end that is none":  {request: with("exp", "soon"), status: 401, code: contracts.ErrorCodeUnauthenticated},
		"no origin":            {request: from(), status: 403, code: contracts.ErrorCodeForbidden},
		"no origin, a page":    {request: func(r *events.APIGatewayV2HTTPRequest) { from()(r); with("service", "false")(r) }, status: 403, code: contracts.ErrorCodeForbidden},
		"two origins":          {request: from(page, page), status: 403, code: contracts.ErrorCodeForbidden},
		"a service's stranger": {request: func(r *events.APIGatewayV2HTTPRequest) { from("https://evil.example")(r); with("service", "true")(r) }, status: 403, code: contracts.ErrorCodeForbidden},
		"types that are none":  {request: with("entity_types", " "), status: 403, code: contracts.ErrorCodeForbidden},
		"an empty list":        {request: with("entity_types", "[]"), status: 403, code: contracts.ErrorCodeForbidden},
		"types that are odd":   {request: with("entity_types", "student tutor#1"), status: 403, code: contracts.ErrorCodeForbidden},
		"everything":           {request: with("entity_types", "*"), status: 403, code: contracts.ErrorCodeForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig()
			if tc.prepare != nil {
				tc.prepare(r)
			}
			req := request(t, claims())
			if tc.request != nil {
				tc.request(&req)
			}
			response, err := r.issuer(t).Handle(t.Context(), req)
			r.problem(t, response, err, tc.status, tc.code)
		})
	}
	for _, origin := range strangers {
		t.Run("origin "+origin, func(t *testing.T) {
			t.Parallel()
			r, req := newRig(), request(t, claims())
			from(origin)(&req)
			response, err := r.issuer(t).Handle(t.Context(), req)
			r.problem(t, response, err, 403, contracts.ErrorCodeForbidden)
		})
	}
}

func (r *rig) problem(t *testing.T, response events.APIGatewayV2HTTPResponse, err error, status int, code contracts.ErrorCode) contracts.ProblemV1 {
	t.Helper()
	var p contracts.ProblemV1
	if err != nil || response.StatusCode != status || response.Headers["Content-Type"] != "application/problem+json" || response.Headers["Cache-Control"] != "no-store" {
		t.Errorf("status %d, headers %v, %v, want %d", response.StatusCode, response.Headers, err, status)
	}
	if err := contracts.ValidateProducer(contracts.KindProblemV1, []byte(response.Body)); err != nil {
		t.Errorf("%v in %s", err, response.Body)
	}
	if err := json.Unmarshal([]byte(response.Body), &p); err != nil || p.Status != int64(status) || p.Code != code || p.Title != http.StatusText(status) {
		t.Errorf("the problem is %s, want %s", response.Body, code)
	}
	if strings.Contains(response.Body, "insides") {
		t.Errorf("the answer tells %s", response.Body)
	}
	r.quiet(t)
	return p
}

// quiet sees that there is one line, which tells nobody's secrets.
func (r *rig) quiet(t *testing.T, secrets ...string) {
	t.Helper()
	if lines := strings.Count(r.log.String(), "\n"); lines != 1 {
		t.Errorf("%d lines: %s", lines, r.log)
	}
	for _, secret := range append(secrets, "canary", "ada", "acme", "192.0.2.1", `"s1"`) {
		if strings.Contains(r.log.String(), secret) {
			t.Errorf("the log tells %q: %s", secret, r.log)
		}
	}
}

func TestTooManyTickets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		h := r.issuer(t)
		<-time.After(time.Until(ticket.Begin(time.Now()).Add(ticket.Window + 12*time.Second)))
		for n := range ticket.Limit {
			if response, err := h.Handle(t.Context(), request(t, claims())); err != nil || response.StatusCode != 201 {
				t.Fatalf("ticket %d: status %d, %v", n, response.StatusCode, err)
			}
		}
		r.log.Reset()
		response, err := h.Handle(t.Context(), request(t, claims()))
		p := r.problem(t, response, err, 429, contracts.ErrorCodeRateLimited)
		wait := (ticket.Window - 12*time.Second).Milliseconds() + 1
		if p.RetryAfterMS == nil || *p.RetryAfterMS != wait || response.Headers["Retry-After"] != strconv.FormatInt((wait+999)/1000, 10) {
			t.Errorf("try again after %v ms, %s s; want %d ms", p.RetryAfterMS, response.Headers["Retry-After"], wait)
		}
		<-time.After(time.Duration(*p.RetryAfterMS) * time.Millisecond)
		if response, err := h.Handle(t.Context(), request(t, claims())); err != nil || response.StatusCode != 201 {
			t.Errorf("in the next window: status %d, %v", response.StatusCode, err)
		}
	})
}

func TestTicketsIssue(t *testing.T) {
	t.Parallel()
	grant := ticket.Grant{Tenant: "acme", Subject: "ada", Session: "s1", Origin: page}
	edit := func(f func(*ticket.Grant)) ticket.Grant {
		g := grant
		f(&g)
		return g
	}
	for name, tc := range map[string]struct {
		request func(*events.APIGatewayV2HTTPRequest)
		want    ticket.Grant
	}{
		"to a page":             {func(*events.APIGatewayV2HTTPRequest) {}, grant},
		"to another page":       {from(otherPage), edit(func(g *ticket.Grant) { g.Origin = otherPage })},
		"to a service":          {func(r *events.APIGatewayV2HTTPRequest) { from()(r); with("service", "true")(r) }, edit(func(g *ticket.Grant) { g.Origin = "" })},
		"to a service's page":   {with("service", "true"), grant},
		"by Cognito's session":  {func(r *events.APIGatewayV2HTTPRequest) { with("sid", "")(r); with("origin_jti", "o1")(r) }, edit(func(g *ticket.Grant) { g.Session = "o1" })},
		"by the token alone":    {with("sid", ""), edit(func(g *ticket.Grant) { g.Session = "j1" })},
		"for a type":            {with("entity_types", "student"), edit(func(g *ticket.Grant) { g.EntityTypes = []string{"student"} })},
		"for types in a list":   {with("entity_types", "[tutor insight student tutor]"), edit(func(g *ticket.Grant) { g.EntityTypes = []string{"insight", "student", "tutor"} })},
		"for types with commas": {with("entity_types", "tutor, student"), edit(func(g *ticket.Grant) { g.EntityTypes = []string{"student", "tutor"} })},
		"until its end":         {with("exp", "1795000000"), edit(func(g *ticket.Grant) { g.Until = time.Unix(1_795_000_000, 0) })},
		"for a type to come":    {with("entity_types", "classroom"), edit(func(g *ticket.Grant) { g.EntityTypes = []string{"classroom"} })},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r, req := newRig(), request(t, claims())
				tc.request(&req)
				response, err := r.issuer(t).Handle(t.Context(), req)
				if err != nil || response.StatusCode != 201 || !maps.Equal(response.Headers, map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store"}) {
					t.Fatalf("status %d, headers %v, %v", response.StatusCode, response.Headers, err)
				}
				if err := contracts.ValidateProducer(contracts.KindTicketV1, []byte(response.Body)); err != nil {
					t.Error(err)
				}
				var issued contracts.TicketV1
				if err := json.Unmarshal([]byte(response.Body), &issued); err != nil {
					t.Fatal(err)
				}
				expires, err := time.Parse(time.RFC3339, issued.ExpiresAt)
				if err != nil || !expires.Equal(time.Now().Add(ticket.Lifetime)) {
					t.Errorf("expires at %s, %v", issued.ExpiresAt, err)
				}
				r.quiet(t, issued.Ticket)
				want := tc.want
				want.IssuedAt = time.Now().Truncate(time.Millisecond)
				if got, err := r.tickets.Redeem(t.Context(), issued.Ticket); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("the grant is %+v, %v, want %+v", got, err, want)
				}
			})
		})
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	tickets, log := &memticket.Tickets{}, slog.New(slog.DiscardHandler)
	names := identity.Claims{Tenant: "tenant", EntityTypes: "entity_types", Service: "service"}
	for name, c := range map[string]access.TicketsConfig{
		"no tickets":      {Claims: names, Log: log},
		"no log":          {Tickets: tickets, Claims: names},
		"no claims":       {Tickets: tickets, Log: log},
		"a long lifetime": {Tickets: tickets, Log: log, Claims: names, Lifetime: time.Minute},
		"a negative one":  {Tickets: tickets, Log: log, Claims: names, Lifetime: -1},
	} {
		if _, err := access.NewTickets(c); err == nil {
			t.Errorf("NewTickets accepts %s", name)
		}
	}
	for _, c := range []access.AuthorizerConfig{{Log: log}, {Tickets: tickets}} {
		if _, err := access.NewAuthorizer(c); err == nil {
			t.Error("NewAuthorizer accepts what is not complete")
		}
	}
	for _, origin := range []string{
		"", "*", "null", "app.example.com", "https://", "https://app.example.com/", "https://app.example.com/page", "https://App.example.com", "HTTPS://app.example.com",
		"https://app.example.com:443", "http://app.example.com:80", "https://*.example.com", "https://user@app.example.com", "https://app.example.com?q", "wss://app.example.com",
		"https://app.example.com:port",
	} {
		if _, err := access.NewTickets(access.TicketsConfig{Tickets: tickets, Log: log, Claims: names, Origins: []string{page, origin}}); err == nil {
			t.Errorf("NewTickets accepts origin %q, which no browser sends", origin)
		}
		if _, err := access.NewAuthorizer(access.AuthorizerConfig{Tickets: tickets, Log: log, Origins: []string{page, origin}}); err == nil {
			t.Errorf("NewAuthorizer accepts origin %q, which no browser sends", origin)
		}
	}
	for _, origin := range []string{page, otherPage, "http://[::1]:5173", "https://xn--zo-8ma.example:8443", "http://localhost:443"} {
		if _, err := access.NewAuthorizer(access.AuthorizerConfig{Tickets: tickets, Log: log, Origins: []string{origin}}); err != nil {
			t.Errorf("origin %q: %v", origin, err)
		}
	}
}
