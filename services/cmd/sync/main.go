// Command sync is the Lambda function on the routes sync and $default. Its environment is config.Sync.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/iops-dashboard/live/services/internal/config"
	"github.com/iops-dashboard/live/services/internal/gateway/awsgateway"
	"github.com/iops-dashboard/live/services/internal/registry/dynamoregistry"
	"github.com/iops-dashboard/live/services/internal/state/dynamostate"
	"github.com/iops-dashboard/live/services/session"
)

// connections is at least what one sync has in flight to one host: all partitions of all types.
const connections = 64

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil)).With("service", "sync")
	s, err := wire(context.Background(), log)
	if err != nil {
		log.Error("not started", "error", err.Error())
		os.Exit(1)
	}
	lambda.Start(s.Handle)
}

func wire(ctx context.Context, log *slog.Logger) (*session.Sync, error) {
	c, err := config.Read[config.Sync]()
	if err != nil {
		return nil, err
	}
	cfg, err := config.AWS(ctx, connections)
	if err != nil {
		return nil, err
	}
	client := dynamodb.NewFromConfig(cfg)
	return session.NewSync(session.SyncConfig{
		Registry:       dynamoregistry.New(client, c.ConnectionsTable, dynamoregistry.Options{}),
		State:          dynamostate.New(client, c.StateTable, dynamostate.Options{}),
		Gateway:        awsgateway.New(cfg, string(c.CallbackURL)),
		Lifetime:       c.Lifetime,
		ReconnectAfter: c.ReconnectAfter,
		Log:            log,
	})
}
