package memquarantine_test

import (
	"context"
	"testing"

	"github.com/iops-dashboard/live/services/internal/quarantine"
	"github.com/iops-dashboard/live/services/internal/quarantine/memquarantine"
	"github.com/iops-dashboard/live/services/internal/quarantine/quarantinetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	quarantinetest.Run(t, func(*testing.T) quarantinetest.Harness {
		var made memquarantine.Quarantine
		return quarantinetest.Harness{
			Quarantine: &made,
			Kept:       func(context.Context, int) ([]quarantine.Record, error) { return made.Records(), nil },
		}
	})
}
