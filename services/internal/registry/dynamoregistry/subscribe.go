package dynamoregistry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/registry"
)

// isOpen is the condition that nothing is written for a connection which was closed, or never opened.
const isOpen = "attribute_exists(pk) AND attribute_not_exists(closed_at)"

// subscribeTries is how often a subscription is begun that meets others of its connection, or marks.
const subscribeTries = 10

// Subscribe writes the meta item and the new view items in one transaction, on condition that no other
// subscription was stored meanwhile and no mark was set, and then deletes the old view items. In between
// the meta item names both, so whoever comes next can finish the work. A subscription that says what the
// one before it said writes the meta item alone.
func (r *Registry) Subscribe(ctx context.Context, id string, s registry.Subscription) (registry.Status, error) {
	const op = "registry.Subscribe"
	if err := registry.CheckSubscription(op, s); err != nil {
		return registry.Status{}, err
	}
	for range subscribeTries {
		before, err := r.readMeta(ctx, op, id)
		if err != nil {
			return registry.Status{}, r.refuse(ctx, op, before, err)
		}
		s = registry.Narrow(before.Connection, s)
		after, err := before.subscribe(op, s, r.options.Now())
		if err != nil {
			return registry.Status{}, r.refuse(ctx, op, before, err)
		}
		now := keysOf(after.Connection, s)
		renewed := after.watching == before.watching && slices.Equal(before.views, now)
		err = r.write(ctx, before, after, s, renewed)
		if unmet(err) {
			continue
		}
		if err != nil {
			return registry.Status{}, classify(op, err)
		}
		if old := slices.DeleteFunc(before.views, func(view string) bool { return slices.Contains(now, view) }); len(old) > 0 {
			if err := r.retire(ctx, op, id, s.SyncID, old); err != nil {
				return registry.Status{}, err
			}
		}
		return registry.Status{
			Connection: after.Connection, Resync: after.resync || after.changed, Marks: after.marks, Since: after.since,
		}, nil
	}
	return registry.Status{}, fault.Newf(op, fault.Transient, "the connection changes all the time")
}

// meta is what the meta item of an open connection says.
type meta struct {
	registry.Connection
	views    []string // sorted
	syncID   int64
	watching string // see fingerprint
	since    time.Time
	full     time.Time // see registry.Pace
	told     time.Time // see refuse
	marks    int64
	resync   bool
	changed  bool
}

// readMeta returns an error of kind Gone if the connection is not open, and with ErrEnded what there is nevertheless.
func (r *Registry) readMeta(ctx context.Context, op, id string) (meta, error) {
	output, err := r.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &r.table, Key: key(metaKey(id), "meta"), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return meta{}, classify(op, err)
	}
	item := output.Item
	if _, closed := item["closed_at"]; closed || item["tenant"] == nil {
		return meta{}, fault.Newf(op, fault.Gone, "not open")
	}
	c, err := connection(id, item)
	if err != nil {
		return meta{}, err
	}
	m := meta{
		Connection: c, syncID: numberOf(item["sync_id"]), watching: textOf(item["watching"]), since: timeOf(item["since"]),
		full: timeOf(item["paced"]), told: timeOf(item["told"]), marks: numberOf(item["marks"]), resync: marked(item), changed: item["changed"] != nil,
	}
	if views, ok := item["views"].(*types.AttributeValueMemberSS); ok {
		m.views = slices.Sorted(slices.Values(views.Value)) // a set has no order
	}
	if c.Ended(r.options.Now()) {
		return m, fault.New(op, fault.Gone, registry.ErrEnded)
	}
	return m, nil
}

// refuse returns why a subscription is refused, with ErrTold but for the first of each time: which that is, one write
// decides. If that fails the connection is told again.
func (r *Registry) refuse(ctx context.Context, op string, m meta, why error) error {
	of := m.full
	switch {
	case errors.Is(why, registry.ErrEnded):
		of = m.Until
	case !errors.As(why, new(registry.TooSoon)):
		return why
	}
	if !m.told.Equal(of) {
		_, err := r.update(ctx, key(metaKey(m.ID), "meta"), isOpen+" AND (told <> :of OR attribute_not_exists(told))", "SET told = :of",
			map[string]types.AttributeValue{":of": millis(of)})
		if !unmet(err) {
			return why
		}
	}
	return fault.Newf(op, fault.KindOf(why), "%w, %w", why, registry.ErrTold)
}

// subscribe returns what the item says when s is stored, or why it cannot be.
func (m meta) subscribe(op string, s registry.Subscription, now time.Time) (meta, error) {
	if m.syncID > s.SyncID {
		return m, fault.New(op, fault.Invalid, registry.ErrSuperseded)
	}
	if err := registry.CheckPermission(op, m.Connection, s); err != nil {
		return m, err
	}
	var wait time.Duration
	if m.full, wait = registry.Pace(m.full, now); wait > 0 {
		return m, fault.New(op, fault.Throttled, registry.TooSoon{After: wait})
	}
	if s.Contracts != nil {
		m.Contracts = s.Contracts
	}
	first := m.syncID == 0
	m.syncID = s.SyncID
	if watching := fingerprint(m.Contracts, s.Views); watching != m.watching {
		m.watching, m.since = watching, now.Truncate(time.Millisecond)
		if !first {
			m.changed = true
			m.marks++
		}
	}
	return m, nil
}

