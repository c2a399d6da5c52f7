// Command fanout is the worker that brings updates to browsers. Its environment is config.Fanout.
// SIGTERM stops it: it finishes or hands back what it has received, and exits with 0.
package main

import (
	"context"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/iops-dashboard/live/services/fanout"
	"github.com/iops-dashboard/live/services/internal/config"
	"github.com/iops-dashboard/live/services/internal/gateway/awsgateway"
	"github.com/iops-dashboard/live/services/internal/queue/sqsqueue"
	"github.com/iops-dashboard/live/services/internal/registry/dynamoregistry"
	"github.com/iops-dashboard/live/services/internal/run"
)

// minConnections is what one read of the registry uses at a time. The queue needs more than one, too:
// a long poll has its connection to itself.
const minConnections = 16

func main() { run.Main("fanout", start) }

func start(ctx context.Context, log *slog.Logger) error {
	c, err := config.Read[config.Fanout]()
	if err != nil {
		return err
	}
	cfg, err := config.AWS(ctx, max(c.Posters, minConnections))
	if err != nil {
		return err
	}
	worker, err := fanout.New(fanout.Config{
		Queue:      sqsqueue.New(sqs.NewFromConfig(cfg), c.QueueURL, c.DeadLetterURL),
		Registry:   dynamoregistry.New(dynamodb.NewFromConfig(cfg), c.ConnectionsTable, dynamoregistry.Options{}),
		Gateway:    awsgateway.New(cfg, string(c.CallbackURL)),
		Log:        log,
		Posters:    c.Posters,
		Visibility: c.Visibility,
	})
	if err != nil {
		return err
	}
	log.InfoContext(ctx, "receiving", "queue", c.QueueURL, "posters", c.Posters)
	return worker.Run(ctx)
}
