package dynamostate

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/fault/awsfault"
	"github.com/iops-dashboard/live/services/internal/state"
)

const (
	opList   = "dynamostate.List"
	opPage   = "dynamostate.Page"
	opLatest = "dynamostate.Latest"
)

type page struct {
	entries []state.Entry
	err     error
}

// List queries all partitions of the range at a time, with consistent reads. A page is yielded as soon as
// it is there; a partition's next page is asked for once that is taken, so a slow caller slows the read and
// never fills the memory.
//
// Each query costs one read unit for each 4 KB that it reads, tombstones among them, and one if it finds
// nothing: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
func (t *Table) List(ctx context.Context, r state.Range) iter.Seq2[[]state.Entry, error] {
	return func(yield func([]state.Entry, error) bool) {
		// The epoch comes first, as in Apply.
		epoch, err := t.epoch(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		pages := make(chan page)
		var readers sync.WaitGroup
		for n := range Partitions {
			readers.Go(func() { t.readPartition(ctx, r, n, epoch, pages) })
		}
		go func() {
			readers.Wait()
			close(pages)
		}()
		// Whatever ends the loop, no reader outlives it.
		defer func() {
			cancel()
			for range pages {
			}
		}()

		for p := range pages {
			if !yield(p.entries, p.err) || p.err != nil {
				return
			}
		}
	}
}

// query reads one partition of a range, from behind an id where there is one.
func (t *Table) query(r state.Range, n int, after string) *dynamodb.QueryInput {
	input := &dynamodb.QueryInput{
		TableName:                &t.name,
		ConsistentRead:           aws.Bool(true),
		KeyConditionExpression:   aws.String("#pk = :pk"),
		FilterExpression:         aws.String("attribute_exists(#image)"),
		ExpressionAttributeNames: map[string]string{"#pk": "pk", "#image": "image"},
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":pk": text(partition(r.Tenant, r.EntityType, n)),
		},
	}
	bound := func(condition, id string) {
		input.KeyConditionExpression = aws.String("#pk = :pk AND #sk " + condition + " :sk")
		input.ExpressionAttributeNames["#sk"] = "sk"
		input.ExpressionAttributeValues[":sk"] = text(id)
	}
	switch {
	case after != "" && after >= r.From:
		bound(">", after)
	case r.From != "":
		bound(">=", r.From)
	}
	return input
}

// readPartition sends the pages of one partition, and at its end nothing, or an error.
func (t *Table) readPartition(ctx context.Context, r state.Range, n int, epoch int64, to chan<- page) {
	input := t.query(r, n, "")
	if t.pageSize > 0 {
		input.Limit = aws.Int32(int32(t.pageSize))
	}
	for {
		var p page
		output, err := t.client.Query(ctx, input)
		if err != nil {
			p.err = awsfault.DynamoDB.Classify(opList, err)
		} else {
			p.entries, p.err = entries(opList, epoch, output.Items)
		}
		if p.err != nil || len(p.entries) > 0 {
			select {
			case to <- p:
			case <-ctx.Done():
				// An ended read must not look like a small table.
				to <- page{err: fault.New(opList, fault.Transient, context.Cause(ctx))}
				return
			}
		}
		if p.err != nil || len(output.LastEvaluatedKey) == 0 {
			return
		}
		input.ExclusiveStartKey = output.LastEvaluatedKey
	}
}

func entries(op string, epoch int64, items []map[string]types.AttributeValue) ([]state.Entry, error) {
	all := make([]state.Entry, 0, len(items))
	for _, attributes := range items {
		// Whose it is, the item says, and not the question: who shows it to a tenant can tell that it is theirs.
		pk, _ := textOf(attributes["pk"])
		parts := strings.Split(pk, "#")
		id, ok := textOf(attributes["sk"])
		if !ok || len(parts) != 3 {
			return nil, fault.Newf(op, fault.Internal, "stored item has no key")
		}
		stored, err := decode(attributes)
		if err != nil {
			return nil, fault.New(op, fault.Internal, err)
		}
		all = append(all, state.Entry{
			Key:  state.Key{Tenant: parts[0], EntityType: parts[1], EntityID: id},
			Item: stored.of(epoch),
		})
	}
	return all, nil
}

// Latest queries all partitions at a time, each from its highest id on and for its part of the limit. What is kept
// are the rows from that id on from which every partition was read, so partitions that were read further have read
// a few in vain. Queries are consistent, and cost as those of List.
func (t *Table) Latest(ctx context.Context, r state.Range, limit int) ([]state.Entry, string, error) {
	epoch, err := t.epoch(ctx) // first, as in Apply
	if err != nil {
		return nil, "", err
	}
	var parts [Partitions]latest
	readers, ctx := errgroup.WithContext(ctx)
	for n := range Partitions {
		readers.Go(func() (err error) {
			parts[n], err = t.latestOf(ctx, r, n, (limit+Partitions-1)/Partitions, epoch)
			return err
		})
	}
	if err := readers.Wait(); err != nil {
		return nil, "", err
	}
	var all []state.Entry
	from := r.From
	for _, p := range parts {
		all = append(all, p.entries...)
		from = max(from, p.from)
	}
	return slices.DeleteFunc(all, func(e state.Entry) bool { return e.EntityID < from }), from, nil
}

// latest is what was read of one partition: all that is there from an id on.
type latest struct {
	entries []state.Entry
	from    string
}

func (t *Table) latestOf(ctx context.Context, r state.Range, n, limit int, epoch int64) (latest, error) {
	found := latest{from: r.From}
	input := t.query(r, n, "")
	input.ScanIndexForward = aws.Bool(false)
	for read := 0; ; {
		input.Limit = aws.Int32(int32(limit - read))
		if t.pageSize > 0 {
			input.Limit = aws.Int32(int32(min(t.pageSize, limit-read)))
		}
		output, err := t.client.Query(ctx, input)
		if err != nil {
			return found, awsfault.DynamoDB.Classify(opLatest, err)
		}
		page, err := entries(opLatest, epoch, output.Items)
		if err != nil {
			return found, err
		}
		found.entries = append(found.entries, page...)
		if len(output.LastEvaluatedKey) == 0 {
			return found, nil
		}
		if read += int(output.ScannedCount); read >= limit {
			var ok bool
			if found.from, ok = textOf(output.LastEvaluatedKey["sk"]); !ok {
				return found, fault.Newf(opLatest, fault.Internal, "the next page has no key")
			}
			return found, nil
		}
		input.ExclusiveStartKey = output.LastEvaluatedKey
	}
}
