// Package queue is the port to a queue that delivers each message at least once, in no order,
// and hides a received message for its visibility timeout: whoever does not delete it in that
// time receives it again, and after the queue's maxReceiveCount it moves to the dead-letter queue
// by itself.
package queue

import (
	"context"
	"fmt"
	"time"
)

// MaxBatch is the most messages that one call of SQS takes or gives:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
const MaxBatch = 10

// MaxWait is the longest time that a receive waits for the first message; the source is the same.
const MaxWait = 20 * time.Second

// MaxVisibility is the longest visibility timeout, counted from the first receive:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
const MaxVisibility = 12 * time.Hour

// MaxAttributes is the most attributes that a message can have; the source is the same.
const MaxAttributes = 10

// ReasonAttribute names the attribute in which a dead-lettered message carries the reason.
const ReasonAttribute = "dead_letter_reason"

// Message is one delivery of a message.
type Message struct {
	ID           string // the message's; the same at each delivery
	Receipt      string // this delivery's; only the latest is sure to work
	Body         string
	Attributes   map[string]Attribute
	Trace        string    // AWSTraceHeader, empty if there is none
	ReceiveCount int       // deliveries so far, this one included
	SentAt       time.Time // when it entered its first queue
}

// Attribute is a message attribute.
type Attribute struct {
	Type  string // String, Number or Binary, perhaps with a custom suffix
	Value string // the bytes themselves, if Binary
}

// Text returns an attribute of type String.
func Text(value string) Attribute { return Attribute{Type: "String", Value: value} }

// Queue receives from one queue. All methods may be called concurrently, and their errors carry a
// fault kind. An adapter may retry a failing call for a short time; the caller decides what is
// done after that.
type Queue interface {
	// Receive waits up to wait, at most [MaxWait], for the first message, and returns up to limit,
	// at most [MaxBatch], of those that are there. No message is not an error. If ctx ends
	// during the call, messages on their way come back after their visibility timeout.
	Receive(ctx context.Context, limit int, wait time.Duration) ([]Message, error)

	// Delete ends the deliveries of any number of messages. If some of them remain, its error
	// is a *BatchError that names them. Deleting what is deleted already succeeds. Even a
	// deleted message may, rarely, be delivered again.
	Delete(ctx context.Context, messages []Message) error

	// Return makes messages visible at once, for others to receive. If that fails for some of
	// them its error is a *BatchError; they become visible after their visibility timeout.
	Return(ctx context.Context, messages []Message) error

	// Extend hides messages for this long from now, at most [MaxVisibility], so that nobody else receives
	// them. If that fails for some of them its error is a *BatchError; those come back in their time.
	Extend(ctx context.Context, messages []Message, visibility time.Duration) error

	// DeadLetter sends a message to the dead-letter queue, body and attributes unchanged and the
	// reason in [ReasonAttribute], and then deletes it here. A message that already has
	// [MaxAttributes] loses the last of them by name, and the reason tells which. If an error
	// comes between the two steps, the message is in both queues. The kind is TooLarge if the
	// reason does not fit beside the body: then the message is left to the maxReceiveCount.
	// The reason must quote no value of the body, since it also goes into logs.
	DeadLetter(ctx context.Context, m Message, reason string) error
}

// BatchError tells which messages a batch call failed for; it succeeded for all others.
type BatchError struct {
	Op     string
	Failed []Failure
}

// Failure is what happened to one message. Its error has a fault kind.
type Failure struct {
	Message Message
	Err     error
}

func (e *BatchError) Error() string {
	return fmt.Sprintf("%s: %d messages failed, the first with: %v", e.Op, len(e.Failed), e.Failed[0].Err)
}

// Unwrap returns the failures' errors, so that the first one decides the kind of the whole.
func (e *BatchError) Unwrap() []error {
	errs := make([]error, len(e.Failed))
	for i, f := range e.Failed {
		errs[i] = f.Err
	}
	return errs
}
