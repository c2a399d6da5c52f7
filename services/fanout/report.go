package fanout

import (
	"log/slog"
	"time"
)

// Meter is told what happens, from many goroutines. It must not block.
type Meter interface {
	// Post is told of each post that has ended: its verdict, the updates in the frame, its bytes, and
	// the time since the oldest write in it, 0 where that is not known.
	Post(verdict string, updates, bytes int, age time.Duration)
	// Round is told of the messages of a tenant that shared one read of the registry, when they are
	// settled: done, failed or unfinished; how many rows were read for them, how many states that waited
	// they replaced, how long ago the first of them was sent, and how long they took from the read.
	Round(outcome string, messages, rows, conflated int, queueAge, duration time.Duration)
	// Depth is told, from time to time, how many messages are under way, and how many mailboxes have
	// something waiting.
	Depth(messages, mailboxes int)
}

type unmetered struct{}

func (unmetered) Post(string, int, int, time.Duration)                      {}
func (unmetered) Round(string, int, int, int, time.Duration, time.Duration) {}
func (unmetered) Depth(int, int)                                            {}

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
		"trace", r.trace(), "queue_age_ms", age.Milliseconds(), "duration_ms", took.Milliseconds())
	e.Meter.Round(what.String(), len(r.events), r.rows, r.conflated, age, took)
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
