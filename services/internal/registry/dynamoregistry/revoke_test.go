package dynamoregistry_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/services/internal/awstest"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/registry"
	"github.com/iops-dashboard/live/services/internal/registry/dynamoregistry"
	"github.com/iops-dashboard/live/services/internal/registry/registrytest"
)

func adas(n int) registry.Connection {
	c := registrytest.Connection("acme", n)
	c.Subject, c.Session, c.PermittedAt = "ada", "s1", c.ConnectedAt.Add(-time.Second)
	return c
}

// Nobody knows then whether the permission still holds.
func TestOpenThatCannotReadTheRevocations(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(*dynamodb.BatchGetItemInput) (any, error){
		"an outage": func(*dynamodb.BatchGetItemInput) (any, error) { return nil, &types.InternalServerError{} },
		"throttled": func(in *dynamodb.BatchGetItemInput) (any, error) {
			return &dynamodb.BatchGetItemOutput{UnprocessedKeys: in.RequestItems}, nil
		},
	} {
		var planted atomic.Bool
		planted.Store(true)
		options := awstest.DynamoDB(t).Options()
		options.APIOptions = append(options.APIOptions, awstest.Around(func(_ context.Context, input any, next func() (any, error)) (any, error) {
			if in, ok := input.(*dynamodb.BatchGetItemInput); ok && planted.Load() {
				return answer(in)
			}
			return next()
		}))
		r := dynamoregistry.New(dynamodb.New(options), awstest.Table(t), dynamoregistry.Options{})
		if err := r.Open(t.Context(), adas(1)); err == nil || !fault.KindOf(err).Temporary() {
			t.Errorf("%s: %v, want a temporary kind", name, err)
		}
		planted.Store(false)
		if err := r.Open(t.Context(), adas(1)); err != nil {
			t.Errorf("%s, again: %v", name, err)
		}
	}
}

// A revocation that is not as Revoke writes it lets nobody in.
func TestOpenWhereARevocationIsSpoilt(t *testing.T) {
	t.Parallel()
	client, table := awstest.DynamoDB(t), awstest.Table(t)
	r := dynamoregistry.New(client, table, dynamoregistry.Options{})
	if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: map[string]types.AttributeValue{
		"pk": &types.AttributeValueMemberS{Value: "revoked#session#acme#s1"}, "sk": &types.AttributeValueMemberS{Value: "revoked"},
	}}); err != nil {
		t.Fatal(err)
	}
	if err := r.Open(t.Context(), adas(1)); err == nil || fault.KindOf(err) != fault.Internal {
		t.Errorf("%v, want kind internal", err)
	}
}

// At whichever of its calls an Open is overtaken by a revocation, it is refused, or found.
func TestOpenThatARevocationOvertakes(t *testing.T) {
	t.Parallel()
	for name, overtaken := range map[string]func(input any) bool{
		"before its rows":  func(input any) bool { _, ok := input.(*dynamodb.TransactWriteItemsInput); return ok },
		"before its check": func(input any) bool { _, ok := input.(*dynamodb.BatchGetItemInput); return ok },
	} {
		for _, o := range []registry.Owner{{Tenant: "acme", Subject: "ada"}, {Tenant: "acme", Session: "s1"}} {
			table, c := awstest.Table(t), adas(1)
			operator := dynamoregistry.New(awstest.DynamoDB(t), table, dynamoregistry.Options{})
			overtook := false
			client := intercepted(t, func(ctx context.Context, input any) error {
				if !overtaken(input) || overtook {
					return nil
				}
				overtook = true
				err := operator.Revoke(ctx, o)
				_, unlisted := operator.Owned(ctx, o)
				return errors.Join(err, unlisted)
			})
			r := dynamoregistry.New(client, table, dynamoregistry.Options{PerSubject: 1})
			if err := r.Open(t.Context(), c); !errors.Is(err, registry.ErrRevoked) || !overtook {
				t.Errorf("%s: %v, want it revoked", name, err)
			}
			if found, err := operator.Owned(t.Context(), o); err != nil || len(found) != 0 {
				t.Errorf("%s: %v are left, %v", name, found, err)
			}
			if got := watching(t, operator); len(got) != 0 {
				t.Errorf("%s: %v watch", name, got)
			}
		}
	}
}

func TestStoredFormOfRevocations(t *testing.T) {
	t.Parallel()
	client, table := awstest.DynamoDB(t), awstest.Table(t)
	r := dynamoregistry.New(client, table, dynamoregistry.Options{})
	for key, o := range map[string]registry.Owner{
		"revoked#subject#acme#auth0|ada": {Tenant: "acme", Subject: "auth0|ada"}, "revoked#session#acme#s#1": {Tenant: "acme", Session: "s#1"},
	} {
		before := time.Now().Truncate(time.Millisecond)
		if err := r.Revoke(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		item := get(t, client, table, key, "revoked")
		at := time.UnixMilli(number(item, "revoked_at"))
		if len(item) != 4 || at.Before(before) || at.After(time.Now()) || number(item, "expires_at") != at.Add(registry.Lifetime).Unix() {
			t.Errorf("%s: %v", key, item)
		}
	}
}

// A connection that nobody owns has nothing to be revoked, and pays for no look.
func TestOpenOfNobodysReadsNoRevocations(t *testing.T) {
	t.Parallel()
	client := intercepted(t, func(_ context.Context, input any) error {
		if _, ok := input.(*dynamodb.BatchGetItemInput); ok {
			t.Error("it reads revocations")
		}
		return nil
	})
	if err := dynamoregistry.New(client, awstest.Table(t), dynamoregistry.Options{}).Open(t.Context(), registrytest.Connection("acme", 1)); err != nil {
		t.Fatal(err)
	}
}
