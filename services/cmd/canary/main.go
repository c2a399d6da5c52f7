// Command canary is the Lambda function that is a page of a tenant of its own, on a schedule. Its environment is
// config.Canary.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/iops-dashboard/live/services/canary"
	"github.com/iops-dashboard/live/services/internal/config"
	"github.com/iops-dashboard/live/services/internal/row/dynamorow"
	"github.com/iops-dashboard/live/services/internal/run"
	"github.com/iops-dashboard/live/services/internal/telemetry"
	"github.com/iops-dashboard/live/services/internal/ticket/dynamoticket"
)

func main() {
	recorder := telemetry.New("canary")
	c := run.Wired("canary", func(ctx context.Context, log *slog.Logger) (*canary.Canary, error) {
		return wire(ctx, log, recorder)
	})
	lambda.Start(func(ctx context.Context) error {
		defer func() { _ = recorder.Flush(os.Stdout) }()
		return c.Handle(ctx)
	})
}

func wire(ctx context.Context, log *slog.Logger, recorder *telemetry.Recorder) (*canary.Canary, error) {
	c, cfg, err := config.Load[config.Canary](ctx, 2) // it does one thing at a time
	if err != nil {
		return nil, err
	}
	recorder.Under(string(c.MetricsNamespace))
	client := dynamodb.NewFromConfig(cfg)
	return canary.New(canary.Config{
		Tickets:   dynamoticket.New(client, c.TicketsTable),
		Rows:      dynamorow.New(client, c.MetricsTable),
		SocketURL: string(c.SocketURL),
		Tenant:    c.Tenant,
		Meter:     telemetry.NewCanary(recorder),
		Log:       log,
	})
}
