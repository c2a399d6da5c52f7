package topology

import "time"

// httpTime is how long an HTTP API waits for a route's function:
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
const httpTime = 30 * time.Second

// addQuery answers what clients ask by HTTP. Whoever may connect may ask.
func (t *Topology) addQuery(state string, auth Auth) {
	const query = "iops-dashboard-query"
	t.Functions = append(t.Functions, Function{
		// The memory is for its share of a processor, and for the insights of some days.
		Name: query, Command: "query", Timeout: 10 * time.Second, MemoryMB: 512, Concurrency: 8,
		Environment: map[string]Ref{
			"STATE_TABLE": {TableName, state},
			"AUTH":        {Literal, string(auth)},
		},
	})
	t.HTTP = HTTPAPI{
		Name:   "iops-dashboard-http",
		Routes: map[string]string{"GET /metrics": query, "GET /insights": query, "GET /entities/{type}/{id}": query},
		CORS: CORS{
			Origins: Ref{PageOrigins, ""}, Headers: []string{"authorization", "content-type", "if-none-match"}, Expose: []string{"etag"},
			MaxAge: 10 * time.Minute,
		},
	}
}
