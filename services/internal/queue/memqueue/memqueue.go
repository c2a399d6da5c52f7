// Package memqueue is a queue in memory, for tests. It keeps the promises of the port and nothing
// more: it can deliver twice, it shuffles, and it dead-letters after too many deliveries. Its time
// is that of package time, so that testing/synctest can turn the clock.
package memqueue

import (
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/queue"
)

// Options tunes a Queue.
type Options struct {
	// Visibility is how long a received message stays hidden. Defaults to 30 s.
	Visibility time.Duration
	// MaxReceives is how many deliveries a message gets before it is dead-lettered. Defaults to 5.
	MaxReceives int
}

// Queue is a [queue.Queue].
type Queue struct {
	// OnReceive, OnDelete, OnReturn and OnDeadLetter are called before the call (or the entry of a
	// batch) has an effect; their error prevents it. Set them before the queue is used.
	OnReceive                        func(ctx context.Context) error
	OnDelete, OnReturn, OnDeadLetter func(queue.Message) error

	options Options

	mu       sync.Mutex
	messages []*stored
	dead     []queue.Message
	ids      int
	changed  chan struct{} // closed, and replaced, when a message may have become visible
}

type stored struct {
	queue.Message
	visibleAt time.Time
}

var _ queue.Queue = (*Queue)(nil)

// New returns an empty queue.
func New(options Options) *Queue {
	if options.Visibility == 0 {
		options.Visibility = 30 * time.Second
	}
	if options.MaxReceives == 0 {
		options.MaxReceives = 5
	}
	return &Queue{options: options, changed: make(chan struct{})}
}

// Send puts a message into the queue and returns its id.
func (q *Queue) Send(body string, attributes map[string]queue.Attribute) string {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ids++
	id := "m-" + strconv.Itoa(q.ids)
	now := time.Now()
	q.messages = append(q.messages, &stored{
		Message:   queue.Message{ID: id, Body: body, Attributes: attributes, SentAt: now},
		visibleAt: now,
	})
	q.wake()
	return id
}

// Redeliver makes a hidden message visible again, as a queue that delivers at least once may do
// at any time.
func (q *Queue) Redeliver(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range q.messages {
		if m.ID == id {
			m.visibleAt = time.Now()
		}
	}
	q.wake()
}

// Waiting returns the messages of the queue, hidden ones included.
func (q *Queue) Waiting() []queue.Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	var all []queue.Message
	for _, m := range q.messages {
		all = append(all, m.Message)
	}
	return all
}

// Dead returns the messages of the dead-letter queue.
func (q *Queue) Dead() []queue.Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.dead)
}

// Receive delivers visible messages in any order.
func (q *Queue) Receive(ctx context.Context, limit int, wait time.Duration) ([]queue.Message, error) {
	const op = "queue.Receive"
	if q.OnReceive != nil {
		if err := q.OnReceive(ctx); err != nil {
			return nil, err
		}
	}
	if limit < 1 || limit > queue.MaxBatch || wait < 0 || wait > queue.MaxWait {
		return nil, fault.Newf(op, fault.Internal, "limit %d, wait %v", limit, wait)
	}
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for {
		if ctx.Err() != nil {
			return nil, fault.New(op, fault.Transient, context.Cause(ctx))
		}
		messages, changed, next := q.take(limit)
		if len(messages) > 0 || wait == 0 {
			return messages, nil
		}
		visible := time.NewTimer(next)
		select {
		case <-changed:
		case <-visible.C:
		case <-ctx.Done():
		case <-deadline.C:
			visible.Stop()
			messages, _, _ := q.take(limit)
			return messages, nil
		}
		visible.Stop()
	}
}

// take returns what can be delivered now, and when to look again if that is nothing.
func (q *Queue) take(limit int) ([]queue.Message, <-chan struct{}, time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now, next := time.Now(), time.Hour
	var taken []queue.Message
	rand.Shuffle(len(q.messages), func(i, j int) { q.messages[i], q.messages[j] = q.messages[j], q.messages[i] })
	q.messages = slices.DeleteFunc(q.messages, func(m *stored) bool {
		switch {
		case m.visibleAt.After(now):
			next = min(next, m.visibleAt.Sub(now))
		case m.ReceiveCount >= q.options.MaxReceives:
			q.dead = append(q.dead, m.Message)
			return true
		case len(taken) < limit:
			m.ReceiveCount++
			m.Receipt = m.ID + "/" + strconv.Itoa(m.ReceiveCount)
			m.visibleAt = now.Add(q.options.Visibility)
			taken = append(taken, m.Message)
		}
		return false
	})
	return taken, q.changed, next
}

// Delete ends deliveries.
func (q *Queue) Delete(_ context.Context, messages []queue.Message) error {
	return q.each("queue.Delete", messages, q.OnDelete, q.remove)
}

// Return makes messages visible.
func (q *Queue) Return(_ context.Context, messages []queue.Message) error {
	return q.each("queue.Return", messages, q.OnReturn, func(m queue.Message) { q.hide(m, 0) })
}

// Extend hides messages.
func (q *Queue) Extend(_ context.Context, messages []queue.Message, visibility time.Duration) error {
	const op = "queue.Extend"
	if visibility < 0 || visibility > queue.MaxVisibility {
		return fault.Newf(op, fault.Invalid, "a visibility timeout of %v", visibility)
	}
	return q.each(op, messages, nil, func(m queue.Message) { q.hide(m, visibility) })
}

func (q *Queue) hide(m queue.Message, visibility time.Duration) {
	for _, s := range q.messages {
		if s.Receipt == m.Receipt {
			s.visibleAt = time.Now().Add(visibility)
		}
	}
	q.wake()
}

// DeadLetter moves m.
func (q *Queue) DeadLetter(_ context.Context, m queue.Message, reason string) error {
	if q.OnDeadLetter != nil {
		if err := q.OnDeadLetter(m); err != nil {
			return err
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	letter := m
	letter.Attributes = queue.WithReason(m.Attributes, reason)
	q.dead = append(q.dead, letter)
	q.remove(m)
	return nil
}

func (q *Queue) each(op string, messages []queue.Message, ask func(queue.Message) error, do func(queue.Message)) error {
	var failed []queue.Failure
	for _, m := range messages {
		if ask != nil {
			if err := ask(m); err != nil {
				failed = append(failed, queue.Failure{Message: m, Err: err})
				continue
			}
		}
		q.mu.Lock()
		do(m)
		q.mu.Unlock()
	}
	if failed != nil {
		return &queue.BatchError{Op: op, Failed: failed}
	}
	return nil
}

func (q *Queue) remove(m queue.Message) {
	q.messages = slices.DeleteFunc(q.messages, func(s *stored) bool { return s.ID == m.ID })
}

func (q *Queue) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
}
