package topology_test

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iops-dashboard/live/infra/topology"
)

func TestEverySystemKeepsItsPromises(t *testing.T) {
	t.Parallel()
	for _, function := range []bool{false, true} {
		for shards := range 17 {
			for before := range 17 {
				for _, auth := range []topology.Auth{"", topology.AuthOpen, topology.AuthTicket} {
					o := topology.Options{Shards: shards, PreviousShards: before, FanoutFunction: function, Auth: auth, Stage: []string{"", "dev"}[before%2]}
					if err := topology.New(o).Validate(); err != nil {
						t.Fatalf("%+v: %v", o, err)
					}
				}
			}
		}
	}
}

// While the number of shards changes, each queue serves the buckets that it has and those that it had:
// what was sent before is only in the queues of then.
func TestShardsServeTheirBuckets(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		shards, before int
		want           []string
	}{
		{0, 0, []string{"0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15"}},
		{4, 0, []string{"0,4,8,12", "1,5,9,13", "2,6,10,14", "3,7,11,15"}},
		{4, 1, []string{"0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15", "1,5,9,13", "2,6,10,14", "3,7,11,15"}},
		{1, 4, []string{"0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15", "1,5,9,13", "2,6,10,14", "3,7,11,15"}},
	} {
		system := topology.New(topology.Options{Shards: tc.shards, PreviousShards: tc.before})
		var got []string
		for _, w := range system.Workers {
			got = append(got, w.Environment["FANOUT_BUCKETS"].Name)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%d shards after %d serve %v, want %v", tc.shards, tc.before, got, tc.want)
		}
		if len(system.Subscriptions) != len(tc.want) {
			t.Errorf("%d subscriptions, want %d", len(system.Subscriptions), len(tc.want))
		}
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

// ticket breaks a system in which only tickets let in.
func ticket(breakIt func(*topology.Topology)) func(*topology.Topology) {
	return func(s *topology.Topology) {
		*s = topology.New(topology.Options{Auth: topology.AuthTicket})
		breakIt(s)
	}
}

func TestOpenSystemHasNothingOfTickets(t *testing.T) {
	t.Parallel()
	open, closed := topology.Default(), topology.New(topology.Options{Auth: topology.AuthTicket})
	if open.WebSocket.Authorizer.Function != "" || open.HTTP.JWT != (topology.JWT{}) || open.HTTP.Routes["POST /tickets"] != "" {
		t.Error("there is an authorizer, or a token is wanted, or given")
	}
	if _, ok := closed.Table("iops-dashboard-tickets"); !ok {
		t.Error("table iops-dashboard-tickets is gone")
	}
	if got := len(closed.Functions) - len(open.Functions); got != 4 {
		t.Errorf("tickets bring %d functions", got)
	}
	// Where everybody is of one tenant, all would see what the canary writes.
	if len(open.Schedules) != 0 || len(closed.Schedules) != 1 {
		t.Errorf("schedules %v, and with tickets %v", open.Schedules, closed.Schedules)
	}
}

// Whoever may connect may ask, by the same routes and from the same pages.
func TestQueriesAreAnsweredInEachSystem(t *testing.T) {
	t.Parallel()
	open, closed := topology.Default(), topology.New(topology.Options{Auth: topology.AuthTicket})
	delete(closed.HTTP.Routes, "POST /tickets")
	closed.HTTP.JWT = topology.JWT{}
	if !reflect.DeepEqual(open.HTTP, closed.HTTP) {
		t.Errorf("the HTTP API is %+v, and with tickets %+v", open.HTTP, closed.HTTP)
	}
	for _, route := range []string{"GET /metrics", "GET /insights", "GET /entities/{type}/{id+}"} {
		a, ok := open.Function(open.HTTP.Routes[route])
		b, _ := closed.Function(closed.HTTP.Routes[route])
		if !ok || a.Environment["AUTH"].Name != "open" || b.Environment["AUTH"].Name != "ticket" {
			t.Errorf("%s is answered by %+v, and with tickets by %+v", route, a, b)
		}
		a.Environment, b.Environment = maps.Clone(a.Environment), maps.Clone(b.Environment)
		delete(a.Environment, "AUTH")
		delete(b.Environment, "AUTH")
		// Of who comes with a token it must know whether that was revoked.
		revocations := topology.Grant{On: b.Environment["CONNECTIONS_TABLE"], Actions: []string{"BatchGetItem"}}
		b.Grants = slices.DeleteFunc(slices.Clone(b.Grants), func(g topology.Grant) bool { return reflect.DeepEqual(g, revocations) })
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s is answered by %+v, and with tickets by %+v", route, a, b)
		}
	}
}

