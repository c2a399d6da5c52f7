package memgateway_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/gateway"
	"github.com/iops-dashboard/live/services/internal/gateway/gatewaytest"
	"github.com/iops-dashboard/live/services/internal/gateway/memgateway"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	gatewaytest.Run(t, func(*testing.T) gatewaytest.Harness {
		g := &memgateway.Gateway{}
		watched := &told{Gateway: g}
		return gatewaytest.Harness{
			Gateway: watched,
			Open:    g.Open,
			Close:   g.Close,
			Frames:  g.Frames,
			Fail:    func(id string, kind fault.Kind) { g.Script(id, fault.New("gateway.Post", kind, nil)) },
			Hang: func(id string) <-chan struct{} {
				g.Hold(id)
				watched.waiting = make(chan struct{}, 1)
				return watched.waiting
			},
		}
	})
}

// told tells of a post before it happens.
type told struct {
	gateway.Gateway
	waiting chan struct{}
}

func (g *told) Post(ctx context.Context, id string, f *gateway.Frame) error {
	if g.waiting != nil {
		g.waiting <- struct{}{}
	}
	return g.Gateway.Post(ctx, id, f)
}
