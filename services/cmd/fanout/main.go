// Command fanout brings updates to browsers. Its environment is config.Fanout. Where Lambda runs it, it is
// a function on a fanout queue; elsewhere it is a worker that receives by itself. SIGTERM stops the worker:
// it finishes or hands back what it has received, and exits with 0.
package main

import (
	"cmp"
	"context"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/iops-dashboard/live/services/fanout"
	"github.com/iops-dashboard/live/services/internal/config"
	"github.com/iops-dashboard/live/services/internal/gateway/awsgateway"
	"github.com/iops-dashboard/live/services/internal/queue/sqsqueue"
	"github.com/iops-dashboard/live/services/internal/registry/dynamoregistry"
	"github.com/iops-dashboard/live/services/internal/run"
)

func main() {
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") == "" {
		run.Main("fanout", work)
		return
	}
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil)).With("service", "fanout")
	c, err := wire(context.Background(), log)
	f, fault := fanout.NewFunction(c)
	if err := cmp.Or(err, fault); err != nil {
		log.Error("not started", "error", err.Error())
		os.Exit(1)
	}
	lambda.Start(f.Handle)
}

func work(ctx context.Context, log *slog.Logger) error {
	c, err := wire(ctx, log)
	if err != nil {
		return err
	}
	worker, err := fanout.NewWorker(c)
	if err != nil {
		return err
	}
	return worker.Run(ctx)
}

func wire(ctx context.Context, log *slog.Logger) (fanout.Config, error) {
	c, err := config.Read[config.Fanout]()
	if err != nil {
		return fanout.Config{}, err
	}
	cfg, err := config.AWS(ctx, c.Posters+16) // a read of the registry has 16, and a long poll its own
	if err != nil {
		return fanout.Config{}, err
	}
	return fanout.Config{
		Queue:      sqsqueue.New(sqs.NewFromConfig(cfg), c.QueueURL, c.DeadLetterURL),
		Registry:   dynamoregistry.New(dynamodb.NewFromConfig(cfg), c.ConnectionsTable, dynamoregistry.Options{}),
		Gateway:    awsgateway.New(cfg, string(c.CallbackURL)),
		Log:        log,
		Buckets:    c.Buckets,
		Rate:       c.Rate,
		Posters:    c.Posters,
		Visibility: c.Visibility,
	}, nil
}
