package redrive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

const (
	// DefaultHold is how long a received message stays hidden unless it is extended: so long does it take until
	// what a killed run held can be seen again.
	DefaultHold = 2 * time.Minute
	// MaxHeld is the most messages held at a time. SQS hides 120,000 of a queue at most, for all who receive;
	// so many can be extended in half of [DefaultHold] with 30 ms a call.
	MaxHeld = 20_000
	// longest is below the 12 hours after its first receive at which SQS shows a message again in any case.
	longest = 11 * time.Hour
	// callTimeout bounds a call, the SDK's retries included: more than the 30 s that a function of ours may take.
	callTimeout = 45 * time.Second
	// empties is how many receives without a message end a queue. A long poll asks all servers of SQS; the second
	// is for what came back meanwhile.
	empties = 2
)

// held is a message that nobody else receives at the moment.
type held struct {
	Message
	until time.Time
	contents
}

// forget drops what is not needed to hold the message any longer: 20,000 may be held, of up to a megabyte each.
func (h *held) forget() { h.Body, h.Trace, h.Attributes, h.System = "", "", nil, nil }

// holds keeps received messages hidden. It is used by one goroutine.
type holds struct {
	queue Queue
	hold  time.Duration
	items map[string]*held // by message id
	due   time.Time        // when the next one must be extended
}

func newHolds(q Queue, hold time.Duration) *holds {
	if hold == 0 {
		hold = DefaultHold
	}
	return &holds{queue: q, hold: hold, items: map[string]*held{}}
}

// receive receives messages. The receive itself is not interrupted: what was on its way would stay hidden.
// It returns those that it did not hold yet, and how many came in all.
func (h *holds) receive(ctx context.Context) (fresh []*held, came int, err error) {
	at := time.Now()
	ctx, cancel := finishing(ctx)
	defer cancel()
	messages, err := h.queue.Receive(ctx, MaxBatch, h.hold)
	if err != nil {
		return nil, 0, err
	}
	if due := at.Add(h.hold / 2); len(messages) > 0 && (h.due.IsZero() || due.Before(h.due)) {
		h.due = due
	}
	for _, m := range messages {
		if known := h.items[m.ID]; known != nil { // delivered twice, or it came too late to be extended
			known.Receipt, known.until = m.Receipt, at.Add(h.hold)
			continue
		}
		item := &held{Message: m, until: at.Add(h.hold)}
		h.items[m.ID] = item
		fresh = append(fresh, item)
	}
	return fresh, len(messages), nil
}

// extend extends what is in the second half of its time. What cannot be is tried again soon.
func (h *holds) extend(ctx context.Context) {
	if h.due.IsZero() || time.Now().Before(h.due) {
		return
	}
	var due []*held
	now := time.Now()
	h.due = now.Add(h.hold / 2)
	for _, item := range h.items {
		switch left := item.until.Sub(now); {
		case left <= 0: // it shows again, and is received again
		case left <= h.hold/2:
			due = append(due, item)
		default:
			h.due = earlier(h.due, item.until.Add(-h.hold/2))
		}
	}
	for batch := range slices.Chunk(due, MaxBatch) {
		at := time.Now()
		failed, err := h.hide(ctx, batch, h.hold)
		if err != nil || len(failed) > 0 {
			h.due = earlier(h.due, at.Add(h.hold/10))
		}
		for _, item := range batch {
			if _, bad := failed[item.ID]; !bad && err == nil {
				item.until = at.Add(h.hold)
			}
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (h *holds) hide(ctx context.Context, batch []*held, d time.Duration) (map[string]Failure, error) {
	ctx, cancel := finishing(ctx)
	defer cancel()
	return h.queue.Hide(ctx, messages(batch), d)
}

// restore returns all but those that keep names.
func (h *holds) restore(ctx context.Context, keep map[string]bool) error {
	var back []*held
	for id, item := range h.items {
		if !keep[id] && time.Now().Before(item.until) {
			back = append(back, item)
		}
	}
	var errs []error
	failed := 0
	for batch := range slices.Chunk(back, MaxBatch) {
		bad, err := h.hide(ctx, batch, 0)
		if err == nil && len(bad) > 0 {
			failed += len(bad)
			errs = append(errs, slices.Collect(maps.Values(bad))[0])
		}
		if err != nil {
			failed += len(batch)
			errs = append(errs, err)
		}
		if len(errs) == 3 { // the others show in their time, too
			failed = len(back)
			break
		}
	}
	if errs != nil {
		return fmt.Errorf("up to %d messages stay hidden for up to %v, then they show again: %w", failed, h.hold, errors.Join(errs...))
	}
	return nil
}

func messages(batch []*held) []Message {
	all := make([]Message, len(batch))
	for i, item := range batch {
		all[i] = item.Message
	}
	return all
}

// finishing returns a context for a call that is not interrupted by the end of the run's own.
func finishing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
}

// sleep waits, and keeps what is held hidden meanwhile. It reports whether the context has not ended.
func (h *holds) sleep(ctx context.Context, d time.Duration) bool {
	end := time.Now().Add(d)
	for {
		h.extend(ctx)
		left := time.Until(end)
		if left <= 0 || ctx.Err() != nil {
			return ctx.Err() == nil
		}
		timer := time.NewTimer(min(left, h.hold/8))
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// Look shows up to most messages of a queue, at most [MaxHeld], each once, and returns them to it, also when ctx
// ends. Each look counts as a receive of the message. It reports how many it showed, and whether it
// stopped before the queue seemed to have no more.
func Look(ctx context.Context, q Queue, most int, visit func(Message)) (n int, more bool, err error) {
	h := newHolds(q, 0)
	most = min(most, MaxHeld)
	defer func() { err = errors.Join(err, h.restore(ctx, nil)) }()
	for empty := 0; empty < empties; {
		if ctx.Err() != nil || n >= most {
			return n, true, nil
		}
		h.extend(ctx)
		fresh, came, err := h.receive(ctx)
		if err != nil {
			return n, true, err
		}
		if empty++; came > 0 {
			empty = 0
		}
		for _, item := range fresh {
			if n == most {
				return n, true, nil
			}
			n++
			visit(item.Message)
			item.forget()
		}
	}
	return n, false, nil
}
