package memregistry_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/registry/memregistry"
	"github.com/iops-dashboard/live/services/internal/registry/registrytest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	registrytest.Run(t, func(*testing.T) registrytest.Harness {
		var failing atomic.Int64
		failing.Store(-1)
		var passed atomic.Int64
		r := &memregistry.Registry{
			PageSize: registrytest.PageSize, PerSubject: registrytest.PerSubject, PerService: registrytest.PerService,
			Now: func() time.Time { return time.Now().Add(time.Duration(passed.Load())) },
			OnPage: func(_ context.Context, _ string, n int) error {
				if failing.Load() == int64(n) {
					return fault.Newf("registry.Watching", fault.Transient, "planted")
				}
				return nil
			},
		}
		return registrytest.Harness{Registry: r, FailPage: func(n int) { failing.Store(int64(n)) }, Pass: func(d time.Duration) { passed.Add(int64(d)) }}
	})
}
