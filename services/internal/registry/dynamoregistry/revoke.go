package dynamoregistry

import (
	"context"

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
	now := r.options.Now()
	item := revokedKey(ownerKeys(o.Tenant, o.Subject, o.Session)[0])
	item["revoked_at"], item["expires_at"] = millis(now), seconds(now.Add(registry.Lifetime))
	_, err := r.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &r.table, Item: item})
	return classify(op, err)
}

// confirm closes c if its permission was revoked.
func (r *Registry) confirm(ctx context.Context, op string, c registry.Connection) error {
	revoked, err := r.revoked(ctx, op, c)
	if err != nil || !revoked {
		return err
	}
	if err := r.Close(ctx, c.ID); err != nil {
		return err
	}
	return fault.New(op, fault.Gone, registry.ErrRevoked)
}

// Revoked reports whether the permission of c was revoked. It sees every Revoke that returned before.
func (r *Registry) Revoked(ctx context.Context, c registry.Connection) (bool, error) {
	return r.revoked(ctx, "registry.Revoked", c)
}

// revoked costs one call, which reads an item for each owner: one read unit each.
func (r *Registry) revoked(ctx context.Context, op string, c registry.Connection) (bool, error) {
	owners := ownerKeys(c.Tenant, c.Subject, c.Session)
	if len(owners) == 0 {
		return false, nil
	}
	var keys []map[string]types.AttributeValue
	for _, owner := range owners {
		keys = append(keys, revokedKey(owner))
	}
	items, err := r.batch(ctx, op, keys)
	if err != nil {
		return false, err
	}
	for _, item := range items {
		at := timeOf(item["revoked_at"])
		if at.IsZero() { // somebody else may write to the table
			return false, fault.Newf(op, fault.Internal, "a revocation lacks its time")
		}
		if c.Revoked(at) {
			return true, nil
		}
	}
	return false, nil
}

func revokedKey(owner string) map[string]types.AttributeValue {
	return key("revoked#"+owner, "revoked")
}
