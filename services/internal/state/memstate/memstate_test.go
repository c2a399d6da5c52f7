package memstate_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/state"
	"github.com/iops-dashboard/live/services/internal/state/memstate"
	"github.com/iops-dashboard/live/services/internal/state/statetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	statetest.Run(t, func(*testing.T) statetest.Harness {
		var failing atomic.Int64
		failing.Store(-1)
		table := memstate.New(1_795_000_000_000)
		table.PageSize = statetest.PageSize
		table.OnPage = func(_ context.Context, _ state.Range, n int) error {
			if failing.Load() == int64(n) {
				return fault.Newf("state.List", fault.Transient, "planted")
			}
			return nil
		}
		return statetest.Harness{Table: table, FailPage: func(n int) { failing.Store(int64(n)) }}
	})
}
