// Command connect is the Lambda function on the $connect route. Its environment is
// config.Connect.
package main

import (
	"context"
	"log/slog"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/iops-dashboard/live/services/internal/config"
	"github.com/iops-dashboard/live/services/internal/gateway/awsgateway"
	"github.com/iops-dashboard/live/services/internal/registry/dynamoregistry"
	"github.com/iops-dashboard/live/services/internal/run"
	"github.com/iops-dashboard/live/services/session"
)

func main() { lambda.Start(run.Wired("connect", wire).Connect) }

func wire(ctx context.Context, log *slog.Logger) (*session.Session, error) {
	c, cfg, err := config.Load[config.Connect](ctx, 2) // a sandbox handles one request at a time
	if err != nil {
		return nil, err
	}
	return session.New(session.Config{
		Registry: dynamoregistry.New(dynamodb.NewFromConfig(cfg), c.ConnectionsTable, dynamoregistry.Options{
			PerSubject: int(c.PerUser), PerService: int(c.PerService),
		}),
		Gateway: awsgateway.New(cfg, string(c.CallbackURL)),
		Auth:    session.Auth(c.Auth),
		Log:     log,
	})
}
