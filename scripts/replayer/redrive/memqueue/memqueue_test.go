package memqueue_test

import (
	"testing"

	"github.com/iops-dashboard/live/scripts/replayer/redrive/memqueue"
	"github.com/iops-dashboard/live/scripts/replayer/redrive/queuetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(*testing.T) queuetest.Harness { return queuetest.Harness{Queue: &memqueue.Queue{}} })
}
