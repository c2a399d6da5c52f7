// Package dynamostate is the state table on DynamoDB.
//
// The stored form, which other readers of the table rely on. One item an entity:
//
//	pk          S  tenant#entity_type#n, n = 0..7: FNV-1a (32 bits) of the entity id, modulo 8
//	sk          S  entity id; of an insight see [state.InsightKey]
//	image       S  JSON object of the public attributes; absent: a tombstone
//	revision    N  counts the accepted changes of the entity, from 1, without gaps
//	label       S  stream label of the last accepted change
//	seq         S  its sequence number, zero-padded to 40 digits
//	written_at  S  when its row was written, RFC 3339 in UTC with milliseconds
//	expires_at  N  tombstones only: unix seconds, the table's TTL attribute
//
// and one item for the table, pk = sk = "generation", with epoch (N): the unix time in
// milliseconds at which the first user of the table met it. Whoever needs the epoch writes it if
// it is absent and reads it otherwise, so it changes exactly when the table is rebuilt. Whoever
// restores the table from a backup must delete that item: revisions have gone back.
package dynamostate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/fault/awsfault"
	"github.com/iops-dashboard/live/services/internal/state"
)

// Partitions is how many partition keys the entities of one tenant and type are spread over.
// Changing it orphans what is stored.
const Partitions = 8

const timeLayout = "2006-01-02T15:04:05.000Z"

// Options change how a table works. The zero value is what production uses.
type Options struct {
	// Now is the clock of tombstones and of the generation. Defaults to time.Now.
	Now func() time.Time
	// PageSize limits the items that one Query of a list reads, tombstones among them. Defaults to 0:
	// DynamoDB's own limit of 1 MB.
	PageSize int
}

// Table is a state table on DynamoDB. A change costs one UpdateItem. The client's retryer
// decides about retries within a call.
type Table struct {
	client     *dynamodb.Client
	name       string
	now        func() time.Time
	pageSize   int
	generation generation
}

// New returns the table called name, which must exist. Nothing is read before the first use.
func New(client *dynamodb.Client, name string, o Options) *Table {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Table{client: client, name: name, now: o.Now, pageSize: o.PageSize, generation: generation{turn: make(chan struct{}, 1)}}
}

var _ state.Table = (*Table)(nil)

// Partition returns the partition key of an entity.
func Partition(k state.Key) string {
	return partition(k.Tenant, k.EntityType, partitionOf(k.EntityID))
}

func partitionOf(id string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // never fails
	return int(h.Sum32() % Partitions)
}

func partition(tenant, entityType string, n int) string {
	return tenant + "#" + entityType + "#" + strconv.Itoa(n)
}

var names = map[string]string{
	"#image": "image", "#revision": "revision", "#label": "label", "#seq": "seq",
	"#written": "written_at", "#expires": "expires_at",
}

const (
	newer       = "attribute_not_exists(#seq) OR #label < :label OR (#label = :label AND #seq < :seq)"
	set         = "SET #label = :label, #seq = :seq, #written = :written, #revision = if_not_exists(#revision, :zero) + :one"
	setImage    = set + ", #image = :image REMOVE #expires"
	setRemoved  = set + ", #expires = :expires REMOVE #image"
	opApply     = "dynamostate.Apply"
	opGet       = "dynamostate.Get"
	maxAttempts = 3
)

// Apply implements [state.Table].
func (t *Table) Apply(ctx context.Context, c state.Change) (state.Result, error) {
	if err := c.Validate(); err != nil {
		return state.Result{}, err
	}
	// The epoch comes first. Should the table be rebuilt in between, an old epoch with a revision of
	// the new table is merely ignored by readers; a new epoch with a revision of the old one would
	// outrank all that follows.
	epoch, err := t.epoch(ctx)
	if err != nil {
		return state.Result{}, err
	}
	update := t.update(c)
	for range maxAttempts {
		out, err := t.client.UpdateItem(ctx, update)
		if err == nil {
			stored, err := decode(out.Attributes)
			if err != nil {
				return state.Result{}, fault.New(opApply, fault.Internal, err)
			}
			return result(state.Applied, epoch, stored), nil
		}
		refused, ok := errors.AsType[*types.ConditionalCheckFailedException](err)
		if !ok {
			return state.Result{}, awsfault.DynamoDB.Classify(opApply, err)
		}
		attributes := refused.Item
		if len(attributes) == 0 { // a server that does not know ReturnValuesOnConditionCheckFailure
			if attributes, err = t.read(ctx, opApply, c.Key); err != nil {
				return state.Result{}, err
			}
		}
		if len(attributes) == 0 {
			continue // the tombstone expired between the two calls
		}
		stored, err := decode(attributes)
		if err != nil {
			return state.Result{}, fault.New(opApply, fault.Internal, err)
		}
		outcome := state.Superseded
		if sequence, _ := c.At.Padded(); stored.label == c.At.Label && stored.sequence == sequence {
			outcome = state.Repeated
		}
		return result(outcome, epoch, stored), nil
	}
	return state.Result{}, fault.Newf(opApply, fault.Transient, "the item comes and goes")
}

