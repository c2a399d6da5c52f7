package dynamostate

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/fault/awsfault"
	"github.com/iops-dashboard/live/services/internal/state"
)

// spare is how many times as full as those before it a partition may be, for those that are read at a time to fit.
const spare = 2

// Page begins in the partition of the entity behind which it begins: so the order is that of the partitions, and
// in each that of the bytes of the ids. It ends with the first query that leaves something for the next.
//
// A hash chooses partitions, so they are about equally full: how full the first was tells how many of the next will
// fit. These are read at a time, each with its share of the limit. What was read behind the end of the page was read
// in vain, and is counted. Queries are consistent, and cost as those of List.
func (t *Table) Page(ctx context.Context, r state.Range, after string, limit int) (state.Page, error) {
	epoch, err := t.epoch(ctx) // first, as in Apply
	if err != nil {
		return state.Page{}, err
	}
	first, fullest, known := 0, 0, false
	if after != "" {
		first = partitionOf(after)
	}
	var p state.Page
	for n := first; n < Partitions; {
		left := max(limit-p.Read, 1)
		width := 1
		if known {
			width = min(max(left/(spare*max(fullest, 1)), 1), Partitions-n)
		}
		parts, err := t.parts(ctx, r, n, width, after, left/width, epoch)
		if err != nil {
			return state.Page{}, err
		}
		for _, part := range parts {
			if p.Last == "" {
				p.Entries, p.Last = append(p.Entries, part.Entries...), part.Last
			}
			p.Read += part.Read
			fullest = max(fullest, part.Read)
		}
		if p.Last != "" {
			return p, nil
		}
		known = after == "" // of the first one only a part may have been read
		n, after = n+width, ""
	}
	return p, nil
}

// parts reads the beginnings of so many partitions from n on at a time, the first one from behind an id.
func (t *Table) parts(ctx context.Context, r state.Range, n, width int, after string, limit int, epoch int64) ([]state.Page, error) {
	parts := make([]state.Page, width)
	readers, ctx := errgroup.WithContext(ctx)
	for i := range parts {
		from := ""
		if i == 0 {
			from = after
		}
		readers.Go(func() (err error) {
			parts[i], err = t.part(ctx, r, n+i, from, limit, epoch)
			return err
		})
	}
	return parts, readers.Wait()
}

func (t *Table) part(ctx context.Context, r state.Range, n int, after string, limit int, epoch int64) (state.Page, error) {
	input := t.query(r, n, after)
	input.Limit = aws.Int32(int32(limit))
	output, err := t.client.Query(ctx, input)
	if err != nil {
		return state.Page{}, awsfault.DynamoDB.Classify(opPage, err)
	}
	p := state.Page{Read: int(output.ScannedCount)}
	if p.Entries, err = entries(opPage, epoch, output.Items); err != nil {
		return state.Page{}, err
	}
	if len(output.LastEvaluatedKey) > 0 {
		var ok bool
		if p.Last, ok = textOf(output.LastEvaluatedKey["sk"]); !ok {
			return state.Page{}, fault.Newf(opPage, fault.Internal, "the next page has no key")
		}
	}
	return p, nil
}
