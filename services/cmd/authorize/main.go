// Command authorize is the Lambda function that authorises $connect. Its environment is config.Authorize.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/iops-dashboard/live/services/access"
	"github.com/iops-dashboard/live/services/internal/config"
	"github.com/iops-dashboard/live/services/internal/ticket/dynamoticket"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil)).With("service", "authorize")
	a, err := wire(context.Background(), log)
	if err != nil {
		log.Error("not started", "error", err.Error())
		os.Exit(1)
	}
	lambda.Start(a.Handle)
}

func wire(ctx context.Context, log *slog.Logger) (*access.Authorizer, error) {
	c, err := config.Read[config.Authorize]()
	if err != nil {
		return nil, err
	}
	cfg, err := config.AWS(ctx, 2) // a sandbox handles one request at a time
	if err != nil {
		return nil, err
	}
	return access.NewAuthorizer(access.AuthorizerConfig{
		Tickets: dynamoticket.New(dynamodb.NewFromConfig(cfg), c.TicketsTable), Origins: c.Origins, Log: log,
	})
}
