package topology

import (
	"maps"
	"time"
)

// handshakeTime is how long a handshake may take, authorizer and $connect together. The fanout and a revocation believe
// that a connection is gone which its gateway does not know 10 s after the handshake began.
const handshakeTime = 9 * time.Second

// addAccess lets in only those who hold a ticket, and adds where they get one.
func (t *Topology) addAccess(connections string) {
	const (
		tickets   = "iops-dashboard-tickets"
		authorize = "iops-dashboard-authorize"
		revoke    = "iops-dashboard-revoke"
	)
	environment := map[string]Ref{
		"TICKETS_TABLE":   {TableName, tickets},
		"ALLOWED_ORIGINS": {PageOrigins, ""},
	}
	t.Tables = append(t.Tables, Table{
		Name: tickets, Variable: "TICKETS_TABLE", PartitionKey: "pk", SortKey: "sk", TTL: "expires_at",
	})
	t.Functions = append(t.Functions,
		Function{Name: tickets, Command: "tickets", Timeout: 5 * time.Second, MemoryMB: 128, Concurrency: 8, Environment: maps.Clone(environment)},
		Function{Name: authorize, Command: "authorize", Timeout: 3 * time.Second, MemoryMB: 128, Concurrency: 8, Environment: environment},
		// Whom it revokes may have many connections, and some may hang or be in their handshake.
		Function{Name: revoke, Command: "revoke", Timeout: time.Minute, MemoryMB: 128, Concurrency: 1, Environment: map[string]Ref{
			"CONNECTIONS_TABLE":      {TableName, connections},
			"WEBSOCKET_API_ENDPOINT": {CallbackURL, ""},
		}},
	)
	t.WebSocket.Authorizer = Authorizer{Function: authorize, Identity: []string{"route.request.querystring.ticket"}}
	t.HTTP.Routes["POST /tickets"] = tickets
	t.HTTP.JWT = JWT{Issuer: Ref{TokenIssuer, ""}, Audience: Ref{TokenAudience, ""}}
}

// nameClaims says what the claims of a token are called that tell who its owner is, if not as the services expect it.
func (t *Topology) nameClaims(prefix string) {
	if prefix == "" {
		return
	}
	for _, f := range t.Functions {
		switch f.Command {
		case "tickets":
			f.Environment["SERVICE_CLAIM"] = Ref{Literal, prefix + "service"}
			fallthrough
		case "query":
			f.Environment["TENANT_CLAIM"] = Ref{Literal, prefix + "tenant"}
			f.Environment["ENTITY_TYPES_CLAIM"] = Ref{Literal, prefix + "entity_types"}
		}
	}
}
