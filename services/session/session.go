// Package session keeps the connection registry in step with the WebSocket API: it answers the
// $connect and $disconnect routes, and the sync command, by which a client says what it watches and
// gets what it lacks.
//
// Who a client is comes from the request's context alone, which API Gateway and its authorizer
// write, and from the registry, and never from anything that the client sent. Only [Sync] posts to a
// connection: during $connect it does not exist yet, and after $disconnect not any more.
package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/gateway"
	"github.com/iops-dashboard/live/services/internal/identity"
	"github.com/iops-dashboard/live/services/internal/registry"
)

// Auth says where a connection's tenant comes from.
type Auth = identity.Auth

// The ways to let clients in.
const (
	AuthOpen   = identity.AuthOpen   // everybody, as [DefaultTenant]
	AuthTicket = identity.AuthTicket // those whom the authorizer let in, as its context says: see [Session.Connect]
)

// DefaultTenant is the tenant of connections that nobody authorised.
const DefaultTenant = identity.DefaultTenant

// Config is what a Session needs; all but Frames and Gateway must be given.
type Config struct {
	Registry registry.Registry
	Auth     Auth
	Log      *slog.Logger
	// Frames are the contracts that can be served. Defaults to [contracts.Frames].
	Frames []string
	// Gateway closes connections that make room for others of their subject. Nil: none does.
	Gateway gateway.Closer
}

// Session handles the routes. It may be used concurrently.
type Session struct{ config Config }

// New returns a Session, or an error if config is not complete.
func New(config Config) (*Session, error) {
	switch {
	case config.Registry == nil || config.Log == nil:
		return nil, fmt.Errorf("session: no registry or no log")
	case config.Auth != AuthOpen && config.Auth != AuthTicket:
		return nil, fmt.Errorf("session: auth is %q, want %s or %s", config.Auth, AuthOpen, AuthTicket)
	}
	if config.Frames == nil {
		config.Frames = contracts.Frames()
	}
	return &Session{config: config}, nil
}

// Connect registers the connection for everything in its tenant that it may watch. With tickets, the
// authorizer's context says who it is: tenant, subject, session, entity_types, with commas between, or *
// for all, service, true if it is no page, and, in Unix milliseconds, issued_at, when that was said, and until, when it
// ends. Any status but 200 refuses the handshake, so that a client whose registration failed tries again rather than
// wait for updates that cannot come: 401 if its permission has ended or was revoked, 429 if its subject has too many
// connections. It returns no error: the outcome is the status, and a log line.
func (s *Session) Connect(ctx context.Context, request events.APIGatewayWebsocketProxyRequest) (events.APIGatewayProxyResponse, error) {
	start := time.Now()
	c, status, err := s.identify(request.RequestContext)
	if err == nil {
		c.Contracts, err = s.contracts(request.QueryStringParameters["contracts"])
		status = http.StatusBadRequest
	}
	if err == nil {
		err = s.open(ctx, c)
		status = connectStatus(err)
	}
	log(ctx, s.config.Log, "connect", request, err, "status", status, "duration_ms", time.Since(start).Milliseconds())
	return events.APIGatewayProxyResponse{StatusCode: status}, nil
}

// closeTimeout is how long the gateway may take to close a connection that makes room.
const closeTimeout = time.Second

// open registers c. Where its subject has as many connections as it may, the one that has been silent for the
// longest makes room, if it spoke once and nobody knows whether it is still there; if all were heard of lately, or only
// listen, c is refused. To close the oldest instead would have pages throw each other out, again and again.
func (s *Session) open(ctx context.Context, c registry.Connection) error {
	err := s.config.Registry.Open(ctx, c)
	many, ok := errors.AsType[registry.TooMany](err)
	if !ok || s.config.Gateway == nil {
		return err
	}
	for _, id := range many.Silent {
		if err := end(ctx, s.config.Gateway, s.config.Registry, id); err != nil {
			return err
		}
		// Another that opens may have taken the room.
		if err = s.config.Registry.Open(ctx, c); !errors.As(err, new(registry.TooMany)) {
			return err
		}
	}
	return err
}

// end closes a connection. The socket first: the registry is how it is found again if this fails.
func end(ctx context.Context, g gateway.Closer, r registry.Registry, id string) error {
	if err := g.Disconnect(ctx, id, closeTimeout); err != nil {
		return err
	}
	return r.Close(ctx, id)
}

