package dynamoregistry_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/services/internal/awstest"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/registry"
	"github.com/iops-dashboard/live/services/internal/registry/dynamoregistry"
)

// answered returns a client whose calls of one kind are answered so.
func answered[In any](t *testing.T, with func(In) (any, error)) *dynamodb.Client {
	t.Helper()
	options := awstest.DynamoDB(t).Options()
	options.APIOptions = append(options.APIOptions, awstest.Around(func(_ context.Context, input any, next func() (any, error)) (any, error) {
		if in, ok := input.(In); ok {
			return with(in)
		}
		return next()
	}))
	return dynamodb.New(options)
}

// fill opens as many of ada's connections as she may have.
func fill(t *testing.T, r *dynamoregistry.Registry, limit int) {
	t.Helper()
	for n := range limit {
		if err := r.Open(t.Context(), adas(n)); err != nil {
			t.Fatal(err)
		}
	}
}

// A query may miss for a moment what a transaction has written.
func TestTheCapTrustsNoQuery(t *testing.T) {
	t.Parallel()
	client := answered(t, func(*dynamodb.QueryInput) (any, error) { return &dynamodb.QueryOutput{}, nil })
	r := dynamoregistry.New(client, awstest.Table(t), dynamoregistry.Options{PerSubject: 2})
	fill(t, r, 2)
	if err := r.Open(t.Context(), adas(2)); !errors.As(err, new(registry.TooMany)) {
		t.Errorf("%v, want too many", err)
	}
}

// Those that are listed count, also if their own items cannot be seen yet.
func TestWhoIsListedCounts(t *testing.T) {
	t.Parallel()
	client := answered(t, func(in *dynamodb.BatchGetItemInput) (any, error) { return &dynamodb.BatchGetItemOutput{}, nil })
	r := dynamoregistry.New(client, awstest.Table(t), dynamoregistry.Options{PerSubject: 2})
	fill(t, r, 2)
	if err := r.Open(t.Context(), adas(2)); !errors.As(err, new(registry.TooMany)) {
		t.Errorf("%v, want too many", err)
	}
}

func TestOpenThatCannotReadWhoIsThere(t *testing.T) {
	t.Parallel()
	table := awstest.Table(t)
	fill(t, dynamoregistry.New(awstest.DynamoDB(t), table, dynamoregistry.Options{PerSubject: 2}), 2)
	for name, answer := range map[string]func(*dynamodb.BatchGetItemInput) (any, error){
		"an outage": func(*dynamodb.BatchGetItemInput) (any, error) { return nil, &types.InternalServerError{} },
		"throttled": func(in *dynamodb.BatchGetItemInput) (any, error) {
			return &dynamodb.BatchGetItemOutput{UnprocessedKeys: in.RequestItems}, nil
		},
	} {
		r := dynamoregistry.New(answered(t, answer), table, dynamoregistry.Options{PerSubject: 2})
		if err := r.Open(t.Context(), adas(2)); err == nil || !fault.KindOf(err).Temporary() || errors.As(err, new(registry.TooMany)) {
			t.Errorf("%s: %v, want a temporary kind", name, err)
		}
	}
}

// The list forgets those that were closed, before it is longer than it may be.
func TestStoredFormOfTheList(t *testing.T) {
	t.Parallel()
	client, table := awstest.DynamoDB(t), awstest.Table(t)
	const limit = 3
	r := dynamoregistry.New(client, table, dynamoregistry.Options{PerSubject: limit, PerService: limit})
	listed := func(kind string) map[string]types.AttributeValue {
		item := get(t, client, table, "opens#acme#ada", kind)
		members, ok := item["members"].(*types.AttributeValueMemberM)
		if !ok || len(item) != 5 || number(item, "expires_at") < time.Now().Add(registry.Lifetime-time.Minute).Unix() {
			t.Fatalf("%s: %v", kind, item)
		}
		return members.Value
	}
	for n := range 4 * limit {
		c := adas(n)
		if n == 4*limit-1 {
			c.Until = c.ConnectedAt.Add(time.Hour)
		}
		if err := r.Open(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		members := listed("pages")
		if ms := number(members, c.ID); ms != c.End().UnixMilli() || len(members) > limit {
			t.Errorf("%s is listed until %d of %v", c.ID, ms, members)
		}
		if err := r.Close(t.Context(), c.ID); err != nil {
			t.Fatal(err)
		}
	}
	service := adas(100)
	service.Service = true
	if err := r.Open(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	if members := listed("services"); !slices.Equal(slices.Collect(maps.Keys(members)), []string{service.ID}) {
		t.Errorf("services: %v", members)
	}
}

// What a service may have is more than one call reads.
func TestMoreThanOneCallReads(t *testing.T) {
	t.Parallel()
	const limit = 101
	client, table := awstest.DynamoDB(t), awstest.Table(t)
	members := map[string]types.AttributeValue{}
	end := &types.AttributeValueMemberN{Value: "99999999999999"}
	for n := range limit {
		members[adas(n).ID] = end
	}
	if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: map[string]types.AttributeValue{
		"pk": &types.AttributeValueMemberS{Value: "opens#acme#ada"}, "sk": &types.AttributeValueMemberS{Value: "pages"},
		"members": &types.AttributeValueMemberM{Value: members},
	}}); err != nil {
		t.Fatal(err)
	}
	r := dynamoregistry.New(client, table, dynamoregistry.Options{PerSubject: limit})
	if err := r.Open(t.Context(), adas(limit)); !errors.As(err, new(registry.TooMany)) {
		t.Errorf("%v, want too many", err)
	}
	if err := r.Close(t.Context(), adas(limit/2).ID); err != nil {
		t.Fatal(err)
	}
	if err := r.Open(t.Context(), adas(limit)); err != nil {
		t.Errorf("after one was closed: %v", err)
	}
}
