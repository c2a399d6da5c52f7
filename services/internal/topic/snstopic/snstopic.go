// Package snstopic is a topic on SNS.
package snstopic

import (
	"context"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"golang.org/x/sync/errgroup"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/fault/awsfault"
	"github.com/iops-dashboard/live/services/internal/topic"
)

// maxEntries is how many messages one PublishBatch takes.
// https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html
const maxEntries = 10

// parallel is how many calls one Publish has in flight at most.
const parallel = 8

const op = "snstopic.Publish"

// Topic is a topic on SNS. Messages are packed into as few PublishBatch calls as fit. The client's
// retryer repeats calls that got no answer; entries that were refused one by one are the caller's.
type Topic struct {
	client *sns.Client
	arn    string
}

// New returns the topic with this ARN, which must exist.
func New(client *sns.Client, arn string) *Topic { return &Topic{client, arn} }

var _ topic.Topic = (*Topic)(nil)

// Publish implements [topic.Topic].
func (t *Topic) Publish(ctx context.Context, messages []topic.Message) []error {
	errs := make([]error, len(messages))
	var calls errgroup.Group
	calls.SetLimit(parallel)
	for _, batch := range pack(messages, errs) {
		calls.Go(func() error {
			t.publish(ctx, messages, batch, errs)
			return nil
		})
	}
	_ = calls.Wait() // the errors are in errs
	return errs
}

// pack groups the indexes of messages into calls and notes those that fit none.
func pack(messages []topic.Message, errs []error) [][]int {
	var calls [][]int
	var call []int
	bytes := 0
	for i, m := range messages {
		if errs[i] = m.Validate(); errs[i] != nil {
			continue
		}
		size := m.Size()
		if len(call) == maxEntries || bytes+size > topic.MaxBytes {
			calls = append(calls, call)
			call, bytes = nil, 0
		}
		call = append(call, i)
		bytes += size
	}
	if len(call) > 0 {
		calls = append(calls, call)
	}
	return calls
}

// publish offers the messages at the indexes of one call and notes their errors.
func (t *Topic) publish(ctx context.Context, messages []topic.Message, call []int, errs []error) {
	in := &sns.PublishBatchInput{TopicArn: &t.arn}
	for n, i := range call {
		in.PublishBatchRequestEntries = append(in.PublishBatchRequestEntries, entry(n, messages[i]))
	}
	out, err := t.client.PublishBatch(ctx, in)
	if err != nil {
		err = awsfault.SNS.Classify(op, err)
		if fault.KindOf(err) == fault.Invalid && len(call) > 1 {
			// One bad message can have the whole call refused: its neighbours try without it.
			for _, i := range call {
				t.publish(ctx, messages, []int{i}, errs)
			}
			return
		}
		for _, i := range call {
			errs[i] = err
		}
		return
	}
	for _, i := range call {
		errs[i] = fault.Newf(op, fault.Transient, "the answer does not mention the message")
	}
	for _, accepted := range out.Successful {
		if i, ok := index(call, accepted.Id); ok {
			errs[i] = nil
		}
	}
	for _, failed := range out.Failed {
		if i, ok := index(call, failed.Id); ok {
			errs[i] = refusal(failed)
		}
	}
}

func entry(n int, m topic.Message) types.PublishBatchRequestEntry {
	attributes := make(map[string]types.MessageAttributeValue, len(m.Attributes))
	for name, value := range m.Attributes {
		attributes[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
	}
	return types.PublishBatchRequestEntry{
		Id: aws.String(strconv.Itoa(n)), Message: &m.Body, MessageAttributes: attributes,
	}
}

// refusal gives the error of one entry its kind.
func refusal(e types.BatchResultErrorEntry) error {
	code := aws.ToString(e.Code)
	kind := awsfault.SNS.Kind(code, !e.SenderFault)
	if kind == fault.Internal { // a code that is not known, for a fault of the message
		kind = fault.Invalid
	}
	return fault.Newf(op, kind, "%s: %s", code, aws.ToString(e.Message))
}

func index(call []int, id *string) (int, bool) {
	n, err := strconv.Atoi(aws.ToString(id))
	if err != nil || n < 0 || n >= len(call) {
		return 0, false
	}
	return call[n], true
}
