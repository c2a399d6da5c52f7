package topology_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iops-dashboard/live/infra/topology"
)

// every lists systems of all kinds.
func every() map[string]topology.Topology {
	all := map[string]topology.Topology{}
	for _, function := range []bool{false, true} {
		for _, auth := range []topology.Auth{topology.AuthOpen, topology.AuthTicket} {
			for _, stage := range []string{topology.Production, "dev"} {
				for _, shards := range []int{1, 3} {
					o := topology.Options{FanoutFunction: function, Auth: auth, Stage: stage, Shards: shards}
					all[fmt.Sprintf("%+v", o)] = topology.New(o)
				}
			}
		}
	}
	return all
}

// names are those of all resources, each after its kind.
func names(s topology.Topology) []string {
	all := []string{"WebSocket API " + s.WebSocket.Name, "HTTP API " + s.HTTP.Name}
	for _, x := range s.Tables {
		all = append(all, "table "+x.Name)
	}
	for _, x := range s.Topics {
		all = append(all, "topic "+x.Name)
	}
	for _, x := range s.Queues {
		all = append(all, "queue "+x.Name)
	}
	for _, x := range s.Stores {
		all = append(all, "store "+x.Name)
	}
	for _, x := range s.Functions {
		all = append(all, "function "+x.Name)
	}
	for _, x := range s.Workers {
		all = append(all, "worker "+x.Name)
	}
	return all
}

// Two systems fit into one account and Region: no name of one is a name of the other. That each name which refers to
// another still does is for Validate.
func TestEachStageHasNamesOfItsOwn(t *testing.T) {
	t.Parallel()
	for _, function := range []bool{false, true} {
		o := topology.Options{FanoutFunction: function, Auth: topology.AuthTicket, Shards: 3}
		production := topology.New(o)
		o.Stage = "dev"
		dev := topology.New(o)
		var want []string
		for _, name := range names(production) {
			want = append(want, name+"-dev")
		}
		if got := names(dev); !slices.Equal(got, want) {
			t.Errorf("the names are %q, want %q", got, want)
		}
		if production.WebSocket.Stage != "prod" || dev.WebSocket.Stage != "dev" {
			t.Errorf("the stages of the API are %q and %q", production.WebSocket.Stage, dev.WebSocket.Stage)
		}
		if err := dev.Validate(); err != nil {
			t.Error(err)
		}
		for _, f := range dev.Functions {
			for variable, r := range f.Environment {
				if r.Kind == topology.TableName && !strings.HasSuffix(r.Name, "-dev") {
					t.Errorf("%s works on %s of production, by %s", f.Name, r.Name, variable)
				}
			}
		}
		// What is written into the environment as it is stays as it is.
		for name, stays := range map[string]topology.Ref{"CANARY_TENANT": {Name: "canary"}, "AUTH": {Name: "ticket"}} {
			for _, f := range dev.Functions {
				if r, ok := f.Environment[name]; ok && r != stays {
					t.Errorf("%s of %s is %+v", name, f.Name, r)
				}
			}
		}
	}
}

// refs are what environments refer to, tables apart.
func refs(s topology.Topology) (all []string) {
	add := func(owner string, environment map[string]topology.Ref) {
		for variable, r := range environment {
			if r.Kind != topology.TableName {
				all = append(all, fmt.Sprintf("%s %s %+v", owner, variable, r))
			}
		}
	}
	for _, f := range s.Functions {
		add(f.Name, f.Environment)
	}
	for _, w := range s.Workers {
		add(w.Name, w.Environment)
	}
	slices.Sort(all)
	return all
}

