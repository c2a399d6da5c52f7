// Package sqsqueue is the queue port on Amazon SQS.
package sqsqueue

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/queue"
)

// Queue is a [queue.Queue].
type Queue struct {
	client     *sqs.Client
	url        string
	deadLetter string
}

var _ queue.Queue = (*Queue)(nil)

// New returns the queue at url, whose dead letters go to the queue at deadLetterURL. The client's
// own retries stay in force, for all calls but Receive.
func New(client *sqs.Client, url, deadLetterURL string) *Queue {
	return &Queue{client: client, url: url, deadLetter: deadLetterURL}
}

// overdue is how long after the end of its wait a receive counts as never to be answered.
const overdue = 5 * time.Second

// Receive makes one ReceiveMessage call. The SDK does not repeat it: a second long poll would wait
// once more. A wait of 0 is whatever the queue itself waits, since the SDK does not send it; queues
// must keep SQS's own default of none.
func (q *Queue) Receive(ctx context.Context, limit int, wait time.Duration) ([]queue.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+overdue)
	defer cancel()
	output, err := q.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:                    &q.url,
		MaxNumberOfMessages:         int32(limit),
		WaitTimeSeconds:             int32(wait.Round(time.Second) / time.Second),
		MessageAttributeNames:       []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	}, func(o *sqs.Options) { o.Retryer = aws.NopRetryer{} })
	if err != nil {
		return nil, classify("queue.Receive", err)
	}
	messages := make([]queue.Message, len(output.Messages))
	for i, m := range output.Messages {
		messages[i] = message(m)
	}
	return messages, nil
}

// Delete deletes in batches. An entry that fails does not keep others from being deleted, nor
// does a batch.
func (q *Queue) Delete(ctx context.Context, messages []queue.Message) error {
	const op = "queue.Delete"
	return batches(op, messages, func(batch []queue.Message) ([]types.BatchResultErrorEntry, error) {
		input := &sqs.DeleteMessageBatchInput{QueueUrl: &q.url}
		for i, m := range batch {
			input.Entries = append(input.Entries, types.DeleteMessageBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), ReceiptHandle: aws.String(m.Receipt),
			})
		}
		output, err := q.client.DeleteMessageBatch(ctx, input)
		if err != nil {
			return nil, err
		}
		return output.Failed, nil
	})
}

// Return sets the visibility timeout to 0, in batches.
func (q *Queue) Return(ctx context.Context, messages []queue.Message) error {
	return q.hide(ctx, "queue.Return", messages, 0)
}

// Extend sets the visibility timeout, in batches.
func (q *Queue) Extend(ctx context.Context, messages []queue.Message, visibility time.Duration) error {
	return q.hide(ctx, "queue.Extend", messages, visibility)
}

func (q *Queue) hide(ctx context.Context, op string, messages []queue.Message, visibility time.Duration) error {
	if visibility < 0 || visibility > queue.MaxVisibility {
		return fault.Newf(op, fault.Invalid, "a visibility timeout of %v", visibility)
	}
	return batches(op, messages, func(batch []queue.Message) ([]types.BatchResultErrorEntry, error) {
		input := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &q.url}
		for i, m := range batch {
			input.Entries = append(input.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), ReceiptHandle: aws.String(m.Receipt), VisibilityTimeout: int32(visibility.Seconds()),
			})
		}
		output, err := q.client.ChangeMessageVisibilityBatch(ctx, input)
		if err != nil {
			return nil, err
		}
		return output.Failed, nil
	})
}

// DeadLetter sends m to the dead-letter queue and then deletes it.
func (q *Queue) DeadLetter(ctx context.Context, m queue.Message, reason string) error {
	const op = "queue.DeadLetter"
	input := &sqs.SendMessageInput{
		QueueUrl:          &q.deadLetter,
		MessageBody:       &m.Body,
		MessageAttributes: map[string]types.MessageAttributeValue{},
	}
	for name, a := range queue.WithReason(m.Attributes, reason) {
		input.MessageAttributes[name] = attributeValue(a)
	}
	if m.Trace != "" {
		input.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
			string(types.MessageSystemAttributeNameForSendsAWSTraceHeader): {DataType: aws.String("String"), StringValue: &m.Trace},
		}
	}
	if _, err := q.client.SendMessage(ctx, input); err != nil {
		return classify(op, err)
	}
	if err := q.Delete(ctx, []queue.Message{m}); err != nil {
		return fault.New(op, fault.KindOf(err), err)
	}
	return nil
}

// batches calls do with at most ten messages at a time and collects what failed.
func batches(op string, messages []queue.Message, do func([]queue.Message) ([]types.BatchResultErrorEntry, error)) error {
	var failed []queue.Failure
	for len(messages) > 0 {
		batch := messages[:min(queue.MaxBatch, len(messages))]
		messages = messages[len(batch):]
		entries, err := do(batch)
		if err != nil {
			err = classify(op, err)
			for _, m := range batch {
				failed = append(failed, queue.Failure{Message: m, Err: err})
			}
			continue
		}
		for _, entry := range entries {
			if i, err := strconv.Atoi(aws.ToString(entry.Id)); err == nil && i >= 0 && i < len(batch) {
				failed = append(failed, queue.Failure{Message: batch[i], Err: entryError(op, entry)})
			}
		}
	}
	if failed != nil {
		return &queue.BatchError{Op: op, Failed: failed}
	}
	return nil
}

func message(m types.Message) queue.Message {
	received, _ := strconv.Atoi(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
	sent, _ := strconv.ParseInt(m.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)], 10, 64)
	attributes := make(map[string]queue.Attribute, len(m.MessageAttributes))
	for name, v := range m.MessageAttributes {
		attributes[name] = attribute(v)
	}
	return queue.Message{
		ID:           aws.ToString(m.MessageId),
		Receipt:      aws.ToString(m.ReceiptHandle),
		Body:         aws.ToString(m.Body),
		Attributes:   attributes,
		Trace:        m.Attributes[string(types.MessageSystemAttributeNameAWSTraceHeader)],
		ReceiveCount: received,
		SentAt:       time.UnixMilli(sent),
	}
}

func attribute(v types.MessageAttributeValue) queue.Attribute {
	a := queue.Attribute{Type: aws.ToString(v.DataType), Value: aws.ToString(v.StringValue)}
	if strings.HasPrefix(a.Type, "Binary") {
		a.Value = string(v.BinaryValue)
	}
	return a
}

func attributeValue(a queue.Attribute) types.MessageAttributeValue {
	v := types.MessageAttributeValue{DataType: &a.Type}
	if strings.HasPrefix(a.Type, "Binary") {
		v.BinaryValue = []byte(a.Value)
	} else {
		v.StringValue = &a.Value
	}
	return v
}
