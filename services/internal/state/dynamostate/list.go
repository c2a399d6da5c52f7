package dynamostate

import (
	"context"
	"iter"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/fault/awsfault"
	"github.com/iops-dashboard/live/services/internal/state"
)

const opList = "dynamostate.List"

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

// readPartition sends the pages of one partition, and at its end nothing, or an error.
func (t *Table) readPartition(ctx context.Context, r state.Range, n int, epoch int64, to chan<- page) {
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
	if r.From != "" {
		input.KeyConditionExpression = aws.String("#pk = :pk AND #sk >= :from")
		input.ExpressionAttributeNames["#sk"] = "sk"
		input.ExpressionAttributeValues[":from"] = text(r.From)
	}
	if t.pageSize > 0 {
		input.Limit = aws.Int32(int32(t.pageSize))
	}
	for {
		var p page
		output, err := t.client.Query(ctx, input)
		if err != nil {
			p.err = awsfault.DynamoDB.Classify(opList, err)
		} else {
			p.entries, p.err = entries(r, epoch, output.Items)
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

func entries(r state.Range, epoch int64, items []map[string]types.AttributeValue) ([]state.Entry, error) {
	all := make([]state.Entry, 0, len(items))
	for _, attributes := range items {
		id, ok := textOf(attributes["sk"])
		if !ok {
			return nil, fault.Newf(opList, fault.Internal, "stored item has no sk")
		}
		stored, err := decode(attributes)
		if err != nil {
			return nil, fault.New(opList, fault.Internal, err)
		}
		all = append(all, state.Entry{
			Key:  state.Key{Tenant: r.Tenant, EntityType: r.EntityType, EntityID: id},
			Item: stored.of(epoch),
		})
	}
	return all, nil
}
