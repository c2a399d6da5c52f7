package pump

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
)

// readLimit is the most records that one read may ask for.
// Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetRecords.html
const readLimit = 1000

// shard is what the pump knows of one shard.
type shard struct {
	id, parent string
	start      types.ShardIteratorType // where to begin
	done       string                  // sequence number of the last record that was delivered or given up; owned by its reader

	reading, drained bool // owned by Run
}

// reader reads one shard, from an iterator to the next.
type reader struct {
	*Pump
	shard    *shard
	logger   *slog.Logger
	iterator string
	last     string // sequence number of the last record that was read
	closed   bool   // there is nothing more to read

	reads   trouble
	invokes trouble
}

// read delivers a shard's records until the shard is drained or ctx ends, when it returns nil, or the stream is gone.
func (p *Pump) read(ctx context.Context, s *shard) error {
	logger := p.logger.With("shard", s.id)
	r := &reader{
		Pump: p, shard: s, logger: logger, last: s.done,
		reads:   trouble{logger: logger, doing: "read the stream"},
		invokes: trouble{logger: logger, doing: "invoke the function"},
	}
	var (
		buffer []record  // read and not delivered
		since  time.Time // when the first of them was read
		due    time.Time // of the next read
	)
	for {
		for {
			n := p.ready(buffer, since, r.closed)
			if n == 0 {
				break
			}
			if !r.deliver(ctx, buffer[:n:n]) {
				return nil // ctx ended
			}
			buffer = slices.Delete(buffer, 0, n)
			since = time.Now()
		}
		if len(buffer) == 0 {
			s.done = r.last // what the filter has passed over is done, too
		}
		if r.closed {
			return nil
		}

		next := due
		if end := since.Add(p.mapping.Window); len(buffer) > 0 && end.Before(next) {
			next = end
		}
		if !wait(ctx, time.Until(next)) {
			return nil
		}
		if time.Now().Before(due) {
			continue // the window is over
		}

		asked := min(p.mapping.BatchSize-len(buffer), readLimit)
		began := time.Now()
		records, err := r.next(ctx, asked)
		if err != nil || ctx.Err() != nil {
			return err
		}
		if len(buffer) == 0 {
			since = time.Now()
		}
		due = time.Time{}
		if len(records) < asked {
			due = began.Add(p.mapping.Poll)
		}
		buffer = append(buffer, slices.DeleteFunc(records, func(x record) bool { return x.passed })...)
	}
}

// ready tells how many of the records make a batch now; 0 is to go on gathering.
func (p *Pump) ready(buffer []record, since time.Time, closed bool) int {
	n := cut(buffer, p.mapping.BatchSize)
	full := n == p.mapping.BatchSize || n < len(buffer)
	if full || closed || p.mapping.Window == 0 || time.Since(since) >= p.mapping.Window {
		return n
	}
	return 0
}

// next reads once, successfully. It gets itself an iterator where it has none, and tries on until there is a reply or
// ctx ends; an error is ErrStreamGone.
func (r *reader) next(ctx context.Context, limit int) ([]record, error) {
	retry := backoff{first: 100 * time.Millisecond, last: 5 * time.Second}
	for ctx.Err() == nil {
		records, err := r.attempt(ctx, int32(limit))
		var (
			expired *types.ExpiredIteratorException
			trimmed *types.TrimmedDataAccessException
		)
		switch {
		case err == nil:
			r.reads.end(ctx)
			return records, nil
		case errors.As(err, &expired):
			r.iterator = ""
			if retry.current == 0 { // at once, unless the new one is expired too
				r.logger.InfoContext(ctx, "shard iterator expired; getting another", "after", r.last)
				retry.next()
				continue
			}
		case errors.As(err, &trimmed):
			r.logger.ErrorContext(ctx, "RECORDS ARE LOST: the stream has trimmed what was not read yet; going on at its oldest record", "after", r.last)
			r.iterator, r.last, r.shard.start = "", "", types.ShardIteratorTypeTrimHorizon
			if retry.current == 0 {
				retry.next()
				continue
			}
		case isGone(err):
			gone, describeErr := r.isShardGone(ctx)
			if errors.Is(describeErr, ErrStreamGone) {
				return nil, describeErr
			}
			if gone {
				r.logger.ErrorContext(ctx, "RECORDS MAY BE LOST: the shard is gone before it was read to its end", "after", r.last)
				r.closed = true
				return nil, nil
			}
			r.iterator = ""
		}
		r.reads.begin(ctx, err)
		wait(ctx, retry.next())
	}
	return nil, nil
}

func (r *reader) attempt(ctx context.Context, limit int32) ([]record, error) {
	if r.iterator == "" {
		if err := r.iterate(ctx); err != nil || r.closed {
			return nil, err
		}
	}
	out, err := r.streams.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: &r.iterator, Limit: &limit})
	if err != nil {
		return nil, err
	}
	records := make([]record, 0, len(out.Records))
	for _, each := range out.Records {
		converted, err := convert(each, r.mapping.StreamARN)
		if err != nil {
			return nil, fmt.Errorf("record after %q: %w", r.last, err)
		}
		converted.passed = !r.mapping.Filter.matches(each.Dynamodb.Keys)
		records = append(records, converted)
	}
	if len(records) > 0 {
		r.last = records[len(records)-1].sequence
	}
	r.iterator = value(out.NextShardIterator)
	r.closed = r.iterator == ""
	return records, nil
}

// iterate gets an iterator that begins after the last record read.
func (r *reader) iterate(ctx context.Context) error {
	in := &dynamodbstreams.GetShardIteratorInput{
		StreamArn: &r.mapping.StreamARN, ShardId: &r.shard.id, ShardIteratorType: r.shard.start,
	}
	if r.last != "" {
		in.ShardIteratorType, in.SequenceNumber = types.ShardIteratorTypeAfterSequenceNumber, &r.last
	}
	out, err := r.streams.GetShardIterator(ctx, in)
	if err != nil {
		return err
	}
	r.iterator = value(out.ShardIterator)
	r.closed = r.iterator == ""
	// A second LATEST would skip what was written since the first one: rather records from before it than none.
	r.shard.start = types.ShardIteratorTypeTrimHorizon
	return nil
}

// isShardGone looks closer at a resource that was not found.
func (r *reader) isShardGone(ctx context.Context) (bool, error) {
	d, err := r.describe(ctx)
	if isGone(err) {
		return true, fmt.Errorf("%w: %s", ErrStreamGone, r.mapping.StreamARN)
	}
	if err != nil {
		return false, err
	}
	return !slices.ContainsFunc(d.shards, func(s types.Shard) bool { return value(s.ShardId) == r.shard.id }), nil
}
