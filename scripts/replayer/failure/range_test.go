package failure_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/aws/smithy-go"
	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/infra/topology"
	"github.com/iops-dashboard/live/scripts/replayer/failure"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

const streamARN = "arn:aws:dynamodb:eu-central-1:123456789012:table/iops-dashboard-metrics/stream/2026-11-22T00:00:00.000"

// shard is one shard of a stream. Its hooks may do what they like.
type shard struct {
	sequences []string
	trimmed   int  // how many of the oldest are gone
	silent    bool // reading on at the horizon instead of saying so
	closed    bool
	page      func() int   // how many records the next page has
	trouble   func() error // of the next call
	iterators []place
	calls     int
}

type place struct {
	next int // index of the record
	at   time.Time
}

// lifetime is how long an iterator can be used:
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetShardIterator.html
const lifetime = 15 * time.Minute

func (s *shard) call(stream, id *string) error {
	s.calls++
	if stream != nil && (*stream != streamARN || *id != "shardId-1") {
		return &types.ResourceNotFoundException{}
	}
	if s.trouble != nil {
		return s.trouble()
	}
	return nil
}

func (s *shard) iterator(next int) *string {
	s.iterators = append(s.iterators, place{next, time.Now()})
	return aws.String(strconv.Itoa(len(s.iterators) - 1))
}

func (s *shard) GetShardIterator(_ context.Context, in *dynamodbstreams.GetShardIteratorInput, _ ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetShardIteratorOutput, error) {
	if err := s.call(in.StreamArn, in.ShardId); err != nil {
		return nil, err
	}
	next := slices.IndexFunc(s.sequences, func(x string) bool { return integer(x).Cmp(integer(*in.SequenceNumber)) >= 0 })
	if next < 0 {
		next = len(s.sequences)
	}
	if in.ShardIteratorType == types.ShardIteratorTypeAfterSequenceNumber && next < len(s.sequences) && s.sequences[next] == *in.SequenceNumber {
		next++
	}
	if next < s.trimmed && !s.silent {
		return nil, &types.TrimmedDataAccessException{}
	}
	return &dynamodbstreams.GetShardIteratorOutput{ShardIterator: s.iterator(next)}, nil
}

func (s *shard) GetRecords(_ context.Context, in *dynamodbstreams.GetRecordsInput, _ ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetRecordsOutput, error) {
	if err := s.call(nil, nil); err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(*in.ShardIterator)
	if err != nil {
		return nil, err
	}
	from := s.iterators[n]
	switch {
	case time.Since(from.at) > lifetime:
		return nil, &types.ExpiredIteratorException{}
	case from.next < s.trimmed && !s.silent:
		return nil, &types.TrimmedDataAccessException{}
	}
	begin := max(from.next, s.trimmed)
	end := min(len(s.sequences), begin+s.page())
	output := &dynamodbstreams.GetRecordsOutput{}
	for _, sequence := range s.sequences[begin:end] {
		output.Records = append(output.Records, change(sequence))
	}
	if end < len(s.sequences) || !s.closed {
		output.NextShardIterator = s.iterator(end)
	}
	return output, nil
}

// integer is a sequence number as a number.
func integer(text string) *big.Int {
	n, ok := new(big.Int).SetString(text, 10)
	if !ok {
		return new(big.Int)
	}
	return n
}

func change(sequence string) types.Record {
	created := time.Unix(1795381200, 0)
	key := map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: kind(sequence) + sequence}}
	return types.Record{
		EventID: aws.String("e" + sequence), EventName: types.OperationTypeInsert,
		Dynamodb: &types.StreamRecord{SequenceNumber: &sequence, Keys: key, NewImage: key, ApproximateCreationDateTime: &created},
	}
}

// kind makes of every third record one that the filter passes over.
func kind(sequence string) string {
	if new(big.Int).Mod(integer(sequence), big.NewInt(3)).Sign() == 0 {
		return "other#"
	}
	return "insight#"
}

