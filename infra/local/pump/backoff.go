package pump

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

// backoff doubles from first to last, with jitter: each pause is between a half and the whole.
type backoff struct {
	first, last, current time.Duration
}

func (b *backoff) next() time.Duration {
	b.current = max(b.first, min(2*b.current, b.last))
	return b.current/2 + rand.N(b.current/2+1)
}

func (b *backoff) reset() { b.current = 0 }

// wait pauses; it is false if ctx ended first.
func wait(ctx context.Context, pause time.Duration) bool {
	if pause <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// trouble logs a change between working and not working, once each way.
type trouble struct {
	logger *slog.Logger
	doing  string
	since  time.Time
}

func (t *trouble) begin(ctx context.Context, err error) {
	if t.since.IsZero() && ctx.Err() == nil {
		t.since = time.Now()
		t.logger.WarnContext(ctx, "cannot "+t.doing+"; trying on", "err", err)
	}
}

func (t *trouble) end(ctx context.Context) {
	if !t.since.IsZero() {
		t.logger.InfoContext(ctx, "can "+t.doing+" again", "after_ms", time.Since(t.since).Milliseconds())
		t.since = time.Time{}
	}
}
