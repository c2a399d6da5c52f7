package fanout

import (
	"context"
	"errors"
	"sync"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/queue"
)

const (
	// lettersAtOnce bounds the dead letters that a window writes at a time.
	lettersAtOnce = 8
	// settleTries is how often the deletion of a message is asked for.
	settleTries = 3
)

// deadLetter moves rejects to the dead-letter queue and returns those that it could not move.
func (w *window) deadLetter(ctx context.Context, rejects []rejected) (kept []rejected) {
	var (
		mu      sync.Mutex
		all     sync.WaitGroup
		writers = make(chan struct{}, lettersAtOnce)
	)
	for _, r := range rejects {
		writers <- struct{}{}
		all.Go(func() {
			defer func() { <-writers }()
			log := w.Log.With("message_id", r.message.ID, "attempt", r.message.ReceiveCount, "reason", r.reason)
			err := w.Queue.DeadLetter(ctx, r.message, r.reason)
			if err == nil {
				log.WarnContext(ctx, "message dead-lettered", "kind", fault.Invalid.String())
				return
			}
			log.ErrorContext(ctx, "message not dead-lettered", "kind", fault.KindOf(err).String(), "error", err.Error())
			mu.Lock()
			defer mu.Unlock()
			kept = append(kept, r)
		})
	}
	all.Wait()
	return kept
}

// settle gives each message of the window its end: deleted if its update is done, handed back if
// the worker was cut off, and otherwise left alone. A message that failed is not handed back: it
// would return at once and use up its deliveries before an outage can pass.
func (w *window) settle(audiences []*audience, rejects, kept []rejected) Report {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.work), w.settling())
	defer cancel()

	var done, back []queue.Message
	report := w.report(audiences, len(rejects), len(kept))
	for _, a := range audiences {
		for _, u := range a.updates {
			switch {
			case u.unfinished.Load():
				back = append(back, u.messages...)
			case u.failed.Load():
				report.Failed += len(u.messages)
			default:
				done = append(done, u.messages...)
			}
		}
	}
	if w.work.Err() != nil {
		for _, r := range kept {
			back = append(back, r.message)
		}
	}
	report.Returned = len(back)
	if err := w.Queue.Return(ctx, back); err != nil {
		w.Log.WarnContext(ctx, "messages not handed back", "kind", fault.KindOf(err).String(), "error", err.Error())
	}
	report.Undeleted = w.delete(ctx, done)
	return report
}

// delete ends the messages, and returns how many remain. Those come again, which is harmless.
func (w *window) delete(ctx context.Context, messages []queue.Message) int {
	for try := 1; len(messages) > 0; try++ {
		err := w.Queue.Delete(ctx, messages)
		if err == nil {
			return 0
		}
		temporary := fault.KindOf(err).Temporary()
		if failed, ok := errors.AsType[*queue.BatchError](err); ok {
			messages, temporary = messages[:0:0], false
			for _, f := range failed.Failed {
				messages = append(messages, f.Message)
				temporary = temporary || fault.KindOf(f.Err).Temporary()
			}
		}
		if try == settleTries || !temporary || !sleep(ctx, pauseBefore(try+1, err)) {
			w.Log.WarnContext(ctx, "messages not deleted", "messages", len(messages), "attempt", try,
				"kind", fault.KindOf(err).String(), "error", err.Error())
			return len(messages)
		}
	}
	return 0
}
