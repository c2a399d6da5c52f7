package superseded

import (
	"testing"

	"github.com/iops-dashboard/live/scripts/replayer/dynamotest"
)

func TestMain(m *testing.M) { dynamotest.Main(m) }
