package main

import (
	"context"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi"

	"github.com/iops-dashboard/live/services/bench"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/fault/awsfault"
)

var codes = awsfault.Codes{
	"GoneException":            fault.Gone,
	"LimitExceededException":   fault.Throttled,
	"PayloadTooLargeException": fault.TooLarge,
	"ForbiddenException":       fault.Denied,
}

// newPlain has the client that everybody has: no option is set but the address.
func newPlain(ctx context.Context, w bench.Workload) (bench.Variant, error) {
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	client := apigatewaymanagementapi.NewFromConfig(cfg, func(o *apigatewaymanagementapi.Options) { o.BaseEndpoint = &w.Endpoint })
	return bench.Plain{
		ListPerBatch: w.ListPerBatch,
		Send: func(ctx context.Context, id string, frame []byte) error {
			_, err := client.PostToConnection(ctx, &apigatewaymanagementapi.PostToConnectionInput{ConnectionId: &id, Data: frame})
			return codes.Classify("plain.Send", err)
		},
	}, nil
}
