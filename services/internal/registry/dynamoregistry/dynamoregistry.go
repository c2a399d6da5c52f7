// Package dynamoregistry keeps the connection registry in a DynamoDB table with string keys pk
// and sk and the TTL attribute expires_at. A connection, its owners and its subject have these items:
//
//	pk conn#<id>                        sk meta   tenant, connected_at, contracts, resync, sync_id, views, closed_at,
//	                                              subject, session, entity_types, until, watching, since, changed,
//	                                              marks, paced, told, gross
//	pk view#<tenant>#<type>#<bucket>    sk <id>   tenant, connected_at, contracts, resync, sync_id, until, views
//	pk subject#<tenant>#<subject>       sk <id>   connected_at
//	pk session#<tenant>#<session>       sk <id>   connected_at
//	pk opens#<tenant>#<subject>         sk pages, or services   opens, members
//	pk revoked#<one of both above>      sk revoked   revoked_at
//
// Times are Unix milliseconds, expires_at is Unix seconds as TTL wants it. The type of a view item is
// an entity type, insight, or * for all, and its views are the text of the connection's views on that
// type; a missing one is that of everything. In the meta item views is the set of the keys of all view
// items that the connection may have, and it names the owners, so that Close needs to know nothing else;
// closed_at marks a tombstone. A missing entity_types are all.
//
// watching is a hash of the contracts and views of the last subscription, stored at since, and sync_id its
// number; a view item has that of the subscription that wrote it. marks counts the marks so far. resync is
// the number of the last one that a MarkResync set, and changed is there if another subscription was one, as
// long as no ClearResync took them off. paced is the time of registry.Pace, told that with which, or the until
// because of which, a subscription was refused last, and gross counts the gross messages of registry.Registry's Blame.
//
// revoked_at is when an owner's permission was last taken away.
//
// opens counts the connections that a subject has opened, and members are those that may be open, each with the time
// at which it ends: one that opens saw who is there, on condition that none has opened meanwhile.
package dynamoregistry

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/registry"
)

// conflictTries is how often a call is made that meets another transaction on the same items.
const conflictTries = 6

// conflictPause is the longest pause after the first such meeting; it doubles with each.
const conflictPause = 20 * time.Millisecond

// Options tunes a Registry. The zero value is what production wants.
type Options struct {
	// PageSize limits the connections that one Query returns. Defaults to 0: DynamoDB's own
	// limit of 1 MB.
	PageSize int
	// PerSubject is how many connections a subject may have, and PerService how many services of its name may have
	// beside them. Default to any number.
	PerSubject, PerService int
	// Parallel is how many buckets a read queries at a time. Defaults to all of them, so that an
	// audience is known after one round trip; a read costs the same at any setting.
	Parallel int
	// Now tells the time. Defaults to time.Now.
	Now func() time.Time
}

// Registry is a [registry.Registry] on a DynamoDB table.
type Registry struct {
	client  *dynamodb.Client
	table   string
	options Options
}

var _ registry.Registry = (*Registry)(nil)

