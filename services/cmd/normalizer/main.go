// Command normalizer is the Lambda function on the streams of the metrics and the insights table. Its
// environment is config.Normalizer.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/iops-dashboard/live/services/internal/config"
	"github.com/iops-dashboard/live/services/internal/quarantine/sqsquarantine"
	"github.com/iops-dashboard/live/services/internal/state/dynamostate"
	"github.com/iops-dashboard/live/services/internal/topic/snstopic"
	"github.com/iops-dashboard/live/services/normalizer"
)

// connections is at least what one batch has in flight to one host.
const connections = 64

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil)).With("service", "normalizer")
	n, err := wire(context.Background(), log)
	if err != nil {
		log.Error("not started", "error", err.Error())
		os.Exit(1)
	}
	lambda.Start(n.Handle)
}

func wire(ctx context.Context, log *slog.Logger) (*normalizer.Normalizer, error) {
	c, err := config.Read[config.Normalizer]()
	if err != nil {
		return nil, err
	}
	cfg, err := config.AWS(ctx, connections)
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
