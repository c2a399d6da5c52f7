// Command authorize is the Lambda function that authorises $connect. Its environment is config.Authorize.
package main

import (
	"context"
	"log/slog"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/iops-dashboard/live/services/access"
	"github.com/iops-dashboard/live/services/internal/config"
	"github.com/iops-dashboard/live/services/internal/run"
	"github.com/iops-dashboard/live/services/internal/ticket/dynamoticket"
)

func main() { lambda.Start(run.Wired("authorize", wire).Handle) }

func wire(ctx context.Context, log *slog.Logger) (*access.Authorizer, error) {
	c, cfg, err := config.Load[config.Authorize](ctx, 2) // a sandbox handles one request at a time
	if err != nil {
		return nil, err
	}
	return access.NewAuthorizer(access.AuthorizerConfig{
		Tickets: dynamoticket.New(dynamodb.NewFromConfig(cfg), c.TicketsTable), Origins: c.Origins, Log: log,
	})
}
