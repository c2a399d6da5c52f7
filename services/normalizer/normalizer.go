package normalizer

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/quarantine"
	"github.com/iops-dashboard/live/services/internal/state"
	"github.com/iops-dashboard/live/services/internal/topic"
)

// Config is what a Normalizer is made of. It owns none of it. Only the ports and the names of the
// tables are required; the defaults of the rest are what production uses.
type Config struct {
	State      state.Table
	Topic      topic.Topic
	Quarantine quarantine.Quarantine

	// MetricsTable and InsightsTable are the tables whose streams are read. What a stream of another
	// table brings is quarantined.
	MetricsTable, InsightsTable string

	// Editions are further major versions in which events are published. There are none for now.
	Editions []Edition

	// Log gets one line for each batch and one for each quarantined record. Defaults to
	// slog.Default().
	Log *slog.Logger
	// Parallel is how many entities are applied at once. Defaults to 32.
	Parallel int
	// Attempts is how often a message is offered to the topic before its record fails. Defaults to 4.
	Attempts int
	// Backoff is the longest wait before the second attempt; it doubles with each of the next six, and the wait is
	// drawn evenly from zero to it. Defaults to 50 ms.
	Backoff time.Duration
	// CallTimeout bounds each call of a port, so that one that hangs holds up the others only for so
	// long. It covers the retries of an SDK. Defaults to 3 s.
	CallTimeout time.Duration
	// Margin is how long before the context's deadline work ends, so that there is time to say what
	// was done. Defaults to 1 s, and is never more than a quarter of the time that there is.
	Margin time.Duration
	// Now is the clock that events and quarantined records are stamped with. Defaults to time.Now.
	Now func() time.Time
}

// Normalizer handles batches of stream records. It may be used concurrently, though Lambda does
// not; two that work on the same records do no harm.
type Normalizer struct {
	config Config
	tables tables
}

// New returns a normalizer, or an error if a port or the name of a table is missing.
func New(c Config) (*Normalizer, error) {
	if c.State == nil || c.Topic == nil || c.Quarantine == nil {
		return nil, fault.Newf("normalizer.New", fault.Invalid, "state, topic and quarantine are required")
	}
	if c.MetricsTable == "" || c.InsightsTable == "" || c.MetricsTable == c.InsightsTable {
		return nil, fault.Newf("normalizer.New", fault.Invalid, "the names of two tables are required")
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Parallel <= 0 {
		c.Parallel = 32
	}
	if c.Attempts <= 0 {
		c.Attempts = 4
	}
	if c.Backoff <= 0 {
		c.Backoff = 50 * time.Millisecond
	}
	if c.CallTimeout <= 0 {
		c.CallTimeout = 3 * time.Second
	}
	if c.Margin <= 0 {
		c.Margin = time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Normalizer{config: c, tables: tables{
		c.MetricsTable:  metrics{editionsOf(contracts.MetricUpdateV1Type, c.Editions)},
		c.InsightsTable: insights{editionsOf(contracts.InsightCreatedV1Type, c.Editions)},
	}}, nil
}

func editionsOf(eventType string, all []Edition) []Edition {
	return slices.DeleteFunc(slices.Clone(all), func(e Edition) bool { return e.Type != eventType })
}

// Handle works through one event of a DynamoDB stream and returns the sequence numbers of the
// records that are to be delivered again: those that met an outage, and those behind them. It
// returns an error, which has Lambda deliver the whole batch again, only if a failed record has no
// sequence number or the event is none of a stream.
//
// https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
func (n *Normalizer) Handle(ctx context.Context, event json.RawMessage) (events.DynamoDBEventResponse, error) {
	start := time.Now()
	var response events.DynamoDBEventResponse
	var batch struct{ Records []json.RawMessage }
	if err := json.Unmarshal(event, &batch); err != nil {
		return response, fault.New("normalizer.Handle", fault.Invalid, err)
	}
	work, cancel := n.working(ctx)
	defer cancel()

	items := n.normalizeAll(ctx, batch.Records)
	for queues := byEntity(items); len(queues) > 0; {
		heads := make([]*item, len(queues))
		for i, queue := range queues {
			heads[i] = queue[0]
		}
		n.round(work, heads)
		queues = advance(queues)
	}
	n.report(ctx, items, time.Since(start))
	return answer(items)
}

// working returns the context of all work, which ends early enough to answer.
func (n *Normalizer) working(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-min(n.config.Margin, time.Until(deadline)/4)))
}

// answer lists what is to be delivered again.
func answer(items []*item) (events.DynamoDBEventResponse, error) {
	var response events.DynamoDBEventResponse
	for _, it := range items {
		if it.done {
			continue
		}
		sequence := it.record.DynamoDB.SequenceNumber
		if sequence == "" {
			return events.DynamoDBEventResponse{}, fault.Newf("normalizer.Handle", fault.KindOf(it.err), "a record without a sequence number failed: %w", it.err)
		}
		response.BatchItemFailures = append(response.BatchItemFailures, events.DynamoDBBatchItemFailure{ItemIdentifier: sequence})
	}
	return response, nil
}
