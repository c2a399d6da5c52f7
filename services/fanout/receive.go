package fanout

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/queue"
)

// The pause after a failed receive starts with the first and doubles up to the second.
const (
	minReceivePause = 100 * time.Millisecond
	maxReceivePause = 5 * time.Second
)

// batch is what one window received. Who takes it must call readDone once the window has read the
// registry, and done once it is settled.
type batch struct {
	messages   []queue.Message
	receivedAt time.Time
	readDone   func()
	done       func()
}

// receive hands over batches until ctx ends. It receives only when there is room for a window.
func (w *Worker) receive(ctx context.Context, start func(batch)) {
	failures := 0
	for w.room.Acquire(ctx, int64(w.Window)) == nil {
		if !take(ctx, w.readers) {
			w.room.Release(int64(w.Window))
			return
		}
		messages, at, err := w.gather(ctx)
		n := len(messages)
		w.room.Release(int64(w.Window - n))
		if n > 0 {
			start(batch{
				messages: messages, receivedAt: at,
				readDone: func() { <-w.readers },
				done:     func() { w.room.Release(int64(n)) },
			})
		} else {
			<-w.readers
		}
		failures = w.outage(ctx, failures, err)
	}
}

// gather receives until the window is full or the queue has no more for now. The time is that of
// the first receive, from which the first message's visibility timeout counts.
func (w *Worker) gather(ctx context.Context) (messages []queue.Message, at time.Time, err error) {
	wait := queue.MaxWait
	for len(messages) < w.Window {
		limit := min(queue.MaxBatch, w.Window-len(messages))
		more, err := w.Queue.Receive(ctx, limit, wait)
		if err != nil {
			return messages, at, err
		}
		if len(messages) == 0 {
			at = time.Now()
		}
		messages = append(messages, more...)
		if len(more) < limit {
			break
		}
		wait = 0
	}
	return messages, at, nil
}

// outage counts failures in a row, and pauses after each. It logs when an outage begins and when it
// ends.
func (w *Worker) outage(ctx context.Context, failures int, err error) int {
	switch {
	case err == nil && failures > 0:
		w.Log.InfoContext(ctx, "receiving again", "attempt", failures+1)
		return 0
	case err == nil || ctx.Err() != nil:
		return 0
	case failures == 0:
		w.Log.ErrorContext(ctx, "cannot receive", "kind", fault.KindOf(err).String(), "error", err.Error())
	}
	sleep(ctx, jitter(min(maxReceivePause, minReceivePause<<min(failures, 10))))
	return failures + 1
}

// take waits for a place in a semaphore, and reports whether it has one.
func take(ctx context.Context, places chan struct{}) bool {
	if ctx.Err() != nil {
		return false
	}
	select {
	case places <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// jitter returns a random time between half of d and d, so that those who failed together do not
// try again together.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

// sleep waits for d, and reports whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