var insights = &topology.KeyPrefix{Attribute: "pk", Prefix: "insight#"}

func between(start, end string) failure.Document {
	return failure.Document{Stream: streamARN, Shard: "shardId-1", Start: start, End: end}
}

// read takes all, and returns their sequence numbers.
func read(all iter.Seq2[json.RawMessage, error]) (got []string, err error) {
	for record, wrong := range all {
		if err != nil {
			return got, fmt.Errorf("something follows the error %w", err)
		}
		if err = wrong; err != nil {
			continue
		}
		var r events.DynamoDBEventRecord
		if err := json.Unmarshal(record, &r); err != nil {
			return got, err
		}
		got = append(got, r.Change.SequenceNumber)
	}
	return got, err
}

// Whatever pages come, and whatever is in the way: all of the range comes, once and in order, or it is said why not, and
// what came is the beginning of it.
func TestTheRangeIsReadWhole(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var sequences []string
		number := integer(rapid.SampledFrom([]string{"1", "7", "95", "9999999999999999999990", "1405400000000002063282832"}).Draw(rt, "first"))
		for range rapid.IntRange(1, 30).Draw(rt, "records") {
			sequences = append(sequences, number.String())
			number = new(big.Int).Add(number, big.NewInt(rapid.Int64Range(1, 20).Draw(rt, "gap")))
		}
		c := course{
			shard: shard{
				sequences: sequences, closed: rapid.Bool().Draw(rt, "closed"), silent: rapid.Bool().Draw(rt, "silent"),
				trimmed: rapid.SampledFrom([]int{0, 0, 0, rapid.IntRange(0, len(sequences)).Draw(rt, "horizon")}).Draw(rt, "trimmed"),
			},
			start:    rapid.IntRange(0, len(sequences)-1).Draw(rt, "start"),
			filtered: rapid.Bool().Draw(rt, "filtered"),
			pages:    append(rapid.SliceOfN(rapid.IntRange(-3, 8), 0, 20).Draw(rt, "pages"), 3),
			troubles: append(rapid.SliceOfN(rapid.IntRange(0, 15), 0, 20).Draw(rt, "troubles"), 0),
			trims:    rapid.SliceOfN(rapid.IntRange(-20, 5), 0, 20).Draw(rt, "trims"),
			slow:     rapid.SliceOfN(rapid.IntRange(0, 9), 30, 30).Draw(rt, "slow"),
		}
		c.end = rapid.IntRange(c.start, len(sequences)-1).Draw(rt, "end")
		if c.silent { // nobody could know it of a server that says nothing in the middle
			c.trims = nil
		}
		var wrong string
		synctest.Test(t, func(*testing.T) { wrong = c.run() })
		if wrong != "" {
			rt.Fatal(wrong)
		}
	})
}

// course is a range that is read in spite of trouble. Of each list one is taken at a time, and then once more from the
// beginning.
type course struct {
	shard
	start, end int
	filtered   bool
	pages      []int // with how many records; negative: none
	troubles   []int
	trims      []int // by how many records the horizon moves on, if that is positive
	slow       []int // 0: who takes the records comes back when the iterator has expired
}

