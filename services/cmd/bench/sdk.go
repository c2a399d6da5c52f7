package main

import (
	"context"
	"time"

	"github.com/iops-dashboard/live/services/bench"
	"github.com/iops-dashboard/live/services/internal/config"
	"github.com/iops-dashboard/live/services/internal/gateway/awsgateway"
)

// newSDK is the adapter over the SDK's client, with a transport that keeps a connection for each
// place in the pool.
func newSDK(ctx context.Context, w bench.Workload) (bench.Variant, error) {
	cfg, err := config.AWS(ctx, w.Pool)
	if err != nil {
		return nil, err
	}
	return bench.Pooled{
		Gateway: awsgateway.New(cfg, w.Endpoint), Pool: w.Pool, PerFrame: w.PerFrame,
		Timeout: time.Duration(w.PostTimeoutMS) * time.Millisecond,
	}, nil
}
