package fanout

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/queue"
)

const (
	// lettersAtOnce bounds the dead letters that are written at a time for one batch.
	lettersAtOnce = 8
	// settleTries is how often the deletion of a message is asked for.
	settleTries = 3
)

// deadLetter moves rejects to the dead-letter queue and returns those that it could not move.
func (s *shell) deadLetter(ctx context.Context, rejects []rejected) (kept []queue.Message) {
	var (
		mu      sync.Mutex
		all     sync.WaitGroup
		writers = make(chan struct{}, lettersAtOnce)
	)
	for _, r := range rejects {
		writers <- struct{}{}
		all.Go(func() {
			defer func() { <-writers }()
			log := s.Log.With("message_id", r.message.ID, "attempt", r.message.ReceiveCount, "reason", r.reason)
			err := s.Queue.DeadLetter(ctx, r.message, r.reason)
			if err == nil {
				log.WarnContext(ctx, "message dead-lettered", "kind", fault.Invalid.String())
				return
			}
			log.ErrorContext(ctx, "message not dead-lettered", "kind", fault.KindOf(err).String(), "error", err.Error())
			mu.Lock()
			defer mu.Unlock()
			kept = append(kept, r.message)
		})
	}
	all.Wait()
	return kept
}

// settle gives messages their end: deleted if they are done, handed back if the engine was cut off,
// and otherwise left alone. A message that failed is not handed back: it would return at once and use
// up its deliveries before an outage can pass.
func (s *shell) settle(ctx context.Context, messages []queue.Message, what fate) {
	start := time.Now()
	defer func() { s.Meter.Settled(time.Since(start)) }()
	switch what {
	case done:
		s.delete(ctx, messages)
	case unfinished:
		if err := s.Queue.Return(ctx, messages); err != nil {
			s.Log.WarnContext(ctx, "messages not handed back", "kind", fault.KindOf(err).String(), "error", err.Error())
		}
	case failed:
	}
}

// delete ends the messages. Those that it cannot delete come again, which is harmless.
func (s *shell) delete(ctx context.Context, messages []queue.Message) {
	for try := 1; len(messages) > 0; try++ {
		err := s.Queue.Delete(ctx, messages)
		if err == nil {
			return
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
			s.Log.WarnContext(ctx, "messages not deleted", "messages", len(messages), "attempt", try,
				"kind", fault.KindOf(err).String(), "error", err.Error())
			return
		}
	}
}
