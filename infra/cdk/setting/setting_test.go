package setting_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/infra/cdk/setting"
	"github.com/iops-dashboard/live/infra/topology"
)

const (
	metricsARN  = "arn:aws:dynamodb:us-east-1:111122223333:table/marketplace"
	insightsARN = "arn:aws:dynamodb:us-east-1:111122223333:table/findings"
	stream      = "/stream/2026-01-01T00:00:00.000"
)

func read(context map[string]string) (setting.Settings, error) {
	return setting.Read(func(name string) string { return context[name] })
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	s, err := read(nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Stage != "prod" || s.Auth != topology.AuthTicket || s.Fanout != setting.Lambda || s.Shards != 1 || s.PreviousShards != 1 || s.Architecture != "arm64" || s.KeepsLogRole {
		t.Errorf("%+v", s)
	}
	if s.Metrics != (setting.Table{}) || s.Insights != (setting.Table{}) || s.Issuer != "" || s.Origins != nil || s.Connect != nil || s.Alarms != "" {
		t.Errorf("something is given that nobody gave: %+v", s)
	}
	if w := s.Warnings(); len(w) != 0 {
		t.Errorf("the defaults warn of %q", w)
	}
}

func TestEachSettingIsRead(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		context map[string]string
		holds   func(setting.Settings) bool
	}{
		{map[string]string{"stage": "dev"}, func(s setting.Settings) bool { return s.Stage == "dev" && s.Named("Stack") == "Stack-dev" }},
		{map[string]string{"stage": "dev"}, func(s setting.Settings) bool {
			return s.SignInPrefix("111122223333") == "iops-dashboard-dev-111122223333"
		}},
		{map[string]string{}, func(s setting.Settings) bool { return s.SignInPrefix("111122223333") == "iops-dashboard-111122223333" }},
		{map[string]string{"stage": " prod "}, func(s setting.Settings) bool { return s.Stage == "prod" && s.Named("Stack") == "Stack" }},
		{map[string]string{"auth": "open"}, func(s setting.Settings) bool { return s.Auth == topology.AuthOpen && len(s.Warnings()) == 1 }},
		{map[string]string{"auth": "open", "stage": "aws2"}, func(s setting.Settings) bool { return s.Stage == "aws2" }},
		{map[string]string{"fanout": "fargate"}, func(s setting.Settings) bool { return s.Fanout == setting.Fargate && s.Tasks == 4 }},
		{map[string]string{"fanout": "fargate", "tasks": "1"}, func(s setting.Settings) bool { return s.Tasks == 1 && len(s.Warnings()) == 1 }},
		{map[string]string{"shards": "8"}, func(s setting.Settings) bool { return s.Shards == 8 && s.PreviousShards == 8 }},
		{map[string]string{"shards": "8", "previousShards": "2"}, func(s setting.Settings) bool { return s.Shards == 8 && s.PreviousShards == 2 }},
		{map[string]string{"metricsTable": metricsARN, "metricsStream": metricsARN + stream}, func(s setting.Settings) bool {
			return s.Metrics == setting.Table{ARN: metricsARN, Stream: metricsARN + stream} && s.Metrics.Name() == "marketplace"
		}},
		{map[string]string{"issuer": "https://login.example.com/ops/", "audience": "page"}, func(s setting.Settings) bool {
			return s.Issuer == "https://login.example.com/ops" && s.Audience == "page"
		}},
		{map[string]string{"origins": "https://a.example.com, https://b.example.com:8443"}, func(s setting.Settings) bool {
			return slices.Equal(s.Origins, []string{"https://a.example.com", "https://b.example.com:8443"})
		}},
		{map[string]string{"connect": "https://a.example.com,wss://b.example.com"}, func(s setting.Settings) bool {
			return slices.Equal(s.Connect, []string{"https://a.example.com", "wss://b.example.com"})
		}},
		{map[string]string{"alarms": "ops@example.com"}, func(s setting.Settings) bool { return s.Alarms == "ops@example.com" }},
		{map[string]string{"architecture": "x86_64"}, func(s setting.Settings) bool { return s.Architecture == "x86_64" }},
		{map[string]string{"apiLogRole": "keep"}, func(s setting.Settings) bool { return s.KeepsLogRole }},
	} {
		if s, err := read(tc.context); err != nil || !tc.holds(s) {
			t.Errorf("%v: %+v, %v", tc.context, s, err)
		}
	}
}

