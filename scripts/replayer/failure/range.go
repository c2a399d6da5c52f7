package failure

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"github.com/iops-dashboard/live/infra/streamrecord"
	"github.com/iops-dashboard/live/infra/topology"
	"github.com/iops-dashboard/live/scripts/replayer/awsfault"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

var (
	// ErrTrimmed says that the stream does not have the whole range: it forgets records after a day.
	ErrTrimmed = errors.New("the stream does not have all records of the range")
	// ErrGone says that the stream, or its shard, is no longer there.
	ErrGone = errors.New("the stream is gone, or has forgotten the shard")
)

// Stream is what is needed of the API of DynamoDB Streams; a [dynamodbstreams.Client] has it.
type Stream interface {
	GetShardIterator(context.Context, *dynamodbstreams.GetShardIteratorInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetShardIteratorOutput, error)
	GetRecords(context.Context, *dynamodbstreams.GetRecordsInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetRecordsOutput, error)
}

const (
	// attempts is how often a read is tried. With the pauses between them, which double, that is some ten seconds.
	attempts             = 8
	firstPause, maxPause = 100 * time.Millisecond, 5 * time.Second
	// empties is how many pages without a record are read in a row, with a pause after each: less than a minute, as
	// whoever waits for the next record hides a message meanwhile. Records of a batch follow closely upon one another, so
	// what has not come by then does not come.
	empties    = 500
	emptyPause = 50 * time.Millisecond
)

// Records yields the records that were given up, in order, as Lambda delivers them: those of the payload, or else those
// that the shard has from the first to the last. Of a shard, those whose keys the mapping's filter, only, passes over are
// left out; nil leaves out none. Each use reads anew, a page at a time.
//
// An error is yielded last: [ErrTrimmed] or [ErrGone], and then only the rows of d.Table() can tell what the records
// said, up to d.End; redrive.ErrDenied; the end of ctx; or one that may pass. What was yielded before it is good.
func (d Document) Records(ctx context.Context, s Stream, only *topology.KeyPrefix) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		if d.Payload != nil {
			for _, r := range d.Payload {
				if !yield(r, nil) {
					return
				}
			}
			return
		}
		r := reader{Document: d, stream: s, only: only}
		for done := false; !done; {
			var page []json.RawMessage
			var err error
			page, done, err = r.page(ctx)
			for _, each := range page {
				if !yield(each, nil) {
					return
				}
			}
			if err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// reader reads a range of a shard.
type reader struct {
	Document
	stream   Stream
	only     *topology.KeyPrefix
	iterator *string
	last     string // sequence number of the last record that was read, or empty
	empty    int    // pages since then
}

// page reads a page and returns what of it is in the range, and whether that is over.
func (r *reader) page(ctx context.Context) (records []json.RawMessage, done bool, err error) {
	output, err := r.read(ctx)
	if err != nil {
		return nil, false, err
	}
	for _, in := range output.Records {
		if in.Dynamodb == nil || !number(aws.ToString(in.Dynamodb.SequenceNumber)) {
			return records, false, errors.New("the stream has a record without a sequence number")
		}
		sequence := *in.Dynamodb.SequenceNumber
		switch {
		case compare(sequence, cmp.Or(r.last, r.Start)) < 0, r.last != "" && compare(sequence, r.last) == 0:
			continue
		case r.last == "" && compare(sequence, r.Start) > 0:
			return records, false, fmt.Errorf("%w: it begins behind the first", ErrTrimmed)
		case compare(sequence, r.End) > 0:
			return records, false, fmt.Errorf("%w: it has not the last", ErrTrimmed)
		}
		r.last, r.empty = sequence, -1
		if r.passes(in.Dynamodb.Keys) {
			converted, err := streamrecord.Encode(in, r.Stream)
			if err != nil {
				return records, false, err
			}
			records = append(records, converted)
		}
		if compare(sequence, r.End) == 0 {
			return records, true, nil
		}
	}
	if r.iterator = output.NextShardIterator; r.iterator == nil {
		return records, false, fmt.Errorf("%w: the shard ends before the last", ErrTrimmed)
	}
	if r.empty++; r.empty == empties {
		return records, false, fmt.Errorf("%w: nothing came in %d reads", ErrTrimmed, empties)
	}
	if r.empty > 0 && !wait(ctx, emptyPause) {
		return records, false, ctx.Err()
	}
	return records, false, nil
}

func (r *reader) passes(keys map[string]types.AttributeValue) bool {
	if r.only == nil {
		return true
	}
	key, ok := keys[r.only.Attribute].(*types.AttributeValueMemberS)
	return ok && strings.HasPrefix(key.Value, r.only.Prefix)
}

// codes are those of GetRecords:
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetRecords.html#API_streams_GetRecords_Errors
var codes = awsfault.Codes{Passes: []string{"ExpiredIteratorException", "ProvisionedThroughputExceededException"}}

// read reads once, successfully, or says why that cannot be.
func (r *reader) read(ctx context.Context) (*dynamodbstreams.GetRecordsOutput, error) {
	pause := firstPause
	for try := 1; ; try++ {
		output, err := r.attempt(ctx)
		if err == nil || errors.Is(err, ErrTrimmed) {
			return output, err
		}
		switch awsfault.Code(err) {
		case "TrimmedDataAccessException":
			return nil, fmt.Errorf("%w: %w", ErrTrimmed, err)
		case "ResourceNotFoundException":
			return nil, fmt.Errorf("%w: %w", ErrGone, err)
		case "ExpiredIteratorException": // it lives for 15 minutes, and whoever takes the records may be slower
			r.iterator = nil
		}
		err = codes.Classify("read the stream", err)
		if errors.Is(err, redrive.ErrDenied) || errors.Is(err, redrive.ErrRefused) || try == attempts {
			return nil, err
		}
		if !wait(ctx, pause) {
			return nil, ctx.Err()
		}
		pause = min(2*pause, maxPause)
	}
}

func (r *reader) attempt(ctx context.Context) (*dynamodbstreams.GetRecordsOutput, error) {
	if r.iterator == nil {
		in := &dynamodbstreams.GetShardIteratorInput{
			StreamArn: &r.Stream, ShardId: &r.Shard, ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber, SequenceNumber: &r.Start,
		}
		if r.last != "" {
			in.ShardIteratorType, in.SequenceNumber = types.ShardIteratorTypeAfterSequenceNumber, &r.last
		}
		output, err := r.stream.GetShardIterator(ctx, in)
		if err != nil {
			return nil, err
		}
		if r.iterator = output.ShardIterator; r.iterator == nil {
			return nil, fmt.Errorf("%w: the shard ends before the last", ErrTrimmed)
		}
	}
	return r.stream.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: r.iterator})
}

func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// number reports whether text is a sequence number: up to 40 digits.
func number(text string) bool {
	return text != "" && len(text) <= 40 && strings.Trim(text, "0123456789") == ""
}

// compare compares two sequence numbers, which may have different numbers of digits.
func compare(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}
