package memsummary_test

import (
	"testing"

	"github.com/iops-dashboard/live/services/internal/summary"
	"github.com/iops-dashboard/live/services/internal/summary/memsummary"
	"github.com/iops-dashboard/live/services/internal/summary/summarytest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	summarytest.Run(t, func(*testing.T) summary.Store { return &memsummary.Store{} })
}