func (c *course) run() string {
	var pages, troubles, trims, slow int
	c.page = func() int {
		pages++
		return max(0, c.pages[(pages-1)%len(c.pages)])
	}
	c.trouble = func() error {
		if trims++; len(c.trims) > 0 {
			c.trimmed = min(len(c.sequences), c.trimmed+max(0, c.trims[trims%len(c.trims)]))
		}
		if troubles++; troubles%5 == 0 {
			return nil
		}
		switch c.troubles[troubles%len(c.troubles)] {
		case 1:
			return &types.LimitExceededException{}
		case 2:
			return &smithy.GenericAPIError{Code: "ProvisionedThroughputExceededException", Fault: smithy.FaultClient}
		case 3:
			return &types.InternalServerError{}
		case 4:
			return &types.ExpiredIteratorException{}
		case 5:
			return errors.New("connection reset")
		}
		return nil
	}
	var only *topology.KeyPrefix
	if c.filtered {
		only = insights
	}
	var want []string
	for _, sequence := range c.sequences[c.start : c.end+1] {
		if only == nil || kind(sequence) == only.Prefix {
			want = append(want, sequence)
		}
	}
	early := c.trimmed > c.start // before anything was read
	all := between(c.sequences[c.start], c.sequences[c.end]).Records(context.Background(), &c.shard, only)
	got, err := read(func(yield func(json.RawMessage, error) bool) {
		for record, err := range all {
			if slow++; c.slow[slow%len(c.slow)] == 0 {
				time.Sleep(lifetime + time.Second)
			}
			if !yield(record, err) {
				return
			}
		}
	})
	switch {
	case len(got) > len(want) || !slices.Equal(got, want[:len(got)]):
		return fmt.Sprintf("read %v of %v", got, want)
	case early && (!errors.Is(err, failure.ErrTrimmed) || len(got) > 0):
		return fmt.Sprintf("read %v, %v, and the first is gone", got, err)
	case err == nil && len(got) != len(want):
		return fmt.Sprintf("read %v of %v, and no word", got, want)
	case err != nil && (!errors.Is(err, failure.ErrTrimmed) || c.trimmed <= c.start):
		return fmt.Sprintf("read %v of %v: %v", got, want, err)
	}
	return ""
}

func ten(t *testing.T) *shard {
	t.Helper()
	return &shard{sequences: []string{"97", "98", "99", "100", "101", "1000"}, page: func() int { return 2 }}
}

// Sequence numbers are numbers: 100 is behind 99.
func TestSequenceNumbersAreNoTexts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		start, end string
		want       []string
	}{
		{"98", "101", []string{"98", "99", "100", "101"}},
		{"99", "1000", []string{"99", "100", "101", "1000"}},
		{"097", "0098", []string{"97", "98"}},
		{"1000", "1000", []string{"1000"}},
	} {
		s := ten(t)
		if got, err := read(between(tc.start, tc.end).Records(t.Context(), s, nil)); err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%s to %s: %v, %v", tc.start, tc.end, got, err)
		}
		if s.calls > 4 {
			t.Errorf("%s to %s: read on after the last, in %d calls", tc.start, tc.end, s.calls)
		}
	}
}

