package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/frame"
	"github.com/iops-dashboard/live/services/internal/gateway"
	"github.com/iops-dashboard/live/services/internal/registry"
)

const (
	// parallel is how many connections are ended at a time: all of a user's, unless CONNECTIONS_PER_USER allows more.
	parallel = 16
	// noticeTimeout is how long the gateway may take to tell one why, and disconnectTimeout to close it.
	noticeTimeout     = 500 * time.Millisecond
	disconnectTimeout = 3 * time.Second
	// newborn is how old a connection must be before its absence is believed: the gateway does not know it until its
	// handshake has ended, as the topology's handshakeTime says. newbornPause is how long one is left in between.
	newborn      = 10 * time.Second
	newbornPause = 200 * time.Millisecond
)

// Revocation names whose connections are to end: all those of a subject, or those of one session.
type Revocation struct {
	Tenant  string `json:"tenant"`
	Subject string `json:"subject,omitempty"`
	Session string `json:"session,omitempty"`
}

// Revoked says how many connections were ended.
type Revoked struct {
	Connections int `json:"connections"`
}

// RevokerConfig is what a Revoker needs; all must be given.
type RevokerConfig struct {
	Registry registry.Registry
	Gateway  gateway.Gateway
	Closer   gateway.Closer
	Log      *slog.Logger
}

// Revoker ends connections whose permission has ended. It may be used concurrently.
type Revoker struct{ config RevokerConfig }

// NewRevoker returns a handler, or an error if config is not complete.
func NewRevoker(config RevokerConfig) (*Revoker, error) {
	if config.Registry == nil || config.Gateway == nil || config.Closer == nil || config.Log == nil {
		return nil, fmt.Errorf("access: no registry, no gateway or no log")
	}
	return &Revoker{config: config}, nil
}

// Handle revokes all tickets that were issued until now, tells the pages that are connected why, closes their
// sockets, and then forgets them. What fails holds up nothing else: where the revocation could not be stored,
// connections end all the same, and some may be opened by old tickets. It may be repeated: after an error those
// that are left are found again. The kind of its error is that of the first fault.
//
// When it has returned without an error, no connection is open by a ticket from before, and none can be opened
// any more. But whoever has a valid token gets another ticket: end the session where tokens come from first, and
// revoke again when those that it gave have expired.
func (r *Revoker) Handle(ctx context.Context, what Revocation) (Revoked, error) {
	start := time.Now()
	owner := registry.Owner{Tenant: what.Tenant, Subject: what.Subject, Session: what.Session}
	err := r.config.Registry.Revoke(ctx, owner) // before the connections are listed, so that none is missed
	owned, unlisted := r.config.Registry.Owned(ctx, owner)
	faults := r.endAll(ctx, owned)
	var done Revoked
	for _, failed := range faults {
		if failed == nil {
			done.Connections++
		}
	}
	err = errors.Join(append([]error{err, unlisted}, faults...)...)
	log := r.config.Log.With("connections", done.Connections, "of", len(owned), "duration_ms", time.Since(start).Milliseconds())
	if err != nil {
		log.ErrorContext(ctx, "revoke", "kind", fault.KindOf(err).String(), "error", err.Error())
		return done, err
	}
	log.InfoContext(ctx, "revoke")
	return done, nil
}

// endAll ends connections, and returns the error of each.
func (r *Revoker) endAll(ctx context.Context, connections []registry.Connection) []error {
	notice := gateway.NewFrame(frame.Reconnect(contracts.ReconnectReasonRevoked, 0, time.Now()))
	faults := make([]error, len(connections))
	var group errgroup.Group
	group.SetLimit(parallel)
	for i, c := range connections {
		group.Go(func() error {
			faults[i] = r.end(ctx, c, notice)
			return nil
		})
	}
	_ = group.Wait()
	return faults
}

// end closes a socket, and then forgets it: the rows are how it is found again if this fails.
func (r *Revoker) end(ctx context.Context, c registry.Connection, notice *gateway.Frame) error {
	for {
		// A page that is not told takes it for an end like others, so it is closed whatever becomes of this.
		told := r.config.Gateway.Post(ctx, c.ID, notice, noticeTimeout)
		if err := r.config.Closer.Disconnect(ctx, c.ID, disconnectTimeout); err != nil {
			return err
		}
		if told == nil || time.Since(c.ConnectedAt) >= newborn {
			return r.config.Registry.Close(ctx, c.ID)
		}
		select { // nobody has seen it, and its handshake may end yet
		case <-time.After(newbornPause):
		case <-ctx.Done():
			return fault.New("access.Revoke", fault.Transient, context.Cause(ctx))
		}
	}
}
