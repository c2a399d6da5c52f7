package config_test

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iops-dashboard/live/infra/topology"
	"github.com/iops-dashboard/live/services/internal/config"
)

// variables splits the environment of a configuration into what it must have and what it may have.
func variables(c any) (required, optional []string) {
	kind := reflect.TypeOf(c)
	for i := range kind.NumField() {
		name, rest, _ := strings.Cut(kind.Field(i).Tag.Get("env"), ",")
		if strings.Contains(rest, "required") {
			required = append(required, name)
		} else {
			optional = append(optional, name)
		}
	}
	return required, optional
}

// Each deployable of the topology gets what its configuration needs, and nothing that it does not
// know.
func TestTopologyFitsConfiguration(t *testing.T) {
	t.Parallel()
	configs := map[string]any{
		"normalizer": config.Normalizer{},
		"connect":    config.Connect{},
		"disconnect": config.Session{},
		"sync":       config.Sync{},
		"fanout":     config.Fanout{},
		"tickets":    config.Tickets{},
		"authorize":  config.Authorize{},
		"revoke":     config.Revoke{},
		"query":      config.Query{},
		"canary":     config.Canary{},
	}
	check := func(command string, environment map[string]topology.Ref) {
		c, ok := configs[command]
		if !ok {
			t.Errorf("no configuration is known for %s: add it to this test", command)
			return
		}
		required, optional := variables(c)
		for _, name := range required {
			if _, ok := environment[name]; !ok {
				t.Errorf("%s: the topology does not set %s", command, name)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(environment)) {
			if !slices.Contains(required, name) && !slices.Contains(optional, name) {
				t.Errorf("%s: the topology sets %s, which nothing reads", command, name)
			}
		}
	}
	for _, o := range []topology.Options{
		{}, {FanoutFunction: true}, {Auth: topology.AuthTicket}, {Stage: "beta"}, {Stage: "beta", FanoutFunction: true, Auth: topology.AuthTicket},
	} {
		system := topology.New(o)
		for _, f := range system.Functions {
			check(f.Command, f.Environment)
		}
		for _, w := range system.Workers {
			check(w.Command, w.Environment)
		}
	}
}

func TestAllFaultsAreReportedTogether(t *testing.T) {
	t.Setenv("CONNECTIONS_TABLE", "connections")
	t.Setenv("FANOUT_QUEUE_URL", "")
	t.Setenv("FANOUT_POSTERS", "many")
	t.Setenv("FANOUT_CLIENT", "curl")
	_, err := config.Read[config.Fanout]()
	if err == nil {
		t.Fatal("a broken environment was accepted")
	}
	for _, name := range []string{"FANOUT_QUEUE_URL", "FANOUT_DLQ_URL", "WEBSOCKET_API_ENDPOINT", "curl"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
}

// The browser's address of the API is the likeliest mistake, and each post would fail with it.
func TestCallbackMustBeAnHTTPAddress(t *testing.T) {
	for _, name := range []string{"CONNECTIONS_TABLE", "FANOUT_QUEUE_URL", "FANOUT_DLQ_URL", "METRICS_NAMESPACE"} {
		t.Setenv(name, "x")
	}
	t.Setenv("FANOUT_VISIBILITY", "30s")
	t.Setenv("FANOUT_BUCKETS", "0,15")
	t.Setenv("FANOUT_RATE", "9000")
	for value, good := range map[string]bool{
		"https://abcd1234.execute-api.us-east-1.amazonaws.com/prod": true,
		"http://127.0.0.1:4000/prod":                                true,
		"wss://abcd1234.execute-api.us-east-1.amazonaws.com/prod":   false,
		"abcd1234.execute-api.us-east-1.amazonaws.com/prod":         false,
		"https:///prod": false,
	} {
		t.Setenv("WEBSOCKET_API_ENDPOINT", value)
		_, err := config.Read[config.Fanout]()
		if good != (err == nil) || !good && !strings.Contains(err.Error(), "CallbackURL") {
			t.Errorf("%s: %v", value, err)
		}
	}
}

// The addresses of a WebSocket API are easily taken for each other.
func TestSocketMustBeAWebSocketAddress(t *testing.T) {
	for _, name := range []string{"METRICS_TABLE", "TICKETS_TABLE", "CANARY_TENANT", "METRICS_NAMESPACE"} {
		t.Setenv(name, "x")
	}
	for value, good := range map[string]bool{
		"wss://abcd1234.execute-api.us-east-1.amazonaws.com/prod":   true,
		"ws://127.0.0.1:4000/prod":                                  true,
		"https://abcd1234.execute-api.us-east-1.amazonaws.com/prod": false,
		"abcd1234.execute-api.us-east-1.amazonaws.com/prod":         false,
		"wss:///prod":               false,
		"wss://a.example/prod?":     false,
		"wss://a.example/prod?a=b":  false,
		"wss://a.example/prod#part": false,
	} {
		t.Setenv("WEBSOCKET_URL", value)
		c, err := config.Read[config.Canary]()
		if good != (err == nil) || good && string(c.SocketURL) != value || !good && !strings.Contains(err.Error(), "SocketURL") {
			t.Errorf("%s: %v", value, err)
		}
	}
}

// No limit would let anybody have any number, or nobody in.
func TestLimitsAreNumbersOfConnections(t *testing.T) {
	t.Setenv("CONNECTIONS_TABLE", "x")
	t.Setenv("AUTH", "ticket")
	t.Setenv("WEBSOCKET_API_ENDPOINT", "http://127.0.0.1:4000/prod")
	if c, err := config.Read[config.Connect](); err != nil || c.PerUser != 10 || c.PerService != 100 {
		t.Errorf("%+v, %v", c, err)
	}
	for value, want := range map[string]config.Limit{"1": 1, "1000": 1000, "0": 0, "-1": 0, "1001": 0, "ten": 0, "10.5": 0} {
		for _, name := range []string{"CONNECTIONS_PER_USER", "CONNECTIONS_PER_SERVICE"} {
			t.Run(name+"="+value, func(t *testing.T) {
				t.Setenv(name, value)
				c, err := config.Read[config.Connect]()
				if want == 0 && (err == nil || !strings.Contains(err.Error(), value)) {
					t.Errorf("%v", err)
				}
				if got := map[string]config.Limit{"CONNECTIONS_PER_USER": c.PerUser, "CONNECTIONS_PER_SERVICE": c.PerService}[name]; want > 0 && (err != nil || got != want) {
					t.Errorf("%d, %v", got, err)
				}
			})
		}
	}
}

// Metrics elsewhere would be seen by no alarm, and those in a wrong namespace are dropped without a word.
func TestMetricsAreWhereTheTopologySays(t *testing.T) {
	for _, name := range []string{"CONNECTIONS_TABLE", "STATE_TABLE"} {
		t.Setenv(name, "x")
	}
	t.Setenv("AUTH", "ticket")
	namespace := func() (config.MetricsNamespace, error) {
		c, err := config.Read[config.Query]()
		return c.MetricsNamespace, err
	}
	for stage, want := range map[string]string{"": "IOpsDashboard", "beta": "IOpsDashboard-beta"} {
		for _, function := range []bool{false, true} {
			system := topology.New(topology.Options{Stage: stage, FanoutFunction: function, Auth: topology.AuthTicket})
			writes := func(command string, environment map[string]topology.Ref) {
				if got, ok := environment["METRICS_NAMESPACE"]; ok && got != (topology.Ref{Name: want}) || want != system.MetricsNamespace() {
					t.Errorf("stage %q: %s writes to %q, and alarms watch %q", stage, command, got.Name, system.MetricsNamespace())
				}
			}
			for _, f := range system.Functions {
				writes(f.Command, f.Environment)
			}
			for _, w := range system.Workers {
				writes(w.Command, w.Environment)
			}
		}
	}
	for value, good := range map[string]bool{"": false, "IOpsDashboard-beta": true, "a/b.c_d#e:f g": true, "AWS/Lambda": false, "é": false, strings.Repeat("x", 256): false} {
		t.Setenv("METRICS_NAMESPACE", value)
		if got, err := namespace(); good != (err == nil) || good && string(got) != value {
			t.Errorf("%q: %q, %v", value, got, err)
		}
	}
}

func TestDefaults(t *testing.T) {
	for _, name := range []string{"CONNECTIONS_TABLE", "FANOUT_QUEUE_URL", "FANOUT_DLQ_URL", "METRICS_NAMESPACE"} {
		t.Setenv(name, "x")
	}
	t.Setenv("WEBSOCKET_API_ENDPOINT", "http://127.0.0.1:4000/prod")
	t.Setenv("FANOUT_VISIBILITY", "30s")
	t.Setenv("FANOUT_BUCKETS", "0,15")
	t.Setenv("FANOUT_RATE", "9000")
	c, err := config.Read[config.Fanout]()
	if err != nil || c.Posters != 64 || c.Visibility != 30*time.Second || c.Rate != 9000 || c.Client != "wire" || !slices.Equal(c.Buckets, []int{0, 15}) {
		t.Errorf("Read() = %+v, %v", c, err)
	}
}
