package fanout

import (
	"context"
	"log/slog"
	"time"
)

// Report is what became of a window.
type Report struct {
	Messages    int // received
	Invalid     int // of these, not valid events
	Updates     int // entities and insights among them; the rest was repeated or superseded
	Connections int // to which a delivery was begun
	Frames      int // distinct frames; each connection of a tenant gets the tenant's
	Posts       map[string]int
	Failed      int // messages left in the queue, because some connection was not served
	Unlettered  int // invalid messages that could not be moved to the dead-letter queue
	Returned    int // messages handed back, because the worker was cut off
	Undeleted   int // messages that are done and could not be deleted
	Crossed     int // connections that the registry wrongly counted to a tenant
	Duration    time.Duration
	// Lag is the time from the oldest write in the window to its last delivery, or to now if there
	// was none. It compares two clocks.
	Lag time.Duration
}

func (w *window) report(audiences []*audience, invalid, kept int) Report {
	now := time.Now()
	r := Report{
		Messages:    len(w.messages),
		Invalid:     invalid,
		Unlettered:  kept,
		Connections: int(w.connections.Load()),
		Frames:      int(w.frameCount.Load()),
		Crossed:     int(w.crossed.Load()),
		Posts:       map[string]int{},
		Duration:    now.Sub(w.receivedAt),
	}
	for _, a := range audiences {
		r.Updates += len(a.updates)
	}
	for v := range w.posts {
		if n := w.posts[v].Load(); n > 0 {
			r.Posts[verdict(v).String()] = int(n)
		}
	}
	if first := oldest(audiences); !first.IsZero() {
		last := now
		if at := w.lastPost.Load(); at > 0 {
			last = time.UnixMilli(at)
		}
		r.Lag = last.Sub(first)
	}
	return r
}

func (r Report) log(ctx context.Context, log *slog.Logger) {
	level := slog.LevelInfo
	if r.Failed+r.Unlettered+r.Undeleted+r.Crossed > 0 {
		level = slog.LevelWarn
	}
	posts := make([]any, 0, 2*len(r.Posts))
	for v, n := range r.Posts {
		posts = append(posts, v, n)
	}
	log.Log(ctx, level, "window",
		"messages", r.Messages, "invalid", r.Invalid, "updates", r.Updates,
		"connections", r.Connections, "frames", r.Frames, slog.Group("posts", posts...),
		"failed", r.Failed, "unlettered", r.Unlettered, "returned", r.Returned, "undeleted", r.Undeleted, "crossed", r.Crossed,
		"duration_ms", r.Duration.Milliseconds(), "lag_ms", r.Lag.Milliseconds())
}
