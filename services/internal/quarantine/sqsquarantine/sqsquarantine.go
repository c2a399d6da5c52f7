// Package sqsquarantine is a quarantine in an SQS queue.
package sqsquarantine

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/iops-dashboard/live/services/internal/fault/awsfault"
	"github.com/iops-dashboard/live/services/internal/quarantine"
)

const op = "sqsquarantine.Put"

// Quarantine keeps each record as one message; [Encode] has its form. The client's retryer decides
// about retries within a call.
type Quarantine struct {
	client *sqs.Client
	url    string
}

// New returns the quarantine in the queue with this URL, which must exist.
func New(client *sqs.Client, url string) *Quarantine { return &Quarantine{client, url} }

var _ quarantine.Quarantine = (*Quarantine)(nil)

// Put implements [quarantine.Quarantine].
func (q *Quarantine) Put(ctx context.Context, r quarantine.Record) error {
	body, err := Encode(r)
	if err != nil {
		return err
	}
	_, err = q.client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &q.url, MessageBody: &body})
	return awsfault.SQS.Classify(op, err)
}