// A table that was brought keeps its name in each stage, and whatever used our own uses it, and nothing else is changed:
// also if the name is that of a resource of ours, or of the other's table that is not used.
func TestBroughtTablesTakeThePlaceOfOurOwn(t *testing.T) {
	t.Parallel()
	for _, stage := range []string{topology.Production, "dev"} {
		for _, theirs := range []struct{ metrics, insights string }{
			{"their-metrics", "iops-dashboard-insights"},
			{"iops-dashboard-updates", "iops-dashboard-failures"}, // a topic's, and a queue's and a store's
			{"iops-dashboard-updates-dev", "iops-dashboard-normalizer-dev"},
			{"iops-dashboard-insights", "iops-dashboard-metrics"},
			{"iops-dashboard-insights-dev", "iops-dashboard-metrics-dev"},
		} {
			t.Run(stage+" "+theirs.metrics, func(t *testing.T) {
				t.Parallel()
				o := topology.Options{Auth: topology.AuthTicket, Stage: stage}
				own := topology.New(o)
				o.MetricsTable, o.InsightsTable = theirs.metrics, theirs.insights
				bring(t, own, topology.New(o), theirs.metrics, theirs.insights)
			})
		}
	}
	for _, table := range topology.Default().Tables {
		if table.Brought {
			t.Errorf("%s is brought by nobody", table.Name)
		}
	}
}

// bring compares a system that tables were brought into with one of its own.
func bring(t *testing.T, own, system topology.Topology, metrics, insights string) {
	if err := system.Validate(); err != nil {
		t.Error(err)
	}
	var brought []string
	for _, table := range system.Tables {
		if table.Brought {
			brought = append(brought, table.Name)
		} else if table.Stream {
			t.Errorf("%s has a stream, and is our own", table.Name)
		}
	}
	if want := []string{metrics, insights}; !slices.Equal(brought, want) {
		t.Errorf("brought are %q, want %q", brought, want)
	}
	var fed []string
	for _, s := range system.Streams {
		fed = append(fed, s.Table)
	}
	if !slices.Equal(fed, brought) {
		t.Errorf("the streams of %q are read", fed)
	}
	uses := 0
	for _, f := range system.Functions {
		for variable, want := range map[string]string{"METRICS_TABLE": metrics, "INSIGHTS_TABLE": insights} {
			if r, ok := f.Environment[variable]; ok {
				if uses++; r.Name != want {
					t.Errorf("%s of %s is %s", variable, f.Name, r.Name)
				}
			}
		}
		if f.Command == "canary" && f.Grants[0].On != (topology.Ref{Kind: topology.TableName, Name: metrics}) {
			t.Errorf("the canary may write to %+v", f.Grants[0].On)
		}
	}
	if uses != 3 {
		t.Errorf("they are used %d times", uses)
	}
	noTables := func(all []string) []string {
		return slices.DeleteFunc(all, func(name string) bool { return strings.HasPrefix(name, "table ") })
	}
	if got, want := noTables(names(system)), noTables(names(own)); !slices.Equal(got, want) {
		t.Errorf("the names are %q, want %q", got, want)
	}
	if got, want := refs(system), refs(own); !slices.Equal(got, want) {
		t.Errorf("environments refer to %q, want %q", got, want)
	}
}

// unused are the resources that an environment names and its owner may do nothing with.
func unused(owner string, environment map[string]topology.Ref, grants []topology.Grant) (all []string) {
	for variable, r := range environment {
		named := slices.Contains([]topology.RefKind{topology.TableName, topology.TopicARN, topology.QueueURL, topology.CallbackURL}, r.Kind)
		if named && !slices.ContainsFunc(grants, func(g topology.Grant) bool { return g.On == r }) {
			all = append(all, owner+" "+variable)
		}
	}
	return all
}

// What a program is told of it may use, and what it may use it is told of.
func TestGrantsAreOnWhatTheEnvironmentNames(t *testing.T) {
	t.Parallel()
	for name, system := range every() {
		names := []string{"normalizer INSIGHTS_TABLE", "normalizer METRICS_TABLE"} // by which it knows their streams
		if system.WebSocket.Authorizer.Function == "" {
			// Without tickets there are no revocations, and nobody has too many connections.
			names = append(names, "connect WEBSOCKET_API_ENDPOINT", "query CONNECTIONS_TABLE")
		}
		slices.Sort(names)
		var got []string
		granted := func(owner string, environment map[string]topology.Ref, grants []topology.Grant) {
			got = append(got, unused(owner, environment, grants)...)
			refs := slices.Collect(maps.Values(environment))
			var on []topology.Ref
			for _, g := range grants {
				if !slices.Contains(refs, g.On) {
					t.Errorf("%s: %s may use %+v, and is not told of it", name, owner, g.On)
				}
				if slices.Contains(on, g.On) {
					t.Errorf("%s: %s has two grants on %+v", name, owner, g.On)
				}
				on = append(on, g.On)
			}
		}
		for _, f := range system.Functions {
			granted(f.Command, f.Environment, f.Grants)
		}
		for _, w := range system.Workers {
			granted(w.Command, w.Environment, w.Grants)
		}
		slices.Sort(got)
		if !slices.Equal(got, names) {
			t.Errorf("%s: named and not granted are %q, want %q", name, got, names)
		}
	}
	system := topology.Default()
	w := system.Workers[0]
	for i := range w.Grants {
		if less := unused(w.Command, w.Environment, slices.Delete(slices.Clone(w.Grants), i, i+1)); len(less) != 1 {
			t.Errorf("without %+v, unused are %q", w.Grants[i], less)
		}
	}
}

