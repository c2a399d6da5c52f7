// Command normalizer is the Lambda function on the streams of the metrics and the insights table. Its
// environment is config.Normalizer.
package main

import (
	"context"
	"log/slog"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/iops-dashboard/live/services/internal/config"
	"github.com/iops-dashboard/live/services/internal/quarantine/sqsquarantine"
	"github.com/iops-dashboard/live/services/internal/run"
	"github.com/iops-dashboard/live/services/internal/state/dynamostate"
	"github.com/iops-dashboard/live/services/internal/topic/snstopic"
	"github.com/iops-dashboard/live/services/normalizer"
)

// connections is at least what one batch has in flight to one host.
const connections = 64

func main() { lambda.Start(run.Wired("normalizer", wire).Handle) }

func wire(ctx context.Context, log *slog.Logger) (*normalizer.Normalizer, error) {
	c, cfg, err := config.Load[config.Normalizer](ctx, connections)
	if err != nil {
		return nil, err
	}
	return normalizer.New(normalizer.Config{
		State:        dynamostate.New(dynamodb.NewFromConfig(cfg), c.StateTable, dynamostate.Options{}),
		Topic:        snstopic.New(sns.NewFromConfig(cfg), c.TopicARN),
		Quarantine:   sqsquarantine.New(sqs.NewFromConfig(cfg), c.QuarantineQueueURL),
		MetricsTable: c.MetricsTable, InsightsTable: c.InsightsTable,
		Log: log,
	})
}
