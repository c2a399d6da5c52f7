// Package pump invokes Lambda functions on one machine as AWS does: for what comes in a DynamoDB stream (Pump) or a queue
// (QueuePump), and in a rhythm (Scheduler).
//
// The mapping of a stream does as AWS does: each shard is read in order and its batches are delivered one at a time, parents before
// children; a batch that fails is retried, bisected, or taken up again at the lowest record the function named, until
// it succeeds or is given up into the failure store; then the shard moves on. Delivery is at least once.
//
// It differs from AWS in that
//   - one batch a shard is under way at a time (ParallelizationFactor 1, the default, is the only one), a filter is no
//     more than a prefix of a key, and there are no tumbling windows;
//   - a document that the failure store does not take is tried again until it does, and the shard waits, where AWS
//     drops the records and counts DestinationDeliveryFailures: nothing is lost on the way to the place of rest;
//   - positions are kept in memory: a new Pump starts at StartingPosition.
//
// Sequence numbers are used as names only. What comes first is what the shard gave first; nothing here compares
// numbers, as text or otherwise, and the end of a shard is told by a missing NextShardIterator alone.
//
// Source: https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html
package pump

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
)

// ErrStreamGone says that there is nothing more to read and never will be: the stream does not exist, or was disabled
// and is read to its end. A table whose stream is enabled again has a new one.
var ErrStreamGone = errors.New("pump: the stream is gone")

// Streams is the part of the DynamoDB Streams client that a Pump needs; it is called concurrently.
type Streams interface {
	DescribeStream(context.Context, *dynamodbstreams.DescribeStreamInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.DescribeStreamOutput, error)
	GetShardIterator(context.Context, *dynamodbstreams.GetShardIteratorInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetShardIteratorOutput, error)
	GetRecords(context.Context, *dynamodbstreams.GetRecordsInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetRecordsOutput, error)
}

// Invoker runs a function synchronously. It is called concurrently for different shards.
//
// An error means that the function did not answer: it is throttled, or its host is in trouble. That is never counted
// against the records; the pump tries again, sooner if the error has a method Throttled() bool that returns true.
// A failure of the function itself is a Response with FunctionError set.
type Invoker interface {
	Invoke(ctx context.Context, function string, payload []byte) (Response, error)
}

// InvokerFunc is a function that is an Invoker.
type InvokerFunc func(ctx context.Context, function string, payload []byte) (Response, error)

// Invoke implements Invoker.
func (f InvokerFunc) Invoke(ctx context.Context, function string, payload []byte) (Response, error) {
	return f(ctx, function, payload)
}

// Response is what a function answered. Its fields are those of lambdahost.Result, which converts to it.
type Response struct {
	Payload       []byte
	FunctionError string // "" or "Unhandled"
	Version       string
	RequestID     string
}

// Mapping is an event source mapping.
type Mapping struct {
	UUID      string // names the mapping in the failure store
	StreamARN string
	TableName string // for logs
	Function  string // name or ARN

	BatchSize int           // records, 1 to 10,000. Defaults to 100. A batch is also cut at 6 MB.
	Window    time.Duration // how long a batch that is not full is gathered. Defaults to 0: not at all.

	MaxRetries int           // of a batch after its first try; −1 is for ever
	MaxAge     time.Duration // a record older than this is given up untried. Defaults to 0: never.
	Bisect     bool          // split a failing batch in two; a split does not use up a retry

	ReportBatchItemFailures bool // the function's response names the records that failed

	Filter *KeyPrefix // which records are delivered; nil: all. The others are passed over, and done.

	StartingPosition string        // TRIM_HORIZON or LATEST
	Poll             time.Duration // how often a shard with nothing new is read. Defaults to 250 ms, as AWS does.
}

// KeyPrefix is what a key attribute, a text, begins with.
type KeyPrefix struct{ Attribute, Prefix string }

// matches reports whether a record with these keys passes. It is called on nil, too, which all pass.
func (f *KeyPrefix) matches(keys map[string]types.AttributeValue) bool {
	if f == nil {
		return true
	}
	text, ok := keys[f.Attribute].(*types.AttributeValueMemberS)
	return ok && strings.HasPrefix(text.Value, f.Prefix)
}

func (m Mapping) withDefaults() Mapping {
	if m.BatchSize == 0 {
		m.BatchSize = 100
	}
	if m.Poll == 0 {
		m.Poll = 250 * time.Millisecond
	}
	return m
}

