package statetable_test

import (
	"testing"

	"github.com/iops-dashboard/live/infra/topology"
	"github.com/iops-dashboard/live/scripts/replayer/statetable"
)

func TestName(t *testing.T) {
	t.Parallel()
	system := topology.New(topology.Options{Stage: "blue"})
	name := statetable.Name(system)
	if table, ok := system.Table(name); !ok || table.Variable != "STATE_TABLE" {
		t.Errorf("%q: %+v", name, table)
	}
	if name := statetable.Name(topology.Topology{}); name != "" {
		t.Errorf("of no system: %q", name)
	}
}
