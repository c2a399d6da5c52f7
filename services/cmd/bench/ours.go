package main

import (
	"context"
	"time"

	"github.com/iops-dashboard/live/services/bench"
)

// newOurs is the engine on our own wire.
func newOurs(ctx context.Context, w bench.Workload) (bench.Variant, error) {
	g, err := wire(ctx, w)
	if err != nil {
		return nil, err
	}
	return bench.Ours{Gateway: g, Pool: w.Pool, Quota: w.Quota, Timeout: time.Duration(w.PostTimeoutMS) * time.Millisecond}, nil
}
