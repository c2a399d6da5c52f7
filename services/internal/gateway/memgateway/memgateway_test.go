package memgateway_test

import (
	"context"
	"testing"
	"time"

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
				waiting := make(chan struct{}, 1)
				watched.waiting, watched.release = waiting, g.Hold(id)
				return waiting
			},
		}
	})
}

func TestCloserConformance(t *testing.T) {
	t.Parallel()
	gatewaytest.RunCloser(t, func(*testing.T) gatewaytest.Harness {
		g := &memgateway.Gateway{}
		return gatewaytest.Harness{
			Gateway: g, Open: g.Open, Close: g.Close, Frames: g.Frames,
			Fail: func(id string, kind fault.Kind) { g.Script(id, fault.New("gateway.Disconnect", kind, nil)) },
		}
	})
}

// told tells of a post that will be held, before it happens, and holds no other.
type told struct {
	gateway.Gateway
	waiting chan<- struct{}
	release func()
}

func (g *told) Post(ctx context.Context, id string, f *gateway.Frame, timeout time.Duration) error {
	if g.waiting == nil {
		return g.Gateway.Post(ctx, id, f, timeout)
	}
	g.waiting <- struct{}{}
	defer g.release()
	g.waiting = nil
	return g.Gateway.Post(ctx, id, f, timeout)
}
