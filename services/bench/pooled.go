package bench

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/iops-dashboard/live/services/internal/gateway"
)

// Pooled posts through a gateway, with a bounded number of posts in flight. It waits for nothing
// between one frame and the next, so a connection may get them in another order, and it retries
// nothing.
type Pooled struct {
	Gateway gateway.Gateway
	Pool    int
	// PerFrame is how many updates of a batch at most share a post.
	PerFrame int
	// Timeout ends a post; 0 waits for as long as the run goes on.
	Timeout time.Duration
}

var _ Variant = Pooled{}

// forever is longer than any run.
const forever = 24 * time.Hour

type post struct {
	connection string
	frame      *gateway.Frame
}

// Run implements [Variant].
func (p Pooled) Run(ctx context.Context, j Job) error {
	posts, timeout := make(chan post, p.Pool), cmp.Or(p.Timeout, forever)
	var wg sync.WaitGroup
	for range p.Pool {
		wg.Go(func() {
			for next := range posts {
				start := time.Now()
				j.Tally.Post(start, p.Gateway.Post(ctx, next.connection, next.frame, timeout))
			}
		})
	}
	err := p.feed(ctx, j, posts)
	close(posts)
	wg.Wait()
	return err
}

func (p Pooled) feed(ctx context.Context, j Job, posts chan<- post) error {
	for {
		updates, more := j.Feed.Next(ctx)
		if !more {
			return ctx.Err()
		}
		for len(updates) > 0 {
			n := min(p.PerFrame, len(updates))
			frame := gateway.NewFrame(Frame(updates[:n]...))
			updates = updates[n:]
			for _, id := range j.Connections {
				select {
				case posts <- post{id, frame}:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
	}
}