func TestFaultsNameTheirSetting(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		context map[string]string
		want    string
	}{
		{map[string]string{"stage": "Dev"}, `stage is "Dev": want up to 11 small letters`},
		{map[string]string{"stage": "a-b"}, `stage is "a-b"`},
		{map[string]string{"stage": "integration1"}, `stage is "integration1"`},
		{map[string]string{"stage": "aws2"}, `stage is "aws2": users sign in at an address with it`},
		{map[string]string{"auth": "none"}, `auth is "none": want ticket or open`},
		{map[string]string{"fanout": "ec2"}, `fanout is "ec2": want lambda or fargate`},
		{map[string]string{"shards": "0"}, `shards is "0": want a number from 1 to 16`},
		{map[string]string{"shards": "17"}, `shards is "17"`},
		{map[string]string{"shards": "two"}, `shards is "two"`},
		{map[string]string{"shards": "1.5"}, `shards is "1.5"`},
		{map[string]string{"previousShards": "-1"}, `previousShards is "-1"`},
		{map[string]string{"tasks": "101"}, `tasks is "101"`},
		{map[string]string{"metricsTable": "marketplace", "metricsStream": metricsARN + stream}, `metricsTable is "marketplace"`},
		{map[string]string{"metricsTable": metricsARN}, "metricsTable and metricsStream: give both"},
		{map[string]string{"metricsStream": metricsARN + stream}, "metricsTable and metricsStream: give both"},
		{map[string]string{"metricsTable": metricsARN, "metricsStream": insightsARN + stream}, "metricsStream: it is not the stream of metricsTable"},
		{map[string]string{"insightsTable": insightsARN, "insightsStream": insightsARN}, `insightsStream is "` + insightsARN},
		{map[string]string{"issuer": "http://login.example.com", "audience": "page"}, `issuer is "http://login.example.com": want an address that begins with https://`},
		{map[string]string{"issuer": "https://login.example.com/?x=1", "audience": "page"}, "issuer is"},
		{map[string]string{"issuer": "https://login.example.com"}, "issuer and audience: give both"},
		{map[string]string{"audience": "page"}, "issuer and audience: give both"},
		{map[string]string{"auth": "open", "issuer": "https://login.example.com", "audience": "page"}, "issuer: nobody is asked for a token"},
		{map[string]string{"origins": "https://a.example.com,*"}, `origins has "*": want an origin`},
		{map[string]string{"origins": "https://a.example.com/"}, `origins has "https://a.example.com/"`},
		{map[string]string{"origins": "http://a.example.com"}, `origins has "http://a.example.com"`},
		{map[string]string{"connect": "https://*.example.com"}, `connect has "https://*.example.com"`},
		{map[string]string{"alarms": "ops"}, `alarms is "ops": want a mail address`},
		{map[string]string{"architecture": "arm"}, `architecture is "arm": want arm64 or x86_64`},
		{map[string]string{"apiLogRole": "delete"}, `apiLogRole is "delete": want create or keep`},
		{map[string]string{"metricsTable": metricsARN, "metricsStream": metricsARN + stream, "insightsTable": metricsARN, "insightsStream": metricsARN + stream}, "insightsTable"},
		{map[string]string{"metricsTable": ownARN("iops-dashboard-state"), "metricsStream": ownARN("iops-dashboard-state") + stream}, "metricsTable"},
	} {
		if _, err := read(tc.context); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v: %v, want %s", tc.context, err, tc.want)
		}
	}
}

func ownARN(name string) string { return "arn:aws:dynamodb:us-east-1:111122223333:table/" + name }

// Whoever has made five mistakes is told of five.
func TestAllFaultsAreReportedTogether(t *testing.T) {
	t.Parallel()
	_, err := read(map[string]string{"stage": "-", "auth": "-", "shards": "-", "metricsTable": metricsARN, "alarms": "-"})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, name := range []string{"stage is", "auth is", "shards is", "metricsStream: give both", "alarms is"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%v\ndoes not have %q", err, name)
		}
	}
}

