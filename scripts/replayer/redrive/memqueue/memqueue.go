// Package memqueue is a queue in memory, for tests. Its time is that of package time, so that testing/synctest
// can turn the clock.
package memqueue

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

// wait is how long a receive waits for the first message.
const wait = time.Second

// Queue is a [redrive.Queue].
type Queue struct {
	// OnSend, OnDelete and OnHide are called before a call has an effect: an error fails the call, and then it
	// has none; failures fail their entries. Set them before the queue is used.
	OnSend   func([]redrive.Entry) (map[int]redrive.Failure, error)
	OnDelete func([]redrive.Message) (map[string]redrive.Failure, error)
	OnHide   func([]redrive.Message, time.Duration) (map[string]redrive.Failure, error)
	// OnReceive and OnDepth are called before such a call; an error fails it.
	OnReceive, OnDepth func() error
	// OnSent is called after the effect; its error is what the caller hears of it.
	OnSent func([]redrive.Entry) error

	mu       sync.Mutex
	messages []*stored
	ids      int
}

type stored struct {
	redrive.Message
	visibleAt time.Time
}

var _ redrive.Queue = (*Queue)(nil)

// Put puts a message into the queue and returns its id.
func (q *Queue) Put(e redrive.Entry) string {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ids++
	m := redrive.Message{
		ID: fmt.Sprintf("%p-%d", q, q.ids), Body: e.Body, Trace: e.Trace, Attributes: maps.Clone(e.Attributes), SentAt: time.Now(),
	}
	q.messages = append(q.messages, &stored{Message: m, visibleAt: time.Now()})
	return m.ID
}

// All returns the messages of the queue, hidden ones included.
func (q *Queue) All() []redrive.Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := make([]redrive.Message, len(q.messages))
	for i, m := range q.messages {
		all[i] = m.Message
	}
	return all
}

// Show makes a hidden message visible, as a queue that delivers at least once may do at any time.
func (q *Queue) Show(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range q.messages {
		if m.ID == id {
			m.visibleAt = time.Now()
		}
	}
}

// Receive delivers visible messages in any order.
func (q *Queue) Receive(ctx context.Context, limit int, hold time.Duration) ([]redrive.Message, error) {
	if limit < 1 || limit > redrive.MaxBatch {
		return nil, fmt.Errorf("limit %d: %w", limit, redrive.ErrRefused)
	}
	if q.OnReceive != nil {
		if err := q.OnReceive(); err != nil {
			return nil, err
		}
	}
	if taken := q.take(limit, hold); len(taken) > 0 {
		return taken, nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return q.take(limit, hold), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (q *Queue) take(limit int, hold time.Duration) []redrive.Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	var taken []redrive.Message
	for _, i := range rand.Perm(len(q.messages)) {
		m := q.messages[i]
		if len(taken) == limit {
			break
		}
		if m.visibleAt.After(now) {
			continue
		}
		m.ReceiveCount++
		m.Receipt = m.ID + "/" + strconv.Itoa(m.ReceiveCount)
		m.visibleAt = now.Add(hold)
		copied := m.Message
		copied.Attributes = maps.Clone(m.Attributes)
		taken = append(taken, copied)
	}
	return taken
}

// Send checks what SQS checks.
func (q *Queue) Send(_ context.Context, entries []redrive.Entry) (map[int]redrive.Failure, error) {
	size := 0
	for _, e := range entries {
		size += len(e.Body)
		for name, a := range e.Attributes {
			size += len(name) + len(a.Type) + len(a.Value)
		}
		if len(e.Attributes) > redrive.MaxAttributes {
			return nil, fmt.Errorf("%d attributes: %w", len(e.Attributes), redrive.ErrRefused)
		}
	}
	if len(entries) < 1 || len(entries) > redrive.MaxBatch || size > redrive.MaxBytes {
		return nil, fmt.Errorf("%d entries of %d bytes: %w", len(entries), size, redrive.ErrRefused)
	}
	var failed map[int]redrive.Failure
	if q.OnSend != nil {
		var err error
		if failed, err = q.OnSend(entries); err != nil {
			return nil, err
		}
	}
	for i, e := range entries {
		if _, bad := failed[i]; !bad {
			q.Put(e)
		}
	}
	if q.OnSent != nil {
		return failed, q.OnSent(entries)
	}
	return failed, nil
}

// Delete deletes messages, whatever their delivery.
func (q *Queue) Delete(_ context.Context, messages []redrive.Message) (map[string]redrive.Failure, error) {
	if len(messages) > redrive.MaxBatch {
		return nil, fmt.Errorf("%d messages: %w", len(messages), redrive.ErrRefused)
	}
	var failed map[string]redrive.Failure
	if q.OnDelete != nil {
		var err error
		if failed, err = q.OnDelete(messages); err != nil {
			return nil, err
		}
	}
	gone := map[string]bool{}
	for _, m := range messages {
		if _, bad := failed[m.ID]; !bad {
			gone[m.ID] = true
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	var rest []*stored
	for _, m := range q.messages {
		if !gone[m.ID] {
			rest = append(rest, m)
		}
	}
	q.messages = rest
	return failed, nil
}

// Hide works for the latest delivery of a message.
func (q *Queue) Hide(_ context.Context, messages []redrive.Message, d time.Duration) (map[string]redrive.Failure, error) {
	if len(messages) > redrive.MaxBatch {
		return nil, fmt.Errorf("%d messages: %w", len(messages), redrive.ErrRefused)
	}
	failed := map[string]redrive.Failure{}
	if q.OnHide != nil {
		bad, err := q.OnHide(messages, d)
		if err != nil {
			return nil, err
		}
		maps.Copy(failed, bad)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, hidden := range messages {
		i := slices.IndexFunc(q.messages, func(m *stored) bool { return m.Receipt == hidden.Receipt })
		if i < 0 {
			failed[hidden.ID] = redrive.Failure{Code: "ReceiptHandleIsInvalid", Sender: true}
		} else if _, bad := failed[hidden.ID]; !bad {
			q.messages[i].visibleAt = time.Now().Add(d)
		}
	}
	return failed, nil
}

// Depth is exact.
func (q *Queue) Depth(context.Context) (visible, hidden int, err error) {
	if q.OnDepth != nil {
		if err := q.OnDepth(); err != nil {
			return 0, 0, err
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range q.messages {
		if m.visibleAt.After(time.Now()) {
			hidden++
		} else {
			visible++
		}
	}
	return visible, hidden, nil
}