// fingerprint is the same only for the same contracts and views.
func fingerprint(contracts []string, views map[string]string) string {
	text := strings.Join(contracts, ",")
	for _, partition := range slices.Sorted(maps.Keys(views)) {
		text += "\x00" + partition + "\x00" + views[partition]
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// keysOf are the partition keys of a subscription's view items, sorted.
func keysOf(c registry.Connection, s registry.Subscription) []string {
	keys := []string{}
	for partition := range s.Views {
		keys = append(keys, viewKey(c.Tenant, partition, registry.Bucket(c.ID)))
	}
	slices.Sort(keys)
	return keys
}

// write stores a subscription. If it is renewed the view items stay as they are.
func (r *Registry) write(ctx context.Context, before, after meta, s registry.Subscription, renewed bool) error {
	update := r.metaUpdate(before, after, s)
	if renewed {
		return retryConflicts(ctx, func() error {
			_, err := r.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
				TableName: update.TableName, Key: update.Key, UpdateExpression: update.UpdateExpression,
				ConditionExpression:       update.ConditionExpression,
				ExpressionAttributeNames:  update.ExpressionAttributeNames,
				ExpressionAttributeValues: update.ExpressionAttributeValues,
			})
			return err
		})
	}
	items := []types.TransactWriteItem{{Update: update}}
	for partition, views := range s.Views {
		own := item(after.Connection, key(viewKey(after.Tenant, partition, registry.Bucket(after.ID)), after.ID))
		own["views"], own["sync_id"] = text(views), integer(s.SyncID)
		if after.resync {
			own["resync"] = integer(after.marks)
		}
		items = append(items, types.TransactWriteItem{Put: &types.Put{TableName: &r.table, Item: own}})
	}
	return r.transact(ctx, items)
}

// metaUpdate turns before into after, where before still holds.
func (r *Registry) metaUpdate(before, after meta, s registry.Subscription) *types.Update {
	set := []string{"sync_id = :n", "watching = :watching", "since = :since", "paced = :paced", "marks = :marks"}
	values := map[string]types.AttributeValue{
		":n": integer(after.syncID), ":watching": text(after.watching), ":since": millis(after.since), ":paced": millis(after.full),
		":marks": integer(after.marks), ":seen": integer(before.syncID), ":marked": integer(before.marks),
	}
	if after.changed {
		set = append(set, "changed = :yes")
		values[":yes"] = &types.AttributeValueMemberBOOL{Value: true}
	}
	if len(after.Contracts) > 0 {
		set = append(set, "contracts = :contracts")
		values[":contracts"] = &types.AttributeValueMemberSS{Value: after.Contracts}
	}
	update := &types.Update{
		TableName: &r.table, Key: key(metaKey(after.ID), "meta"),
		ConditionExpression: aws.String(isOpen +
			" AND (sync_id = :seen OR attribute_not_exists(sync_id)) AND (marks = :marked OR attribute_not_exists(marks))"),
		ExpressionAttributeValues: values,
	}
	expression := "SET " + strings.Join(set, ", ")
	if now := keysOf(after.Connection, s); len(now) > 0 {
		// Added, not set: the old ones are to be deleted yet.
		expression += " ADD #views :views"
		values[":views"] = &types.AttributeValueMemberSS{Value: now}
		update.ExpressionAttributeNames = map[string]string{"#views": "views"}
	}
	update.UpdateExpression = &expression
	return update
}

// retire deletes view items that a subscription has replaced, and takes them off the list, unless a later
// one has written them anew.
func (r *Registry) retire(ctx context.Context, op, id string, syncID int64, views []string) error {
	values := map[string]types.AttributeValue{":n": integer(syncID)}
	for _, view := range views {
		err := retryConflicts(ctx, func() error {
			_, err := r.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
				TableName: &r.table, Key: key(view, id),
				ConditionExpression:       aws.String("attribute_not_exists(sync_id) OR sync_id <= :n"),
				ExpressionAttributeValues: values,
			})
			return err
		})
		if err != nil && !unmet(err) {
			return classify(op, err)
		}
	}
	err := retryConflicts(ctx, func() error {
		_, err := r.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: &r.table, Key: key(metaKey(id), "meta"),
			UpdateExpression:         aws.String("DELETE #views :old"),
			ConditionExpression:      aws.String(isOpen + " AND sync_id = :n"),
			ExpressionAttributeNames: map[string]string{"#views": "views"},
			ExpressionAttributeValues: map[string]types.AttributeValue{
				":old": &types.AttributeValueMemberSS{Value: views}, ":n": integer(syncID),
			},
		})
		return err
	})
	if unmet(err) {
		return nil
	}
	return classify(op, err)
}

