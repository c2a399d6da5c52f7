package pump

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const streamARN = "arn:aws:dynamodb:eu-central-1:123456789012:table/metrics/stream/2026-11-22T00:00:00.000"

// fakeStreams is a stream in memory: shards that split, iterators that expire, and faults on demand.
type fakeStreams struct {
	mu         sync.Mutex
	shards     []*fakeShard
	status     types.StreamStatus
	pageSize   int // of DescribeStream
	generation int // of the iterators that are good

	fail      func(operation, shard string) error // nil: never
	reads     int
	iterators []string // requested: shard type sequence
}

type fakeShard struct {
	id, parent string
	records    []types.Record
	trimmed    int // records lost at the head
	closed     bool
}

func newStreams(ids ...string) *fakeStreams {
	f := &fakeStreams{status: types.StreamStatusEnabled, pageSize: 100}
	for _, id := range ids {
		f.shards = append(f.shards, &fakeShard{id: id})
	}
	return f
}

func (f *fakeStreams) find(id string) *fakeShard {
	for _, s := range f.shards {
		if s.id == id {
			return s
		}
	}
	return nil
}

// write appends records with these numbers to a shard.
func (f *fakeStreams) write(shard string, numbers ...int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.find(shard)
	for _, n := range numbers {
		s.records = append(s.records, newRecord(n, time.Now()))
	}
}

// split closes a shard and opens its children.
func (f *fakeStreams) split(parent string, children ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.find(parent).closed = true
	for _, id := range children {
		f.shards = append(f.shards, &fakeShard{id: id, parent: parent})
	}
}

func (f *fakeStreams) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeStreams) fault(operation, shard string) error {
	if f.fail == nil {
		return nil
	}
	return f.fail(operation, shard)
}

func (f *fakeStreams) DescribeStream(ctx context.Context, in *dynamodbstreams.DescribeStreamInput, _ ...func(*dynamodbstreams.Options)) (*dynamodbstreams.DescribeStreamOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := errors.Join(ctx.Err(), f.fault("DescribeStream", "")); err != nil {
		return nil, err
	}
	begin := 0
	if in.ExclusiveStartShardId != nil {
		begin = 1 + slices.IndexFunc(f.shards, func(s *fakeShard) bool { return s.id == *in.ExclusiveStartShardId })
	}
	end := min(begin+f.pageSize, len(f.shards))
	out := &types.StreamDescription{StreamArn: in.StreamArn, StreamStatus: f.status}
	for _, s := range f.shards[begin:end] {
		shard := types.Shard{ShardId: &s.id, SequenceNumberRange: &types.SequenceNumberRange{EndingSequenceNumber: new("9")}} // also on open ones
		if s.parent != "" {
			shard.ParentShardId = &s.parent
		}
		out.Shards = append(out.Shards, shard)
	}
	if end < len(f.shards) {
		out.LastEvaluatedShardId = &f.shards[end-1].id
	}
	return &dynamodbstreams.DescribeStreamOutput{StreamDescription: out}, nil
}

func (f *fakeStreams) GetShardIterator(ctx context.Context, in *dynamodbstreams.GetShardIteratorInput, _ ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetShardIteratorOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.iterators = append(f.iterators, strings.TrimSpace(fmt.Sprintf("%s %s %s", *in.ShardId, in.ShardIteratorType, value(in.SequenceNumber))))
	if err := errors.Join(ctx.Err(), f.fault("GetShardIterator", *in.ShardId)); err != nil {
		return nil, err
	}
	s := f.find(*in.ShardId)
	if s == nil {
		return nil, &types.ResourceNotFoundException{}
	}
	place := s.trimmed
	switch in.ShardIteratorType {
	case types.ShardIteratorTypeLatest:
		place = len(s.records)
	case types.ShardIteratorTypeAfterSequenceNumber:
		place = 1 + slices.IndexFunc(s.records, func(r types.Record) bool { return *r.Dynamodb.SequenceNumber == *in.SequenceNumber })
		if place < s.trimmed {
			return nil, &types.TrimmedDataAccessException{}
		}
	}
	return &dynamodbstreams.GetShardIteratorOutput{ShardIterator: new(fmt.Sprintf("%d/%s/%d", f.generation, s.id, place))}, nil
}

func (f *fakeStreams) GetRecords(ctx context.Context, in *dynamodbstreams.GetRecordsInput, _ ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetRecordsOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	part := strings.Split(*in.ShardIterator, "/")
	if err := errors.Join(ctx.Err(), f.fault("GetRecords", part[1])); err != nil {
		return nil, err
	}
	if generation, _ := strconv.Atoi(part[0]); generation < f.generation {
		return nil, &types.ExpiredIteratorException{}
	}
	s := f.find(part[1])
	if s == nil {
		return nil, &types.ResourceNotFoundException{}
	}
	begin, _ := strconv.Atoi(part[2])
	if begin < s.trimmed {
		return nil, &types.TrimmedDataAccessException{}
	}
	end := min(begin+int(*in.Limit), len(s.records))
	out := &dynamodbstreams.GetRecordsOutput{Records: s.records[begin:end]}
	if !s.closed || end < len(s.records) {
		out.NextShardIterator = new(fmt.Sprintf("%d/%s/%d", f.generation, s.id, end))
	}
	return out, nil
}

func newRecord(n int, created time.Time) types.Record {
	return types.Record{
		EventID: new(fmt.Sprintf("%032x", n)), EventName: types.OperationTypeInsert, EventVersion: new("1.1"), EventSource: new("aws:dynamodb"), AwsRegion: new("eu-central-1"),
		Dynamodb: &types.StreamRecord{
			ApproximateCreationDateTime: new(created.Truncate(time.Second)),
			Keys:                        map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: strconv.Itoa(n)}},
			SequenceNumber:              new(strconv.Itoa(n)), SizeBytes: new(int64(10)), StreamViewType: types.StreamViewTypeNewAndOldImages,
		},
	}
}

