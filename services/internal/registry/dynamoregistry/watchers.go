package dynamoregistry

import (
	"context"
	"iter"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/registry"
)

type page struct {
	connections []registry.Connection
	err         error
}

// Watchers queries the tenant's buckets, several at a time, with consistent reads. A page is
// yielded as soon as it is there; a bucket's next page is asked for once that is done, so a
// slow caller slows the read and never fills the memory. Connections past their lifetime are left
// out: DynamoDB deletes what has expired when it likes, and not a connection's items together.
func (r *Registry) Watchers(ctx context.Context, tenant string) iter.Seq2[[]registry.Connection, error] {
	return func(yield func([]registry.Connection, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		pages := make(chan page)
		buckets := make(chan int, registry.Buckets)
		for b := range registry.Buckets {
			buckets <- b
		}
		close(buckets)

		var readers sync.WaitGroup
		for range r.options.Parallel {
			readers.Go(func() {
				for b := range buckets {
					if !r.readBucket(ctx, tenant, b, pages) {
						return
					}
				}
			})
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
			if !yield(p.connections, p.err) || p.err != nil {
				return
			}
		}
	}
}

// readBucket sends a bucket's pages, and reports whether it reached the end of the bucket.
func (r *Registry) readBucket(ctx context.Context, tenant string, bucket int, to chan<- page) bool {
	input := &dynamodb.QueryInput{
		TableName:                 &r.table,
		ConsistentRead:            aws.Bool(true),
		KeyConditionExpression:    aws.String("pk = :view"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":view": text(viewKey(tenant, bucket))},
	}
	if r.options.PageSize > 0 {
		input.Limit = aws.Int32(int32(r.options.PageSize))
	}
	for {
		var p page
		output, err := r.client.Query(ctx, input)
		if err != nil {
			p.err = classify("registry.Watchers", err)
		} else {
			p.connections, p.err = connections(output.Items)
		}
		if p.err != nil || len(p.connections) > 0 {
			select {
			case to <- p:
			case <-ctx.Done():
				// An ended read must not look like a small audience.
				to <- page{err: fault.New("registry.Watchers", fault.Transient, context.Cause(ctx))}
				return false
			}
		}
		if p.err != nil {
			return false
		}
		if len(output.LastEvaluatedKey) == 0 {
			return true
		}
		input.ExclusiveStartKey = output.LastEvaluatedKey
	}
}

func connections(items []map[string]types.AttributeValue) ([]registry.Connection, error) {
	all := make([]registry.Connection, 0, len(items))
	for _, item := range items {
		id, _ := item["sk"].(*types.AttributeValueMemberS)
		tenant, _ := item["tenant"].(*types.AttributeValueMemberS)
		connected, _ := item["connected_at"].(*types.AttributeValueMemberN)
		if id == nil || tenant == nil || connected == nil {
			return nil, fault.Newf("registry.Watchers", fault.Internal, "a view item lacks an attribute")
		}
		at, err := strconv.ParseInt(connected.Value, 10, 64)
		if err != nil {
			return nil, fault.Newf("registry.Watchers", fault.Internal, "connected_at: %w", err)
		}
		var contracts []string
		if said, ok := item["contracts"].(*types.AttributeValueMemberSS); ok {
			contracts = slices.Sorted(slices.Values(said.Value)) // a set has no order
		}
		c := registry.Connection{ID: id.Value, Tenant: tenant.Value, ConnectedAt: time.UnixMilli(at), Contracts: contracts}
		if time.Since(c.ConnectedAt) < registry.Lifetime {
			all = append(all, c)
		}
	}
	return all, nil
}
