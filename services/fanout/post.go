package fanout

import (
	"context"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/registry"
)

// delivery brings a window's frames to one connection, in order and one at a time. Its fate is
// recorded in the updates that the connection does not get.
type delivery struct {
	*window
	connection registry.Connection
	place      *place
}

// frames posts all, and gives the poster back.
func (d delivery) frames(ctx context.Context, all []frame) {
	defer d.place.leave()
	for i, f := range all {
		switch d.frame(ctx, f) {
		case delivered, oversize:
		case closed:
			return
		default:
			for _, f := range all[i:] {
				d.miss(f.updates)
			}
			return
		}
	}
}

// frame posts one frame until there is a verdict that ends it: delivered, oversize, closed,
// interrupted, refused or spent. What an oversize frame does not bring is recorded here, all else
// is the caller's to record.
func (d delivery) frame(ctx context.Context, f frame) verdict {
	for try := 1; ; {
		err := d.post(ctx, f)
		v := judge(attempt{
			err:    err,
			ended:  ctx.Err() != nil,
			young:  time.Since(d.connection.ConnectedAt) < d.NewbornAge,
			single: len(f.updates) == 1,
			last:   try >= d.Tries,
		})
		d.count(v)
		switch v {
		case newborn:
			if !d.place.pause(ctx, jitter(newbornPause)) {
				return interrupted
			}
		case again:
			try++
			if !d.place.pause(ctx, pauseBefore(try, err)) {
				return interrupted
			}
		case split:
			return d.split(ctx, f)
		case closed:
			d.close(ctx)
			return v
		case oversize:
			d.miss(f.updates)
			d.Log.ErrorContext(ctx, "update does not fit", d.logID(), "kind", fault.KindOf(err).String(), "bytes", len(f.post.Text()))
			return v
		case refused:
			d.alarm.Do(func() {
				d.Log.ErrorContext(ctx, "post refused: check permission and WEBSOCKET_API_ENDPOINT", d.logID(),
					"kind", fault.KindOf(err).String(), "error", err.Error())
			})
			return v
		case spent:
			d.Log.WarnContext(ctx, "connection not served", d.logID(), "kind", fault.KindOf(err).String(), "error", err.Error(), "attempt", try)
			return v
		default:
			return v
		}
	}
}

func (d delivery) post(ctx context.Context, f frame) error {
	ctx, cancel := context.WithTimeout(ctx, d.PostTimeout)
	defer cancel()
	return d.Gateway.Post(ctx, d.connection.ID, f.post)
}

func (d delivery) split(ctx context.Context, f frame) verdict {
	for _, half := range f.halves() {
		if v := d.frame(ctx, half); v != delivered && v != oversize {
			return v
		}
	}
	return delivered
}

// close takes the connection out of the registry. If that fails, the next post to it will be
// answered in the same way, so it is not worth a retry here.
func (d delivery) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, d.PostTimeout)
	defer cancel()
	if err := d.Registry.Close(ctx, d.connection.ID); err != nil {
		d.Log.WarnContext(ctx, "gone connection not removed", d.logID(), "kind", fault.KindOf(err).String(), "error", err.Error())
		return
	}
	d.Log.InfoContext(ctx, "gone connection removed", d.logID(), "age_ms", time.Since(d.connection.ConnectedAt).Milliseconds())
}

func (d delivery) logID() any { return registry.LogID(d.connection.ID) }
