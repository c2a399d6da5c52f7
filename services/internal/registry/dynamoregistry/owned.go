package dynamoregistry

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/services/internal/registry"
)

// Owned queries the owner's partition. Connections past their lifetime may be among them: closing one that
// has gone does no harm.
func (r *Registry) Owned(ctx context.Context, o registry.Owner) ([]registry.Connection, error) {
	const op = "registry.Owned"
	if err := registry.CheckOwner(op, o); err != nil {
		return nil, err
	}
	input := &dynamodb.QueryInput{
		TableName:                 &r.table,
		ConsistentRead:            aws.Bool(true),
		KeyConditionExpression:    aws.String("pk = :owner"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":owner": text(ownerKeys(o.Tenant, o.Subject, o.Session)[0])},
	}
	if r.options.PageSize > 0 {
		input.Limit = aws.Int32(int32(r.options.PageSize))
	}
	var all []registry.Connection
	for pages := dynamodb.NewQueryPaginator(r.client, input); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, classify(op, err)
		}
		for _, item := range page.Items {
			all = append(all, registry.Connection{ID: textOf(item["sk"]), Tenant: o.Tenant, ConnectedAt: timeOf(item["connected_at"])})
		}
	}
	return all, nil
}
