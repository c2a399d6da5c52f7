package access_test

import (
	"context"
	"encoding/json"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/services/access"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/ticket"
)

const methodARN = "arn:aws:execute-api:us-east-1:123456789012:abcd1234/prod/$connect"

func (r *rig) authorizer(t *testing.T) *access.Authorizer {
	t.Helper()
	a, err := access.NewAuthorizer(access.AuthorizerConfig{Tickets: r.tickets, Origins: pages, Log: r.logger})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// issue makes a ticket that a page of this origin asked for; "" for a service.
func (r *rig) issue(t *testing.T, origin string) string {
	t.Helper()
	issued, err := r.tickets.Issue(context.Background(), ticket.Grant{Tenant: "acme", Subject: "ada", Session: "s1", Origin: origin}, ticket.Lifetime)
	if err != nil {
		t.Fatal(err)
	}
	return issued.Text
}

type authorizerRequest = events.APIGatewayCustomAuthorizerRequestTypeRequest

// handshake is the event of a client that sends these origins and tickets.
func handshake(t *testing.T, origins, tickets []string) authorizerRequest {
	t.Helper()
	var r authorizerRequest
	if err := json.Unmarshal([]byte(`{
		"type": "REQUEST", "methodArn": "`+methodARN+`",
		"headers": {"Connection": "upgrade", "content-length": "0", "Host": "example.com", "Upgrade": "websocket", "X-Forwarded-For": "192.0.2.1"},
		"multiValueHeaders": {"Connection": ["upgrade"], "content-length": ["0"], "Host": ["example.com"], "Upgrade": ["websocket"], "X-Forwarded-For": ["192.0.2.1"]},
		"queryStringParameters": {}, "multiValueQueryStringParameters": {}, "stageVariables": {},
		"requestContext": {
			"routeKey": "$connect", "eventType": "CONNECT", "messageDirection": "IN", "extendedRequestId": "R1koeHsUtjMFbRw=", "requestId": "R1koeHsUtjMFbRw=",
			"requestTime": "09/Feb/2024:18:11:43 +0000", "requestTimeEpoch": 1707502303420, "stage": "prod", "connectedAt": 1707502303419,
			"identity": {"sourceIp": "192.0.2.1"}, "domainName": "abcd1234.execute-api.us-east-1.amazonaws.com",
			"connectionId": "L0SM9cOFvHcCIhw=", "apiId": "abcd1234"
		}
	}`), &r); err != nil {
		t.Fatal(err)
	}
	if len(origins) > 0 {
		r.Headers["Origin"], r.MultiValueHeaders["Origin"] = origins[len(origins)-1], origins
	}
	if len(tickets) > 0 {
		r.QueryStringParameters["ticket"], r.MultiValueQueryStringParameters["ticket"] = tickets[len(tickets)-1], tickets
	}
	return r
}

// answer is what API Gateway makes of a response: a status, or 200.
func answer(response events.APIGatewayCustomAuthorizerResponse, err error) int {
	switch {
	case err != nil && err.Error() == "Unauthorized":
		return 401
	case err != nil:
		return 500
	}
	s := response.PolicyDocument.Statement
	if response.PrincipalID == "" || response.PolicyDocument.Version != "2012-10-17" || len(s) != 1 || len(s[0].Resource) != 1 || s[0].Resource[0] != methodARN ||
		len(s[0].Action) != 1 || s[0].Action[0] != "execute-api:Invoke" {
		return 500
	}
	if s[0].Effect != "Allow" {
		return 403
	}
	return 200
}

func TestAuthorizerRefuses(t *testing.T) {
	t.Parallel()
	one := func(s string) []string { return []string{s} }
	for name, tc := range map[string]struct {
		origins []string
		issued  string // for the page of this origin
		tickets func(issued string) []string
		status  int
		burnt   bool // the ticket is used up
	}{
		"no ticket":                      {origins: one(page), issued: page, tickets: func(string) []string { return nil }, status: 401},
		"an empty ticket":                {origins: one(page), issued: page, tickets: func(string) []string { return []string{""} }, status: 401},
		"a forged ticket":                {origins: one(page), issued: page, tickets: func(string) []string { return []string{strings.Repeat("A", 43)} }, status: 401},
		"a ticket with a tail":           {origins: one(page), issued: page, tickets: func(s string) []string { return []string{s + "="} }, status: 401},
		"a long ticket":                  {origins: one(page), issued: page, tickets: func(string) []string { return []string{strings.Repeat("A", 4000)} }, status: 401},
		"the digest of one":              {origins: one(page), issued: page, tickets: func(s string) []string { return []string{ticket.Digest(s)} }, status: 401},
		"two tickets":                    {origins: one(page), issued: page, tickets: func(s string) []string { return []string{"x", s} }, status: 401},
		"no origin, a page's ticket":     {issued: page, status: 403, burnt: true},
		"another page's ticket":          {origins: one(otherPage), issued: page, status: 403, burnt: true},
		"a page with a service's ticket": {origins: one(page), issued: "", status: 403, burnt: true},
		"two origins":                    {origins: []string{page, page}, issued: page, status: 403},
		"one good origin of two":         {origins: []string{"https://evil.example", page}, issued: page, status: 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig()
			text := r.issue(t, tc.issued)
			tickets := []string{text}
			if tc.tickets != nil {
				tickets = tc.tickets(text)
			}
			got, err := r.authorizer(t).Handle(t.Context(), handshake(t, tc.origins, tickets))
			r.refused(t, got, err, tc.status, text)
			if _, err := r.tickets.Redeem(t.Context(), text); tc.burnt != (fault.KindOf(err) == fault.Gone) {
				t.Errorf("the ticket is used up: %t, want %t", err != nil, tc.burnt)
			}
		})
	}
	for _, origin := range strangers {
		t.Run("origin "+origin, func(t *testing.T) {
			t.Parallel()
			r := newRig()
			text := r.issue(t, page)
			got, err := r.authorizer(t).Handle(t.Context(), handshake(t, []string{origin}, []string{text}))
			r.refused(t, got, err, 403, text)
		})
	}
}

