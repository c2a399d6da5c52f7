package snstopic_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"github.com/iops-dashboard/live/services/internal/awstest"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/topic"
	"github.com/iops-dashboard/live/services/internal/topic/snstopic"
	"github.com/iops-dashboard/live/services/internal/topic/topictest"
)

func TestMain(m *testing.M) { awstest.Main(m) }

// The subscriber is a queue with raw delivery, as every queue of the topology is.
func TestConformance(t *testing.T) {
	t.Parallel()
	topictest.Run(t, func(t *testing.T) topictest.Harness {
		client, queues := awstest.SNS(t), awstest.SQS(t)
		arn := newTopic(t, client)
		url := subscribe(t, client, queues, arn)
		var got []topic.Message
		seen := map[string]bool{}
		return topictest.Harness{
			Topic: snstopic.New(client, arn),
			Delivered: func(ctx context.Context, n int) ([]topic.Message, error) {
				ctx, cancel := context.WithTimeout(ctx, time.Minute)
				defer cancel()
				for len(got) < n {
					out, err := queues.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
						QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: 2, MessageAttributeNames: []string{"All"},
					})
					if err != nil {
						return nil, err
					}
					for _, m := range out.Messages {
						if seen[*m.MessageId] {
							continue
						}
						seen[*m.MessageId] = true
						attributes := map[string]string{}
						for name, value := range m.MessageAttributes {
							attributes[name] = *value.StringValue
						}
						got = append(got, topic.Message{Body: *m.Body, Attributes: attributes})
					}
				}
				return got, nil
			},
		}
	})
}

func TestCallsStayWithinTheLimitsOfSNS(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var entries, sizes []int
	client := intercepted(t, func(in *sns.PublishBatchInput) (*sns.PublishBatchOutput, error) {
		mu.Lock()
		defer mu.Unlock()
		size := 0
		out := &sns.PublishBatchOutput{}
		ids := map[string]bool{}
		for _, e := range in.PublishBatchRequestEntries {
			size += len(*e.Message)
			for name, value := range e.MessageAttributes {
				size += len(name) + len(*value.DataType) + len(*value.StringValue)
			}
			ids[*e.Id] = true
			out.Successful = append(out.Successful, types.PublishBatchResultEntry{Id: e.Id})
		}
		if len(ids) != len(in.PublishBatchRequestEntries) {
			t.Error("ids are not distinct")
		}
		entries, sizes = append(entries, len(in.PublishBatchRequestEntries)), append(sizes, size)
		return out, nil
	})
	var messages []topic.Message
	for i := range 60 {
		m := topictest.Message(i)
		m.Body += strings.Repeat("x", i*1500)
		messages = append(messages, m)
	}
	messages[59].Body += strings.Repeat("x", topic.MaxBytes-messages[59].Size())
	for i, err := range snstopic.New(client, "arn").Publish(t.Context(), messages) {
		if err != nil {
			t.Errorf("message %d: %v", i, err)
		}
	}
	total := 0
	for i := range entries {
		total += entries[i]
		if entries[i] > 10 || sizes[i] > 262_144 {
			t.Errorf("a call with %d entries and %d bytes", entries[i], sizes[i])
		}
	}
	if total != 60 {
		t.Errorf("%d messages were sent", total)
	}
}

func TestEachEntryHasItsOwnError(t *testing.T) {
	t.Parallel()
	client := intercepted(t, func(in *sns.PublishBatchInput) (*sns.PublishBatchOutput, error) {
		fail := func(id, code string, sender bool) types.BatchResultErrorEntry {
			return types.BatchResultErrorEntry{Id: &id, Code: &code, SenderFault: sender, Message: aws.String("why")}
		}
		return &sns.PublishBatchOutput{
			Successful: []types.PublishBatchResultEntry{{Id: aws.String("0")}, {Id: aws.String("77")}, {Id: aws.String("x")}, {}},
			Failed: []types.BatchResultErrorEntry{
				fail("1", "InvalidParameter", true), fail("2", "InternalError", false), fail("3", "New", true),
				fail("4", "New", false), fail("5", "KMSAccessDenied", true), fail("6", "Throttled", true),
				fail("-1", "New", true),
			}, // 7 is not mentioned
		}, nil
	})
	var messages []topic.Message
	for i := range 8 {
		messages = append(messages, topictest.Message(i))
	}
	want := []fault.Kind{0, fault.Invalid, fault.Transient, fault.Invalid, fault.Transient, fault.Denied, fault.Throttled, fault.Transient}
	for i, err := range snstopic.New(client, "arn").Publish(t.Context(), messages) {
		if i == 0 {
			if err != nil {
				t.Errorf("the accepted message has error %v", err)
			}
		} else if err == nil || fault.KindOf(err) != want[i] {
			t.Errorf("message %d: %v, want kind %v", i, err, want[i])
		}
	}
}