// Every setting that is explained is read, and no other.
func TestEverySettingIsExplained(t *testing.T) {
	t.Parallel()
	asked := map[string]bool{}
	if _, err := setting.Read(func(name string) string { asked[name] = true; return "" }); err != nil {
		t.Fatal(err)
	}
	for _, s := range setting.All {
		if !asked[s.Name] {
			t.Errorf("nobody reads %s", s.Name)
		}
		if delete(asked, s.Name); s.Text == "" {
			t.Errorf("%s is not explained", s.Name)
		}
	}
	if len(asked) > 0 {
		t.Errorf("not explained: %v", asked)
	}
}

// Whatever is asked for is refused by the name of a setting, or is a system that keeps its promises.
func TestWhatIsAcceptedIsASystem(t *testing.T) {
	t.Parallel()
	numbers := func(most int) *rapid.Generator[string] {
		return rapid.Map(rapid.IntRange(-1, most+1), strconv.Itoa)
	}
	tables := rapid.SampledFrom([]string{
		metricsARN, insightsARN, "marketplace", ownARN("iops-dashboard-metrics"), ownARN("iops-dashboard-insights"),
		ownARN("iops-dashboard-state"), ownARN("iops-dashboard-tickets-dev"),
	})
	streams := rapid.Map(tables, func(arn string) string { return arn + stream })
	values := map[string]*rapid.Generator[string]{
		"stage":  rapid.OneOf(rapid.SampledFrom([]string{"", "prod", "dev", "integration"}), rapid.StringMatching(`[a-z0-9-]{0,13}`)),
		"auth":   rapid.SampledFrom([]string{"", "open", "ticket", "none"}),
		"fanout": rapid.SampledFrom([]string{"", "lambda", "fargate", "ec2"}),
		"shards": numbers(topology.Buckets), "previousShards": rapid.OneOf(rapid.Just(""), numbers(topology.Buckets)), "tasks": numbers(100),
		"metricsTable": tables, "metricsStream": streams, "insightsTable": tables, "insightsStream": streams,
		"issuer":   rapid.SampledFrom([]string{"", "", "https://login.example.com", "login"}),
		"audience": rapid.SampledFrom([]string{"", "", "page"}),
		"origins":  rapid.SampledFrom([]string{"", "https://a.example.com", "*"}),
	}
	rapid.Check(t, func(t *rapid.T) {
		context := map[string]string{}
		for _, s := range setting.All {
			// Most are as they are by default, or next to nothing would be accepted.
			if g := values[s.Name]; g != nil && rapid.IntRange(0, 2).Draw(t, s.Name+" given") == 0 {
				context[s.Name] = g.Draw(t, s.Name)
			}
		}
		for _, kind := range []string{"metrics", "insights"} {
			if rapid.Bool().Draw(t, kind+" fit") { // a table and its stream, or neither
				if context[kind+"Stream"] = context[kind+"Table"]; context[kind+"Table"] != "" {
					context[kind+"Stream"] += stream
				}
			}
		}
		s, err := read(context)
		if err != nil {
			for _, line := range strings.Split(err.Error(), "\n") {
				if !slices.ContainsFunc(setting.All, func(s setting.Setting) bool { return strings.Contains(line, s.Name) }) {
					t.Errorf("%q names no setting", line)
				}
			}
			return
		}
		system := s.Topology()
		if err := system.Validate(); err != nil {
			t.Fatalf("accepted, and not a system: %v", err)
		}
		seen := map[string]bool{}
		for _, x := range system.Tables {
			if seen[x.Name] {
				t.Fatalf("two tables are called %s", x.Name)
			}
			seen[x.Name] = true
		}
		if s.Fanout == setting.Fargate != (len(system.Workers) > 0) || s.Auth == topology.AuthTicket != (system.WebSocket.Authorizer.Function != "") {
			t.Fatalf("another system than %+v asks for", s)
		}
	})
}
