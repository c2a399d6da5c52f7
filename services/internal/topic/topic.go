// Package topic is the port to the topic on which events are published for everybody who
// subscribes.
package topic

import (
	"context"

	"github.com/iops-dashboard/live/services/internal/fault"
)

// MaxBytes is the size of the largest message: body, and name, type and value of each attribute.
// It is also the most that one call of SNS takes, all its messages together.
// https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html
const MaxBytes = 262_144

// attributeType is the only type of attribute in use; its name counts.
const attributeType = "String"

// Message is one message. All attributes are texts and none may be empty.
type Message struct {
	Body       string
	Attributes map[string]string
}

// Size is the number of bytes that count against MaxBytes.
func (m Message) Size() int {
	size := len(m.Body)
	for name, value := range m.Attributes {
		size += len(name) + len(attributeType) + len(value)
	}
	return size
}

// Validate returns an error of kind Invalid or TooLarge if no topic takes the message.
func (m Message) Validate() error {
	const op = "topic.Publish"
	if m.Body == "" {
		return fault.Newf(op, fault.Invalid, "the body is empty")
	}
	for name, value := range m.Attributes {
		if name == "" || value == "" {
			return fault.Newf(op, fault.Invalid, "attribute %q is empty", name)
		}
	}
	if size := m.Size(); size > MaxBytes {
		return fault.Newf(op, fault.TooLarge, "%d bytes", size)
	}
	return nil
}

// Topic publishes messages. It may be used concurrently.
type Topic interface {
	// Publish offers each message once and returns one error for each, in the same order: nil where
	// the topic accepted it. Order of delivery is not promised, and a message whose error is not nil
	// may have been accepted all the same, so a retry may publish it twice.
	//
	// The caller retries. Kinds: Invalid and TooLarge for a message that is refused however often it
	// is offered, Denied where configuration or permissions are wrong, Throttled and Transient where
	// a later call may succeed.
	Publish(ctx context.Context, messages []Message) []error
}
