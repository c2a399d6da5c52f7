// Package table makes tables of the topology.
package table

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/iops-dashboard/live/infra/topology"
)

// New makes a table: on demand, encrypted, with the keys, indexes, stream, expiry and protection that the topology says.
func New(scope constructs.Construct, t topology.Table) awsdynamodb.Table {
	props := awsdynamodb.TableProps{
		TableName:          &t.Name,
		PartitionKey:       attribute(t.PartitionKey, "S"),
		SortKey:            attribute(t.SortKey, "S"),
		BillingMode:        awsdynamodb.BillingMode_PAY_PER_REQUEST,
		DeletionProtection: jsii.Bool(t.Kept),
		RemovalPolicy:      awscdk.RemovalPolicy_DESTROY,
		PointInTimeRecoverySpecification: &awsdynamodb.PointInTimeRecoverySpecification{
			PointInTimeRecoveryEnabled: jsii.Bool(t.Recovery),
		},
	}
	if t.Kept {
		props.RemovalPolicy = awscdk.RemovalPolicy_RETAIN
	}
	if t.Stream {
		props.Stream = awsdynamodb.StreamViewType_NEW_AND_OLD_IMAGES
	}
	if t.TTL != "" {
		props.TimeToLiveAttribute = &t.TTL
	}
	made := awsdynamodb.NewTable(scope, jsii.String("table-"+t.Name), &props)
	for _, i := range t.Indexes {
		made.AddGlobalSecondaryIndex(&awsdynamodb.GlobalSecondaryIndexProps{
			IndexName: &i.Name, PartitionKey: attribute(i.PartitionKey, "S"), SortKey: attribute(i.SortKey, i.SortKeyType),
		})
	}
	return made
}

func attribute(name, kind string) *awsdynamodb.Attribute {
	types := map[string]awsdynamodb.AttributeType{"S": awsdynamodb.AttributeType_STRING, "N": awsdynamodb.AttributeType_NUMBER}
	return &awsdynamodb.Attribute{Name: &name, Type: types[kind]}
}
