package provision

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"

	"github.com/iops-dashboard/live/infra/topology"
)

// activeTimeout bounds the wait for a new table; on AWS one takes some ten seconds.
const activeTimeout = 2 * time.Minute

func tables(ctx context.Context, client *dynamodb.Client, all []topology.Table) (map[string]string, error) {
	var mu sync.Mutex
	streams := map[string]string{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, t := range all {
		group.Go(func() error {
			arn, err := table(ctx, client, t)
			if err != nil {
				return fmt.Errorf("table %s: %w", t.Name, err)
			}
			if t.Stream {
				mu.Lock()
				defer mu.Unlock()
				streams[t.Name] = arn
			}
			return nil
		})
	}
	return streams, group.Wait()
}

func table(ctx context.Context, client *dynamodb.Client, t topology.Table) (streamARN string, err error) {
	name := &dynamodb.DescribeTableInput{TableName: &t.Name}
	if !t.Brought {
		if err := create(ctx, client, t, name); err != nil {
			return "", err
		}
	}
	described, err := client.DescribeTable(ctx, name)
	if err != nil {
		return "", err
	}
	if err := fits(t, described.Table); err != nil {
		return "", err
	}
	if !t.Brought {
		if err := expire(ctx, client, t); err != nil {
			return "", err
		}
	}
	return aws.ToString(described.Table.LatestStreamArn), nil
}

// create makes a table, unless there is one of that name, and waits until it can be used.
func create(ctx context.Context, client *dynamodb.Client, t topology.Table, name *dynamodb.DescribeTableInput) error {
	_, err := client.CreateTable(ctx, createTable(t))
	var exists *types.ResourceInUseException
	if err != nil && !errors.As(err, &exists) {
		return err
	}
	return dynamodb.NewTableExistsWaiter(client, func(o *dynamodb.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 50*time.Millisecond, 5*time.Second
	}).Wait(ctx, name, activeTimeout)
}

// fits refuses a table that was there before and is not the one we need.
func fits(t topology.Table, got *types.TableDescription) error {
	want := keySchema(t.PartitionKey, t.SortKey)
	if len(got.KeySchema) != len(want) {
		return fmt.Errorf("exists with %d keys, wanted %s and %s: delete it or use another account", len(got.KeySchema), t.PartitionKey, t.SortKey)
	}
	for i, k := range got.KeySchema {
		if aws.ToString(k.AttributeName) != aws.ToString(want[i].AttributeName) {
			return fmt.Errorf("exists with key %s, wanted %s: delete it or use another account",
				aws.ToString(k.AttributeName), aws.ToString(want[i].AttributeName))
		}
	}
	stream := got.StreamSpecification
	if t.Stream && (stream == nil || !aws.ToBool(stream.StreamEnabled) || stream.StreamViewType != types.StreamViewTypeNewAndOldImages) {
		return errors.New("exists without a NEW_AND_OLD_IMAGES stream: switch one on")
	}
	return nil
}

func expire(ctx context.Context, client *dynamodb.Client, t topology.Table) error {
	if t.TTL == "" {
		return nil
	}
	described, err := client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &t.Name})
	if err != nil {
		return err
	}
	if d := described.TimeToLiveDescription; d != nil && aws.ToString(d.AttributeName) == t.TTL {
		return nil
	}
	_, err = client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName:               &t.Name,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: &t.TTL, Enabled: aws.Bool(true)},
	})
	return err
}

func createTable(t topology.Table) *dynamodb.CreateTableInput {
	attributes := map[string]types.ScalarAttributeType{
		t.PartitionKey: types.ScalarAttributeTypeS,
		t.SortKey:      types.ScalarAttributeTypeS,
	}
	in := &dynamodb.CreateTableInput{
		TableName:   &t.Name,
		BillingMode: types.BillingModePayPerRequest,
		KeySchema:   keySchema(t.PartitionKey, t.SortKey),
	}
	if t.Stream {
		in.StreamSpecification = &types.StreamSpecification{
			StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewAndOldImages,
		}
	}
	for _, x := range t.Indexes {
		attributes[x.SortKey] = types.ScalarAttributeType(x.SortKeyType)
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{
			IndexName:  &x.Name,
			KeySchema:  keySchema(x.PartitionKey, x.SortKey),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll},
		})
	}
	for name, kind := range attributes {
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: &name, AttributeType: kind})
	}
	return in
}

func keySchema(partition, sort string) []types.KeySchemaElement {
	return []types.KeySchemaElement{
		{AttributeName: &partition, KeyType: types.KeyTypeHash},
		{AttributeName: &sort, KeyType: types.KeyTypeRange},
	}
}
