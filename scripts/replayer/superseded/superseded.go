// Package superseded says of events whether the state table has a later state than they bring: then nobody needs them
// any more.
//
// It reads the table's stored form, which the package comment of services/internal/state/dynamostate documents.
package superseded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/scripts/replayer/awsfault"
	"github.com/iops-dashboard/live/scripts/replayer/statetable"
)

const (
	// rounds is how often keys are asked for none of which is read; with the pauses below that is 25 seconds.
	rounds     = 12
	firstPause = 50 * time.Millisecond
	longest    = 5 * time.Second
)

// Event is what an event says of its entity, or insight.
type Event struct {
	Partition, Sort string // the keys of its item in the state table
	Version         contracts.Version
}

// Read reads the body of an event, of any type. Its error is that of [contracts.DecodeEvent] or [contracts.DecodeInsight].
func Read(body string) (Event, error) {
	var envelope struct{ Type any }
	_ = json.Unmarshal([]byte(body), &envelope) // what is wrong with it is found below
	if envelope.Type == contracts.InsightCreatedV1Type {
		insight, err := contracts.DecodeInsight([]byte(body))
		if err != nil {
			return Event{}, err
		}
		id := insight.Data.InsightID
		return event(insight.Tenant, statetable.Insight, statetable.InsightID(id.Pk, id.Sk), insight.Data.Version), nil
	}
	update, err := contracts.DecodeEvent([]byte(body))
	if err != nil {
		return Event{}, err
	}
	return event(update.Tenant, string(update.Data.EntityType), update.Data.EntityID, update.Data.Version), nil
}

func event(tenant, kind, id string, version contracts.Version) Event {
	partition, sort := statetable.Key(tenant, kind, id)
	return Event{Partition: partition, Sort: sort, Version: version}
}

// Table is a state table. It may be used concurrently.
type Table struct {
	client *dynamodb.Client
	name   string
}

// New returns the table of that name. The client's own retries stay in force.
func New(client *dynamodb.Client, name string) Table { return Table{client, name} }

// key names an item.
type key struct{ partition, sort string }

var generation = key{statetable.Generation, statetable.Generation}

// Newer reports whether the table has a later version of the event's entity. An equal version is not later, nor is that of
// an entity which the table does not have: its tombstone may have been forgotten.
// Reads are strongly consistent. The error is redrive.ErrDenied, redrive.ErrRefused or another.
func (t Table) Newer(ctx context.Context, e Event) (bool, error) {
	// The two are no snapshot: where the table is rebuilt in between, a new epoch may meet an item of the old one. What
	// that makes older is older: the rebuilt table begins with the current rows.
	entity := key{e.Partition, e.Sort}
	numbers, err := t.read(ctx, []key{entity, generation})
	if err != nil {
		return false, err
	}
	// Without an epoch it was never written, or restored and not written since: its revisions say nothing yet.
	epoch, written := numbers[generation]
	revision, ok := numbers[entity]
	return written && ok && contracts.Version{Epoch: epoch, Revision: revision}.Compare(e.Version) > 0, nil
}

var names = map[string]string{"#pk": "pk", "#sk": "sk", "#revision": "revision", "#epoch": "epoch"}

// read returns the revision of each item that is there, and of the generation its epoch.
func (t Table) read(ctx context.Context, keys []key) (map[key]int64, error) {
	request := types.KeysAndAttributes{
		ConsistentRead: aws.Bool(true), ProjectionExpression: aws.String("#pk, #sk, #revision, #epoch"), ExpressionAttributeNames: names,
	}
	for _, k := range keys {
		request.Keys = append(request.Keys, map[string]types.AttributeValue{"pk": text(k.partition), "sk": text(k.sort)})
	}
	numbers := map[key]int64{}
	wanted := map[string]types.KeysAndAttributes{t.name: request}
	pause := firstPause
	for round := 1; ; round++ {
		before := len(wanted[t.name].Keys)
		output, err := t.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: wanted})
		if err != nil {
			return nil, awsfault.DynamoDB.Classify("look into the state table", err)
		}
		for _, item := range output.Responses[t.name] {
			if err := keep(numbers, item); err != nil {
				return nil, err
			}
		}
		if wanted = output.UnprocessedKeys; len(wanted) == 0 {
			return numbers, nil
		}
		if len(wanted[t.name].Keys) < before {
			round, pause = 0, firstPause
		}
		if round == rounds {
			return nil, fmt.Errorf("look into the state table: DynamoDB left keys unread %d times: it has no more capacity at the moment", rounds)
		}
		if err := sleep(ctx, pause/2+rand.N(pause/2)); err != nil {
			return nil, err
		}
		pause = min(2*pause, longest)
	}
}

func keep(numbers map[key]int64, item map[string]types.AttributeValue) error {
	partition, isPartition := item["pk"].(*types.AttributeValueMemberS)
	sort, isSort := item["sk"].(*types.AttributeValueMemberS)
	if !isPartition || !isSort {
		return errors.New("look into the state table: an item has no keys")
	}
	k, name := key{partition.Value, sort.Value}, "revision"
	if k == generation {
		name = "epoch"
	}
	number, _ := item[name].(*types.AttributeValueMemberN)
	if number == nil {
		return fmt.Errorf("look into the state table: the item %s, %s has no %s", k.partition, k.sort, name)
	}
	n, err := strconv.ParseInt(number.Value, 10, 64)
	if err != nil {
		return fmt.Errorf("look into the state table: the item %s, %s: %s: %w", k.partition, k.sort, name, err)
	}
	numbers[k] = n
	return nil
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
