package topology

import "time"

// httpTime is how long an HTTP API waits for a route's function:
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
const httpTime = 30 * time.Second

// addQuery answers what clients ask by HTTP. Whoever may connect may ask.
func (t *Topology) addQuery(connections, state string, auth Auth) {
	const query = "iops-dashboard-query"
	t.Functions = append(t.Functions, Function{
		// The memory is for its share of a processor, and for the insights of some days. 300 dashboards whose sockets
		// do not get through ask two routes in 5 s each, 120 requests a second. One for 1,000 entities takes 60 ms, or
		// 90 ms from a table that answers in 6 ms: so up to 11 run at a time, and there is room for half as many more.
		Name: query, Command: "query", Timeout: 10 * time.Second, MemoryMB: 512, Concurrency: 16,
		Environment: map[string]Ref{
			"CONNECTIONS_TABLE": {TableName, connections}, // for the revocations
			"STATE_TABLE":       {TableName, state},
			"AUTH":              {Literal, string(auth)},
		},
	})
	t.HTTP = HTTPAPI{
		Name: "iops-dashboard-http",
		// An id is any text, slashes too.
		Routes: map[string]string{"GET /metrics": query, "GET /insights": query, "GET /entities/{type}/{id+}": query},
		CORS: CORS{
			Origins: Ref{PageOrigins, ""}, Headers: []string{"authorization", "content-type", "if-none-match"}, Expose: []string{"etag"},
			MaxAge: 10 * time.Minute,
		},
		Throttle: Throttle{Rate: 500, Burst: 250},
	}
}
