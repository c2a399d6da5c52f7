package topology

import "time"

// CanaryTenant is whose rows the canary writes and watches. Nobody else is of it.
const CanaryTenant = "canary"

// addCanary has a page of its own tenant see its own write each minute. It needs tickets: where everybody is of one
// tenant, what it writes would be seen by all.
func (t *Topology) addCanary(metrics string) {
	const canary = "iops-dashboard-canary"
	t.Functions = append(t.Functions, Function{
		Name: canary, Command: "canary", Timeout: 30 * time.Second, MemoryMB: 128, Concurrency: 1,
		Environment: map[string]Ref{
			"METRICS_TABLE": {TableName, metrics},
			"TICKETS_TABLE": {TableName, "iops-dashboard-tickets"},
			"WEBSOCKET_URL": {SocketURL, ""},
			"CANARY_TENANT": {Literal, CanaryTenant},
		},
	})
	t.Schedules = append(t.Schedules, Schedule{Function: canary, Every: time.Minute})
}
