package pump

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// heldQueue gives its messages once, and notes what is deleted.
type heldQueue struct {
	mu      sync.Mutex
	batches [][]types.Message
	deleted []string
}

func (q *heldQueue) ReceiveMessage(ctx context.Context, input *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	q.mu.Lock()
	if len(q.batches) > 0 {
		defer q.mu.Unlock()
		batch := q.batches[0]
		q.batches = q.batches[1:]
		return &sqs.ReceiveMessageOutput{Messages: batch}, nil
	}
	q.mu.Unlock()
	<-ctx.Done()
	return nil, ctx.Err()
}

func (q *heldQueue) DeleteMessageBatch(_ context.Context, input *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range input.Entries {
		q.deleted = append(q.deleted, *e.ReceiptHandle)
	}
	return &sqs.DeleteMessageBatchOutput{}, nil
}

func heldMessage(id string) types.Message {
	return types.Message{
		MessageId: aws.String(id), ReceiptHandle: aws.String("r-" + id), Body: aws.String(`{"n":1}`), MD5OfBody: aws.String("x"),
		Attributes:        map[string]string{"ApproximateReceiveCount": "1", "SentTimestamp": "1795341600000"},
		MessageAttributes: map[string]types.MessageAttributeValue{"type": {DataType: aws.String("String"), StringValue: aws.String("METRIC_UPDATE")}},
	}
}

func TestQueueAnswers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		response Response
		err      error
		deleted  []string
	}{
		"the function could not be had":   {Response{}, errors.New("throttled"), nil},
		"the function failed":             {Response{FunctionError: "Unhandled", Payload: []byte(`{}`)}, nil, nil},
		"the answer is not JSON":          {Response{Payload: []byte(`{`)}, nil, nil},
		"a message that it was not given": {Response{Payload: []byte(`{"batchItemFailures":[{"itemIdentifier":"z"}]}`)}, nil, nil},
		"an empty name":                   {Response{Payload: []byte(`{"batchItemFailures":[{"itemIdentifier":""}]}`)}, nil, nil},
		"no name":                         {Response{Payload: []byte(`{"batchItemFailures":[{"itemidentifiers":"a"}]}`)}, nil, nil},
		"one failed":                      {Response{Payload: []byte(`{"batchItemFailures":[{"itemIdentifier":"a"}]}`)}, nil, []string{"r-b"}},
		"none failed":                     {Response{Payload: []byte(`{"batchItemFailures":[]}`)}, nil, []string{"r-a", "r-b"}},
		"null":                            {Response{Payload: []byte(`null`)}, nil, []string{"r-a", "r-b"}},
		"nothing":                         {Response{}, nil, []string{"r-a", "r-b"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				q := &heldQueue{batches: [][]types.Message{{heldMessage("a"), heldMessage("b")}}}
				calls := 0
				invoker := InvokerFunc(func(_ context.Context, function string, payload []byte) (Response, error) {
					calls++
					var event events.SQSEvent
					if err := json.Unmarshal(payload, &event); err != nil || len(event.Records) != 2 || function != "fanout" {
						t.Errorf("%s was given %s, %v", function, payload, err)
					}
					if r := event.Records[0]; r.MessageId != "a" || r.ReceiptHandle != "r-a" || r.EventSource != "aws:sqs" || *r.MessageAttributes["type"].StringValue != "METRIC_UPDATE" {
						t.Errorf("record %+v", r)
					}
					return tc.response, tc.err
				})
				ctx, cancel := context.WithCancel(t.Context())
				p := NewQueue(QueueMapping{QueueURL: "u", QueueARN: "arn", Function: "fanout", Region: "us-east-1", BatchSize: 10, Concurrency: 2}, q, invoker, slog.New(slog.DiscardHandler))
				ended := make(chan struct{})
				go func() { p.Run(ctx); close(ended) }()
				synctest.Wait()
				if calls != 1 || !slices.Equal(q.deleted, tc.deleted) {
					t.Errorf("%d calls, deleted %v, want %v", calls, q.deleted, tc.deleted)
				}
				cancel()
				<-ended
			})
		})
	}
}