func (t *Table) update(c state.Change) *dynamodb.UpdateItemInput {
	sequence, _ := c.At.Padded()
	expression, aliases := setImage, names
	values := map[string]types.AttributeValue{
		":label":   text(c.At.Label),
		":seq":     text(sequence),
		":written": text(c.WrittenAt.UTC().Format(timeLayout)),
		":zero":    number(0),
		":one":     number(1),
	}
	if c.Image == nil {
		expression = setRemoved
		values[":expires"] = number(t.now().Add(state.TombstoneTTL).Unix())
	} else {
		values[":image"] = text(string(c.Image))
	}
	return &dynamodb.UpdateItemInput{
		TableName:                           &t.name,
		Key:                                 key(c.Key),
		ConditionExpression:                 aws.String(newer),
		UpdateExpression:                    &expression,
		ExpressionAttributeNames:            aliases,
		ExpressionAttributeValues:           values,
		ReturnValues:                        types.ReturnValueUpdatedNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
}

// Get implements [state.Table].
func (t *Table) Get(ctx context.Context, k state.Key) (state.Item, bool, error) {
	epoch, err := t.epoch(ctx)
	if err != nil {
		return state.Item{}, false, err
	}
	attributes, err := t.read(ctx, opGet, k)
	if err != nil || len(attributes) == 0 {
		return state.Item{}, false, err
	}
	stored, err := decode(attributes)
	if err != nil {
		return state.Item{}, false, fault.New(opGet, fault.Internal, err)
	}
	return stored.of(epoch), true, nil
}

func (t *Table) read(ctx context.Context, op string, k state.Key) (map[string]types.AttributeValue, error) {
	out, err := t.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &t.name, Key: key(k), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil, awsfault.DynamoDB.Classify(op, err)
	}
	return out.Item, nil
}

type item struct {
	label, sequence string
	revision        int64
	written         time.Time
	image           json.RawMessage
}

// of is the item in the table's generation.
func (i item) of(epoch int64) state.Item {
	return state.Item{
		At:        state.Position{Label: i.label, Sequence: state.Unpadded(i.sequence)},
		Version:   contracts.Version{Epoch: epoch, Revision: i.revision},
		WrittenAt: i.written,
		Image:     i.image,
	}
}

func decode(attributes map[string]types.AttributeValue) (item, error) {
	var i item
	var ok bool
	if i.label, ok = textOf(attributes["label"]); !ok {
		return i, errors.New("stored item has no label")
	}
	if i.sequence, ok = textOf(attributes["seq"]); !ok {
		return i, errors.New("stored item has no seq")
	}
	if i.revision, ok = numberOf(attributes["revision"]); !ok {
		return i, errors.New("stored item has no revision")
	}
	written, _ := textOf(attributes["written_at"])
	var err error
	if i.written, err = time.Parse(timeLayout, written); err != nil {
		return i, fmt.Errorf("stored item has no written_at: %w", err)
	}
	if image, ok := textOf(attributes["image"]); ok {
		i.image = json.RawMessage(image)
	}
	return i, nil
}

func result(o state.Outcome, epoch int64, i item) state.Result {
	return state.Result{Outcome: o, Version: contracts.Version{Epoch: epoch, Revision: i.revision}}
}

func key(k state.Key) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"pk": text(Partition(k)), "sk": text(k.EntityID)}
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func textOf(v types.AttributeValue) (string, bool) {
	s, ok := v.(*types.AttributeValueMemberS)
	if !ok {
		return "", false
	}
	return s.Value, true
}

func numberOf(v types.AttributeValue) (int64, bool) {
	n, ok := v.(*types.AttributeValueMemberN)
	if !ok {
		return 0, false
	}
	i, err := strconv.ParseInt(n.Value, 10, 64)
	return i, err == nil
}
