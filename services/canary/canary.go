// Package canary is a page of a tenant of its own, which watches one row and writes it itself. So it sees from outside what
// everybody relies on, each step of it: whether one gets in, is answered, and is shown what was written, and how soon. It
// says nothing when all is well; silence of its metric is the alarm.
package canary

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/frame"
	"github.com/iops-dashboard/live/services/internal/row"
	"github.com/iops-dashboard/live/services/internal/ticket"
)

// The row that it watches. There is one in its tenant, so that it is shown no other.
const (
	EntityType = contracts.EntityTypeStudent
	EntityID   = "canary"
)

// subject is who it is, in its tenant.
const subject = "canary"

const (
	// endTime is what it keeps of its time to end in good order: websocket.Conn waits 5 s for the answer to a close.
	endTime = 6 * time.Second
	// patience is how long a run may take where there is no deadline.
	patience = 24 * time.Second
)

// Meter is told how its runs go.
type Meter interface {
	// Succeeded is called after a run in which all went well, with the time from the begin of the write to the frame.
	Succeeded(latency time.Duration)
}

// Config is what a Canary needs; all but Transport must be given.
type Config struct {
	Tickets   ticket.Tickets
	Rows      row.Writer
	SocketURL string // of the WebSocket API with its stage, without a query: wss://…
	Tenant    string
	Meter     Meter
	Log       *slog.Logger
	// Transport makes the handshake. Defaults to [http.DefaultTransport].
	Transport http.RoundTripper
}

// Canary is a Lambda function on a schedule. Its runs may be concurrent, but share one row.
type Canary struct {
	config Config
	client *http.Client
}

// New returns a canary, or an error if config is not complete.
func New(config Config) (*Canary, error) {
	if config.Tickets == nil || config.Rows == nil || config.SocketURL == "" || config.Tenant == "" || config.Meter == nil || config.Log == nil {
		return nil, errors.New("canary: no tickets, rows, address, tenant, meter or log")
	}
	return &Canary{config: config, client: &http.Client{
		Transport: config.Transport,
		// A redirection would carry the ticket elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Handle is one run, within the deadline of ctx and a little less. The operation of its error, a [fault.Error], says where
// it ended:
//
//	canary.ticket    no ticket was issued
//	canary.connect   the handshake with it was refused
//	canary.sync      the page's command was not answered, or by an ERROR
//	canary.write     the row was not written
//	canary.frame     no frame showed the row as it was written
//
// Nothing is repeated: the next run comes soon.
func (c *Canary) Handle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, timeFor(ctx))
	defer cancel()
	latency, err := c.run(ctx)
	if err != nil {
		c.config.Log.ErrorContext(ctx, "canary failed", "stage", err.Op, "kind", err.Kind.String(), "error", err.Error())
		return err
	}
	c.config.Log.InfoContext(ctx, "canary", "latency_ms", latency.Milliseconds())
	return nil
}

// timeFor is how long a run may take.
func timeFor(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return patience
	}
	left := time.Until(deadline)
	return max(left-endTime, left/2)
}

// run returns the time from the begin of the write to the frame.
func (c *Canary) run(ctx context.Context) (time.Duration, *fault.Error) {
	issued, err := c.config.Tickets.Issue(ctx, ticket.Grant{
		Tenant: c.config.Tenant, Subject: subject, Session: subject, EntityTypes: []string{string(EntityType)},
	}, ticket.Lifetime)
	if err != nil {
		return 0, at("ticket", err)
	}
	page, err := c.open(ctx, issued.Text)
	if err != nil {
		return 0, at("connect", err)
	}
	defer page.drop()
	if err := page.sync(ctx); err != nil {
		return 0, at("sync", err)
	}
	next := newState(time.Now())
	start := time.Now()
	if err := c.config.Rows.Write(ctx, next.row(c.config.Tenant)); err != nil {
		return 0, at("write", err)
	}
	if err := page.await(ctx, next); err != nil {
		return 0, at("frame", err)
	}
	latency := time.Since(start)
	c.config.Meter.Succeeded(latency)
	page.close()
	return latency, nil
}

// at says where a run ended.
func at(stage string, err error) *fault.Error {
	return fault.New("canary."+stage, fault.KindOf(err), err)
}

// state is what the row says after a write.
type state struct {
	health    float64
	updatedAt string
}

// newState returns a state that the row does not have.
func newState(now time.Time) state {
	return state{health: float64(rand.IntN(10_001)) / 100, updatedAt: now.UTC().Format(frame.TimestampForm)}
}

func (s state) row(tenant string) row.Row {
	return row.Row{
		EntityType: EntityType, EntityID: EntityID, Tenant: tenant,
		Attributes: map[string]any{"health_score": s.health, "last_updated": s.updatedAt},
	}
}

// shownBy reports whether an update shows this state.
func (s state) shownBy(u contracts.UpdateV1) (bool, error) {
	if u.EntityType != EntityType || u.EntityID != EntityID || u.Operation != contracts.UpdateOperationUpsert {
		return false, nil
	}
	var shown contracts.Student
	if err := shown.UnmarshalJSON(u.Attributes); err != nil {
		return false, fmt.Errorf("attributes of an update: %w", err)
	}
	return shown.HealthScore != nil && *shown.HealthScore == s.health && shown.LastUpdated != nil && *shown.LastUpdated == s.updatedAt, nil
}