// call is one invocation as the function saw it.
type call struct {
	numbers []int
	at      time.Duration // since the bench was made
}

// bench is a pump at work in a bubble of fake time.
type bench struct {
	*Pump
	t       *testing.T
	streams *fakeStreams
	store   *fakeStore
	log     *logCounter
	began   time.Time
	stop    context.CancelFunc
	ended   chan error

	mu       sync.Mutex
	calls    []call
	underWay map[int]bool // by first digit of the number, which the tests use for the shard
	function func(ctx context.Context, numbers []int) (Response, error)
}

// newBench prepares a pump whose function is called with the numbers of its records; nil always succeeds.
func newBench(t *testing.T, mapping Mapping, streams *fakeStreams, function func(ctx context.Context, numbers []int) (Response, error)) *bench {
	b := &bench{t: t, streams: streams, store: &fakeStore{}, log: &logCounter{}, began: time.Now(), function: function, underWay: map[int]bool{}}
	mapping.UUID, mapping.StreamARN, mapping.TableName, mapping.Function = "esm", streamARN, "metrics", "normalizer"
	if mapping.StartingPosition == "" {
		mapping.StartingPosition = "TRIM_HORIZON"
	}
	b.Pump = New(mapping, streams, InvokerFunc(b.invoke), b.store, slog.New(b.log))
	return b
}

func (b *bench) invoke(ctx context.Context, function string, payload []byte) (Response, error) {
	var event events.DynamoDBEvent
	if err := json.Unmarshal(payload, &event); err != nil || function != "normalizer" || len(payload) > maxPayload {
		b.t.Errorf("invoke %s with %d bytes: %v", function, len(payload), err)
	}
	numbers := make([]int, len(event.Records))
	for i, r := range event.Records {
		numbers[i], _ = strconv.Atoi(r.Change.SequenceNumber)
	}
	shard := numbers[0] / 1000
	b.mu.Lock()
	b.calls = append(b.calls, call{numbers, time.Since(b.began)})
	if b.underWay[shard] {
		b.t.Errorf("two batches of one shard at a time: %v", numbers)
	}
	b.underWay[shard] = true
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.underWay[shard] = false
	}()
	if b.function == nil {
		return Response{Version: "$LATEST", RequestID: "r"}, nil
	}
	response, err := b.function(ctx, numbers)
	response.Version, response.RequestID = "$LATEST", "r"
	return response, err
}

// start runs the pump until halt.
func (b *bench) start() {
	ctx, stop := context.WithCancel(b.t.Context())
	b.stop, b.ended = stop, make(chan error, 1)
	go func() { b.ended <- b.Run(ctx) }()
	synctest.Wait()
}

// halt stops the pump, which must return nil.
func (b *bench) halt() {
	b.t.Helper()
	b.stop()
	if err := <-b.ended; err != nil {
		b.t.Errorf("Run: %v", err)
	}
}

// after lets time pass until all is quiet again.
func (b *bench) after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// numbers lists the calls so far.
func (b *bench) numbers() [][]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([][]int, len(b.calls))
	for i, c := range b.calls {
		list[i] = c.numbers
	}
	return list
}

func (b *bench) expect(want ...[]int) {
	b.t.Helper()
	if got := b.numbers(); !slices.EqualFunc(got, want, slices.Equal) {
		b.t.Errorf("invoked with %v, want %v", got, want)
	}
}

// documents are what was given up, decoded, with their events.
func (b *bench) documents() []failureDocument {
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	var list []failureDocument
	for _, each := range b.store.documents {
		var d failureDocument
		if err := json.Unmarshal(each, &d); err != nil {
			b.t.Error(err)
		}
		list = append(list, d)
	}
	return list
}

func payloadNumbers(t *testing.T, payload string) []int {
	t.Helper()
	var event events.DynamoDBEvent
	if err := json.Unmarshal([]byte(payload), &event); err != nil {
		t.Fatalf("payload %q: %v", payload, err)
	}
	var numbers []int
	for _, r := range event.Records {
		n, _ := strconv.Atoi(r.Change.SequenceNumber)
		numbers = append(numbers, n)
	}
	return numbers
}

type fakeStore struct {
	mu        sync.Mutex
	fail      error
	tries     []string // keys
	keys      []string
	documents [][]byte
}

func (s *fakeStore) Put(ctx context.Context, key string, document []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries = append(s.tries, key)
	if err := errors.Join(ctx.Err(), s.fail); err != nil {
		return err
	}
	s.keys = append(s.keys, key)
	s.documents = append(s.documents, bytes.Clone(document))
	return nil
}

// logCounter is a slog.Handler that keeps each line's level and message.
type logCounter struct {
	mu    sync.Mutex
	lines []string
}

func (l *logCounter) Enabled(context.Context, slog.Level) bool { return true }
func (l *logCounter) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logCounter) WithGroup(string) slog.Handler            { return l }

func (l *logCounter) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, r.Level.String()+" "+r.Message)
	return nil
}

func (l *logCounter) count(part string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

var (
	failed      = Response{FunctionError: "Unhandled", Payload: []byte(`{"errorMessage":"no"}`)}
	errThrottle = throttleError{}
	errHost     = errors.New("connection refused")
)

type throttleError struct{}

func (throttleError) Error() string   { return "throttled" }
func (throttleError) Throttled() bool { return true }

func span(first, last int) []int {
	var numbers []int
	for n := first; n <= last; n++ {
		numbers = append(numbers, n)
	}
	return numbers
}