func TestACallThatFailsFailsItsMessages(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err  error
		want fault.Kind
	}{
		"no answer":     {errors.New("connection reset"), fault.Transient},
		"outage":        {&types.InternalErrorException{}, fault.Transient},
		"new outage":    {&smithy.GenericAPIError{Code: "New", Fault: smithy.FaultServer}, fault.Transient},
		"throttled":     {&types.ThrottledException{}, fault.Throttled},
		"no permission": {&types.AuthorizationErrorException{}, fault.Denied},
		"no topic":      {&types.NotFoundException{}, fault.Denied},
		"no key":        {&types.KMSDisabledException{}, fault.Denied},
		"refused":       {&types.InvalidParameterException{}, fault.Invalid},
		"unknown":       {&smithy.GenericAPIError{Code: "New", Fault: smithy.FaultClient}, fault.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := intercepted(t, func(*sns.PublishBatchInput) (*sns.PublishBatchOutput, error) { return nil, tc.err })
			messages := []topic.Message{topictest.Message(0), topictest.Message(1)}
			for i, err := range snstopic.New(client, "arn").Publish(t.Context(), messages) {
				if err == nil || fault.KindOf(err) != tc.want || !errors.Is(err, tc.err) {
					t.Errorf("message %d: %v, want kind %v", i, err, tc.want)
				}
			}
		})
	}
}

func TestAPoisonMessageIsFoundInACallThatIsRefusedAsAWhole(t *testing.T) {
	t.Parallel()
	client := intercepted(t, func(in *sns.PublishBatchInput) (*sns.PublishBatchOutput, error) {
		out := &sns.PublishBatchOutput{}
		for _, e := range in.PublishBatchRequestEntries {
			if strings.Contains(*e.Message, "poison") {
				return nil, &types.InvalidParameterException{}
			}
			out.Successful = append(out.Successful, types.PublishBatchResultEntry{Id: e.Id})
		}
		return out, nil
	})
	var messages []topic.Message
	for i := range 25 {
		messages = append(messages, topictest.Message(i))
	}
	messages[13].Body = "poison"
	for i, err := range snstopic.New(client, "arn").Publish(t.Context(), messages) {
		if (err != nil) != (i == 13) {
			t.Errorf("message %d: %v", i, err)
		}
	}
}

func newTopic(t *testing.T, client *sns.Client) string {
	t.Helper()
	out, err := client.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String(awstest.Name("updates"))})
	if err != nil {
		t.Fatal(err)
	}
	return *out.TopicArn
}

func subscribe(t *testing.T, client *sns.Client, queues *sqs.Client, arn string) string {
	t.Helper()
	// The answer to a receive may get lost: what it held comes back soon.
	queue, err := queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{
		QueueName: aws.String(awstest.Name("fanout")), Attributes: map[string]string{"VisibilityTimeout": "5"},
	})
	if err != nil {
		t.Fatal(err)
	}
	attributes, err := queues.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: queue.QueueUrl, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameQueueArn},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Subscribe(t.Context(), &sns.SubscribeInput{
		TopicArn: &arn, Protocol: aws.String("sqs"), Endpoint: aws.String(attributes.Attributes["QueueArn"]),
		Attributes: map[string]string{"RawMessageDelivery": "true"},
	}); err != nil {
		t.Fatal(err)
	}
	return *queue.QueueUrl
}

// intercepted returns a client without retries whose calls answer makes, without a network.
func intercepted(t *testing.T, answer func(*sns.PublishBatchInput) (*sns.PublishBatchOutput, error)) *sns.Client {
	t.Helper()
	return sns.New(sns.Options{
		Region: "us-east-1", Retryer: aws.NopRetryer{},
		APIOptions: []func(*middleware.Stack) error{awstest.Around(func(_ context.Context, input any, _ func() (any, error)) (any, error) {
			return answer(input.(*sns.PublishBatchInput))
		})},
	})
}
