package dynamoregistry

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/registry"
)

// isOpen is the condition that nothing is written for a connection which was closed, or never opened.
const isOpen = "attribute_exists(pk) AND attribute_not_exists(closed_at)"

// Subscribe writes the meta item and the new view items in one transaction, and then deletes the old ones.
// In between the meta item names both, so whoever comes next can finish the work.
func (r *Registry) Subscribe(ctx context.Context, id string, s registry.Subscription) (registry.Status, error) {
	const op = "registry.Subscribe"
	if err := registry.CheckSubscription(op, s); err != nil {
		return registry.Status{}, err
	}
	meta, err := r.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &r.table, Key: key(metaKey(id), "meta"), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return registry.Status{}, classify(op, err)
	}
	if _, closed := meta.Item["closed_at"]; closed || meta.Item["tenant"] == nil {
		return registry.Status{}, fault.Newf(op, fault.Gone, "not open")
	}
	c, err := connection(id, meta.Item)
	if err != nil {
		return registry.Status{}, err
	}
	if s.Contracts != nil {
		c.Contracts = s.Contracts
	}
	status := registry.Status{Connection: c, Resync: marked(meta.Item)}

	items := r.viewItems(status, s)
	now := slices.Sorted(maps.Keys(items))
	var before []string
	if views, ok := meta.Item["views"].(*types.AttributeValueMemberSS); ok {
		before = views.Value
	}
	err = retryConflicts(ctx, func() error {
		_, err := r.client.TransactWriteItems(ctx, r.transaction(status, s, items, now))
		return err
	})
	if was, ok := existing(err); ok {
		if _, closed := was["closed_at"]; closed || was == nil {
			return registry.Status{}, fault.Newf(op, fault.Gone, "closed meanwhile")
		}
		return registry.Status{}, fault.New(op, fault.Invalid, registry.ErrSuperseded)
	}
	if err != nil {
		return registry.Status{}, classify(op, err)
	}
	old := slices.DeleteFunc(before, func(view string) bool { return slices.Contains(now, view) })
	if len(old) == 0 {
		return status, nil
	}
	if err := r.remove(ctx, op, id, old); err != nil {
		return registry.Status{}, err
	}
	return status, r.forgetViews(ctx, op, id, s.SyncID, old)
}

// viewItems are the view items of a subscription, by their partition key.
func (r *Registry) viewItems(status registry.Status, s registry.Subscription) map[string]map[string]types.AttributeValue {
	items := map[string]map[string]types.AttributeValue{}
	for partition, views := range s.Views {
		view := viewKey(status.Tenant, partition, registry.Bucket(status.ID))
		own := key(view, status.ID)
		own["views"] = text(views)
		if status.Resync {
			own["resync"] = &types.AttributeValueMemberBOOL{Value: true}
		}
		items[view] = item(status.Connection, own)
	}
	return items
}

func (r *Registry) transaction(status registry.Status, s registry.Subscription, items map[string]map[string]types.AttributeValue, views []string) *dynamodb.TransactWriteItemsInput {
	number := &types.AttributeValueMemberN{Value: strconv.FormatInt(s.SyncID, 10)}
	update := "SET sync_id = :n"
	values := map[string]types.AttributeValue{":n": number}
	if len(status.Contracts) > 0 {
		update += ", contracts = :contracts"
		values[":contracts"] = &types.AttributeValueMemberSS{Value: status.Contracts}
	}
	if len(views) > 0 {
		// Added, not set: another subscription may be adding its own, which somebody must delete.
		update += " ADD #views :views"
		values[":views"] = &types.AttributeValueMemberSS{Value: views}
	}
	meta := &types.Update{
		TableName: &r.table, Key: key(metaKey(status.ID), "meta"),
		UpdateExpression:                    &update,
		ConditionExpression:                 aws.String(isOpen + " AND (attribute_not_exists(sync_id) OR sync_id <= :n)"),
		ExpressionAttributeValues:           values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	if len(views) > 0 {
		meta.ExpressionAttributeNames = map[string]string{"#views": "views"}
	}
	input := &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{{Update: meta}}}
	for _, view := range views {
		input.TransactItems = append(input.TransactItems, types.TransactWriteItem{Put: &types.Put{TableName: &r.table, Item: items[view]}})
	}
	return input
}

// forgetViews takes deleted view items off the list, unless a later subscription may have written them
// anew.
func (r *Registry) forgetViews(ctx context.Context, op, id string, syncID int64, views []string) error {
	err := retryConflicts(ctx, func() error {
		_, err := r.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: &r.table, Key: key(metaKey(id), "meta"),
			UpdateExpression:         aws.String("DELETE #views :old"),
			ConditionExpression:      aws.String(isOpen + " AND sync_id = :n"),
			ExpressionAttributeNames: map[string]string{"#views": "views"},
			ExpressionAttributeValues: map[string]types.AttributeValue{
				":old": &types.AttributeValueMemberSS{Value: views}, ":n": &types.AttributeValueMemberN{Value: strconv.FormatInt(syncID, 10)},
			},
		})
		return err
	})
	return classify(op, unconditional(err))
}

// MarkResync marks the meta item, and then the view items that it names, so that whoever reads these
// needs nothing else.
func (r *Registry) MarkResync(ctx context.Context, id string) error {
	return r.mark(ctx, "registry.MarkResync", id, "SET resync = :yes", map[string]types.AttributeValue{":yes": &types.AttributeValueMemberBOOL{Value: true}})
}

// ClearResync takes the marks off again.
func (r *Registry) ClearResync(ctx context.Context, id string) error {
	return r.mark(ctx, "registry.ClearResync", id, "REMOVE resync", nil)
}

func (r *Registry) mark(ctx context.Context, op, id, expression string, values map[string]types.AttributeValue) error {
	update := func(k map[string]types.AttributeValue, condition string) (out *dynamodb.UpdateItemOutput, err error) {
		err = retryConflicts(ctx, func() (err error) {
			out, err = r.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
				TableName: &r.table, Key: k, UpdateExpression: &expression, ConditionExpression: &condition,
				ExpressionAttributeValues: values, ReturnValues: types.ReturnValueAllNew,
			})
			return err
		})
		return out, err
	}
	meta, err := update(key(metaKey(id), "meta"), isOpen)
	if err != nil {
		return classify(op, unconditional(err))
	}
	views, _ := meta.Attributes["views"].(*types.AttributeValueMemberSS)
	if views == nil {
		return nil
	}
	for _, view := range views.Value {
		// A view item that has gone meanwhile must not come back.
		if _, err := update(key(view, id), "attribute_exists(pk)"); unconditional(err) != nil {
			return classify(op, err)
		}
	}
	return nil
}

// unconditional returns an error unless it is that a condition was not met.
func unconditional(err error) error {
	if _, unmet := errors.AsType[*types.ConditionalCheckFailedException](err); unmet {
		return nil
	}
	return err
}
