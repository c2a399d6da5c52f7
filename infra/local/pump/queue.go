package pump

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Queues is the part of the SQS client that a QueuePump needs; it is called concurrently.
type Queues interface {
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
}

// QueueMapping is the event source mapping between a standard queue and a function that names the messages
// which failed (ReportBatchItemFailures).
type QueueMapping struct {
	QueueURL    string
	QueueARN    string
	Function    string
	Region      string
	BatchSize   int // messages, 1 to 10
	Concurrency int // batches under way
}

// QueuePump delivers a queue's messages to a function, as AWS does: what the function does not name as failed is
// deleted, and the rest comes back after its visibility timeout. It does not scale, gather or filter.
//
// Source: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
type QueuePump struct {
	mapping QueueMapping
	queues  Queues
	invoker Invoker
	log     *slog.Logger
}

// NewQueue returns a pump that Run starts.
func NewQueue(m QueueMapping, queues Queues, invoker Invoker, log *slog.Logger) *QueuePump {
	return &QueuePump{mapping: m, queues: queues, invoker: invoker, log: log.With("queue", m.QueueURL, "function", m.Function)}
}

// Run delivers until ctx ends.
func (p *QueuePump) Run(ctx context.Context) {
	var pollers sync.WaitGroup
	for range p.mapping.Concurrency {
		pollers.Go(func() { p.poll(ctx) })
	}
	pollers.Wait()
}

func (p *QueuePump) poll(ctx context.Context) {
	retry := backoff{first: 50 * time.Millisecond, last: 5 * time.Second}
	for ctx.Err() == nil {
		output, err := p.queues.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &p.mapping.QueueURL, MaxNumberOfMessages: int32(p.mapping.BatchSize), WaitTimeSeconds: 20,
			MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		})
		if err == nil && len(output.Messages) > 0 {
			err = p.deliver(ctx, output.Messages)
		}
		if err == nil {
			retry.reset()
			continue
		}
		if ctx.Err() == nil {
			p.log.WarnContext(ctx, "queue not delivered", "error", err.Error())
			wait(ctx, retry.next())
		}
	}
}

// deliver invokes the function once. Whatever goes wrong, the messages come back by themselves.
func (p *QueuePump) deliver(ctx context.Context, messages []types.Message) error {
	payload, err := json.Marshal(map[string]any{"Records": p.records(messages)})
	if err != nil {
		return err
	}
	response, err := p.invoker.Invoke(ctx, p.mapping.Function, payload)
	if err != nil {
		return err
	}
	failed, err := failedMessages(response, messages)
	if err != nil {
		return err
	}
	input := &sqs.DeleteMessageBatchInput{QueueUrl: &p.mapping.QueueURL}
	for i, m := range messages {
		if !failed[aws.ToString(m.MessageId)] {
			input.Entries = append(input.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
		}
	}
	if len(input.Entries) == 0 {
		return nil
	}
	_, err = p.queues.DeleteMessageBatch(context.WithoutCancel(ctx), input)
	return err
}

// failedMessages reads which messages the function named. An answer that cannot be read, or that names a message
// which it was not given, fails all.
func failedMessages(response Response, messages []types.Message) (map[string]bool, error) {
	if response.FunctionError != "" {
		return nil, fmt.Errorf("the function failed: %s", response.FunctionError)
	}
	var answer struct {
		BatchItemFailures []struct {
			ItemIdentifier *string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	if len(response.Payload) > 0 {
		if err := json.Unmarshal(response.Payload, &answer); err != nil {
			return nil, fmt.Errorf("the function's answer is not understood")
		}
	}
	given := map[string]bool{}
	for _, m := range messages {
		given[aws.ToString(m.MessageId)] = true
	}
	failed := map[string]bool{}
	for _, f := range answer.BatchItemFailures {
		id := aws.ToString(f.ItemIdentifier)
		if !given[id] {
			return nil, fmt.Errorf("the function names a message that it was not given")
		}
		failed[id] = true
	}
	return failed, nil
}

type queueRecord struct {
	MessageID         string                    `json:"messageId"`
	ReceiptHandle     string                    `json:"receiptHandle"`
	Body              string                    `json:"body"`
	Attributes        map[string]string         `json:"attributes"`
	MessageAttributes map[string]queueAttribute `json:"messageAttributes"`
	MD5OfBody         string                    `json:"md5OfBody"`
	EventSource       string                    `json:"eventSource"`
	EventSourceARN    string                    `json:"eventSourceARN"`
	Region            string                    `json:"awsRegion"`
}

type queueAttribute struct {
	StringValue      *string  `json:"stringValue,omitempty"`
	BinaryValue      []byte   `json:"binaryValue,omitempty"`
	StringListValues []string `json:"stringListValues"`
	BinaryListValues [][]byte `json:"binaryListValues"`
	DataType         string   `json:"dataType"`
}

func (p *QueuePump) records(messages []types.Message) []queueRecord {
	records := make([]queueRecord, len(messages))
	for i, m := range messages {
		attributes := map[string]queueAttribute{}
		for name, v := range m.MessageAttributes {
			attributes[name] = queueAttribute{
				StringValue: v.StringValue, BinaryValue: v.BinaryValue, StringListValues: []string{}, BinaryListValues: [][]byte{},
				DataType: aws.ToString(v.DataType),
			}
		}
		records[i] = queueRecord{
			MessageID: aws.ToString(m.MessageId), ReceiptHandle: aws.ToString(m.ReceiptHandle), Body: aws.ToString(m.Body),
			Attributes: m.Attributes, MessageAttributes: attributes, MD5OfBody: aws.ToString(m.MD5OfBody),
			EventSource: "aws:sqs", EventSourceARN: p.mapping.QueueARN, Region: p.mapping.Region,
		}
	}
	return records
}
