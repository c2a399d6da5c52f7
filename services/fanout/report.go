package fanout

import (
	"log/slog"
	"time"

	"github.com/iops-dashboard/live/services/internal/telemetry"
)

// Meter is told what happens, from many goroutines. It must not block.
type Meter interface {
	// Post is told of each post that has ended.
	Post(telemetry.Post)
	// Round is told of messages when they are settled.
	Round(telemetry.Round)
	// Settled is told how long the queue took to let messages go.
	Settled(took time.Duration)
	// Depth is told, from time to time, how many messages are under way, and how many mailboxes have
	// something waiting.
	Depth(messages, mailboxes int)
	// Crossed is told of what was about to cross tenants, and was kept back.
	Crossed(n int)
}

type unmetered struct{}

func (unmetered) Post(telemetry.Post)   {}
func (unmetered) Round(telemetry.Round) {}
func (unmetered) Settled(time.Duration) {}
func (unmetered) Depth(int, int)        {}
func (unmetered) Crossed(int)           {}

func (e *engine) report(r *round, what fate) {
	var age time.Duration
	for _, v := range r.events {
		if !v.message.SentAt.IsZero() {
			age = max(age, time.Since(v.message.SentAt))
		}
	}
	level := slog.LevelInfo
	if what == failed {
		level = slog.LevelWarn
	}
	took := time.Since(r.begin)
	e.Log.Log(e.ctx, level, "round", "outcome", what.String(), "messages", len(r.events), "rows", r.rows, "conflated", r.conflated,
		"trace", r.trace(), "queue_age_ms", age.Milliseconds(), "waited_ms", r.waited.Milliseconds(), "duration_ms", took.Milliseconds())
	e.Meter.Round(telemetry.Round{
		Outcome: what.String(), Messages: len(r.events), Rows: r.rows, Conflated: r.conflated,
		QueueAge: age, Waited: r.waited, Took: took,
	})
}

// trace is the trace of the round's first event, by which it can be found.
func (r *round) trace() string {
	if len(r.events) == 0 {
		return ""
	}
	return r.events[0].trace
}

// String is the fate's name in logs and metrics.
func (f fate) String() string { return [...]string{"done", "failed", "unfinished"}[f] }
