package memrow_test

import (
	"testing"

	"github.com/iops-dashboard/live/services/internal/row/memrow"
	"github.com/iops-dashboard/live/services/internal/row/rowtest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	rowtest.Run(t, func(*testing.T) rowtest.Table {
		table := &memrow.Table{}
		return rowtest.Table{Writer: table, Read: table.Row}
	})
}
