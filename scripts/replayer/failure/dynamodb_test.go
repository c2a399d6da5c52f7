package failure_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"github.com/iops-dashboard/live/infra/local/install"
	"github.com/iops-dashboard/live/infra/local/process"
	"github.com/iops-dashboard/live/scripts/replayer/failure"
)

// engine starts the DynamoDB engine of scripts/up, for as long as the test runs.
func engine(t *testing.T) string {
	t.Helper()
	checkout, err := filepath.Abs(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	path, err := install.Tree{Root: checkout}.Dynoxide()
	if err != nil {
		t.Fatalf("%v\nThe servers of the tests come from npm: npm ci --ignore-scripts --prefix infra/local", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	_ = listener.Close()
	p, err := process.Start(process.Spec{
		Name: "dynoxide", Path: path, Args: []string{"serve", "--host", "127.0.0.1", "--port", port}, Dir: t.TempDir(),
	}, func(string) {}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop(context.Background()) })
	deadline := time.Now().Add(30 * time.Second)
	for range time.Tick(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("dynoxide does not listen")
		}
	}
	return "http://" + address
}

// A real stream is read again from one record to another.
func TestARangeOfARealStream(t *testing.T) {
	t.Parallel()
	url := engine(t)
	login := credentials.NewStaticCredentialsProvider("test", "test", "")
	tables := dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: &url, Credentials: login})
	streams := dynamodbstreams.New(dynamodbstreams.Options{Region: "us-east-1", BaseEndpoint: &url, Credentials: login})
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
