package dynamoregistry

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/registry"
)

// admit returns what is to be written with c, on condition that its subject opens no other meanwhile; or an
// error, if the subject has as many connections as it may. One item lists them, so that no two can both be the last.
// It may list some that were closed: those are taken off when there seem to be too many.
func (r *Registry) admit(ctx context.Context, op string, c registry.Connection) ([]types.TransactWriteItem, error) {
	limit, kind := r.options.PerSubject, "pages"
	if c.Service {
		limit, kind = r.options.PerService, "services"
	}
	if c.Subject == "" || limit == 0 {
		return nil, nil
	}
	guard := key("opens#"+c.Tenant+"#"+c.Subject, kind)
	before, err := r.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &r.table, Key: guard, ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, classify(op, err)
	}
	now := r.options.Now()
	members := map[string]types.AttributeValue{}
	if listed, ok := before.Item["members"].(*types.AttributeValueMemberM); ok {
		members = maps.Clone(listed.Value)
		maps.DeleteFunc(members, func(_ string, end types.AttributeValue) bool { return !timeOf(end).After(now) })
	}
	if members[c.ID] == nil && len(members) >= limit {
		if err := r.crowded(ctx, op, members, limit, now); err != nil {
			return nil, err
		}
	}
	members[c.ID] = millis(c.End())
	seen := numberOf(before.Item["opens"])
	return []types.TransactWriteItem{{Update: &types.Update{
		TableName: &r.table, Key: guard,
		UpdateExpression:    aws.String("SET opens = :next, members = :members, expires_at = :end"),
		ConditionExpression: aws.String("attribute_not_exists(opens) OR opens = :seen"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":seen": integer(seen), ":next": integer(seen + 1), ":end": seconds(now.Add(registry.Lifetime)),
			":members": &types.AttributeValueMemberM{Value: members},
		},
	}}}, nil
}

// crowded takes those off that were closed, and returns an error if the rest are too many for one more. One whose
// meta item is not there was opened a moment ago: each has been written with the list, and outlives its place in it.
func (r *Registry) crowded(ctx context.Context, op string, members map[string]types.AttributeValue, limit int, now time.Time) error {
	items, err := r.metaItems(ctx, op, slices.Sorted(maps.Keys(members)))
	if err != nil {
		return err
	}
	var open []registry.Member
	for id := range members {
		item := items[id]
		if item["closed_at"] != nil {
			delete(members, id)
			continue
		}
		m := registry.Member{Connection: registry.Connection{ID: id, ConnectedAt: now}}
		if item != nil {
			if m.Connection, err = connection(id, item); err != nil {
				return err
			}
			m.Spoke = timeOf(item["paced"])
		}
		open = append(open, m)
	}
	return registry.Admit(op, open, limit, now)
}

// maxBatch is how many items one call reads.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
const maxBatch = 100

// metaItems returns those meta items that are there, by connection.
func (r *Registry) metaItems(ctx context.Context, op string, ids []string) (map[string]map[string]types.AttributeValue, error) {
	all := map[string]map[string]types.AttributeValue{}
	for batch := range slices.Chunk(ids, maxBatch) {
		var keys []map[string]types.AttributeValue
		for _, id := range batch {
			keys = append(keys, key(metaKey(id), "meta"))
		}
		items, err := r.batch(ctx, op, keys)
		if err != nil {
			return nil, err
		}
		for _, item := range items {
			all[strings.TrimPrefix(textOf(item["pk"]), metaKey(""))] = item
		}
	}
	return all, nil
}

// batch reads up to [maxBatch] items, all that are there or none.
func (r *Registry) batch(ctx context.Context, op string, keys []map[string]types.AttributeValue) ([]map[string]types.AttributeValue, error) {
	out, err := r.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
		RequestItems: map[string]types.KeysAndAttributes{r.table: {Keys: keys, ConsistentRead: aws.Bool(true)}},
	})
	switch {
	case err != nil:
		return nil, classify(op, err)
	case len(out.UnprocessedKeys) > 0:
		return nil, fault.Newf(op, fault.Throttled, "not all items were read")
	}
	return out.Responses[r.table], nil
}
