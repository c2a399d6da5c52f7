package failure_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"github.com/iops-dashboard/live/scripts/replayer/dynamotest"
	"github.com/iops-dashboard/live/scripts/replayer/failure"
)

func TestMain(m *testing.M) { dynamotest.Main(m) }

// A real stream is read again from one record to another.
func TestARangeOfARealStream(t *testing.T) {
	t.Parallel()
	url, tables := dynamotest.URL(t), dynamotest.Client(t)
	streams := dynamodbstreams.New(dynamodbstreams.Options{Region: "us-east-1", BaseEndpoint: &url, Credentials: dynamotest.Login})
	created, err := tables.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: aws.String("rows"), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("pk"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash}},
		StreamSpecification:  &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewAndOldImages},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		item := map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: fmt.Sprint("row-", i%7)}, "n": &types.AttributeValueMemberN{Value: fmt.Sprint(i)}}
		if _, err := tables.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("rows"), Item: item}); err != nil {
			t.Fatal(err)
		}
	}
	stream := created.TableDescription.LatestStreamArn
	described, err := streams.DescribeStream(t.Context(), &dynamodbstreams.DescribeStreamInput{StreamArn: stream})
	if err != nil {
		t.Fatal(err)
	}
	shard := described.StreamDescription.Shards[0].ShardId
	begin, err := streams.GetShardIterator(t.Context(), &dynamodbstreams.GetShardIteratorInput{
		StreamArn: stream, ShardId: shard, ShardIteratorType: streamtypes.ShardIteratorTypeTrimHorizon,
	})
	if err != nil {
		t.Fatal(err)
	}
	all, err := streams.GetRecords(t.Context(), &dynamodbstreams.GetRecordsInput{ShardIterator: begin.ShardIterator})
	if err != nil || len(all.Records) != 40 {
		t.Fatalf("%d records, %v", len(all.Records), err)
	}
	var sequences []string
	for _, r := range all.Records {
		sequences = append(sequences, *r.Dynamodb.SequenceNumber)
	}
	for _, bounds := range [][2]int{{0, 39}, {5, 30}, {39, 39}, {0, 0}} {
		d := failure.Document{Stream: *stream, Shard: *shard, Start: sequences[bounds[0]], End: sequences[bounds[1]]}
		got, err := read(d.Records(t.Context(), streams, nil))
		if err != nil || !slices.Equal(got, sequences[bounds[0]:bounds[1]+1]) {
			t.Errorf("%v: %v, %v", bounds, got, err)
		}
	}
	if _, err := tables.DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: aws.String("rows")}); err != nil {
		t.Fatal(err)
	}
	d := failure.Document{Stream: *stream, Shard: *shard, Start: sequences[0], End: sequences[39]}
	if got, err := read(d.Records(t.Context(), streams, nil)); !errors.Is(err, failure.ErrGone) {
		t.Errorf("a stream that is gone: %v, %v", got, err)
	}
}