// New returns the registry that is stored in table. The client's own retries stay in force.
func New(client *dynamodb.Client, table string, options Options) *Registry {
	if options.Parallel < 1 || options.Parallel > registry.Buckets {
		options.Parallel = registry.Buckets
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	return &Registry{client: client, table: table, options: options}
}

// openTries is how often an Open is begun that meets others of its subject.
const openTries = 10

// Open writes all items of c, and then looks whether its permission was revoked: see Revoke.
func (r *Registry) Open(ctx context.Context, c registry.Connection) error {
	const op = "registry.Open"
	if err := registry.Check(op, c); err != nil {
		return err
	}
	if err := r.register(ctx, op, c); err != nil {
		return err
	}
	return r.confirm(ctx, op, c)
}

// register writes all items of c in one transaction, on condition that there is no meta item yet, and that its
// subject has opened no other since its connections were counted.
func (r *Registry) register(ctx context.Context, op string, c registry.Connection) error {
	var views []string
	for _, partition := range c.Partitions() {
		views = append(views, viewKey(c.Tenant, partition, registry.Bucket(c.ID)))
	}
	meta := identified(c, item(c, key(metaKey(c.ID), "meta")))
	meta["views"] = &types.AttributeValueMemberSS{Value: views}
	items := []types.TransactWriteItem{{Put: &types.Put{
		TableName: &r.table, Item: meta,
		ConditionExpression:                 aws.String("attribute_not_exists(pk)"),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}}
	put := func(item map[string]types.AttributeValue) {
		items = append(items, types.TransactWriteItem{Put: &types.Put{TableName: &r.table, Item: item}})
	}
	for _, view := range views {
		own := item(c, key(view, c.ID))
		own["views"] = text(registry.Everything)
		put(own)
	}
	for _, owner := range ownerKeys(c.Tenant, c.Subject, c.Session) {
		own := key(owner, c.ID)
		own["connected_at"], own["expires_at"] = meta["connected_at"], meta["expires_at"]
		put(own)
	}
	for try := range openTries {
		guard, err := r.admit(ctx, op, c)
		if err != nil {
			return err
		}
		err = r.transact(ctx, append(slices.Clip(items), guard...))
		if was, ok := existing(err); ok {
			return opened(op, c, was)
		}
		if !unmet(err) {
			return classify(op, err)
		}
		select {
		case <-time.After(rand.N(conflictPause << min(try, conflictTries))):
		case <-ctx.Done():
			return fault.New(op, fault.Transient, context.Cause(ctx))
		}
	}
	return fault.Newf(op, fault.Transient, "the subject opens connections all the time")
}

// item adds to what is special about an item what both have.
func item(c registry.Connection, own map[string]types.AttributeValue) map[string]types.AttributeValue {
	own["tenant"] = text(c.Tenant)
	own["connected_at"] = millis(c.ConnectedAt)
	own["expires_at"] = seconds(c.ConnectedAt.Add(registry.Lifetime))
	if !c.Until.IsZero() {
		own["until"] = millis(c.Until)
	}
	if len(c.Contracts) > 0 { // a set cannot be empty
		own["contracts"] = &types.AttributeValueMemberSS{Value: c.Contracts}
	}
	return own
}

// identified adds to a meta item who opened the connection.
func identified(c registry.Connection, own map[string]types.AttributeValue) map[string]types.AttributeValue {
	if c.Subject != "" {
		own["subject"] = text(c.Subject)
	}
	if c.Session != "" {
		own["session"] = text(c.Session)
	}
	if c.EntityTypes != nil {
		own["entity_types"] = &types.AttributeValueMemberSS{Value: c.EntityTypes}
	}
	return own
}

// opened judges an Open that found the meta item was.
func opened(op string, c registry.Connection, was map[string]types.AttributeValue) error {
	if _, closed := was["closed_at"]; closed {
		return fault.Newf(op, fault.Gone, "closed before")
	}
	if tenant, ok := was["tenant"].(*types.AttributeValueMemberS); !ok || tenant.Value != c.Tenant {
		return fault.Newf(op, fault.Invalid, "open as another tenant's")
	}
	return nil
}

// existing returns the meta item that made the transaction fail, if that is why it failed.
func existing(err error) (map[string]types.AttributeValue, bool) {
	cancelled, ok := errors.AsType[*types.TransactionCanceledException](err)
	if !ok || len(cancelled.CancellationReasons) == 0 {
		return nil, false
	}
	first := cancelled.CancellationReasons[0]
	return first.Item, aws.ToString(first.Code) == "ConditionalCheckFailed"
}

// Close writes the tombstone first: from then on nothing can add an item, and those that the
// meta item names are all there are to delete.
func (r *Registry) Close(ctx context.Context, id string) error {
	const op = "registry.Close"
	now := r.options.Now()
	var old *dynamodb.UpdateItemOutput
	err := retryConflicts(ctx, func() (err error) {
		old, err = r.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName:        &r.table,
			Key:              key(metaKey(id), "meta"),
			UpdateExpression: aws.String("SET closed_at = if_not_exists(closed_at, :now), expires_at = :expires"),
			ExpressionAttributeValues: map[string]types.AttributeValue{
				":now": millis(now), ":expires": seconds(now.Add(registry.Lifetime)),
			},
			ReturnValues: types.ReturnValueAllOld,
		})
		return err
	})
	if err != nil {
		return classify(op, err)
	}
	keys := ownerKeys(textOf(old.Attributes["tenant"]), textOf(old.Attributes["subject"]), textOf(old.Attributes["session"]))
	if views, ok := old.Attributes["views"].(*types.AttributeValueMemberSS); ok {
		keys = append(views.Value, keys...) // the views first: nothing must reach a closed connection
	}
	return r.remove(ctx, op, id, keys)
}

// remove deletes items of a connection, by their partition keys.
func (r *Registry) remove(ctx context.Context, op, id string, keys []string) error {
	for _, pk := range keys {
		err := retryConflicts(ctx, func() error {
			_, err := r.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &r.table, Key: key(pk, id)})
			return err
		})
		if err != nil {
			return classify(op, err)
		}
	}
	return nil
}

// transact writes items together. Each call has an input of its own: the SDK puts a token into it, by which DynamoDB
// takes a call for the one before, and refuses it if it says something else.
func (r *Registry) transact(ctx context.Context, items []types.TransactWriteItem) error {
	return retryConflicts(ctx, func() error {
		_, err := r.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: items})
		return err
	})
}

// retryConflicts calls f again, a little later, while another transaction holds its items.
func retryConflicts(ctx context.Context, f func() error) error {
	for try := 0; ; try++ {
		err := f()
		if err == nil || !conflict(err) || try == conflictTries-1 {
			return err
		}
		select {
		case <-time.After(rand.N(conflictPause << try)):
		case <-ctx.Done():
			return err
		}
	}
}

func key(pk, sk string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"pk": text(pk), "sk": text(sk)}
}

func metaKey(id string) string { return "conn#" + id }

func viewKey(tenant, partition string, bucket int) string {
	return "view#" + tenant + "#" + partition + "#" + strconv.Itoa(bucket)
}

// ownerKeys are the partition keys under which a connection is found by its owners. No tenant has a '#', so no
// two owners share one.
func ownerKeys(tenant, subject, session string) []string {
	var keys []string
	if subject != "" {
		keys = append(keys, "subject#"+tenant+"#"+subject)
	}
	if session != "" {
		keys = append(keys, "session#"+tenant+"#"+session)
	}
	return keys
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func millis(t time.Time) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(t.UnixMilli(), 10)}
}

func seconds(t time.Time) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(t.Unix(), 10)}
}

// textOf returns the text of a value, or "".
func textOf(v types.AttributeValue) string {
	if s, ok := v.(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}
