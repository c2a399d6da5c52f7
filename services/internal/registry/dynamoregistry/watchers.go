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
	watchers []registry.Watcher
	err      error
}

// part is one bucket of one partition.
type part struct {
	partition string
	bucket    int
}

// Watching queries the buckets of the tenant's partitions, several at a time, with consistent reads. A
// page is yielded as soon as it is there; a bucket's next page is asked for once that is done, so a
// slow caller slows the read and never fills the memory. Connections past their lifetime are left
// out: DynamoDB deletes what has expired when it likes, and not a connection's items together.
//
// Each query costs one read unit for each 4 KB that it finds, and one if it finds nothing:
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
func (r *Registry) Watching(ctx context.Context, q registry.Query) iter.Seq2[[]registry.Watcher, error] {
	return func(yield func([]registry.Watcher, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		pages := make(chan page)
		parts := make(chan part, registry.Buckets*(len(q.Types)+1))
		for _, partition := range append([]string{registry.Everything}, q.Types...) {
			for b := range registry.Buckets {
				if q.Buckets == nil || slices.Contains(q.Buckets, b) {
					parts <- part{partition, b}
				}
			}
		}
		close(parts)

		var readers sync.WaitGroup
		for range r.options.Parallel {
			readers.Go(func() {
				for p := range parts {
					if !r.readPart(ctx, q.Tenant, p, pages) {
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
			if !yield(p.watchers, p.err) || p.err != nil {
				return
			}
		}
	}
}

// readPart sends a part's pages, and reports whether it reached the end of the part.
func (r *Registry) readPart(ctx context.Context, tenant string, which part, to chan<- page) bool {
	input := &dynamodb.QueryInput{
		TableName:                 &r.table,
		ConsistentRead:            aws.Bool(true),
		KeyConditionExpression:    aws.String("pk = :view"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":view": text(viewKey(tenant, which.partition, which.bucket))},
	}
	if r.options.PageSize > 0 {
		input.Limit = aws.Int32(int32(r.options.PageSize))
	}
	for {
		var p page
		output, err := r.client.Query(ctx, input)
		if err != nil {
			p.err = classify("registry.Watching", err)
		} else {
			p.watchers, p.err = watchers(which.partition, output.Items, r.options.Now())
		}
		if p.err != nil || len(p.watchers) > 0 {
			select {
			case to <- p:
			case <-ctx.Done():
				// An ended read must not look like a small audience.
				to <- page{err: fault.New("registry.Watching", fault.Transient, context.Cause(ctx))}
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

func watchers(partition string, items []map[string]types.AttributeValue, now time.Time) ([]registry.Watcher, error) {
	all := make([]registry.Watcher, 0, len(items))
	for _, item := range items {
		id, _ := item["sk"].(*types.AttributeValueMemberS)
		if id == nil {
			return nil, fault.Newf("registry.Watching", fault.Internal, "a view item has no id")
		}
		c, err := connection(id.Value, item)
		if err != nil {
			return nil, err
		}
		w := c.Watch(partition, registry.Everything)
		w.Resync, w.Ended = marked(item), c.Ended(now)
		if views, ok := item["views"].(*types.AttributeValueMemberS); ok {
			w.Views = views.Value
		}
		if now.Unix() < numberOf(item["expires_at"]) {
			all = append(all, w)
		}
	}
	return all, nil
}

// connection reads what the items of a connection have in common.
func connection(id string, item map[string]types.AttributeValue) (registry.Connection, error) {
	tenant, _ := item["tenant"].(*types.AttributeValueMemberS)
	connected, _ := item["connected_at"].(*types.AttributeValueMemberN)
	if tenant == nil || connected == nil {
		return registry.Connection{}, fault.Newf("registry", fault.Internal, "an item lacks an attribute")
	}
	at, err := strconv.ParseInt(connected.Value, 10, 64)
	if err != nil {
		return registry.Connection{}, fault.Newf("registry", fault.Internal, "connected_at: %w", err)
	}
	c := registry.Connection{
		ID: id, Tenant: tenant.Value, ConnectedAt: time.UnixMilli(at), Subject: textOf(item["subject"]), Session: textOf(item["session"]),
		Until: timeOf(item["until"]),
	}
	if said, ok := item["contracts"].(*types.AttributeValueMemberSS); ok {
		c.Contracts = slices.Sorted(slices.Values(said.Value)) // a set has no order
	}
	if may, ok := item["entity_types"].(*types.AttributeValueMemberSS); ok {
		c.EntityTypes = slices.Sorted(slices.Values(may.Value))
	}
	return c, nil
}

func marked(item map[string]types.AttributeValue) bool { return item["resync"] != nil }
