package dynamoregistry_test

import (
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/services/internal/awstest"
	"github.com/iops-dashboard/live/services/internal/registry"
	"github.com/iops-dashboard/live/services/internal/registry/dynamoregistry"
)

// The items by which owners find their connections expire with them, tell their age, and hold nothing else.
func TestStoredFormOfOwners(t *testing.T) {
	t.Parallel()
	client, table := awstest.DynamoDB(t), awstest.Table(t)
	r := dynamoregistry.New(client, table, dynamoregistry.Options{})
	c := registry.Connection{
		ID: "L0SM9cOFvHcCIhw=", Tenant: "acme", Subject: "auth0|ada", Session: "s#1", EntityTypes: []string{"insight", "student"},
		ConnectedAt: time.UnixMilli(1_795_000_000_123),
	}
	if err := r.Open(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	meta := get(t, client, table, "conn#"+c.ID, "meta")
	if s, _ := meta["subject"].(*types.AttributeValueMemberS); s == nil || s.Value != c.Subject {
		t.Errorf("the meta item is %v", meta)
	}
	if may, _ := meta["entity_types"].(*types.AttributeValueMemberSS); may == nil || !slices.Equal(slices.Sorted(slices.Values(may.Value)), c.EntityTypes) {
		t.Errorf("the meta item is %v", meta)
	}
	owners := []string{"subject#acme#auth0|ada", "session#acme#s#1"}
	for _, pk := range owners {
		if item := get(t, client, table, pk, c.ID); len(item) != 4 || number(item, "expires_at") != number(meta, "expires_at") ||
			number(item, "connected_at") != c.ConnectedAt.UnixMilli() {
			t.Errorf("%s: %v", pk, item)
		}
	}
	if err := r.Close(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	for _, pk := range owners {
		if item := get(t, client, table, pk, c.ID); item != nil {
			t.Errorf("%s is still there: %v", pk, item)
		}
	}
}
