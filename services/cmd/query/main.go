// Command query is the Lambda function on the routes of the HTTP API that read. Its environment is config.Query.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/iops-dashboard/live/services/internal/config"
	"github.com/iops-dashboard/live/services/internal/identity"
	"github.com/iops-dashboard/live/services/internal/registry/dynamoregistry"
	"github.com/iops-dashboard/live/services/internal/run"
	"github.com/iops-dashboard/live/services/internal/state/dynamostate"
	"github.com/iops-dashboard/live/services/internal/telemetry"
	"github.com/iops-dashboard/live/services/query"
)

// connections is what one request has in flight at most: all partitions of the types that it reads at a time.
const connections = query.Ahead * dynamostate.Partitions

func main() {
	recorder := telemetry.New("query")
	q := run.Wired("query", func(ctx context.Context, log *slog.Logger) (*query.Query, error) {
		return wire(ctx, log, recorder)
	})
	lambda.Start(func(ctx context.Context, request events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
		defer func() { _ = recorder.Flush(os.Stdout) }()
		return q.Handle(ctx, request)
	})
}

func wire(ctx context.Context, log *slog.Logger, recorder *telemetry.Recorder) (*query.Query, error) {
	c, cfg, err := config.Load[config.Query](ctx, connections)
	if err != nil {
		return nil, err
	}
	recorder.Under(string(c.MetricsNamespace))
	client := dynamodb.NewFromConfig(cfg)
	return query.New(query.Config{
		State:       dynamostate.New(client, c.StateTable, dynamostate.Options{}),
		Auth:        identity.Auth(c.Auth),
		Claims:      identity.Claims{Tenant: c.TenantClaim, EntityTypes: c.EntityTypesClaim},
		Revocations: dynamoregistry.New(client, c.ConnectionsTable, dynamoregistry.Options{}),
		Crossed:     recorder.Counter(telemetry.CrossTenant, telemetry.Count).Add,
		Log:         log,
	})
}
