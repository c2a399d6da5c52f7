// Command disconnect is the Lambda function on the $disconnect route. Its environment is
// config.Session.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/iops-dashboard/live/services/internal/config"
	"github.com/iops-dashboard/live/services/internal/registry/dynamoregistry"
	"github.com/iops-dashboard/live/services/session"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil)).With("service", "disconnect")
	s, err := wire(context.Background(), log)
	if err != nil {
		log.Error("not started", "error", err.Error())
		os.Exit(1)
	}
	lambda.Start(s.Disconnect)
}

func wire(ctx context.Context, log *slog.Logger) (*session.Session, error) {
	c, err := config.Read[config.Session]()
	if err != nil {
		return nil, err
	}
	cfg, err := config.AWS(ctx, 2) // a sandbox handles one request at a time
	if err != nil {
		return nil, err
	}
	return session.New(session.Config{
		Registry: dynamoregistry.New(dynamodb.NewFromConfig(cfg), c.ConnectionsTable, dynamoregistry.Options{}),
		Auth:     session.Auth(c.Auth),
		Log:      log,
	})
}
