package bench

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Plain is the design to beat: for each record of a batch it lists all connections and posts to all
// of them at once, and when all posts have ended, however they did, it goes on to the next record.
type Plain struct {
	// Send makes one call of the SDK's client, with its retries.
	Send func(ctx context.Context, connectionID string, frame []byte) error
	// ListPerBatch lists the connections once a batch.
	ListPerBatch bool
}

var _ Variant = Plain{}

// Run implements [Variant].
func (p Plain) Run(ctx context.Context, j Job) error {
	for {
		updates, more := j.Feed.Next(ctx)
		if !more {
			return ctx.Err()
		}
		var connections []string
		for i, u := range updates {
			if i == 0 || !p.ListPerBatch {
				connections = slices.Clone(j.Connections)
			}
			frame := Frame(u)
			var wg sync.WaitGroup
			for _, id := range connections {
				wg.Go(func() {
					start := time.Now()
					err := p.Send(ctx, id, frame)
					j.Tally.Post(start, err) // and that is all that becomes of it
				})
			}
			wg.Wait()
		}
	}
}
