// Package dynamorow writes rows of a DynamoDB table with string keys entity_id and entity_type.
package dynamorow

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/services/internal/fault/awsfault"
	"github.com/iops-dashboard/live/services/internal/row"
)

// Table is a [row.Writer] on a DynamoDB table.
type Table struct {
	client *dynamodb.Client
	table  string
}

var _ row.Writer = (*Table)(nil)

// New returns the rows of table. The client's own retries stay in force: to write a row twice is to write it once, and the
// stream may tell of it twice.
func New(client *dynamodb.Client, table string) *Table { return &Table{client: client, table: table} }

// Write is one UpdateItem.
func (t *Table) Write(ctx context.Context, r row.Row) error {
	const op = "row.Write"
	if err := row.Check(op, r); err != nil {
		return err
	}
	names, values := map[string]string{"#tenant": "tenant"}, map[string]types.AttributeValue{":tenant": text(r.Tenant)}
	set := []string{"#tenant = :tenant"}
	for i, name := range slices.Sorted(maps.Keys(r.Attributes)) {
		n := strconv.Itoa(i)
		names["#"+n], values[":"+n] = name, attribute(r.Attributes[name])
		set = append(set, "#"+n+" = :"+n)
	}
	_, err := t.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &t.table, Key: map[string]types.AttributeValue{"entity_id": text(r.EntityID), "entity_type": text(string(r.EntityType))},
		UpdateExpression:         aws.String("SET " + strings.Join(set, ", ")),
		ExpressionAttributeNames: names, ExpressionAttributeValues: values,
	})
	return awsfault.DynamoDB.Classify(op, err)
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

// attribute is one of those values that row.Check lets pass.
func attribute(v any) types.AttributeValue {
	switch v := v.(type) {
	case string:
		return text(v)
	case float64:
		return &types.AttributeValueMemberN{Value: strconv.FormatFloat(v, 'f', -1, 64)}
	case int:
		return &types.AttributeValueMemberN{Value: strconv.Itoa(v)}
	}
	panic(fmt.Sprintf("dynamorow: a value of type %T", v))
}
