// Command tickets is the Lambda function on POST /tickets. Its environment is config.Tickets.
package main

import (
	"context"
	"log/slog"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/iops-dashboard/live/services/access"
	"github.com/iops-dashboard/live/services/internal/config"
	"github.com/iops-dashboard/live/services/internal/identity"
	"github.com/iops-dashboard/live/services/internal/run"
	"github.com/iops-dashboard/live/services/internal/ticket/dynamoticket"
)

func main() { lambda.Start(run.Wired("tickets", wire).Handle) }

func wire(ctx context.Context, log *slog.Logger) (*access.Tickets, error) {
	c, cfg, err := config.Load[config.Tickets](ctx, 2) // a sandbox handles one request at a time
	if err != nil {
		return nil, err
	}
	return access.NewTickets(access.TicketsConfig{
		Tickets:  dynamoticket.New(dynamodb.NewFromConfig(cfg), c.TicketsTable),
		Origins:  c.Origins,
		Claims:   identity.Claims{Tenant: c.TenantClaim, EntityTypes: c.EntityTypesClaim, Service: c.ServiceClaim},
		Lifetime: c.Lifetime,
		Log:      log,
	})
}