func (r *rig) refused(t *testing.T, got events.APIGatewayCustomAuthorizerResponse, err error, status int, text string) {
	t.Helper()
	if answer(got, err) != status || len(got.Context) > 0 {
		t.Errorf("status %d of %+v, %v, want %d", answer(got, err), got, err, status)
	}
	r.quiet(t, text)
}

func TestAuthorizerRefusesWhatWasUsedOrHasExpired(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		a := r.authorizer(t)
		used, old := r.issue(t, page), r.issue(t, page)
		if got, err := a.Handle(t.Context(), handshake(t, []string{page}, []string{used})); answer(got, err) != 200 {
			t.Fatalf("%+v, %v", got, err)
		}
		<-time.After(ticket.Lifetime)
		for _, text := range []string{used, old} {
			r.log.Reset()
			got, err := a.Handle(t.Context(), handshake(t, []string{page}, []string{text}))
			r.refused(t, got, err, 401, text)
		}
	})
}

// An outage must not look like a bad ticket: the page may try the same one again.
func TestAuthorizerInAnOutage(t *testing.T) {
	t.Parallel()
	for _, kind := range []fault.Kind{fault.Transient, fault.Throttled, fault.Denied, fault.Internal} {
		r := newRig()
		text := r.issue(t, page)
		r.tickets.OnRedeem = func(context.Context) error { return fault.Newf("ticket.Redeem", kind, "insides") }
		got, err := r.authorizer(t).Handle(t.Context(), handshake(t, []string{page}, []string{text}))
		r.refused(t, got, err, 500, text)
		if err == nil || strings.Contains(err.Error(), "insides") {
			t.Errorf("the error is %v", err)
		}
	}
}

func TestAuthorizerLetsIn(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		grant   ticket.Grant
		origins []string
		types   string
	}{
		"a page":       {ticket.Grant{Tenant: "acme", Subject: "ada", Session: "s1", Origin: page}, []string{page}, "*"},
		"another page": {ticket.Grant{Tenant: "acme", Subject: "ada", Session: "s1", Origin: otherPage}, []string{otherPage}, "*"},
		"a service":    {ticket.Grant{Tenant: "acme", Subject: "ada", Session: "s1"}, nil, "*"},
		"until an end": {ticket.Grant{Tenant: "acme", Subject: "ada", Session: "s1", Until: time.UnixMilli(1_795_000_000_123)}, nil, "*"},
		"to few types": {ticket.Grant{Tenant: "acme", Subject: "ada", Session: "s1", Origin: page, EntityTypes: []string{"insight", "student"}}, []string{page}, "insight,student"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig()
			issued, err := r.tickets.Issue(t.Context(), tc.grant, ticket.Lifetime)
			if err != nil {
				t.Fatal(err)
			}
			request := handshake(t, tc.origins, []string{issued.Text})
			if values, ok := request.MultiValueHeaders["Origin"]; ok { // a client may write it so
				delete(request.MultiValueHeaders, "Origin")
				request.MultiValueHeaders["oRIGIN"] = values
			}
			got, err := r.authorizer(t).Handle(t.Context(), request)
			if answer(got, err) != 200 || got.PrincipalID != "ada" {
				t.Errorf("%+v, %v", got, err)
			}
			issuedAt := strconv.FormatInt(issued.IssuedAt.UnixMilli(), 10)
			want := map[string]any{"tenant": "acme", "subject": "ada", "session": "s1", "entity_types": tc.types, "issued_at": issuedAt}
			if !tc.grant.Until.IsZero() {
				want["until"] = "1795000000123"
			}
			if tc.grant.Origin == "" {
				want["service"] = "true"
			}
			if !maps.Equal(got.Context, want) {
				t.Errorf("context %v, want %v", got.Context, want)
			}
			r.quiet(t, issued.Text)
		})
	}
}

func TestOneOfManyHandshakesIsLetIn(t *testing.T) {
	t.Parallel()
	r := newRig()
	a, text := r.authorizer(t), r.issue(t, page)
	var in atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			switch answer(a.Handle(t.Context(), handshake(t, []string{page}, []string{text}))) {
			case 200:
				in.Add(1)
			case 401:
			default:
				t.Error("neither let in nor refused")
			}
		})
	}
	wg.Wait()
	if in.Load() != 1 {
		t.Errorf("%d were let in by one ticket", in.Load())
	}
}

// Whatever a client sends, it is let in only from the page that asked for its ticket, or as a service without one.
func TestOnlyTheRightPageIsLetIn(t *testing.T) {
	t.Parallel()
	origin := rapid.OneOf(rapid.SampledFrom(append(strangers, pages...)), rapid.StringMatching(`https?://[a-z.]{1,12}(:[0-9]{1,4})?`))
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig()
		asked := rapid.SampledFrom(append([]string{""}, pages...)).Draw(rt, "asked from")
		origins := rapid.SliceOfN(origin, 0, 2).Draw(rt, "origins")
		got, err := r.authorizer(t).Handle(t.Context(), handshake(t, origins, []string{r.issue(t, asked)}))
		right := asked == "" && len(origins) == 0 || asked != "" && len(origins) == 1 && origins[0] == asked
		if status := answer(got, err); right != (status == 200) {
			rt.Errorf("status %d", status)
		}
	})
}
