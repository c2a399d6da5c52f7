package topology

import (
	"cmp"
	"regexp"
	"slices"
)

// Production is the stage whose resources have the names that users and other stacks rely on.
const Production = "prod"

// StageName matches what a stage may be called: it is short enough for the name of a bucket, of 63 characters: that of the
// store, the stage, an account, and the longest name of a Region.
var StageName = regexp.MustCompile(`^[a-z][a-z0-9]{0,10}$`)

// atStage gives a system that is not the production one names of its own, so that both fit into one account and Region.
func (t *Topology) atStage(stage string) {
	t.WebSocket.Stage = stage
	t.nameMetrics()
	if stage != Production {
		t.rename(func(name string) string { return name + "-" + stage })
	}
}

// measured are the commands that write metrics.
var measured = []string{"canary", "fanout", "query", "sync"}

// MetricsNamespace is the CloudWatch namespace of the metrics that the system's own programs write. Each stage has one
// of its own: in one, the metrics of two systems would add up.
func (t Topology) MetricsNamespace() string {
	if t.WebSocket.Stage == Production {
		return "IOpsDashboard"
	}
	return "IOpsDashboard-" + t.WebSocket.Stage
}

// nameMetrics tells the programs which namespace that is.
func (t *Topology) nameMetrics() {
	namespace := Ref{Literal, t.MetricsNamespace()}
	for _, f := range t.Functions {
		if slices.Contains(measured, f.Command) {
			f.Environment["METRICS_NAMESPACE"] = namespace
		}
	}
	for _, w := range t.Workers {
		if slices.Contains(measured, w.Command) {
			w.Environment["METRICS_NAMESPACE"] = namespace
		}
	}
}

// bring has tables that are there already in place of our own, by the variables of these. Their names are whatever their
// owners chose, maybe those of other resources of ours, so only what names a table is changed.
func (t *Topology) bring(tables map[string]string) {
	brought := map[string]string{}
	for i, x := range t.Tables {
		if name := tables[x.Variable]; name != "" {
			brought[x.Name] = name
			t.Tables[i].Name, t.Tables[i].Brought = name, true
		}
	}
	named := func(own string) string { return cmp.Or(brought[own], own) }
	for i, x := range t.Streams {
		t.Streams[i].Table = named(x.Table)
	}
	t.refer(func(r Ref) Ref {
		if r.Kind == TableName {
			r.Name = named(r.Name)
		}
		return r
	})
}

// refer changes what the environments refer to.
func (t *Topology) refer(to func(Ref) Ref) {
	changed := func(environment map[string]Ref) map[string]Ref {
		all := map[string]Ref{} // some share one
		for variable, r := range environment {
			all[variable] = to(r)
		}
		return all
	}
	for i, x := range t.Functions {
		t.Functions[i].Environment = changed(x.Environment)
	}
	for i, x := range t.Workers {
		t.Workers[i].Environment = changed(x.Environment)
	}
}

// rename renames all resources, wherever they are named. Grants are on what environments refer to, and are not there yet.
func (t *Topology) rename(to func(string) string) {
	named := func(name string) string {
		if name == "" {
			return ""
		}
		return to(name)
	}
	t.refer(func(r Ref) Ref {
		if r.Kind != Literal {
			r.Name = named(r.Name)
		}
		return r
	})
	for i, x := range t.Tables {
		t.Tables[i].Name = named(x.Name)
	}
	for i, x := range t.Topics {
		t.Topics[i].Name = named(x.Name)
	}
	for i, x := range t.Stores {
		t.Stores[i].Name, t.Stores[i].Queue = named(x.Name), named(x.Queue)
	}
	for i, x := range t.Queues {
		t.Queues[i].Name, t.Queues[i].DeadLetter = named(x.Name), named(x.DeadLetter)
	}
	for i, x := range t.Subscriptions {
		t.Subscriptions[i] = Subscription{Topic: named(x.Topic), Queue: named(x.Queue), DeadLetter: named(x.DeadLetter)}
	}
	for i, x := range t.Functions {
		t.Functions[i].Name = named(x.Name)
	}
	for i, x := range t.Workers {
		t.Workers[i].Name = named(x.Name)
	}
	for i, x := range t.Streams {
		t.Streams[i].Table, t.Streams[i].Function, t.Streams[i].Failures = named(x.Table), named(x.Function), named(x.Failures)
	}
	for i, x := range t.QueueMappings {
		t.QueueMappings[i].Queue, t.QueueMappings[i].Function = named(x.Queue), named(x.Function)
	}
	for i, x := range t.Schedules {
		t.Schedules[i].Function = named(x.Function)
	}
	routes := func(all map[string]string) {
		for key, function := range all {
			all[key] = named(function)
		}
	}
	t.WebSocket.Name, t.WebSocket.Authorizer.Function = named(t.WebSocket.Name), named(t.WebSocket.Authorizer.Function)
	routes(t.WebSocket.Routes)
	t.HTTP.Name = named(t.HTTP.Name)
	routes(t.HTTP.Routes)
}