const fanout = "iops-dashboard-fanout-0"

// queue finds a queue, to break it.
func queue(s *topology.Topology, name string) *topology.Queue {
	return &s.Queues[slices.IndexFunc(s.Queues, func(q topology.Queue) bool { return q.Name == name })]
}

func TestValidateFindsEachBrokenPromise(t *testing.T) {
	t.Parallel()
	for want, breakIt := range map[string]func(*topology.Topology){
		"not a table name": func(s *topology.Topology) { s.Tables[0].Name = "x" },
		"two of that name": func(s *topology.Topology) {
			*s = topology.New(topology.Options{MetricsTable: "iops-dashboard-insights"})
		},
		"keeps messages for 14 days":   func(s *topology.Topology) { s.Queues[0].Retention = time.Hour },
		"AWS advises 5":                func(s *topology.Topology) { queue(s, fanout).MaxReceives = 1 },
		"must keep messages longer":    func(s *topology.Topology) { queue(s, fanout).Retention = topology.DeadLetterRetention },
		"dead-letter queue of its own": func(s *topology.Topology) { s.Subscriptions[0].DeadLetter = queue(s, fanout).DeadLetter },
		"has no dead-letter queue, or look": func(s *topology.Topology) {
			dead := queue(s, fanout+"-dlq")
			dead.DeadLetter, dead.MaxReceives = "iops-dashboard-quarantine", 5
		},
		"bucket 3: nobody serves it": func(s *topology.Topology) {
			s.Workers[0].Environment["FANOUT_BUCKETS"] = topology.Ref{Kind: topology.Literal, Name: "0,1,2,4,5,6,7,8,9,10,11,12,13,14,15"}
		},
		"refers to \"nothing\"": func(s *topology.Topology) {
			s.Workers[0].Environment["FANOUT_DLQ_URL"] = topology.Ref{Kind: topology.QueueURL, Name: "nothing"}
		},
		"stops slower":           func(s *topology.Topology) { s.Workers[0].StopTimeout = time.Minute },
		"retries must be finite": func(s *topology.Topology) { s.Streams[0].Retries = -1 },
		"has no stream":          func(s *topology.Topology) { s.Streams[0].Table = "iops-dashboard-state" },
		"route $disconnect":      func(s *topology.Topology) { delete(s.WebSocket.Routes, "$disconnect") },
		"route $default":         func(s *topology.Topology) { delete(s.WebSocket.Routes, "$default") },
		"route sync is missing":  func(s *topology.Topology) { delete(s.WebSocket.Routes, "sync") },
		"a lifetime of 3h":       func(s *topology.Topology) { s.WebSocket.Lifetime = 3 * time.Hour },
		"does not wait for 30s":  func(s *topology.Topology) { s.Functions[2].Timeout = 30 * time.Second },
		"not within 15 minutes":  func(s *topology.Topology) { s.Functions[0].Timeout = time.Hour },
		"visibility 0s":          func(s *topology.Topology) { s.Queues[0].Visibility = 0 },
		"six times": func(s *topology.Topology) {
			*s = topology.New(topology.Options{FanoutFunction: true})
			queue(s, fanout).Visibility = time.Minute
		},
		"which needs an authorizer": func(s *topology.Topology) {
			s.WebSocket.Authorizer = topology.Authorizer{Function: s.Functions[1].Name, Identity: []string{"route.request.querystring.ticket"}}
		},
		"AUTH is \"maybe\"":       func(s *topology.Topology) { s.Functions[1].Environment["AUTH"] = topology.Ref{Name: "maybe"} },
		"AUTH is ticket":          ticket(func(s *topology.Topology) { s.WebSocket.Authorizer = topology.Authorizer{} }),
		"it must want a token":    ticket(func(s *topology.Topology) { s.HTTP.JWT = topology.JWT{} }),
		"as POST /tickets":        ticket(func(s *topology.Topology) { s.HTTP.Routes["tickets"] = s.Functions[0].Name }),
		"nobody who gives one":    func(s *topology.Topology) { s.HTTP.JWT.Audience = topology.Ref{Kind: topology.TokenAudience} },
		"route GET /{a+}/b: want": func(s *topology.Topology) { s.HTTP.Routes["GET /{a+}/b"] = s.Functions[0].Name },
		"route $default: want":    func(s *topology.Topology) { s.HTTP.Routes["$default"] = s.Functions[0].Name },
		"route GET /a/{b}/: want": func(s *topology.Topology) { s.HTTP.Routes["GET /a/{b}/"] = s.Functions[0].Name },
		"waits for less than 30s": func(s *topology.Topology) {
			for i, f := range s.Functions {
				if f.Name == s.HTTP.Routes["GET /metrics"] {
					s.Functions[i].Timeout = 30 * time.Second
				}
			}
		},
		"nobody could get a ticket": ticket(func(s *topology.Topology) { delete(s.HTTP.Routes, "POST /tickets") }),
		"route GET /: no function":  ticket(func(s *topology.Topology) { s.HTTP.Routes["GET /"] = "elsewhere" }),
		"asked about everybody":     ticket(func(s *topology.Topology) { s.WebSocket.Authorizer.Identity = nil }),
		"authorizer: no function":   ticket(func(s *topology.Topology) { s.WebSocket.Authorizer.Function = "elsewhere" }),
		"with $connect it may take": ticket(func(s *topology.Topology) { s.Functions[1].Timeout = 29 * time.Second }),
		"no function \"elsewhere\"": func(s *topology.Topology) { s.WebSocket.Routes["$connect"] = "elsewhere" },

		"stage \"Beta\": want": func(s *topology.Topology) { s.WebSocket.Stage = "Beta" },
		"stage \"\": want":     func(s *topology.Topology) { s.WebSocket.Stage = "" },
		"iops-dashboard-websocket: clients are not bounded": func(s *topology.Topology) { s.WebSocket.Throttle.Rate = 0 },
		"iops-dashboard-http: clients are not bounded":      func(s *topology.Topology) { s.HTTP.Throttle.Burst = 0 },
		"clients may make 1001 requests a second":           func(s *topology.Topology) { s.HTTP.Throttle.Rate++ },
		"nobody is told what it gets":                       func(s *topology.Topology) { s.Stores[0].Queue = "elsewhere" },
		"or in a queue that moves it on":                    func(s *topology.Topology) { s.Stores[0].Queue = fanout },
		"no store \"\" for what is given up":                func(s *topology.Topology) { s.Streams[0].Failures = "" },
		"no store \"elsewhere\"":                            func(s *topology.Topology) { s.Streams[1].Failures = "elsewhere" },
		"is no prefix of a key": func(s *topology.Topology) {
			s.Streams[0].Filter = &topology.KeyPrefix{Attribute: "health_score", Prefix: "1"}
		},
		"insights: its filter is no prefix": func(s *topology.Topology) { s.Streams[1].Filter.Prefix = "" },
		"a number of instances":             func(s *topology.Topology) { s.Workers[0].Instances = 0 },
		"schedule: no function":             ticket(func(s *topology.Topology) { s.Schedules[0].Function = "elsewhere" }),
		"every 30s, which is less than a minute": ticket(func(s *topology.Topology) {
			s.Schedules[0].Every = 30 * time.Second
		}),
		"or than what it may take": ticket(func(s *topology.Topology) {
			for i, f := range s.Functions {
				if f.Name == s.Schedules[0].Function {
					s.Functions[i].Timeout = 2 * time.Minute
				}
			}
		}),
		"which no policy can name":             func(s *topology.Topology) { s.Functions[0].Grants[0].On = topology.Ref{Kind: topology.PageOrigins} },
		"a grant on \"elsewhere\", which does": func(s *topology.Topology) { s.Workers[0].Grants[0].On.Name = "elsewhere" },
		"a grant of nothing":                   func(s *topology.Topology) { s.Functions[0].Grants[0].Actions = nil },
		"may \"*\" on":                         func(s *topology.Topology) { s.Functions[0].Grants[0].Actions[0] = "*" },
		"may \"sqs:SendMessage\" on":           func(s *topology.Topology) { s.Workers[0].Grants[0].Actions[0] = "sqs:SendMessage" },
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