func TestWhatCannotBeReadIsSaid(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*shard, *failure.Document)
		kind   error // nil: none
		got    int
	}{
		"another stream":        {func(_ *shard, d *failure.Document) { d.Stream = streamARN + "1" }, failure.ErrGone, 0},
		"another shard":         {func(_ *shard, d *failure.Document) { d.Shard = "shardId-2" }, failure.ErrGone, 0},
		"trimmed":               {func(s *shard, _ *failure.Document) { s.trimmed = 2 }, failure.ErrTrimmed, 0},
		"trimmed without words": {func(s *shard, _ *failure.Document) { s.trimmed, s.silent = 2, true }, failure.ErrTrimmed, 0},
		"closed too early":      {func(s *shard, d *failure.Document) { s.closed, d.End = true, "2000" }, failure.ErrTrimmed, 5},
		"the last is not there": {func(_ *shard, d *failure.Document) { d.End = "500" }, failure.ErrTrimmed, 4},
		"never comes":           {func(_ *shard, d *failure.Document) { d.End = "2000" }, failure.ErrTrimmed, 5},
		"no permission":         {trouble(&smithy.GenericAPIError{Code: "AccessDeniedException"}), redrive.ErrDenied, 0},
		"no credentials":        {trouble(&smithy.GenericAPIError{Code: "ExpiredTokenException"}), redrive.ErrDenied, 0},
		"not understood":        {trouble(&smithy.GenericAPIError{Code: "ValidationException", Fault: smithy.FaultClient}), redrive.ErrRefused, 0},
		"throttled for ever":    {trouble(&types.LimitExceededException{}), nil, 0},
		"expired for ever":      {trouble(&types.ExpiredIteratorException{}), nil, 0},
		"an outage":             {trouble(errors.New("connection refused")), nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, d := ten(t), between("98", "1000")
				tc.change(s, &d)
				began := time.Now()
				got, err := read(d.Records(t.Context(), s, nil))
				if err == nil || len(got) != tc.got {
					t.Errorf("read %v, %v", got, err)
				}
				for _, kind := range []error{failure.ErrGone, failure.ErrTrimmed, redrive.ErrDenied, redrive.ErrRefused} {
					if errors.Is(err, kind) != (kind == tc.kind) {
						t.Errorf("%v; is %v: %t", err, kind, errors.Is(err, kind))
					}
				}
				if took := time.Since(began); took > time.Minute || tc.kind != nil && took > 0 && name != "never comes" {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

func trouble(err error) func(*shard, *failure.Document) {
	return func(s *shard, _ *failure.Document) { s.trouble = func() error { return err } }
}

// An iterator that has expired goes on behind the last record, and a reader that has enough reads no more.
func TestReadingStopsWhenAsked(t *testing.T) {
	t.Parallel()
	s := ten(t)
	var got []json.RawMessage
	for r, err := range between("97", "1000").Records(t.Context(), s, nil) {
		if got = append(got, r); err != nil || len(got) == 3 {
			break
		}
	}
	if len(got) != 3 || s.calls != 3 {
		t.Errorf("%d records in %d calls", len(got), s.calls)
	}

	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s := ten(t)
		s.page = func() int { return 0 }
		began := time.Now()
		got, err := read(between("97", "1000").Records(ctx, s, nil))
		if !errors.Is(err, context.DeadlineExceeded) || len(got) > 0 || time.Since(began) > time.Second {
			t.Errorf("%v, %v after %v", got, err, time.Since(began))
		}
		s.trouble = func() error { return &types.LimitExceededException{} }
		if _, err := read(between("97", "1000").Records(ctx, s, nil)); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// A document with its records needs no stream, and gives them as they are.
func TestThePayloadIsTheRecords(t *testing.T) {
	t.Parallel()
	d := between("97", "1000")
	d.Payload = []json.RawMessage{json.RawMessage(`{ "b":1.0,"a":"<" }`), json.RawMessage(`7`)}
	for range 2 {
		var got []json.RawMessage
		for r, err := range d.Records(t.Context(), nil, insights) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, r)
		}
		if !reflect.DeepEqual(got, d.Payload) {
			t.Errorf("got %s", got)
		}
	}
	for range d.Records(t.Context(), nil, nil) {
		break
	}
}

func TestARecordWithoutASequenceNumberEndsTheReading(t *testing.T) {
	t.Parallel()
	for _, odd := range []string{"", "x1", strings.Repeat("9", 41)} {
		s := &shard{sequences: []string{odd}, page: func() int { return 1 }}
		if got, err := read(between("97", "1000").Records(t.Context(), oddly{s}, nil)); err == nil || len(got) > 0 {
			t.Errorf("%q: %v, %v", odd, got, err)
		}
	}
}

// oddly gives iterators to a shard whose numbers are none.
type oddly struct{ *shard }

func (o oddly) GetShardIterator(context.Context, *dynamodbstreams.GetShardIteratorInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetShardIteratorOutput, error) {
	return &dynamodbstreams.GetShardIteratorOutput{ShardIterator: o.iterator(0)}, nil
}

func (o oddly) GetRecords(context.Context, *dynamodbstreams.GetRecordsInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetRecordsOutput, error) {
	return &dynamodbstreams.GetRecordsOutput{Records: []types.Record{{}, {Dynamodb: &types.StreamRecord{SequenceNumber: &o.sequences[0]}}}, NextShardIterator: o.iterator(1)}, nil
}
