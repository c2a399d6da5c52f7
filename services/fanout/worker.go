package fanout

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/queue"
)

// Worker is the engine of a process that lives: it receives from the queue, and keeps mailboxes, pace
// and connections for its life. Make one with NewWorker.
type Worker struct{ shell }

// NewWorker returns a Worker, or an error that names everything that is wrong with the configuration.
func NewWorker(c Config) (*Worker, error) {
	s, err := newShell(c)
	if err != nil {
		return nil, err
	}
	return &Worker{s}, nil
}

// life is one run of a worker.
type life struct {
	*shell
	engine *engine
	room   *semaphore.Weighted // one place for each message under way
	deaf   atomic.Bool         // the last receive failed

	mu       sync.Mutex
	underWay map[*batch]struct{}
	settled  sync.WaitGroup
}

// batch is what one receive brought.
type batch struct {
	receivedAt time.Time
	renewedAt  time.Time
	left       map[string]queue.Message // by receipt: not settled
}

// Run works until ctx ends. Then it receives no more and lets what is under way finish; what does not
// within the grace is cut off and handed back. When it returns, nothing of it runs any more. It can be
// called again.
func (w *Worker) Run(ctx context.Context) error {
	l := &life{
		shell:    &w.shell,
		engine:   w.newEngine(ctx),
		room:     semaphore.NewWeighted(int64(w.UnderWay)),
		underWay: map[*batch]struct{}{},
	}
	keep, stopKeeping := context.WithCancel(l.engine.ctx)
	var keeper sync.WaitGroup
	keeper.Go(func() { l.keepHidden(keep) })

	var receivers sync.WaitGroup
	for range w.Receivers {
		receivers.Go(func() { l.receive(ctx) })
	}
	receivers.Wait()

	finished := make(chan struct{})
	go func() {
		l.settled.Wait()
		close(finished)
	}()
	grace := time.NewTimer(w.Grace)
	defer grace.Stop()
	select {
	case <-finished:
	case <-grace.C:
		w.Log.WarnContext(ctx, "work cut off", "grace_ms", w.Grace.Milliseconds())
	}
	l.engine.close()
	<-finished
	stopKeeping()
	keeper.Wait()
	return nil
}

// process brings a batch to its end.
func (l *life) process(messages []queue.Message, at time.Time) {
	b := &batch{receivedAt: at, renewedAt: at, left: map[string]queue.Message{}}
	for _, m := range messages {
		b.left[m.Receipt] = m
	}
	l.mu.Lock()
	l.underWay[b] = struct{}{}
	l.mu.Unlock()

	events, rejects := l.majors.decode(messages)
	if len(rejects) > 0 {
		l.settled.Go(func() {
			ctx, cancel := l.settling()
			defer cancel()
			kept := l.deadLetter(ctx, rejects)
			if l.engine.ctx.Err() != nil {
				l.settle(ctx, kept, unfinished)
			}
			for _, r := range rejects {
				l.end(b, r.message)
			}
		})
	}
	sorted := parcels(events, func(messages []queue.Message, what fate) {
		defer l.settled.Done()
		l.finish(b, messages, what)
	})
	l.settled.Add(len(sorted))
	for _, p := range sorted {
		l.engine.give(p)
	}
}

// finish settles those of the messages that the worker still holds. What was under way for too long it
// has given up already.
func (l *life) finish(b *batch, messages []queue.Message, what fate) {
	var held []queue.Message
	l.mu.Lock()
	for _, m := range messages {
		if _, ok := b.left[m.Receipt]; ok {
			held = append(held, m)
		}
	}
	l.mu.Unlock()
	ctx, cancel := l.settling()
	defer cancel()
	l.settle(ctx, held, what)
	l.end(b, held...)
}

// end makes room for others.
func (l *life) end(b *batch, messages ...queue.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range messages {
		if _, ok := b.left[m.Receipt]; ok {
			delete(b.left, m.Receipt)
			l.room.Release(1)
		}
	}
	if len(b.left) == 0 {
		delete(l.underWay, b)
	}
}

// settling is the context in which messages are settled, even after the work was cut off.
func (l *life) settling() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(l.engine.ctx), l.Visibility/6)
}

// keepHidden renews the visibility timeout of messages that are worked on for longer, so that nobody
// else receives them, until their patience ends: then they come again, here or elsewhere.
func (l *life) keepHidden(ctx context.Context) {
	for sleep(ctx, l.Visibility/6) {
		var renew []queue.Message
		now := time.Now()
		l.mu.Lock()
		for b := range l.underWay {
			if now.Sub(b.receivedAt) >= l.Patience {
				l.room.Release(int64(len(b.left)))
				clear(b.left)
				delete(l.underWay, b)
				continue
			}
			if now.Sub(b.renewedAt) < l.Visibility/2 {
				continue
			}
			b.renewedAt = now
			for _, m := range b.left {
				renew = append(renew, m)
			}
		}
		depth := 0
		for b := range l.underWay {
			depth += len(b.left)
		}
		l.mu.Unlock()
		l.Meter.Depth(depth, l.engine.waiting())
		if len(renew) == 0 {
			continue
		}
		if err := l.Queue.Extend(ctx, renew, l.Visibility); err != nil {
			l.Log.WarnContext(ctx, "messages not kept hidden", "kind", fault.KindOf(err).String(), "error", err.Error())
		}
	}
}
