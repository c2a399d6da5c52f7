package dynamosummary_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/services/internal/awstest"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/summary"
	"github.com/iops-dashboard/live/services/internal/summary/dynamosummary"
	"github.com/iops-dashboard/live/services/internal/summary/summarytest"
)

func TestMain(m *testing.M) { awstest.Main(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	client := awstest.DynamoDB(t)
	summarytest.Run(t, func(t *testing.T) summary.Store { return dynamosummary.New(client, awstest.Table(t)) })
}

func TestAMissingTableIsAConfigurationFault(t *testing.T) {
	t.Parallel()
	s, k := dynamosummary.New(awstest.DynamoDB(t), awstest.Name("nowhere")), summary.Key{Tenant: "acme", Of: "x"}
	_, get := s.Get(t.Context(), k)
	_, begin := s.Begin(t.Context(), k, 0, time.Now())
	for _, err := range []error{get, begin, s.End(t.Context(), k, summary.Read{Number: 1, Digest: "d"})} {
		if err == nil || fault.KindOf(err) != fault.Denied {
			t.Errorf("%v, want kind denied", err)
		}
	}
}

// The item is what it is said to be, and one that has expired does not come back by the end of a read.
func TestStoredForm(t *testing.T) {
	t.Parallel()
	client, table := awstest.DynamoDB(t), awstest.Table(t)
	s, k := dynamosummary.New(client, table), summary.Key{Tenant: "acme", Of: "x"}
	at := time.UnixMilli(1_795_000_000_123)
	if began, err := s.Begin(t.Context(), k, 0, at); !began || err != nil {
		t.Fatal(began, err)
	}
	if err := s.End(t.Context(), k, summary.Read{Number: 1, BegunAt: at, Digest: "d"}); err != nil {
		t.Fatal(err)
	}
	itemKey := map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "summary#acme#x"}, "sk": &types.AttributeValueMemberS{Value: "summary"}}
	output, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &table, Key: itemKey, ConsistentRead: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for name, value := range output.Item {
		switch v := value.(type) {
		case *types.AttributeValueMemberS:
			got[name] = "S " + v.Value
		case *types.AttributeValueMemberN:
			got[name] = "N " + v.Value
		}
	}
	want := map[string]string{
		"pk": "S summary#acme#x", "sk": "S summary", "begun": "N 1", "begun_at": "N 1795000000123", "done": "N 1",
		"done_begun_at": "N 1795000000123", "digest": "S d", "expires_at": "N 1795003601",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("stored %v, want %v", got, want)
	}
	if _, err := client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &table, Key: itemKey}); err != nil {
		t.Fatal(err)
	}
	if err := s.End(t.Context(), k, summary.Read{Number: 2, BegunAt: at, Digest: "d"}); err != nil {
		t.Fatal(err)
	}
	if found, err := s.Get(t.Context(), k); err != nil || found != (summary.Summary{}) {
		t.Errorf("%+v, %v", found, err)
	}
}