// Whatever clients do, the fanout has what its rate says: all share one quota.
func TestClientsLeaveTheFanoutItsShare(t *testing.T) {
	t.Parallel()
	for name, system := range every() {
		clients := system.WebSocket.Throttle.Rate + system.HTTP.Throttle.Rate
		posts, programs := 0, 0
		add := func(environment map[string]topology.Ref, n int) {
			if rate, ok := environment["FANOUT_RATE"]; ok {
				var each int
				if _, err := fmt.Sscan(rate.Name, &each); err != nil {
					t.Fatal(err)
				}
				posts, programs = posts+each*n, programs+1
			}
		}
		for _, f := range system.Functions {
			add(f.Environment, f.Concurrency)
		}
		for _, w := range system.Workers {
			add(w.Environment, w.Instances)
		}
		if clients <= 0 || programs == 0 || posts <= 0 || clients+posts > topology.DefaultRate {
			t.Errorf("%s: clients may make %d requests a second, and %d programs %d posts", name, clients, programs, posts)
		}
	}
	shared := topology.New(topology.Options{Instances: 5}).Workers[0]
	if shared.Instances != 5 || shared.Environment["FANOUT_RATE"].Name != "1800" {
		t.Errorf("%d workers have a rate of %s each", shared.Instances, shared.Environment["FANOUT_RATE"].Name)
	}
}

// What a stream gives up rests in a store, and somebody is told. Of the insights table it is told of insights alone.
func TestWhatStreamsGiveUpIsKept(t *testing.T) {
	t.Parallel()
	for name, system := range every() {
		if len(system.Streams) != 2 || len(system.Stores) != 1 {
			t.Fatalf("%s: %d streams and %d stores", name, len(system.Streams), len(system.Stores))
		}
		for _, s := range system.Streams {
			store, ok := system.Store(s.Failures)
			q, told := system.Queue(store.Queue)
			if !ok || !told || q.Retention != topology.DeadLetterRetention || q.Variable != "FAILURES_QUEUE_URL" {
				t.Errorf("%s: what %s gives up goes to %+v, which tells %+v", name, s.Table, store, q)
			}
		}
		if metrics, insights := system.Streams[0].Filter, system.Streams[1].Filter; metrics != nil || *insights != (topology.KeyPrefix{Attribute: "pk", Prefix: "insight#"}) {
			t.Errorf("%s: the filters are %+v and %+v", name, metrics, insights)
		}
	}
}

// The canary flies each minute, in a tenant that is nobody's.
func TestCanary(t *testing.T) {
	t.Parallel()
	for _, stage := range []string{topology.Production, "dev"} {
		system := topology.New(topology.Options{Auth: topology.AuthTicket, Stage: stage})
		if len(system.Schedules) != 1 {
			t.Fatalf("schedules %+v", system.Schedules)
		}
		s := system.Schedules[0]
		f, ok := system.Function(s.Function)
		if !ok || f.Command != "canary" || s.Every != time.Minute || f.Timeout >= s.Every || f.Concurrency != 1 {
			t.Errorf("%s: %+v invokes %+v", stage, s, f)
		}
		if tenant := f.Environment["CANARY_TENANT"]; tenant.Name != topology.CanaryTenant || tenant.Name == "default" {
			t.Errorf("%s: its tenant is %+v", stage, tenant)
		}
	}
}
