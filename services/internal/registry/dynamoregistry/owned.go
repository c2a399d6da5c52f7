package dynamoregistry

import (
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/registry"
)

// Owned queries the owner's partition. Connections past their lifetime may be among them: closing one that
// has gone does no harm.
func (r *Registry) Owned(ctx context.Context, o registry.Owner) ([]registry.Connection, error) {
	const op = "registry.Owned"
	if err := registry.CheckOwner(op, o); err != nil {
		return nil, err
	}
	items, err := r.ownedItems(ctx, op, ownerKeys(o.Tenant, o.Subject, o.Session)[0])
	if err != nil {
		return nil, err
	}
	var all []registry.Connection
	for _, item := range items {
		all = append(all, registry.Connection{ID: textOf(item["sk"]), Tenant: o.Tenant, ConnectedAt: timeOf(item["connected_at"])})
	}
	return all, nil
}

func (r *Registry) ownedItems(ctx context.Context, op, owner string) ([]map[string]types.AttributeValue, error) {
	input := &dynamodb.QueryInput{
		TableName:                 &r.table,
		ConsistentRead:            aws.Bool(true),
		KeyConditionExpression:    aws.String("pk = :owner"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":owner": text(owner)},
	}
	if r.options.PageSize > 0 {
		input.Limit = aws.Int32(int32(r.options.PageSize))
	}
	var all []map[string]types.AttributeValue
	for pages := dynamodb.NewQueryPaginator(r.client, input); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, classify(op, err)
		}
		all = append(all, page.Items...)
	}
	return all, nil
}

// admit returns what is to be written with c, on condition that its subject opens no other meanwhile; or an
// error, if the subject has as many connections as it may.
func (r *Registry) admit(ctx context.Context, op string, c registry.Connection) ([]types.TransactWriteItem, error) {
	if c.Subject == "" || r.options.PerSubject == 0 {
		return nil, nil
	}
	guard := key("opens#"+c.Tenant+"#"+c.Subject, "opens")
	before, err := r.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &r.table, Key: guard, ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, classify(op, err)
	}
	items, err := r.ownedItems(ctx, op, ownerKeys(c.Tenant, c.Subject, "")[0])
	if err != nil {
		return nil, err
	}
	now := time.Now()
	var others []string
	for _, item := range items {
		if id := textOf(item["sk"]); id != c.ID && numberOf(item["expires_at"]) > now.Unix() {
			others = append(others, id)
		}
	}
	if len(others) >= r.options.PerSubject {
		if err := r.crowded(ctx, op, others, now); err != nil {
			return nil, err
		}
	}
	seen := numberOf(before.Item["opens"])
	return []types.TransactWriteItem{{Update: &types.Update{
		TableName: &r.table, Key: guard,
		UpdateExpression:    aws.String("SET opens = :next, expires_at = :end"),
		ConditionExpression: aws.String("attribute_not_exists(opens) OR opens = :seen"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":seen": integer(seen), ":next": integer(seen + 1), ":end": seconds(now.Add(registry.Lifetime)),
		},
	}}}, nil
}

// crowded returns an error if of these connections as many are open as a subject may have. A Close that was
// cut off may have left some behind.
func (r *Registry) crowded(ctx context.Context, op string, ids []string, now time.Time) error {
	type silent struct {
		id    string
		since time.Time
	}
	open := 0
	var all []silent
	for _, id := range ids {
		m, err := r.readMeta(ctx, op, id)
		switch {
		case err != nil && fault.KindOf(err) == fault.Gone:
			continue
		case err != nil:
			return err
		}
		open++
		heard := m.ConnectedAt
		if m.full.After(heard) { // up to 12 s after it said something
			heard = m.full
		}
		if now.Sub(heard) >= registry.Silence {
			all = append(all, silent{id, heard})
		}
	}
	if open < r.options.PerSubject {
		return nil
	}
	slices.SortFunc(all, func(a, b silent) int { return a.since.Compare(b.since) })
	var many registry.TooMany
	for _, s := range all {
		many.Silent = append(many.Silent, s.id)
	}
	return fault.New(op, fault.Throttled, many)
}
