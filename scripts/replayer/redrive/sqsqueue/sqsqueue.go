// Package sqsqueue is a queue of Amazon SQS to [redrive].
package sqsqueue

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/iops-dashboard/live/scripts/replayer/awsfault"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

// wait is the long poll of a receive. Any makes SQS ask all of its servers:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
const wait = time.Second

type queue struct {
	client *sqs.Client
	url    string
}

// New returns the queue at url. The client's own retries stay in force.
func New(client *sqs.Client, url string) redrive.Queue { return queue{client, url} }

func (q queue) Receive(ctx context.Context, limit int, hold time.Duration) ([]redrive.Message, error) {
	output, err := q.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:                    &q.url,
		MaxNumberOfMessages:         int32(limit),
		VisibilityTimeout:           seconds(hold),
		WaitTimeSeconds:             seconds(wait),
		MessageAttributeNames:       []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if err != nil {
		return nil, awsfault.SQS.Classify("receive", err)
	}
	messages := make([]redrive.Message, len(output.Messages))
	for i, m := range output.Messages {
		messages[i] = message(m)
	}
	return messages, nil
}

func (q queue) Send(ctx context.Context, entries []redrive.Entry) (map[int]redrive.Failure, error) {
	input := &sqs.SendMessageBatchInput{QueueUrl: &q.url}
	for i, e := range entries {
		entry := types.SendMessageBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), MessageBody: &e.Body, MessageAttributes: map[string]types.MessageAttributeValue{},
		}
		for name, a := range e.Attributes {
			entry.MessageAttributes[name] = value(a)
		}
		if e.Trace != "" {
			entry.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
				string(types.MessageSystemAttributeNameForSendsAWSTraceHeader): {DataType: aws.String("String"), StringValue: &e.Trace},
			}
		}
		input.Entries = append(input.Entries, entry)
	}
	output, err := q.client.SendMessageBatch(ctx, input)
	if err != nil {
		return nil, awsfault.SQS.Classify("send", err)
	}
	// What the answer does not name at all is not confirmed either.
	failed := make(map[int]redrive.Failure)
	for i := range entries {
		failed[i] = redrive.Failure{Code: "not in the answer"}
	}
	for _, entry := range output.Successful {
		if i, ok := index(entry.Id, len(entries)); ok {
			delete(failed, i)
		}
	}
	for _, entry := range output.Failed {
		if i, ok := index(entry.Id, len(entries)); ok {
			failed[i] = failure(entry)
		}
	}
	return failed, nil
}

func (q queue) Delete(ctx context.Context, messages []redrive.Message) (map[string]redrive.Failure, error) {
	input := &sqs.DeleteMessageBatchInput{QueueUrl: &q.url}
	for i, m := range messages {
		input.Entries = append(input.Entries, types.DeleteMessageBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &m.Receipt,
		})
	}
	output, err := q.client.DeleteMessageBatch(ctx, input)
	if err != nil {
		return nil, awsfault.SQS.Classify("delete", err)
	}
	var done []*string
	for _, entry := range output.Successful {
		done = append(done, entry.Id)
	}
	return unconfirmed(messages, done, output.Failed), nil
}

func (q queue) Hide(ctx context.Context, messages []redrive.Message, d time.Duration) (map[string]redrive.Failure, error) {
	input := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &q.url}
	for i, m := range messages {
		input.Entries = append(input.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &m.Receipt, VisibilityTimeout: seconds(d),
		})
	}
	output, err := q.client.ChangeMessageVisibilityBatch(ctx, input)
	if err != nil {
		return nil, awsfault.SQS.Classify("change the visibility", err)
	}
	var done []*string
	for _, entry := range output.Successful {
		done = append(done, entry.Id)
	}
	return unconfirmed(messages, done, output.Failed), nil
}

// unconfirmed are the messages that an answer does not say to be done: why it says so, or that it does not name them.
func unconfirmed(messages []redrive.Message, done []*string, entries []types.BatchResultErrorEntry) map[string]redrive.Failure {
	failed := make(map[string]redrive.Failure)
	for _, m := range messages {
		failed[m.ID] = redrive.Failure{Code: "not in the answer"}
	}
	for _, id := range done {
		if i, ok := index(id, len(messages)); ok {
			delete(failed, messages[i].ID)
		}
	}
	for _, entry := range entries {
		if i, ok := index(entry.Id, len(messages)); ok {
			failed[messages[i].ID] = failure(entry)
		}
	}
	return failed
}

func (q queue) Depth(ctx context.Context) (visible, hidden int, err error) {
	output, err := q.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &q.url, AttributeNames: []types.QueueAttributeName{
		types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
	}})
	if err != nil {
		return 0, 0, awsfault.SQS.Classify("count messages", err)
	}
	number := func(name types.QueueAttributeName) int {
		n, wrong := strconv.Atoi(output.Attributes[string(name)])
		err = errors.Join(err, wrong)
		return n
	}
	visible = number(types.QueueAttributeNameApproximateNumberOfMessages)
	hidden = number(types.QueueAttributeNameApproximateNumberOfMessagesNotVisible)
	return visible, hidden, err
}

// seconds rounds up: a message is hidden for at least as long as was asked.
func seconds(d time.Duration) int32 { return int32((d + time.Second - 1) / time.Second) }

func index(id *string, n int) (int, bool) {
	i, err := strconv.Atoi(aws.ToString(id))
	return i, err == nil && i >= 0 && i < n
}

func failure(entry types.BatchResultErrorEntry) redrive.Failure {
	return redrive.Failure{Code: aws.ToString(entry.Code), Message: aws.ToString(entry.Message), Sender: entry.SenderFault}
}

func message(m types.Message) redrive.Message {
	received, _ := strconv.Atoi(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
	sent, _ := strconv.ParseInt(m.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)], 10, 64)
	attributes := make(map[string]redrive.Attribute, len(m.MessageAttributes))
	for name, v := range m.MessageAttributes {
		a := redrive.Attribute{Type: aws.ToString(v.DataType), Value: v.BinaryValue}
		if !binary(a.Type) {
			a.Value = []byte(aws.ToString(v.StringValue))
		}
		attributes[name] = a
	}
	return redrive.Message{
		ID:           aws.ToString(m.MessageId),
		Receipt:      aws.ToString(m.ReceiptHandle),
		Body:         aws.ToString(m.Body),
		Trace:        m.Attributes[string(types.MessageSystemAttributeNameAWSTraceHeader)],
		Attributes:   attributes,
		System:       m.Attributes,
		ReceiveCount: received,
		SentAt:       time.UnixMilli(sent),
	}
}

func value(a redrive.Attribute) types.MessageAttributeValue {
	if binary(a.Type) {
		return types.MessageAttributeValue{DataType: &a.Type, BinaryValue: a.Value}
	}
	return types.MessageAttributeValue{DataType: &a.Type, StringValue: aws.String(string(a.Value))}
}

func binary(kind string) bool { return kind == "Binary" || strings.HasPrefix(kind, "Binary.") }
