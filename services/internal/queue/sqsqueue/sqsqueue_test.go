package sqsqueue_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/iops-dashboard/live/services/internal/awstest"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/queue"
	"github.com/iops-dashboard/live/services/internal/queue/queuetest"
	"github.com/iops-dashboard/live/services/internal/queue/sqsqueue"
)

func TestMain(m *testing.M) { awstest.Main(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(t *testing.T) queuetest.Harness {
		plain := awstest.SQS(t)
		var failing atomic.Value
		failing.Store("")
		client := intercepted(t, failEntries(&failing))
		dead, deadARN := create(t, plain, map[string]string{"VisibilityTimeout": "30"})
		url, _ := create(t, plain, map[string]string{
			"VisibilityTimeout": "2",
			"RedrivePolicy":     `{"deadLetterTargetArn":"` + deadARN + `","maxReceiveCount":"2"}`,
		})
		q := sqsqueue.New(client, url, dead)
		letters := sqsqueue.New(plain, dead, dead)
		bodies := &receipts{Queue: q}
		return queuetest.Harness{
			Queue: bodies,
			Send:  func(body string, attributes map[string]queue.Attribute) { send(t, plain, url, body, attributes) },
			Dead: func(n int) []queue.Message {
				var all []queue.Message
				for len(all) < n {
					messages, err := letters.Receive(t.Context(), queue.MaxBatch, 5*time.Second)
					if err != nil || len(messages) == 0 {
						t.Fatalf("%d dead letters of %d: %v", len(all), n, err)
					}
					all = append(all, messages...)
				}
				return all
			},
			FailEntry: func(body string) { failing.Store(bodies.receipt(body)) },
		}
	})
}

func TestErrorsHaveKinds(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err  error
		want fault.Kind
	}{
		"no answer":     {errors.New("connection reset"), fault.Transient},
		"outage":        {&smithy.GenericAPIError{Code: "Odd", Fault: smithy.FaultServer}, fault.Transient},
		"throttled":     {&types.RequestThrottled{}, fault.Throttled},
		"in flight":     {&types.OverLimit{}, fault.Throttled},
		"no such queue": {&smithy.GenericAPIError{Code: "AWS.SimpleQueueService.NonExistentQueue"}, fault.Denied},
		"denied":        {&smithy.GenericAPIError{Code: "AccessDenied"}, fault.Denied},
		"too long": {&smithy.GenericAPIError{Code: "InvalidParameterValue",
			Message: "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes."}, fault.TooLarge},
		"unknown": {&smithy.GenericAPIError{Code: "Odd", Fault: smithy.FaultClient}, fault.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := sqsqueue.New(intercepted(t, func(context.Context, any) (any, error) { return nil, tc.err }), "q", "d")
			m := queue.Message{ID: "m", Receipt: "r", Body: "b"}
			_, receive := q.Receive(t.Context(), 1, 0)
			for call, err := range map[string]error{
				"Receive":    receive,
				"Delete":     q.Delete(t.Context(), []queue.Message{m}),
				"Return":     q.Return(t.Context(), []queue.Message{m}),
				"DeadLetter": q.DeadLetter(t.Context(), m, "r"),
			} {
				if fault.KindOf(err) != tc.want || !errors.Is(err, tc.err) {
					t.Errorf("%s: %v, want kind %v", call, err, tc.want)
				}
			}
		})
	}
}

// A server that took the call and hangs must not hold its caller for ever.
func TestReceiveThatIsNeverAnswered(t *testing.T) {
	t.Parallel()
	q := sqsqueue.New(intercepted(t, func(ctx context.Context, _ any) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}), "q", "d")
	for _, wait := range []time.Duration{0, queue.MaxWait} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
			defer cancel()
			_, err := q.Receive(ctx, 1, wait)
			if took := time.Since(begin); fault.KindOf(err) != fault.Transient || took <= wait || took > wait+5*time.Second {
				t.Errorf("%v after %v", err, took)
			}
		})
	}
}