// Blame writes the meta item, on condition that nobody else has paid meanwhile.
func (r *Registry) Blame(ctx context.Context, id string, gross bool) (int, error) {
	const op = "registry.Blame"
	for range subscribeTries {
		m, err := r.readMeta(ctx, op, id)
		if err != nil {
			return 0, r.refuse(ctx, op, m, err)
		}
		values := map[string]types.AttributeValue{":seen": millis(m.full), ":gross": integer(0)}
		full, wait := registry.Pace(m.full, r.options.Now())
		if wait > 0 {
			if full = m.full; !gross {
				return 0, fault.New(op, fault.Throttled, registry.TooSoon{After: wait})
			}
		}
		values[":paced"] = millis(full)
		if gross {
			values[":gross"] = integer(1)
		}
		output, err := r.update(ctx, key(metaKey(id), "meta"), isOpen+" AND (paced = :seen OR attribute_not_exists(paced))",
			"SET paced = :paced ADD gross :gross", values)
		if unmet(err) {
			continue
		}
		if err != nil {
			return 0, classify(op, err)
		}
		return int(numberOf(output.Attributes["gross"])), nil
	}
	return 0, fault.Newf(op, fault.Transient, "the connection changes all the time")
}

// Charge adds to the time of registry.Pace, which is not before the subscription that is charged for.
func (r *Registry) Charge(ctx context.Context, id string, tokens int) error {
	const op = "registry.Charge"
	_, err := r.update(ctx, key(metaKey(id), "meta"), isOpen+" AND attribute_exists(paced)", "ADD paced :tokens",
		map[string]types.AttributeValue{":tokens": integer(int64(tokens) * registry.SubscribeInterval.Milliseconds())})
	return classify(op, unconditional(err))
}

// MarkResync marks the meta item, and then the view items that it names, so that whoever reads these
// needs nothing else.
func (r *Registry) MarkResync(ctx context.Context, id string) error {
	const op = "registry.MarkResync"
	// An item that has gone meanwhile must not come back: hence the conditions.
	output, err := r.update(ctx, key(metaKey(id), "meta"), isOpen,
		"SET resync = if_not_exists(marks, :zero) + :one ADD marks :one",
		map[string]types.AttributeValue{":zero": integer(0), ":one": integer(1)})
	if err != nil {
		return classify(op, unconditional(err))
	}
	views, _ := output.Attributes["views"].(*types.AttributeValueMemberSS)
	if views == nil {
		return nil
	}
	for _, view := range views.Value {
		_, err := r.update(ctx, key(view, id), "attribute_exists(pk)", "SET resync = :marks",
			map[string]types.AttributeValue{":marks": output.Attributes["marks"]})
		if unconditional(err) != nil {
			return classify(op, err)
		}
	}
	return nil
}

// ClearResync takes the marks off the view items first: as long as the meta item has its own, the next
// call finishes the work. It leaves those that are later.
func (r *Registry) ClearResync(ctx context.Context, id string, marks int64) error {
	const op = "registry.ClearResync"
	m, err := r.readMeta(ctx, op, id)
	if err != nil {
		if fault.KindOf(err) == fault.Gone {
			return nil
		}
		return err
	}
	if m.marks != marks || !m.resync && !m.changed {
		return nil
	}
	values := map[string]types.AttributeValue{":marks": integer(marks)}
	if m.resync {
		for _, view := range m.views {
			if _, err := r.update(ctx, key(view, id), "attribute_exists(pk) AND resync <= :marks", "REMOVE resync", values); unconditional(err) != nil {
				return classify(op, err)
			}
		}
	}
	_, err = r.update(ctx, key(metaKey(id), "meta"), isOpen+" AND marks = :marks", "REMOVE resync, changed", values)
	return classify(op, unconditional(err))
}

func (r *Registry) update(ctx context.Context, k map[string]types.AttributeValue, condition, expression string, values map[string]types.AttributeValue) (output *dynamodb.UpdateItemOutput, err error) {
	err = retryConflicts(ctx, func() (err error) {
		output, err = r.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: &r.table, Key: k, UpdateExpression: &expression, ConditionExpression: &condition,
			ExpressionAttributeValues: values, ReturnValues: types.ReturnValueAllNew,
		})
		return err
	})
	return output, err
}

// unmet reports whether err is that a condition was not met.
func unmet(err error) bool {
	if _, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		return true
	}
	return slices.Contains(reasons(err), "ConditionalCheckFailed")
}

// unconditional returns an error unless it is that a condition was not met.
func unconditional(err error) error {
	if unmet(err) {
		return nil
	}
	return err
}

func integer(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// numberOf returns the number of a value, or 0.
func numberOf(v types.AttributeValue) int64 {
	if n, ok := v.(*types.AttributeValueMemberN); ok {
		i, _ := strconv.ParseInt(n.Value, 10, 64) // a number of our own
		return i
	}
	return 0
}

// timeOf returns the time of a value, or the zero time.
func timeOf(v types.AttributeValue) time.Time {
	if ms := numberOf(v); ms != 0 {
		return time.UnixMilli(ms)
	}
	return time.Time{}
}
