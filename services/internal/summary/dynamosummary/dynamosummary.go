// Package dynamosummary keeps summaries in a DynamoDB table with string keys pk and sk and the TTL attribute
// expires_at: that of the connection registry, whose keys begin otherwise. One item for each key:
//
//	pk summary#<tenant>#<of>   sk summary   begun, begun_at, done, done_begun_at, digest
//
// Times are in Unix milliseconds, and expires_at in Unix seconds. A call costs one read unit, or one write unit.
package dynamosummary

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/services/internal/fault/awsfault"
	"github.com/iops-dashboard/live/services/internal/summary"
)

// Store is a [summary.Store] on a DynamoDB table.
type Store struct {
	client *dynamodb.Client
	table  string
}

var _ summary.Store = (*Store)(nil)

// New returns the summaries in table. The client's own retries stay in force: a Begin that is repeated because its
// answer was lost may find its number taken, by itself. Then nobody reads by that number.
func New(client *dynamodb.Client, table string) *Store { return &Store{client: client, table: table} }

// Get is a consistent read.
func (s *Store) Get(ctx context.Context, k summary.Key) (summary.Summary, error) {
	const op = "summary.Get"
	if err := k.Check(op); err != nil {
		return summary.Summary{}, err
	}
	output, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.table, Key: key(k), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return summary.Summary{}, awsfault.DynamoDB.Classify(op, err)
	}
	item := output.Item
	found := summary.Summary{Begun: numberOf(item["begun"]), BegunAt: timeOf(item["begun_at"])}
	if digest, ok := item["digest"].(*types.AttributeValueMemberS); ok {
		found.Done = summary.Read{Number: numberOf(item["done"]), BegunAt: timeOf(item["done_begun_at"]), Digest: digest.Value}
	}
	return found, nil
}

// Begin writes on condition that the last number is the one before.
func (s *Store) Begin(ctx context.Context, k summary.Key, after int64, now time.Time) (bool, error) {
	condition := "begun = :after"
	if after == 0 {
		condition = "attribute_not_exists(begun) OR begun = :after"
	}
	return s.update(ctx, "summary.Begin", k, condition, "SET begun = :next, begun_at = :now, expires_at = :end",
		map[string]types.AttributeValue{
			":after": number(after), ":next": number(after + 1), ":now": number(now.UnixMilli()),
			":end": number(now.Add(summary.Keep).Unix() + 1),
		})
}

// End writes on condition that no later read has ended. An item that has expired stays away: its numbers begin anew.
func (s *Store) End(ctx context.Context, k summary.Key, r summary.Read) error {
	_, err := s.update(ctx, "summary.End", k, "begun >= :n AND (attribute_not_exists(done) OR done < :n)",
		"SET done = :n, done_begun_at = :at, digest = :digest",
		map[string]types.AttributeValue{
			":n": number(r.Number), ":at": number(r.BegunAt.UnixMilli()), ":digest": &types.AttributeValueMemberS{Value: r.Digest},
		})
	return err
}

// update reports whether the condition was met.
func (s *Store) update(ctx context.Context, op string, k summary.Key, condition, expression string, values map[string]types.AttributeValue) (bool, error) {
	if err := k.Check(op); err != nil {
		return false, err
	}
	_, err := s.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &s.table, Key: key(k), ConditionExpression: &condition, UpdateExpression: &expression, ExpressionAttributeValues: values,
	})
	if _, unmet := errors.AsType[*types.ConditionalCheckFailedException](err); unmet {
		return false, nil
	}
	if err != nil {
		return false, awsfault.DynamoDB.Classify(op, err)
	}
	return true, nil
}

func key(k summary.Key) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{
		"pk": &types.AttributeValueMemberS{Value: "summary#" + k.Tenant + "#" + k.Of}, "sk": &types.AttributeValueMemberS{Value: "summary"},
	}
}

func number(n int64) types.AttributeValue {
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
