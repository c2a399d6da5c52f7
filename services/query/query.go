// Package query answers HTTP clients: what the state table holds, with the versions that sockets carry, so
// that what comes by either way merges by the same rule, the highest version wins.
//
//	GET /metrics?entity_type=&where=&fields=&cursor=          contracts.MetricsPageV1
//	GET /insights?since=&min_risk=&fields=&cursor=            contracts.InsightsPageV1
//	GET /entities/{type}/{id}?fields=                         contracts.EntityReplyV1
//
// entity_type is one type; without it there are all that the caller may see. where is that of a view, as JSON;
// fields are names of attributes with commas between. since is an instant, min_risk a number: they are
// comparisons of a view on insights, and those that match count as contracts.LatestInsights says. An empty
// parameter is as none, and one that is not known is refused: a misspelt filter must not show everything. id is
// all the rest of the path, for an id may have slashes; what else a path has no room for must be encoded.
//
// A page has at most 1,000 rows and fits x-max-bytes of its contract. As long as there is a cursor, there may
// be more, also behind a page without rows. Every entity that is there and matches throughout is on exactly one
// page, whatever is written meanwhile, and any other on one at most. So is every insight that counts
// throughout; one that is found later than the first page was asked for is not on the others. A cursor works
// for the same tenant, types, filter and fields, and with any revision of the rows.
//
// An entity that was deleted is answered by a REMOVE with its version, status 200, so that a client can bury
// it, for as long as the table knows of it (state.TombstoneTTL); one that never was, by 404.
//
// ETags are weak, since each answer tells its time: the same ETag means the same rows in the same versions,
// of the same tenant and question, and the same cursor. A request that names it in If-None-Match is answered
// by 304, without a body. It costs the same reads.
//
// Who was revoked, as subject or session, is refused from then on with every token of before: that costs two read
// units a request. A token that says no time of issue counts as one of before. Revocations are kept for
// registry.Lifetime, so tokens must not live longer.
//
// Reads are consistent. A page of /metrics costs, for each of the 8 partitions of each type that it goes
// through, one read unit for each 4 KB of what is there, tombstones included, and one at least. When the first type
// has ended, the others are begun at a time, and what the page has no room for is read in vain. It stops after
// 10,000 rows, and those that were begun, or half a second before the function is cut off, with a cursor. A page
// of /insights reads what was found in the last four days. An entity costs one unit for each 4 KB of it.
//
// Nothing is shared between requests: an environment of a function serves one at a time. So one client that asks
// without a pause, n requests at a time, takes n environments: nothing here tells clients apart, and an HTTP API
// throttles a route for all of them. Whoever serves strangers puts a limit for each client before it.
package query

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/identity"
	"github.com/iops-dashboard/live/services/internal/problem"
	"github.com/iops-dashboard/live/services/internal/registry"
	"github.com/iops-dashboard/live/services/internal/state"
)

// Revocations tell whose permission was taken away, before it ended by itself. registry.Registry knows.
type Revocations interface {
	// Revoked reports whether an owner of c was revoked since c was permitted. It sees every revocation that has
	// returned before.
	Revoked(ctx context.Context, c registry.Connection) (bool, error)
}

// Config is what a Query needs; State, Auth and Log must be given, and with AuthTicket the Claims and Revocations.
type Config struct {
	State  state.Table
	Auth   identity.Auth
	Claims identity.Claims
	// Revocations say whose token is worth nothing any more.
	Revocations Revocations
	// Crossed is told how many rows were read that are another tenant's, or hidden from the caller, which must
	// never happen: then the request fails. Defaults to nobody.
	Crossed func(rows int)
	Log     *slog.Logger
	// PageRows is how many rows a page has at most. Defaults to 1,000, the most that the contracts allow.
	PageRows int
	// PageReads is after how many rows read a page of /metrics ends. Defaults to 10,000: as many
	// rows of 500 bytes are 5 MB, or 1,250 read units.
	PageReads int
}

// Query handles the routes. It may be used concurrently.
type Query struct{ config Config }

// New returns a Query, or an error if config is not complete.
func New(config Config) (*Query, error) {
	switch {
	case config.State == nil || config.Log == nil:
		return nil, fmt.Errorf("query: no state or no log")
	case config.Auth != identity.AuthOpen && config.Auth != identity.AuthTicket:
		return nil, fmt.Errorf("query: auth is %q, want %s or %s", config.Auth, identity.AuthOpen, identity.AuthTicket)
	case config.Auth == identity.AuthTicket && (config.Claims.Tenant == "" || config.Claims.EntityTypes == ""):
		return nil, fmt.Errorf("query: no names of claims")
	case config.Auth == identity.AuthTicket && config.Revocations == nil:
		return nil, fmt.Errorf("query: no revocations")
	case config.PageRows < 0 || config.PageRows > maxRows || config.PageReads < 0:
		return nil, fmt.Errorf("query: a page has 1 to %d rows", maxRows)
	}
	if config.Crossed == nil {
		config.Crossed = func(int) {}
	}
	config.PageRows = cmp.Or(config.PageRows, maxRows)
	config.PageReads = cmp.Or(config.PageReads, 10_000)
	return &Query{config: config}, nil
}