// A second long poll would make the wait twice as long; the caller has its own loop.
func TestReceiveIsTriedOnce(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	options := awstest.SQS(t).Options()
	options.BaseEndpoint = &server.URL
	_, err := sqsqueue.New(sqs.New(options), server.URL+"/q", "d").Receive(t.Context(), 1, queue.MaxWait)
	if fault.KindOf(err) != fault.Transient || err == nil || calls.Load() != 1 {
		t.Errorf("%v after %d calls", err, calls.Load())
	}
}

// A batch that fails as a whole does not keep the next one from being deleted.
func TestAFailedBatchFailsItsMessagesOnly(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	q := sqsqueue.New(intercepted(t, func(context.Context, any) (any, error) {
		if calls.Add(1) == 1 {
			return nil, errors.New("planted")
		}
		return &sqs.DeleteMessageBatchOutput{}, nil
	}), "q", "d")
	messages := make([]queue.Message, 25)
	for i := range messages {
		messages[i] = queue.Message{ID: "m", Receipt: "r"}
	}
	batch, ok := errors.AsType[*queue.BatchError](q.Delete(t.Context(), messages))
	if !ok || len(batch.Failed) != 10 || calls.Load() != 3 {
		t.Errorf("%v after %d calls", batch, calls.Load())
	}
}

// What cannot be sent to the dead-letter queue must stay where it is.
func TestDeadLetterThatCannotBeSentIsNotDeleted(t *testing.T) {
	t.Parallel()
	q := sqsqueue.New(intercepted(t, func(_ context.Context, input any) (any, error) {
		if _, ok := input.(*sqs.SendMessageInput); !ok {
			t.Errorf("%T after a failed send", input)
		}
		return nil, errors.New("planted")
	}), "q", "d")
	if err := q.DeadLetter(t.Context(), queue.Message{ID: "m", Receipt: "r", Body: "b"}, "r"); fault.KindOf(err) != fault.Transient {
		t.Error(err)
	}
}

func TestDeadLetterKeepsTheTrace(t *testing.T) {
	t.Parallel()
	client := awstest.SQS(t)
	const trace = "Root=1-5e1b4151-5ac6c58f5b5dbd6b5b5dbd6b;Parent=53995c3f42cd8ad8;Sampled=1"
	var sent *sqs.SendMessageInput
	q := sqsqueue.New(intercepted(t, func(_ context.Context, input any) (any, error) {
		if in, ok := input.(*sqs.SendMessageInput); ok {
			sent = in
		}
		return nil, nil
	}), first(create(t, client, nil)), first(create(t, client, nil)))
	_ = q.DeadLetter(t.Context(), queue.Message{ID: "m", Receipt: "r", Body: "b", Trace: trace}, "r")
	if got := aws.ToString(sent.MessageSystemAttributes["AWSTraceHeader"].StringValue); got != trace {
		t.Errorf("trace %q", got)
	}
}

// receipts remembers the receipts of what was received, since only they name an entry to SQS.
type receipts struct {
	queue.Queue
	seen atomic.Pointer[[]queue.Message]
}

func (r *receipts) Receive(ctx context.Context, limit int, wait time.Duration) ([]queue.Message, error) {
	messages, err := r.Queue.Receive(ctx, limit, wait)
	var all []queue.Message
	if seen := r.seen.Load(); seen != nil {
		all = append(all, *seen...)
	}
	all = append(all, messages...)
	r.seen.Store(&all)
	return messages, err
}

func (r *receipts) receipt(body string) string {
	if body == "" {
		return ""
	}
	for _, m := range *r.seen.Load() {
		if m.Body == body {
			return m.Receipt
		}
	}
	return "none"
}

