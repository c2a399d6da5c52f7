package dynamostate

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/fault/awsfault"
)

// generationAge is for how long a process trusts the epoch that it read. It bounds how long a
// sandbox that outlives a rebuild of the table goes on with the old epoch, whose versions
// browsers would refuse.
const generationAge = time.Minute

const opGeneration = "dynamostate.generation"

// generation caches the table's epoch. Failures are not cached.
type generation struct {
	turn chan struct{} // holds a token while somebody reads the table

	mu    sync.Mutex
	epoch int64
	until time.Time
}

func (t *Table) epoch(ctx context.Context) (int64, error) {
	g := &t.generation
	if epoch, ok := g.cached(t.now()); ok {
		return epoch, nil
	}
	select {
	case g.turn <- struct{}{}:
		defer func() { <-g.turn }()
	case <-ctx.Done():
		return 0, fault.New(opGeneration, fault.Transient, context.Cause(ctx))
	}
	if epoch, ok := g.cached(t.now()); ok { // somebody else read it while we waited
		return epoch, nil
	}
	epoch, err := t.readEpoch(ctx)
	if err != nil {
		return 0, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.epoch, g.until = epoch, t.now().Add(generationAge)
	return epoch, nil
}

func (g *generation) cached(now time.Time) (int64, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.epoch, now.Before(g.until)
}

func (t *Table) readEpoch(ctx context.Context) (int64, error) {
	where := map[string]types.AttributeValue{"pk": text("generation"), "sk": text("generation")}
	for range maxAttempts {
		out, err := t.client.GetItem(ctx, &dynamodb.GetItemInput{
			TableName: &t.name, Key: where, ConsistentRead: aws.Bool(true),
		})
		if err != nil {
			return 0, awsfault.DynamoDB.Classify(opGeneration, err)
		}
		if len(out.Item) > 0 {
			epoch, ok := numberOf(out.Item["epoch"])
			if !ok {
				return 0, fault.Newf(opGeneration, fault.Denied, "the item generation has no epoch")
			}
			return epoch, nil
		}
		epoch := t.now().UnixMilli()
		_, err = t.client.PutItem(ctx, &dynamodb.PutItemInput{
			TableName:                &t.name,
			Item:                     map[string]types.AttributeValue{"pk": where["pk"], "sk": where["sk"], "epoch": number(epoch)},
			ConditionExpression:      aws.String("attribute_not_exists(#pk)"),
			ExpressionAttributeNames: map[string]string{"#pk": "pk"},
		})
		if _, lost := errors.AsType[*types.ConditionalCheckFailedException](err); lost {
			continue // another process was first, or our own first try was: read what it wrote
		}
		if err != nil {
			return 0, awsfault.DynamoDB.Classify(opGeneration, err)
		}
		return epoch, nil
	}
	return 0, fault.Newf(opGeneration, fault.Transient, "the item generation comes and goes")
}
