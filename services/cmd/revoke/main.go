// Command revoke is the Lambda function that ends the connections of a subject or a session. It is invoked with
// {"tenant": …, "subject": …} or {"tenant": …, "session": …}, by an operator or by what ends sessions. Its
// environment is config.Revoke.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/iops-dashboard/live/services/access"
	"github.com/iops-dashboard/live/services/internal/config"
	"github.com/iops-dashboard/live/services/internal/gateway/awsgateway"
	"github.com/iops-dashboard/live/services/internal/registry/dynamoregistry"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil)).With("service", "revoke")
	r, err := wire(context.Background(), log)
	if err != nil {
		log.Error("not started", "error", err.Error())
		os.Exit(1)
	}
	lambda.Start(r.Handle)
}

func wire(ctx context.Context, log *slog.Logger) (*access.Revoker, error) {
	c, err := config.Read[config.Revoke]()
	if err != nil {
		return nil, err
	}
	cfg, err := config.AWS(ctx, 2) // one call at a time
	if err != nil {
		return nil, err
	}
	return access.NewRevoker(access.RevokerConfig{
		Registry: dynamoregistry.New(dynamodb.NewFromConfig(cfg), c.ConnectionsTable, dynamoregistry.Options{}),
		Gateway:  awsgateway.New(cfg, string(c.CallbackURL)),
		Log:      log,
	})
}
