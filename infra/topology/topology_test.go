package topology_test

import (
	"strings"
	"testing"
	"time"

	"github.com/iops-dashboard/live/infra/topology"
)

func TestDefaultKeepsItsPromises(t *testing.T) {
	t.Parallel()
	if err := topology.Default().Validate(); err != nil {
		t.Fatal(err)
	}
}

// Names that users and other stacks rely on.
func TestNamesStay(t *testing.T) {
	t.Parallel()
	system := topology.Default()
	for _, name := range []string{"iops-dashboard-metrics", "iops-dashboard-insights", "iops-dashboard-state", "iops-dashboard-connections"} {
		if _, ok := system.Table(name); !ok {
			t.Errorf("table %s is gone", name)
		}
	}
	if got := system.WebSocket; got.Name != "iops-dashboard-websocket" || got.Stage != "prod" {
		t.Errorf("the WebSocket API is %s, stage %s", got.Name, got.Stage)
	}
	if _, ok := system.Workers[0].Environment["WEBSOCKET_API_ENDPOINT"]; !ok {
		t.Error("the fanout worker has no WEBSOCKET_API_ENDPOINT")
	}
}

// A stream that no function reads, or a function that does not know the table that it is fed, loses
// what is written.
func TestEveryStreamIsReadByAFunctionThatKnowsItsTable(t *testing.T) {
	t.Parallel()
	system := topology.Default()
	read := map[string]bool{}
	for _, s := range system.Streams {
		read[s.Table] = true
		table, _ := system.Table(s.Table)
		function, _ := system.Function(s.Function)
		if got := function.Environment[table.Variable]; got != (topology.Ref{Kind: topology.TableName, Name: s.Table}) {
			t.Errorf("%s is fed by %s, and its %s is %+v", s.Function, s.Table, table.Variable, got)
		}
	}
	for _, table := range system.Tables {
		if table.Stream && !read[table.Name] {
			t.Errorf("nothing reads the stream of %s", table.Name)
		}
	}
}

func TestValidateFindsEachBrokenPromise(t *testing.T) {
	t.Parallel()
	for want, breakIt := range map[string]func(*topology.Topology){
		"not a table name":             func(s *topology.Topology) { s.Tables[0].Name = "x" },
		"keeps messages for 14 days":   func(s *topology.Topology) { s.Queues[1].Retention = time.Hour },
		"AWS advises 5":                func(s *topology.Topology) { s.Queues[0].MaxReceives = 1 },
		"must keep messages longer":    func(s *topology.Topology) { s.Queues[0].Retention = topology.DeadLetterRetention },
		"dead-letter queue of its own": func(s *topology.Topology) { s.Subscriptions[0].DeadLetter = s.Queues[0].DeadLetter },
		"has no dead-letter queue, or look": func(s *topology.Topology) {
			s.Queues[1].DeadLetter, s.Queues[1].MaxReceives = "iops-dashboard-quarantine", 5
		},
		"refers to \"nothing\"": func(s *topology.Topology) {
			s.Workers[0].Environment["FANOUT_DLQ_URL"] = topology.Ref{Kind: topology.QueueURL, Name: "nothing"}
		},
		"stops slower":              func(s *topology.Topology) { s.Workers[0].StopTimeout = time.Minute },
		"retries must be finite":    func(s *topology.Topology) { s.Streams[0].Retries = -1 },
		"has no stream":             func(s *topology.Topology) { s.Streams[0].Table = "iops-dashboard-state" },
		"route $disconnect":         func(s *topology.Topology) { delete(s.WebSocket.Routes, "$disconnect") },
		"not within 15 minutes":     func(s *topology.Topology) { s.Functions[0].Timeout = time.Hour },
		"visibility 0s":             func(s *topology.Topology) { s.Queues[0].Visibility = 0 },
		"no function \"elsewhere\"": func(s *topology.Topology) { s.WebSocket.Routes["$connect"] = "elsewhere" },
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			system := topology.Default()
			breakIt(&system)
			if err := system.Validate(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Validate() = %v, want a fault with %q", err, want)
			}
		})
	}
}
