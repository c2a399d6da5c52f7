package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/frame"
	"github.com/iops-dashboard/live/services/internal/identity"
	"github.com/iops-dashboard/live/services/internal/problem"
	"github.com/iops-dashboard/live/services/internal/ticket"
)

// TicketsConfig is what Tickets need; all but Lifetime must be given.
type TicketsConfig struct {
	Tickets ticket.Tickets
	Origins []string // of the pages that may connect, as https://app.example.com
	Claims  identity.Claims
	// Lifetime of a ticket. Defaults to [ticket.Lifetime].
	Lifetime time.Duration
	Log      *slog.Logger
}

// Tickets answers POST /tickets of an HTTP API that has checked the token: its signature, issuer, audience and
// times. It may be used concurrently.
type Tickets struct {
	config TicketsConfig
	pages  origins
}

// NewTickets returns a handler, or an error if config is not complete.
func NewTickets(config TicketsConfig) (*Tickets, error) {
	if config.Tickets == nil || config.Log == nil || config.Claims.Tenant == "" || config.Claims.EntityTypes == "" || config.Claims.Service == "" {
		return nil, fmt.Errorf("access: no tickets, no log, or no names of claims")
	}
	if config.Lifetime < 0 || config.Lifetime > ticket.Lifetime {
		return nil, fmt.Errorf("access: a ticket lives for %s at most, not %s", ticket.Lifetime, config.Lifetime)
	}
	if config.Lifetime == 0 {
		config.Lifetime = ticket.Lifetime
	}
	pages, err := newOrigins(config.Origins)
	if err != nil {
		return nil, err
	}
	return &Tickets{config: config, pages: pages}, nil
}

// Handle issues a ticket: status 201 with a contracts.TicketV1, which nothing may cache. A refusal is a
// contracts.ProblemV1:
//
//	401 UNAUTHENTICATED   the token says no subject, session or tenant
//	403 FORBIDDEN         a page that may not connect, no page and no service, or entity types that make no sense
//	429 RATE_LIMITED      more than ticket.Limit in this ticket.Window
//	503 UNAVAILABLE       the store is out of order
//
// It returns no error: the outcome is the status, and a log line.
func (t *Tickets) Handle(ctx context.Context, request events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
	const op = "access.Tickets"
	start := time.Now()
	grant, refused, err := t.grant(op, request)
	var issued ticket.Ticket
	if err == nil {
		issued, err = t.config.Tickets.Issue(ctx, grant, t.config.Lifetime)
		refused = problemOf(err, time.Now())
	}
	id := request.RequestContext.RequestID
	log := t.config.Log.With("request_id", id, "duration_ms", time.Since(start).Milliseconds())
	if err != nil {
		level := slog.LevelWarn
		if refused.Status >= http.StatusInternalServerError {
			level = slog.LevelError
		}
		log.Log(ctx, level, "no ticket issued", "status", refused.Status, "kind", fault.KindOf(err).String(), "error", err.Error())
		return refused.Response(id), nil
	}
	log.InfoContext(ctx, "ticket issued", "status", http.StatusCreated, "service", grant.Origin == "")
	body := frame.Encode(contracts.TicketV1{
		Version: contracts.TicketV1Version, Ticket: issued.Text,
		ExpiresAt: issued.ExpiresAt.UTC().Format(frame.TimestampForm), Timestamp: time.Now().UTC().Format(frame.TimestampForm),
	})
	return events.APIGatewayV2HTTPResponse{
		StatusCode: http.StatusCreated, Body: string(body), Headers: map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store"},
	}, nil
}

// grant reads what the token and the page ask for, or how to refuse it.
func (t *Tickets) grant(op string, request events.APIGatewayV2HTTPRequest) (ticket.Grant, problem.Problem, error) {
	who, err := t.config.Claims.Read(request)
	switch {
	case errors.Is(err, identity.ErrUnknown):
		return ticket.Grant{}, unauthenticated, err
	case err != nil:
		return ticket.Grant{}, forbidden, err
	}
	origin, page := request.Headers["origin"] // an empty one is none that may
	switch {
	case page && !t.pages.allow(origin):
		return ticket.Grant{}, forbidden, fault.Newf(op, fault.Denied, "not the origin of a page that may connect")
	case !page && !who.Service:
		return ticket.Grant{}, forbidden, fault.Newf(op, fault.Denied, "no origin, and no service")
	}
	return ticket.Grant{Tenant: who.Tenant, Subject: who.Subject, Session: who.Session, EntityTypes: who.EntityTypes, Origin: origin, Until: who.Until}, problem.Problem{}, nil
}

var (
	unauthenticated = problem.Problem{Status: http.StatusUnauthorized, Code: contracts.ErrorCodeUnauthenticated, Detail: "The token must name a subject, a session and a tenant."}
	forbidden       = problem.Problem{Status: http.StatusForbidden, Code: contracts.ErrorCodeForbidden, Detail: "This page, or this token, may not connect."}
)

// problemOf is the answer where Issue ended with err.
func problemOf(err error, now time.Time) problem.Problem {
	switch {
	case err == nil:
		return problem.Problem{}
	case errors.Is(err, ticket.ErrTooMany):
		wait := ticket.Begin(now).Add(ticket.Window).Sub(now)
		return problem.Problem{Status: http.StatusTooManyRequests, Code: contracts.ErrorCodeRateLimited, Detail: "Too many tickets were asked for.", After: wait}
	case fault.KindOf(err) == fault.Invalid: // a subject or session too long for the store
		return unauthenticated
	}
	return problem.Problem{Status: http.StatusServiceUnavailable, Code: contracts.ErrorCodeUnavailable, Detail: "Try again later.", After: 2 * time.Second}
}
