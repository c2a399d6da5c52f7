package topology

import (
	"maps"
	"slices"
	"strings"
)

// Grant permits a deployable what it does with one resource. It may do nothing else, but for what its event sources and
// its log need, which follow from the topology.
type Grant struct {
	// On is a table, a topic, a queue, or the management API of the WebSocket API.
	On Ref
	// Actions are those of IAM, without the service, which On tells: Query. Of the management API they are the methods
	// that may be used: POST. A write in a transaction counts as the write that it is.
	Actions []string
}

// services are the names of IAM for what a grant can be on.
var services = map[RefKind]string{TableName: "dynamodb", TopicARN: "sns", QueueURL: "sqs", CallbackURL: "execute-api"}

// IAM lists the actions as policies name them, sorted. The methods of the management API are part of the resource
// there: its one action is execute-api:ManageConnections.
func (g Grant) IAM() []string {
	if g.On.Kind == CallbackURL {
		return []string{"execute-api:ManageConnections"}
	}
	var all []string
	for _, a := range g.Actions {
		all = append(all, services[g.On.Kind]+":"+a)
	}
	slices.Sort(all)
	return all
}

// actions are what commands do with the resources that their environments name: by command, and by variable.
type actions map[string]map[string][]string

// always are what each command does, however the system is made. The state table's generation is written by whoever meets
// the table first: hence the PutItem of who only reads.
var always = actions{
	"normalizer": {
		"STATE_TABLE":          {"GetItem", "PutItem", "UpdateItem"},
		"TOPIC_ARN":            {"Publish"},
		"QUARANTINE_QUEUE_URL": {"SendMessage"},
	},
	"connect":    {"CONNECTIONS_TABLE": {"PutItem"}},
	"disconnect": {"CONNECTIONS_TABLE": {"DeleteItem", "UpdateItem"}},
	"sync": {
		"CONNECTIONS_TABLE":      {"DeleteItem", "GetItem", "PutItem", "UpdateItem"},
		"STATE_TABLE":            {"GetItem", "PutItem", "Query"},
		"WEBSOCKET_API_ENDPOINT": {"DELETE", "POST"},
	},
	"query": {"STATE_TABLE": {"GetItem", "PutItem", "Query"}},
	"fanout": {
		"CONNECTIONS_TABLE":      {"DeleteItem", "Query", "UpdateItem"},
		"FANOUT_QUEUE_URL":       {"DeleteMessage"},
		"FANOUT_DLQ_URL":         {"SendMessage"},
		"WEBSOCKET_API_ENDPOINT": {"POST"},
	},
}

// withTickets are what they do besides where only tickets let in: connections have owners then, who may have so many and
// whose permission may be revoked, and an end.
var withTickets = actions{
	"connect": {
		"CONNECTIONS_TABLE":      {"BatchGetItem", "DeleteItem", "GetItem", "UpdateItem"},
		"WEBSOCKET_API_ENDPOINT": {"DELETE"},
	},
	"query":     {"CONNECTIONS_TABLE": {"BatchGetItem"}},
	"fanout":    {"WEBSOCKET_API_ENDPOINT": {"DELETE"}},
	"tickets":   {"TICKETS_TABLE": {"PutItem", "UpdateItem"}},
	"authorize": {"TICKETS_TABLE": {"DeleteItem"}},
	"revoke": {
		"CONNECTIONS_TABLE":      {"DeleteItem", "PutItem", "Query", "UpdateItem"},
		"WEBSOCKET_API_ENDPOINT": {"DELETE", "POST"},
	},
	"canary": {
		"METRICS_TABLE": {"UpdateItem"},
		"TICKETS_TABLE": {"PutItem", "UpdateItem"},
	},
}

// asWorker are what workers do besides, which receive by themselves.
var asWorker = actions{
	"fanout": {"FANOUT_QUEUE_URL": {"ChangeMessageVisibility", "ReceiveMessage"}},
}

// permit gives a command its grants, in the order of its variables.
func permit(command string, environment map[string]Ref, all ...actions) (grants []Grant) {
	for _, variable := range slices.Sorted(maps.Keys(environment)) {
		var may []string
		for _, some := range all {
			may = append(may, some[command][variable]...)
		}
		if len(may) > 0 {
			slices.Sort(may)
			grants = append(grants, Grant{On: environment[variable], Actions: may})
		}
	}
	return grants
}

// permitAll gives every deployable its grants.
func (t *Topology) permitAll() {
	all := []actions{always}
	if t.WebSocket.Authorizer.Function != "" {
		all = append(all, withTickets)
	}
	for i, f := range t.Functions {
		t.Functions[i].Grants = permit(f.Command, f.Environment, all...)
	}
	all = append(all, asWorker)
	for i, w := range t.Workers {
		t.Workers[i].Grants = permit(w.Command, w.Environment, all...)
	}
}

// grants sees that every grant is on something that a policy can name, and names its actions one by one.
func (v *validator) grants(owner string, all []Grant) {
	for _, g := range all {
		v.check(services[g.On.Kind] != "", "%s: a grant on %q, which no policy can name", owner, g.On.Name)
		v.check(v.exists(g.On), "%s: a grant on %q, which does not exist", owner, g.On.Name)
		v.check(len(g.Actions) > 0, "%s: a grant of nothing on %q", owner, g.On.Name)
		for _, a := range g.Actions {
			v.check(!strings.ContainsAny(a, "*?:"), "%s: may %q on %q, which is not one action", owner, a, g.On.Name)
		}
	}
}