func (m Mapping) validate() error {
	var faults []error
	check := func(ok bool, fault string) {
		if !ok {
			faults = append(faults, errors.New(fault))
		}
	}
	check(m.UUID != "" && !strings.ContainsAny(m.UUID, `/\`), "UUID is missing or has slashes")
	check(m.StreamARN != "", "StreamARN is missing")
	check(m.Function != "", "Function is missing")
	check(m.BatchSize >= 1 && m.BatchSize <= 10_000, "BatchSize is 1 to 10,000")
	check(m.Window >= 0 && m.Window <= 300*time.Second, "Window is 0 to 300 s")
	check(m.MaxRetries >= -1 && m.MaxRetries <= 10_000, "MaxRetries is -1 to 10,000")
	check(m.MaxAge >= 0, "MaxAge is not negative")
	check(m.Poll > 0, "Poll is positive")
	check(m.Filter == nil || m.Filter.Attribute != "" && m.Filter.Prefix != "", "Filter lacks its attribute or its prefix")
	check(m.StartingPosition == "TRIM_HORIZON" || m.StartingPosition == "LATEST", "StartingPosition is TRIM_HORIZON or LATEST")
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("pump: mapping of %s to %s: %w", m.TableName, m.Function, err)
	}
	return nil
}

const (
	// discoverEvery is how often new shards are looked for. A shard that ends has them looked for at once.
	discoverEvery = 10 * time.Second
	// discoverSoon is how often while there is no shard to read.
	discoverSoon = time.Second
)

// Pump is one event source mapping at work.
type Pump struct {
	mapping Mapping
	streams Streams
	invoker Invoker
	store   FailureStore
	logger  *slog.Logger

	running sync.Mutex
	begun   bool              // the shards of the first discovery have their starting position
	shards  map[string]*shard // owned by Run
}

// New returns a Pump that has not started. Without a store, what is given up is logged and lost, as on AWS without a
// destination. The logger may be nil.
func New(mapping Mapping, streams Streams, invoker Invoker, store FailureStore, logger *slog.Logger) *Pump {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	mapping = mapping.withDefaults()
	return &Pump{
		mapping: mapping,
		streams: streams,
		invoker: invoker,
		store:   store,
		logger:  logger.With("table", mapping.TableName, "function", mapping.Function),
		shards:  make(map[string]*shard),
	}
}

// Run pumps until ctx ends, when it returns nil, or until a fault that cannot heal: a faulty Mapping or ErrStreamGone.
// Every other error is retried for ever, with a jittered back-off, and logged once when the trouble begins and once
// when it is over. No goroutine is left when it returns. Called again after that, it goes on where it was; records that
// were under way come again. It must not be called concurrently.
func (p *Pump) Run(ctx context.Context) error {
	if !p.running.TryLock() {
		return errors.New("pump: Run is called twice at a time")
	}
	defer p.running.Unlock()
	if err := p.mapping.validate(); err != nil {
		return err
	}
	inner, cancel := context.WithCancelCause(ctx)
	var readers sync.WaitGroup
	err := p.coordinate(inner, cancel, &readers)
	cancel(nil)
	readers.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// coordinate finds shards and has each one read when its turn has come. It returns when ctx ends, with its cause.
func (p *Pump) coordinate(ctx context.Context, cancel context.CancelCauseFunc, readers *sync.WaitGroup) error {
	trouble := trouble{logger: p.logger, doing: "describe the stream"}
	retry := backoff{first: 100 * time.Millisecond, last: 5 * time.Second}
	ended := make(chan *shard)
	reading := 0
	for {
		description, err := p.describe(ctx)
		pause := discoverEvery
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case isGone(err):
			return fmt.Errorf("%w: %s", ErrStreamGone, p.mapping.StreamARN)
		case err != nil:
			trouble.begin(ctx, err)
			pause = retry.next()
		default:
			trouble.end(ctx)
			retry.reset()
			p.learn(description)
			for _, s := range p.due() {
				s.reading = true
				reading++
				readers.Go(func() {
					if err := p.read(ctx, s); err != nil {
						cancel(err)
					}
					select {
					case ended <- s:
					case <-ctx.Done():
					}
				})
			}
			if reading == 0 {
				if description.status == types.StreamStatusDisabled {
					return fmt.Errorf("%w: %s is disabled and read to its end", ErrStreamGone, p.mapping.StreamARN)
				}
				pause = discoverSoon
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case s := <-ended:
			s.reading = false
			s.drained = ctx.Err() == nil // else it may have stopped for that
			reading--
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			for _, s := range p.shards {
				s.reading = false
			}
			return context.Cause(ctx)
		}
	}
}

type description struct {
	status types.StreamStatus
	shards []types.Shard
}

// describe reads every page of the stream's description.
func (p *Pump) describe(ctx context.Context) (description, error) {
	var d description
	var after *string
	for {
		out, err := p.streams.DescribeStream(ctx, &dynamodbstreams.DescribeStreamInput{
			StreamArn: &p.mapping.StreamARN, ExclusiveStartShardId: after,
		})
		if err != nil {
			return d, err
		}
		if out.StreamDescription == nil {
			return d, errors.New("a reply without a description")
		}
		d.status = out.StreamDescription.StreamStatus
		d.shards = append(d.shards, out.StreamDescription.Shards...)
		last := out.StreamDescription.LastEvaluatedShardId
		if last == nil || *last == "" || after != nil && *last == *after {
			return d, nil
		}
		after = last
	}
}

// learn adds the shards that are new and forgets those that the stream has forgotten.
func (p *Pump) learn(d description) {
	listed := make(map[string]bool, len(d.shards))
	parents := make(map[string]bool, len(d.shards))
	for _, s := range d.shards {
		listed[value(s.ShardId)] = true
		parents[value(s.ParentShardId)] = true
	}
	for _, s := range d.shards {
		id := value(s.ShardId)
		if _, known := p.shards[id]; known {
			continue
		}
		next := &shard{id: id, parent: value(s.ParentShardId), start: types.ShardIteratorTypeTrimHorizon}
		if !p.begun && p.mapping.StartingPosition == "LATEST" {
			// What is newest is at the leaves; what their ancestors hold is older than that.
			next.start = types.ShardIteratorTypeLatest
			next.drained = parents[id]
		}
		p.shards[id] = next
	}
	p.begun = p.begun || len(d.shards) > 0
	for id, s := range p.shards {
		if !listed[id] && !s.reading {
			delete(p.shards, id)
		}
	}
}

// due lists the shards that may be read now: their parent is drained, or too old to be listed.
func (p *Pump) due() []*shard {
	var list []*shard
	for _, s := range p.shards {
		if parent, known := p.shards[s.parent]; !s.reading && !s.drained && (!known || parent.drained) {
			list = append(list, s)
		}
	}
	return list
}

func isGone(err error) bool {
	var gone *types.ResourceNotFoundException
	return errors.As(err, &gone)
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