// The routes, as API Gateway names them.
const (
	routeMetrics  = "GET /metrics"
	routeInsights = "GET /insights"
	routeEntity   = "GET /entities/{type}/{id+}"
)

// lastWords is the time before the function is cut off that is left for the answer and the log line.
const lastWords = 500 * time.Millisecond

// Handle answers a request, by 200 or 304, or by a contracts.ProblemV1:
//
//	400 INVALID           a parameter that is not as it must be: pointer and rule say which
//	401 UNAUTHENTICATED   the token says no subject, session or tenant, or was revoked
//	403 FORBIDDEN         a type, all types, or the insights, that the caller may not see
//	404 NOT_FOUND         no such entity
//	500 UNAVAILABLE       a fault of ours that does not heal by itself, as a permission that lacks
//	503 UNAVAILABLE       the table is out of order, or throttles, or nothing was read in time: try again after Retry-After
//
// It returns no error: the outcome is the status, and a log line, without what was asked for or who asked.
func (q *Query) Handle(ctx context.Context, request events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
	start := time.Now()
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-lastWords))
		defer cancel()
	}
	a, err := q.serve(ctx, request)
	id := request.RequestContext.RequestID
	log := q.config.Log.With("request_id", id, "route", request.RouteKey)
	if err != nil {
		r := problemOf(err)
		log = log.With("status", r.Status, "code", string(r.Code), "duration_ms", time.Since(start).Milliseconds())
		switch {
		case r.Status >= http.StatusInternalServerError:
			log.ErrorContext(ctx, "query", "kind", fault.KindOf(err).String(), "error", err.Error())
		default:
			log.WarnContext(ctx, "query", "rule", r.Rule) // the rest may quote the request
		}
		return r.Response(id), nil
	}
	response := a.response(request.Headers["if-none-match"])
	log.InfoContext(ctx, "query", "status", response.StatusCode, "rows", a.rows, "rows_read", a.read, "unreadable", a.unreadable,
		"bytes", len(response.Body), "more", a.more, "duration_ms", time.Since(start).Milliseconds())
	return response, nil
}

func (q *Query) serve(ctx context.Context, request events.APIGatewayV2HTTPRequest) (answer, error) {
	who, err := q.identify(ctx, request)
	if err != nil {
		return answer{}, err
	}
	switch request.RouteKey {
	case routeMetrics:
		return q.metrics(ctx, who, request.QueryStringParameters)
	case routeInsights:
		return q.insights(ctx, who, request.QueryStringParameters)
	case routeEntity:
		return q.entity(ctx, who, request.PathParameters, request.QueryStringParameters)
	}
	return answer{}, fault.Newf("query.Handle", fault.Internal, "no route of ours") // the API has one that is not known here
}

func (q *Query) identify(ctx context.Context, request events.APIGatewayV2HTTPRequest) (identity.Identity, error) {
	if q.config.Auth == identity.AuthOpen {
		return identity.Anybody(), nil
	}
	who, err := q.config.Claims.Read(request)
	switch {
	case errors.Is(err, identity.ErrUnknown):
		return who, unauthenticated("The token must name a subject, a session and a tenant.")
	case err != nil:
		return who, problem.Problem{Status: http.StatusForbidden, Code: contracts.ErrorCodeForbidden, Detail: "The token's entity types make no sense."}
	}
	revoked, err := q.config.Revocations.Revoked(ctx, registry.Connection{
		Tenant: who.Tenant, Subject: who.Subject, Session: who.Session, PermittedAt: who.IssuedAt,
	})
	if err == nil && revoked {
		err = unauthenticated("The token was revoked: sign in again.")
	}
	return who, err
}

func unauthenticated(detail string) problem.Problem {
	return problem.Problem{Status: http.StatusUnauthorized, Code: contracts.ErrorCodeUnauthenticated, Detail: detail}
}

// own returns an error if an entry is of another tenant, or of a type that the caller may not see: then nothing that
// was read can be trusted, and none of it may be shown.
func (q *Query) own(who identity.Identity, entries []state.Entry) error {
	crossed := 0
	for _, e := range entries {
		if e.Tenant != who.Tenant || !who.MaySee(e.EntityType) {
			crossed++
		}
	}
	if crossed == 0 {
		return nil
	}
	q.config.Crossed(crossed)
	return fault.Newf("query.Handle", fault.Internal, "%d rows were read that are another tenant's, or hidden", crossed)
}
