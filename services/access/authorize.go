package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/ticket"
)

// AllTypes is the context's entity_types of a client that may see all.
const AllTypes = "*"

// errUnauthorized is the one error that API Gateway answers by 401; any other it answers by 500.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-lambda-auth.html
var errUnauthorized = errors.New("Unauthorized")

// AuthorizerConfig is what an Authorizer needs; all must be given.
type AuthorizerConfig struct {
	Tickets ticket.Tickets
	Origins []string // of the pages that may connect, as https://app.example.com
	Log     *slog.Logger
}

// Authorizer is the REQUEST authorizer of $connect. It may be used concurrently.
//
// Its identity source must be route.request.querystring.ticket, so that API Gateway itself refuses who has no
// ticket, and its result must not be cached: no ticket is good twice.
type Authorizer struct {
	config AuthorizerConfig
	pages  origins
}

// NewAuthorizer returns a handler, or an error if config is not complete.
func NewAuthorizer(config AuthorizerConfig) (*Authorizer, error) {
	if config.Tickets == nil || config.Log == nil {
		return nil, fmt.Errorf("access: no tickets, or no log")
	}
	pages, err := newOrigins(config.Origins)
	if err != nil {
		return nil, err
	}
	return &Authorizer{config: config, pages: pages}, nil
}

// Handle takes the ticket in the query. The client gets
//
//	403   from a page that may not connect, or that is not the one which asked for the ticket: a policy that denies
//	401   with a ticket that is forged, was used or has expired: the error Unauthorized
//	500   when the store is out of order: any other error
//
// and else goes on to $connect, whose context has tenant, subject, session, entity_types (a list with commas
// between, or [AllTypes]), issued_at (when the ticket was, in Unix milliseconds), if the permission ends, until
// (when, in Unix milliseconds), and service (true), if it is no page. Whoever presents a ticket uses it up, also from a wrong page.
func (a *Authorizer) Handle(ctx context.Context, request events.APIGatewayCustomAuthorizerRequestTypeRequest) (events.APIGatewayCustomAuthorizerResponse, error) {
	start := time.Now()
	grant, what, err := a.judge(ctx, request)
	log := a.config.Log.With("request_id", request.RequestContext.RequestID, "outcome", what.String(), "duration_ms", time.Since(start).Milliseconds())
	switch what {
	case allowed:
		log.InfoContext(ctx, "authorize", "service", grant.Origin == "")
		return allow(request.MethodArn, grant), nil
	case denied:
		log.WarnContext(ctx, "authorize", "error", err.Error())
		return policy("nobody", "Deny", request.MethodArn), nil
	case unknown:
		log.WarnContext(ctx, "authorize", "error", err.Error())
		return events.APIGatewayCustomAuthorizerResponse{}, errUnauthorized
	}
	log.ErrorContext(ctx, "authorize", "kind", fault.KindOf(err).String(), "error", err.Error())
	return events.APIGatewayCustomAuthorizerResponse{}, errors.New("the store of tickets is out of order")
}

// outcome is what becomes of a handshake.
type outcome int

const (
	failed outcome = iota
	unknown
	denied
	allowed
)

func (o outcome) String() string {
	return [...]string{"failed", "unauthorized", "denied", "allowed"}[o]
}

// judge says what becomes of a handshake, and why.
func (a *Authorizer) judge(ctx context.Context, request events.APIGatewayCustomAuthorizerRequestTypeRequest) (ticket.Grant, outcome, error) {
	const op = "access.Authorize"
	origin, ok := originOf(request)
	if !ok || origin != "" && !a.pages.allow(origin) {
		return ticket.Grant{}, denied, fault.Newf(op, fault.Denied, "not the origin of a page that may connect")
	}
	tickets := request.MultiValueQueryStringParameters["ticket"]
	if len(tickets) != 1 {
		return ticket.Grant{}, unknown, fault.Newf(op, fault.Denied, "%d tickets", len(tickets))
	}
	grant, err := a.config.Tickets.Redeem(ctx, tickets[0])
	switch {
	case err != nil && fault.KindOf(err) == fault.Gone:
		return ticket.Grant{}, unknown, err
	case err != nil:
		return ticket.Grant{}, failed, err
	case grant.Origin != origin:
		return ticket.Grant{}, denied, fault.Newf(op, fault.Denied, "another origin than that which asked for the ticket")
	}
	return grant, allowed, nil
}

// originOf returns the Origin header, or "" if there is none. Two, or an empty one, no browser sends.
func originOf(request events.APIGatewayCustomAuthorizerRequestTypeRequest) (string, bool) {
	var all []string
	for name, values := range request.MultiValueHeaders { // written as the client wrote them
		if strings.EqualFold(name, "Origin") {
			all = append(all, values...)
		}
	}
	switch {
	case len(all) == 0:
		return "", true
	case len(all) == 1:
		return all[0], all[0] != ""
	}
	return "", false
}

func allow(methodARN string, g ticket.Grant) events.APIGatewayCustomAuthorizerResponse {
	types := AllTypes
	if g.EntityTypes != nil {
		types = strings.Join(g.EntityTypes, ",")
	}
	response := policy(g.Subject, "Allow", methodARN)
	response.Context = map[string]any{"tenant": g.Tenant, "subject": g.Subject, "session": g.Session, "entity_types": types}
	if g.Origin == "" {
		response.Context["service"] = "true"
	}
	for name, at := range map[string]time.Time{"issued_at": g.IssuedAt, "until": g.Until} {
		if !at.IsZero() {
			response.Context[name] = strconv.FormatInt(at.UnixMilli(), 10)
		}
	}
	return response
}

// policy is about this one handshake.
func policy(principal, effect, methodARN string) events.APIGatewayCustomAuthorizerResponse {
	return events.APIGatewayCustomAuthorizerResponse{
		PrincipalID: principal,
		PolicyDocument: events.APIGatewayCustomAuthorizerPolicy{
			Version: "2012-10-17",
			Statement: []events.IAMPolicyStatement{{
				Action: []string{"execute-api:Invoke"}, Effect: effect, Resource: []string{methodARN},
			}},
		},
	}
}