// Disconnect forgets the connection. The socket is closed already and nobody reads the answer; an
// error is returned so that it shows in the function's metrics. The registry mends itself: the
// next post to the connection finds it gone.
func (s *Session) Disconnect(ctx context.Context, request events.APIGatewayWebsocketProxyRequest) (events.APIGatewayProxyResponse, error) {
	const op = "session.Disconnect"
	start := time.Now()
	var err error
	if id := request.RequestContext.ConnectionID; id == "" {
		err = fault.Newf(op, fault.Invalid, "no connection id")
	} else {
		err = s.config.Registry.Close(ctx, id)
	}
	log(ctx, s.config.Log, "disconnect", request, err, "disconnect_status", request.RequestContext.DisconnectStatusCode,
		"duration_ms", time.Since(start).Milliseconds())
	return events.APIGatewayProxyResponse{StatusCode: http.StatusOK}, err
}

// identify tells who connects, or the status with which to refuse.
func (s *Session) identify(rc events.APIGatewayWebsocketProxyRequestContext) (registry.Connection, int, error) {
	const op = "session.Connect"
	c := registry.Connection{ID: rc.ConnectionID, Tenant: DefaultTenant, ConnectedAt: time.UnixMilli(rc.ConnectedAt)}
	if c.ID == "" || rc.ConnectedAt <= 0 {
		return c, http.StatusBadRequest, fault.Newf(op, fault.Invalid, "no connection in the request's context")
	}
	if s.config.Auth == AuthTicket {
		authorized, _ := rc.Authorizer.(map[string]any)
		var types string
		for name, to := range map[string]*string{"tenant": &c.Tenant, "subject": &c.Subject, "session": &c.Session, "entity_types": &types} {
			if *to, _ = authorized[name].(string); *to == "" {
				return c, http.StatusUnauthorized, fault.Newf(op, fault.Denied, "no %s from the authorizer", name)
			}
		}
		for name, to := range map[string]*time.Time{"issued_at": &c.PermittedAt, "until": &c.Until} {
			said, ok := authorized[name].(string)
			if !ok {
				continue
			}
			ms, err := strconv.ParseInt(said, 10, 64)
			if err != nil {
				return c, http.StatusUnauthorized, fault.Newf(op, fault.Denied, "no time in %s from the authorizer", name)
			}
			*to = time.UnixMilli(ms)
		}
		if !c.Until.IsZero() && !c.Until.After(c.ConnectedAt) {
			return c, http.StatusUnauthorized, fault.Newf(op, fault.Denied, "the permission ended before")
		}
		c.Service = authorized["service"] == "true"
		if types != registry.Everything {
			c.EntityTypes = strings.Split(types, ",")
		}
	}
	return c, 0, nil
}

// maxContracts is the most contracts that a client can name; see contracts/schemas/commands/sync.
const maxContracts = 16

var contractPattern = regexp.MustCompile(`^[A-Z][A-Z_]{0,63}/[1-9][0-9]{0,2}$`)

// contracts reads the names of the contracts that a client says it reads, separated by commas.
func (s *Session) contracts(said string) ([]string, error) {
	const op = "session.Connect"
	if said == "" {
		return nil, nil
	}
	named := strings.Split(said, ",")
	if len(named) > maxContracts {
		return nil, fault.Newf(op, fault.Invalid, "more than %d contracts", maxContracts)
	}
	for _, name := range named {
		if !contractPattern.MatchString(name) {
			return nil, fault.Newf(op, fault.Invalid, "not the name of a contract, as METRIC_UPDATE/1")
		}
	}
	named, err := servable(named, s.config.Frames)
	if err != nil {
		return nil, fault.New(op, fault.Invalid, err)
	}
	return named, nil
}

func typeOf(contract string) string {
	name, _, _ := strings.Cut(contract, "/")
	return name
}

// connectStatus is the answer to a handshake whose registration ended with err.
func connectStatus(err error) int {
	if err == nil {
		return http.StatusOK
	}
	switch {
	case errors.As(err, new(registry.TooMany)):
		return http.StatusTooManyRequests
	case errors.Is(err, registry.ErrRevoked):
		return http.StatusUnauthorized
	}
	switch fault.KindOf(err) {
	case fault.Gone:
		return http.StatusGone // $disconnect was faster, so nobody is there to read it
	case fault.Invalid:
		return http.StatusBadRequest
	default:
		return http.StatusInternalServerError
	}
}

// log writes the one line of a request.
func log(ctx context.Context, to *slog.Logger, what string, request events.APIGatewayWebsocketProxyRequest, err error, more ...any) {
	to = to.With(registry.LogID(request.RequestContext.ConnectionID), "request_id", request.RequestContext.RequestID).With(more...)
	switch {
	case err == nil:
		to.InfoContext(ctx, what)
	case fault.KindOf(err) == fault.Gone:
		to.InfoContext(ctx, what, "kind", fault.Gone.String())
	default:
		to.ErrorContext(ctx, what, "kind", fault.KindOf(err).String(), "error", err.Error())
	}
}
