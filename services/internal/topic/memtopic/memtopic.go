// Package memtopic is a topic in memory, for tests.
package memtopic

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/topic"
)

// Topic keeps what was published. Its zero value is ready.
type Topic struct {
	mu       sync.Mutex
	messages []topic.Message
	refuse   func(topic.Message) error
}

var _ topic.Topic = (*Topic)(nil)

// Refuse has f decide from now on whether a message is accepted: nil accepts. f must not call the
// topic; a nil f accepts all.
func (t *Topic) Refuse(f func(topic.Message) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refuse = f
}

// Publish implements [topic.Topic].
func (t *Topic) Publish(ctx context.Context, messages []topic.Message) []error {
	const op = "memtopic.Publish"
	t.mu.Lock()
	defer t.mu.Unlock()
	errs := make([]error, len(messages))
	for i, m := range messages {
		if err := ctx.Err(); err != nil {
			errs[i] = fault.New(op, fault.Transient, err)
		} else if errs[i] = m.Validate(); errs[i] == nil && t.refuse != nil {
			errs[i] = t.refuse(m)
		}
		if errs[i] == nil {
			t.messages = append(t.messages, topic.Message{Body: m.Body, Attributes: maps.Clone(m.Attributes)})
		}
	}
	return errs
}

// Messages returns what was accepted, in order.
func (t *Topic) Messages() []topic.Message {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.messages)
}
