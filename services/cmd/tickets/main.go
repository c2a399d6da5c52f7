// Command tickets is the Lambda function on POST /tickets. Its environment is config.Tickets.
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
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil)).With("service", "tickets")
	t, err := wire(context.Background(), log)
	if err != nil {
		log.Error("not started", "error", err.Error())
		os.Exit(1)
	}
	lambda.Start(t.Handle)
}

func wire(ctx context.Context, log *slog.Logger) (*access.Tickets, error) {
	c, err := config.Read[config.Tickets]()
	if err != nil {
		return nil, err
	}
	cfg, err := config.AWS(ctx, 2) // a sandbox handles one request at a time
	if err != nil {
		return nil, err
	}
	return access.NewTickets(access.TicketsConfig{
		Tickets:  dynamoticket.New(dynamodb.NewFromConfig(cfg), c.TicketsTable),
		Origins:  c.Origins,
		Claims:   access.Claims{Tenant: c.TenantClaim, EntityTypes: c.EntityTypesClaim, Service: c.ServiceClaim},
		Lifetime: c.Lifetime,
		Log:      log,
	})
}
