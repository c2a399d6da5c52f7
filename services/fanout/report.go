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
	// Round is told of the messages that shared a read of the registry, when they are settled.
	Round(Report)
	// Depth is told, from time to time, how many messages are under way, and how many mailboxes have
	// something waiting.
	Depth(messages, mailboxes int)
}

type unmetered struct{}

func (unmetered) Post(string, int, int, time.Duration) {}
func (unmetered) Round(Report)                         {}
func (unmetered) Depth(int, int)                       {}

// Report is what became of the messages of a tenant that shared one read of the registry.
type Report struct {
	Outcome  string        // done, failed or unfinished
	Messages int           // events, repeated and superseded ones among them
	Rows     int           // of the registry that were read for them
	Age      time.Duration // since the longest waiting of them was first sent to the queue
	Duration time.Duration // since the read began
}

func (e *engine) report(r *round, what fate) {
	report := Report{Outcome: what.String(), Messages: len(r.events), Rows: r.rows, Duration: time.Since(r.begin)}
	for _, v := range r.events {
		if !v.message.SentAt.IsZero() {
			report.Age = max(report.Age, time.Since(v.message.SentAt))
		}
	}
	level := slog.LevelInfo
	if what == failed {
		level = slog.LevelWarn
	}
	e.Log.Log(e.ctx, level, "round", "outcome", report.Outcome, "messages", report.Messages, "rows", report.Rows,
		"trace", r.trace(), "queue_age_ms", report.Age.Milliseconds(), "duration_ms", report.Duration.Milliseconds())
	e.Meter.Round(report)
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
