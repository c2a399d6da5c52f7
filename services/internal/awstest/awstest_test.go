package awstest_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/iops-dashboard/live/services/internal/awstest"
)

func TestMain(m *testing.M) { awstest.Main(m) }

func TestServersAnswer(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	if _, err := awstest.DynamoDB(t).ListTables(ctx, &dynamodb.ListTablesInput{}); err != nil {
		t.Error(err)
	}
	if _, err := awstest.SQS(t).CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(awstest.Name("q"))}); err != nil {
		t.Error(err)
	}
	if _, err := awstest.SNS(t).CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String(awstest.Name("t"))}); err != nil {
		t.Error(err)
	}
}
