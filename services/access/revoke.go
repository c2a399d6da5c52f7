package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/gateway"
	"github.com/iops-dashboard/live/services/internal/registry"
)

// disconnectTimeout is how long the gateway may take to close one connection.
const disconnectTimeout = 3 * time.Second

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
	Gateway  gateway.Closer
	Log      *slog.Logger
}

// Revoker ends connections whose permission has ended. It may be used concurrently.
type Revoker struct{ config RevokerConfig }

// NewRevoker returns a handler, or an error if config is not complete.
func NewRevoker(config RevokerConfig) (*Revoker, error) {
	if config.Registry == nil || config.Gateway == nil || config.Log == nil {
		return nil, fmt.Errorf("access: no registry, no gateway or no log")
	}
	return &Revoker{config: config}, nil
}

// Handle closes the sockets of these connections, and then forgets them. It may be repeated: after an error
// those that are left are found again. The kind of its error is that of the first that could not be ended.
//
// It ends what is open. A ticket that was issued before opens a connection for as long as it lives, and whoever
// has a valid token gets another ticket. So end the session where tokens come from first, and revoke again
// after ticket.Lifetime.
func (r *Revoker) Handle(ctx context.Context, what Revocation) (Revoked, error) {
	start := time.Now()
	var done Revoked
	ids, err := r.config.Registry.Owned(ctx, registry.Owner{Tenant: what.Tenant, Subject: what.Subject, Session: what.Session})
	faults := []error{err}
	for _, id := range ids {
		// The socket first: the rows are how a connection is found again if this fails.
		err := r.config.Gateway.Disconnect(ctx, id, disconnectTimeout)
		if err == nil {
			err = r.config.Registry.Close(ctx, id)
		}
		if err == nil {
			done.Connections++
		}
		faults = append(faults, err)
	}
	err = errors.Join(faults...)
	log := r.config.Log.With("connections", done.Connections, "of", len(ids), "duration_ms", time.Since(start).Milliseconds())
	if err != nil {
		log.ErrorContext(ctx, "revoke", "kind", fault.KindOf(err).String(), "error", err.Error())
		return done, err
	}
	log.InfoContext(ctx, "revoke")
	return done, nil
}