// failEntries answers batches for the entry with the failing receipt as SQS does: 200, and Failed.
func failEntries(receipt *atomic.Value) func(context.Context, any) (any, error) {
	return func(_ context.Context, input any) (any, error) {
		fail := receipt.Load().(string)
		if fail == "" {
			return nil, nil
		}
		failed := []types.BatchResultErrorEntry{}
		add := func(id, r *string) bool {
			if *r != fail {
				return false
			}
			failed = append(failed, types.BatchResultErrorEntry{Id: id, Code: aws.String("InternalError"), Message: aws.String("planted")})
			return true
		}
		switch in := input.(type) {
		case *sqs.DeleteMessageBatchInput:
			in.Entries = without(in.Entries, func(e types.DeleteMessageBatchRequestEntry) bool { return add(e.Id, e.ReceiptHandle) })
		case *sqs.ChangeMessageVisibilityBatchInput:
			in.Entries = without(in.Entries, func(e types.ChangeMessageVisibilityBatchRequestEntry) bool { return add(e.Id, e.ReceiptHandle) })
		}
		if len(failed) == 0 {
			return nil, nil
		}
		return failed, nil
	}
}

func without[E any](entries []E, drop func(E) bool) []E {
	var kept []E
	for _, e := range entries {
		if !drop(e) {
			kept = append(kept, e)
		}
	}
	return kept
}

// intercepted returns a client whose calls first ask before. Its error fails the call; failed
// entries are added to the server's answer; any other result is the answer.
func intercepted(t *testing.T, before func(ctx context.Context, input any) (any, error)) *sqs.Client {
	t.Helper()
	options := awstest.SQS(t).Options()
	options.APIOptions = append(options.APIOptions, awstest.Around(func(ctx context.Context, input any, next func() (any, error)) (any, error) {
		answer, err := before(ctx, input)
		if err != nil {
			return nil, err
		}
		failed, partly := answer.([]types.BatchResultErrorEntry)
		if answer != nil && !partly {
			return answer, nil
		}
		if partly && emptyBatch(input) {
			answer = emptyAnswer(input)
		} else if answer, err = next(); err != nil {
			return nil, err
		}
		switch answer := answer.(type) {
		case *sqs.DeleteMessageBatchOutput:
			answer.Failed = append(answer.Failed, failed...)
		case *sqs.ChangeMessageVisibilityBatchOutput:
			answer.Failed = append(answer.Failed, failed...)
		}
		return answer, nil
	}))
	return sqs.New(options)
}

func emptyBatch(input any) bool {
	switch in := input.(type) {
	case *sqs.DeleteMessageBatchInput:
		return len(in.Entries) == 0
	case *sqs.ChangeMessageVisibilityBatchInput:
		return len(in.Entries) == 0
	}
	return false
}

func emptyAnswer(input any) any {
	if _, ok := input.(*sqs.DeleteMessageBatchInput); ok {
		return &sqs.DeleteMessageBatchOutput{}
	}
	return &sqs.ChangeMessageVisibilityBatchOutput{}
}

func create(t *testing.T, client *sqs.Client, attributes map[string]string) (url, arn string) {
	t.Helper()
	created, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{
		QueueName: aws.String(awstest.Name("queue")), Attributes: attributes,
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: created.QueueUrl, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
	})
	if err != nil {
		t.Fatal(err)
	}
	return *created.QueueUrl, got.Attributes["QueueArn"]
}

func send(t *testing.T, client *sqs.Client, url, body string, attributes map[string]queue.Attribute) {
	t.Helper()
	values := map[string]types.MessageAttributeValue{}
	for name, a := range attributes {
		value := types.MessageAttributeValue{DataType: aws.String(a.Type)}
		if strings.HasPrefix(a.Type, "Binary") {
			value.BinaryValue = []byte(a.Value)
		} else {
			value.StringValue = aws.String(a.Value)
		}
		values[name] = value
	}
	if _, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body, MessageAttributes: values}); err != nil {
		t.Fatal(err)
	}
}

func first(url, _ string) string { return url }
