package dynamoregistry

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/registry"
)

// Revoke writes one item, after which Owned reads the owner's partition. Open writes to that partition, and then
// reads the item. All of these are there for every consistent read that begins when they have returned, so Owned
// finds the connection, or Open the revocation. A condition in Open's transaction would not do: a query may miss
// for a moment what a transaction writes whose conditions have held.
func (r *Registry) Revoke(ctx context.Context, o registry.Owner) error {
	const op = "registry.Revoke"
	if err := registry.CheckOwner(op, o); err != nil {
		return err
	}
	now := time.Now()
	item := revokedKey(ownerKeys(o.Tenant, o.Subject, o.Session)[0])
	item["revoked_at"], item["expires_at"] = millis(now), seconds(now.Add(registry.Lifetime))
	_, err := r.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &r.table, Item: item})
	return classify(op, err)
}

// confirm closes c if its permission was revoked. It costs a handshake one call, which reads an item for each owner.
func (r *Registry) confirm(ctx context.Context, op string, c registry.Connection) error {
	owners := ownerKeys(c.Tenant, c.Subject, c.Session)
	if len(owners) == 0 {
		return nil
	}
	var keys []map[string]types.AttributeValue
	for _, owner := range owners {
		keys = append(keys, revokedKey(owner))
	}
	out, err := r.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
		RequestItems: map[string]types.KeysAndAttributes{r.table: {Keys: keys, ConsistentRead: aws.Bool(true)}},
	})
	switch {
	case err != nil:
		return classify(op, err)
	case len(out.UnprocessedKeys) > 0:
		return fault.Newf(op, fault.Throttled, "the revocations were not read")
	}
	for _, item := range out.Responses[r.table] {
		at := timeOf(item["revoked_at"])
		if at.IsZero() { // somebody else may write to the table
			return fault.Newf(op, fault.Internal, "a revocation lacks its time")
		}
		if !c.Revoked(at) {
			continue
		}
		if err := r.Close(ctx, c.ID); err != nil {
			return err
		}
		return fault.New(op, fault.Gone, registry.ErrRevoked)
	}
	return nil
}

func revokedKey(owner string) map[string]types.AttributeValue {
	return key("revoked#"+owner, "revoked")
}
