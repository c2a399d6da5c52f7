package dynamorow_test

import (
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/awstest"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/row"
	"github.com/iops-dashboard/live/services/internal/row/dynamorow"
	"github.com/iops-dashboard/live/services/internal/row/rowtest"
)

func TestMain(m *testing.M) { awstest.Main(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	rowtest.Run(t, func(t *testing.T) rowtest.Table {
		client, name := awstest.DynamoDB(t), newTable(t)
		return rowtest.Table{Writer: dynamorow.New(client, name), Read: func(entityType contracts.EntityType, id string) (row.Row, bool) {
			return read(t, client, name, entityType, id)
		}}
	})
}

func TestAMissingTableIsAConfigurationFault(t *testing.T) {
	t.Parallel()
	err := dynamorow.New(awstest.DynamoDB(t), awstest.Name("nowhere")).Write(t.Context(), row.Row{
		EntityType: contracts.EntityTypeStudent, EntityID: "stu_1", Tenant: "acme", Attributes: map[string]any{"health_score": 1.0},
	})
	if err == nil || fault.KindOf(err) != fault.Denied {
		t.Errorf("%v, want kind denied", err)
	}
}

// newTable makes a table with the keys of the metrics table.
func newTable(t *testing.T) string {
	t.Helper()
	in := &dynamodb.CreateTableInput{TableName: aws.String(awstest.Name("metrics")), BillingMode: types.BillingModePayPerRequest}
	for name, kind := range map[string]types.KeyType{"entity_id": types.KeyTypeHash, "entity_type": types.KeyTypeRange} {
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: &name, AttributeType: types.ScalarAttributeTypeS})
		element := types.KeySchemaElement{AttributeName: &name, KeyType: kind}
		if kind == types.KeyTypeHash { // which comes first
			in.KeySchema = append([]types.KeySchemaElement{element}, in.KeySchema...)
		} else {
			in.KeySchema = append(in.KeySchema, element)
		}
	}
	if _, err := awstest.DynamoDB(t).CreateTable(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	return *in.TableName
}

func read(t *testing.T, client *dynamodb.Client, table string, entityType contracts.EntityType, id string) (row.Row, bool) {
	t.Helper()
	r := row.Row{EntityType: entityType, EntityID: id, Attributes: map[string]any{}}
	if entityType == "" || id == "" || len(id) > 500 {
		return r, false // no such key
	}
	out, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &table, ConsistentRead: aws.Bool(true), Key: map[string]types.AttributeValue{
		"entity_id": &types.AttributeValueMemberS{Value: id}, "entity_type": &types.AttributeValueMemberS{Value: string(entityType)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range out.Item {
		switch v := value.(type) {
		case *types.AttributeValueMemberS:
			r.Attributes[name] = v.Value
		case *types.AttributeValueMemberN:
			n, err := strconv.ParseFloat(v.Value, 64)
			if err != nil {
				t.Fatal(err)
			}
			r.Attributes[name] = n
		default:
			t.Errorf("%s is a %T", name, value)
		}
	}
	r.Tenant, _ = r.Attributes["tenant"].(string)
	for _, name := range []string{"tenant", "entity_id", "entity_type"} {
		delete(r.Attributes, name)
	}
	return r, len(out.Item) > 0
}
