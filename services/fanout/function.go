package fanout

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/iops-dashboard/live/services/internal/queue"
)

// Function is the engine of a Lambda function on the queue. Nothing of it runs after an answer, so its
// mailboxes live for one batch; its pace stays. Make one with NewFunction.
type Function struct {
	shell
	// After is called at the end of each batch, before the answer, if it is not nil.
	After func()
}

// NewFunction returns a Function, or an error that names everything that is wrong with the
// configuration.
func NewFunction(c Config) (*Function, error) {
	s, err := newShell(c)
	if err != nil {
		return nil, err
	}
	return &Function{shell: s}, nil
}

// answerMargin is how long before the end of its time the function answers, at least.
const answerMargin = time.Second

// Handle delivers the messages of one batch and names those that must come again: those that somebody
// could not be given, and those that were not finished in time. It returns no error.
//
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
func (f *Function) Handle(ctx context.Context, event events.SQSEvent) (events.SQSEventResponse, error) {
	e := f.newEngine(ctx)
	var (
		mu       sync.Mutex
		response events.SQSEventResponse
		all      sync.WaitGroup
	)
	fail := func(messages ...queue.Message) {
		mu.Lock()
		defer mu.Unlock()
		for _, m := range messages {
			response.BatchItemFailures = append(response.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: m.ID})
		}
	}

	understood, rejects := f.majors.decode(messagesOf(event))
	all.Go(func() { fail(f.deadLetter(ctx, rejects)...) })
	sorted := parcels(understood, func(messages []queue.Message, what fate) {
		defer all.Done()
		if what != done {
			fail(messages...)
		}
	})
	all.Add(len(sorted))
	for _, p := range sorted {
		e.give(p)
	}

	finished := make(chan struct{})
	go func() {
		all.Wait()
		close(finished)
	}()
	timer := time.NewTimer(f.timeFor(ctx))
	defer timer.Stop()
	select {
	case <-finished:
	case <-timer.C:
	case <-ctx.Done():
	}
	e.close()
	<-finished
	if f.After != nil {
		f.After()
	}
	return response, nil
}

// timeFor is how long a batch may take.
func (f *Function) timeFor(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return f.Patience
	}
	left := time.Until(deadline)
	return min(f.Patience, max(left-answerMargin, left/2))
}

// messagesOf reads what Lambda received.
func messagesOf(event events.SQSEvent) []queue.Message {
	all := make([]queue.Message, len(event.Records))
	for i, r := range event.Records {
		m := queue.Message{ID: r.MessageId, Receipt: r.ReceiptHandle, Body: r.Body, Attributes: map[string]queue.Attribute{}, Trace: r.Attributes["AWSTraceHeader"]}
		for name, a := range r.MessageAttributes {
			value := string(a.BinaryValue)
			if a.StringValue != nil {
				value = *a.StringValue
			}
			m.Attributes[name] = queue.Attribute{Type: a.DataType, Value: value}
		}
		m.ReceiveCount = number(r.Attributes["ApproximateReceiveCount"])
		if sent := number(r.Attributes["SentTimestamp"]); sent > 0 {
			m.SentAt = time.UnixMilli(int64(sent))
		}
		all[i] = m
	}
	return all
}

// number reads a count that AWS writes as a text, or 0.
func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}
