package topology

import "time"

const (
	// ConnectionLifetime is the longest that API Gateway lets a connection be open, and integrationTime how
	// long it waits for a route's function:
	// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
	ConnectionLifetime = 2 * time.Hour
	integrationTime    = 29 * time.Second
)

// addSync answers what clients send.
func (t *Topology) addSync(connections, state string, lifetime time.Duration) {
	const sync = "iops-dashboard-sync"
	t.Functions = append(t.Functions, Function{
		// Most syncs take a few milliseconds. The timeout is for a snapshot to a slow reader, and the memory for
		// its share of a processor: 10,000 entities are a few megabytes.
		Name: sync, Command: "sync", Timeout: 25 * time.Second, MemoryMB: 512, Concurrency: 16,
		Environment: map[string]Ref{
			"CONNECTIONS_TABLE":      {TableName, connections},
			"STATE_TABLE":            {TableName, state},
			"WEBSOCKET_API_ENDPOINT": {CallbackURL, ""},
			"CONNECTION_LIFETIME":    {Literal, lifetime.String()},
		},
	})
	t.WebSocket.Lifetime = lifetime
	t.WebSocket.Routes["sync"] = sync
	t.WebSocket.Routes["$default"] = sync // or API Gateway answers in a form of its own
}
