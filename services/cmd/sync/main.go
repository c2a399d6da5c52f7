// Command sync is the Lambda function on the routes sync and $default. Its environment is config.Sync.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/iops-dashboard/live/services/internal/config"
	"github.com/iops-dashboard/live/services/internal/gateway/awsgateway"
	"github.com/iops-dashboard/live/services/internal/registry/dynamoregistry"
	"github.com/iops-dashboard/live/services/internal/run"
	"github.com/iops-dashboard/live/services/internal/state/dynamostate"
	"github.com/iops-dashboard/live/services/internal/summary/dynamosummary"
	"github.com/iops-dashboard/live/services/internal/telemetry"
	"github.com/iops-dashboard/live/services/session"
)

// connections is at least what one sync has in flight to one host: all partitions of all types.
const connections = 64

func main() {
	recorder := telemetry.New("sync")
	s := run.Wired("sync", func(ctx context.Context, log *slog.Logger) (*session.Sync, error) {
		return wire(ctx, log, recorder)
	})
	lambda.Start(func(ctx context.Context, request events.APIGatewayWebsocketProxyRequest) (events.APIGatewayProxyResponse, error) {
		defer func() { _ = recorder.Flush(os.Stdout) }()
		return s.Handle(ctx, request)
	})
}

func wire(ctx context.Context, log *slog.Logger, recorder *telemetry.Recorder) (*session.Sync, error) {
	c, cfg, err := config.Load[config.Sync](ctx, connections)
	if err != nil {
		return nil, err
	}
	recorder.Under(string(c.MetricsNamespace))
	client := dynamodb.NewFromConfig(cfg)
	connections := awsgateway.New(cfg, string(c.CallbackURL))
	return session.NewSync(session.SyncConfig{
		Registry:       dynamoregistry.New(client, c.ConnectionsTable, dynamoregistry.Options{}),
		State:          dynamostate.New(client, c.StateTable, dynamostate.Options{}),
		Summaries:      dynamosummary.New(client, c.ConnectionsTable),
		Gateway:        connections,
		Closer:         connections,
		Lifetime:       c.Lifetime,
		ReconnectAfter: c.ReconnectAfter,
		Crossed:        recorder.Counter(telemetry.CrossTenant, telemetry.Count).Add,
		Log:            log,
	})
}
