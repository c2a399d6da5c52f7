// Command revoke is the Lambda function that ends the connections of a subject or a session. It is invoked with
// {"tenant": …, "subject": …} or {"tenant": …, "session": …}, by an operator or by what ends sessions. Its
// environment is config.Revoke.
package main

import (
	"context"
	"log/slog"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/iops-dashboard/live/services/access"
	"github.com/iops-dashboard/live/services/internal/config"
	"github.com/iops-dashboard/live/services/internal/gateway/awsgateway"
	"github.com/iops-dashboard/live/services/internal/registry/dynamoregistry"
	"github.com/iops-dashboard/live/services/internal/run"
)

// connections is at least what a revocation has in flight to one host.
const connections = 16

func main() { lambda.Start(run.Wired("revoke", wire).Handle) }

func wire(ctx context.Context, log *slog.Logger) (*access.Revoker, error) {
	c, cfg, err := config.Load[config.Revoke](ctx, connections)
	if err != nil {
		return nil, err
	}
	connections := awsgateway.New(cfg, string(c.CallbackURL))
	return access.NewRevoker(access.RevokerConfig{
		Registry: dynamoregistry.New(dynamodb.NewFromConfig(cfg), c.ConnectionsTable, dynamoregistry.Options{}),
		Gateway:  connections,
		Closer:   connections,
		Log:      log,
	})
}
