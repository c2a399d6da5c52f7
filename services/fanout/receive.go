package fanout

import (
	"context"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/queue"
)

// The pause after a failed receive starts with the first and doubles up to the second.
const (
	minReceivePause = 100 * time.Millisecond
	maxReceivePause = 5 * time.Second
)

// receive takes batches until ctx ends, whenever there is room for one.
func (l *life) receive(ctx context.Context) {
	failures := 0
	for l.room.Acquire(ctx, queue.MaxBatch) == nil {
		messages, err := l.Queue.Receive(ctx, queue.MaxBatch, queue.MaxWait)
		l.room.Release(int64(queue.MaxBatch - len(messages)))
		if len(messages) > 0 {
			l.process(messages, time.Now())
		}
		failures = l.outage(ctx, failures, err)
	}
}

// outage counts failures in a row, and pauses after each. That an outage begins and that it has ended
// is logged once for all receivers.
func (l *life) outage(ctx context.Context, failures int, err error) int {
	if err == nil || ctx.Err() != nil {
		if err == nil && l.deaf.CompareAndSwap(true, false) {
			l.Log.InfoContext(ctx, "receiving again")
		}
		return 0
	}
	if l.deaf.CompareAndSwap(false, true) {
		l.Log.ErrorContext(ctx, "cannot receive", "kind", fault.KindOf(err).String(), "error", err.Error())
	}
	sleep(ctx, jitter(min(maxReceivePause, minReceivePause<<min(failures, 10))))
	return failures + 1
}
