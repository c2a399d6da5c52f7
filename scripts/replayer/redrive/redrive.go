// Package redrive moves messages from the queue where they rest to where they belong. It deletes nothing that was
// not confirmed there, keeps every attribute, and a [Log] on disk lets a run that was
// killed go on: nothing is lost, and at most what was in flight is sent twice.
package redrive

import (
	"context"
	"errors"
	"time"
)

// What one call of SQS takes, and one message holds:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
const (
	MaxBatch      = 10
	MaxBytes      = 1 << 20 // of all messages of a batch, and so of each
	MaxAttributes = 10
)

// Attribute is a message attribute.
type Attribute struct {
	Type  string // String, Number or Binary, perhaps with a custom suffix
	Value []byte // of text its UTF-8
}

// Text returns an attribute of type String.
func Text(value string) Attribute { return Attribute{Type: "String", Value: []byte(value)} }

// Message is one delivery of a message.
type Message struct {
	ID           string // the message's; the same at each delivery
	Receipt      string // this delivery's; only the latest is sure to work
	Body         string
	Trace        string // AWSTraceHeader, empty if there is none
	Attributes   map[string]Attribute
	System       map[string]string // all attributes that SQS itself gave it
	ReceiveCount int               // deliveries so far, this one included
	SentAt       time.Time         // when it entered its first queue
}

// Entry is a message to be sent.
type Entry struct {
	ID          string // of the message at rest that it stands for, perhaps one of several: for logs, and for sinks that keep files
	Body, Trace string
	Attributes  map[string]Attribute
}

// Failure is why one entry of a batch failed.
type Failure struct {
	Code, Message string
	Sender        bool // the entry is at fault: as it is, it fails again
}

func (f Failure) Error() string { return f.Code }

var (
	// ErrDenied marks an error that fails all calls until somebody mends it: a permission, a name.
	ErrDenied = errors.New("denied")
	// ErrRefused marks a call that had no effect, since something in it is wrong.
	ErrRefused = errors.New("refused")
)

// Sink is where messages go. An adapter may retry a failing call for a short time. If the error of a call is
// neither [ErrDenied] nor [ErrRefused], then some, all or none of it took effect.
type Sink interface {
	// Send sends up to [MaxBatch] entries of up to [MaxBytes]. Those that failed are named by their index; all
	// others are there for good.
	Send(ctx context.Context, entries []Entry) (failed map[int]Failure, err error)
}

// Queue is a standard queue of SQS, or what behaves like one. Of its errors the same is true.
type Queue interface {
	Sink

	// Receive returns up to limit messages, at most [MaxBatch], and hides them for hold. It may wait a second
	// for the first. None is not an error, and no proof that there are none.
	Receive(ctx context.Context, limit int, hold time.Duration) ([]Message, error)

	// Delete deletes up to [MaxBatch] messages. Those that failed are named by their ID; all others are gone.
	// Deleting what is deleted already succeeds.
	Delete(ctx context.Context, messages []Message) (failed map[string]Failure, err error)

	// Hide hides up to [MaxBatch] messages for so long from now; 0 returns them. Those that failed are named by
	// their ID.
	Hide(ctx context.Context, messages []Message, d time.Duration) (failed map[string]Failure, err error)

	// Depth counts messages, about, and late by up to a minute.
	Depth(ctx context.Context) (visible, hidden int, err error)
}
