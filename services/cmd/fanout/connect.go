package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/iops-dashboard/live/services/fanout"
	"github.com/iops-dashboard/live/services/internal/config"
	"github.com/iops-dashboard/live/services/internal/gateway"
	"github.com/iops-dashboard/live/services/internal/gateway/awsgateway"
	"github.com/iops-dashboard/live/services/internal/gateway/wiregateway"
	"github.com/iops-dashboard/live/services/internal/queue/sqsqueue"
	"github.com/iops-dashboard/live/services/internal/registry/dynamoregistry"
)

// others is how many connections are in use besides those of the posters: a read of the registry has 16, and a
// long poll its own.
const others = 16 + 4

// connect makes the adapters.
func connect(ctx context.Context, c config.Fanout) (fanout.Config, error) {
	cfg, err := config.AWS(ctx, c.Posters+others)
	if err != nil {
		return fanout.Config{}, err
	}
	post, err := gatewayFor(c, cfg)
	if err != nil {
		return fanout.Config{}, err
	}
	return fanout.Config{
		Queue:      sqsqueue.New(sqs.NewFromConfig(cfg), c.QueueURL, c.DeadLetterURL),
		Registry:   dynamoregistry.New(dynamodb.NewFromConfig(cfg), c.ConnectionsTable, dynamoregistry.Options{}),
		Gateway:    post,
		Closer:     awsgateway.New(cfg, string(c.CallbackURL)),
		Buckets:    c.Buckets,
		Rate:       c.Rate,
		Posters:    c.Posters,
		Visibility: c.Visibility,
	}, nil
}

// gatewayFor is the fast adapter, or the SDK's client, which honours proxies and AWS_CA_BUNDLE.
func gatewayFor(c config.Fanout, cfg aws.Config) (gateway.Gateway, error) {
	if c.Client == "sdk" {
		return awsgateway.New(cfg, string(c.CallbackURL)), nil
	}
	return wiregateway.New(wiregateway.Options{
		Endpoint: string(c.CallbackURL), Region: cfg.Region, Credentials: cfg.Credentials, Connections: c.Posters,
	})
}
