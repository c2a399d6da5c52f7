package watch_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"github.com/iops-dashboard/live/infra/cdk/setting"
	"github.com/iops-dashboard/live/infra/cdk/stacktest"
	"github.com/iops-dashboard/live/infra/cdk/watch"
	"github.com/iops-dashboard/live/infra/topology"
)

func TestMain(m *testing.M) { os.Exit(stacktest.Main(m)) }

// variants are the systems that are watched here, by the context that asks for them.
var variants = map[string]map[string]string{
	"default": {},
	"fargate": {"fanout": "fargate"},
	"open":    {"auth": "open"},
	"shards":  {"shards": "16"},
	"growing": {"shards": "4", "previousShards": "2"},
	"stage":   {"stage": "beta", "alarms": "ops@example.com"},
	"existing": {
		"metricsTable":  "arn:aws:dynamodb:us-east-1:111122223333:table/marketplace",
		"metricsStream": "arn:aws:dynamodb:us-east-1:111122223333:table/marketplace/stream/2026-01-01T00:00:00.000",
	},
}

// stack is a watch stack, as its template has it.
type stack struct {
	settings  setting.Settings
	system    topology.Topology
	resources map[string]stacktest.Resource
	alarms    map[string]alarm // by name
	dashboard dashboard
}

// alarm is an alarm as CloudFormation reads it.
type alarm struct {
	id string // in the template

	AlarmName, AlarmDescription, ComparisonOperator, TreatMissingData string
	Namespace, MetricName, Statistic, ExtendedStatistic               string
	Dimensions                                                        []dimension
	Metrics                                                           []query
	Threshold, Period                                                 float64
	EvaluationPeriods, DatapointsToAlarm                              int
	AlarmActions, OKActions                                           []any
}

type query struct {
	ID         string `json:"Id"`
	Expression string
	ReturnData bool
	MetricStat struct {
		Metric struct {
			Namespace, MetricName string
			Dimensions            []dimension
		}
		Stat   string
		Period float64
	}
}

type dimension struct{ Name, Value string }

// series is a metric with what it is of, as AWS/SQS/ApproximateAgeOfOldestMessage/QueueName=x.
type series string

func seriesOf(namespace, name string, dimensions []dimension) series {
	s := namespace + "/" + name
	for _, d := range dimensions {
		s += "/" + d.Name + "=" + d.Value
	}
	return series(s)
}

// watches are the metrics that an alarm looks at.
func (a alarm) watches() []series {
	if a.MetricName != "" {
		return []series{seriesOf(a.Namespace, a.MetricName, a.Dimensions)}
	}
	var all []series
	for _, q := range a.Metrics {
		if q.Expression == "" {
			m := q.MetricStat.Metric
			all = append(all, seriesOf(m.Namespace, m.MetricName, m.Dimensions))
		}
	}
	return all
}

type dashboard struct {
	Widgets []struct {
		Type                string
		X, Y, Width, Height int
		Properties          struct {
			Title, Markdown string
			Alarms          []string
			Metrics         [][]any
		}
	}
}

var stacks = map[string]*stack{}

// synth returns the stack of a variant.
func synth(t *testing.T, variant string) *stack {
	t.Helper()
	if stacks[variant] != nil {
		return stacks[variant]
	}
	settings := stacktest.Settings(t, variants[variant])
	s := &stack{settings: settings, system: settings.Topology(), alarms: map[string]alarm{}}
	s.resources = stacktest.Synth(t, func(a awscdk.App) awscdk.Stack {
		return watch.New(a, settings.Named(setting.WatchStack), s.system, watch.Props{
			Settings: settings, SocketAPI: jsii.String("socketid"), HTTPAPI: jsii.String("httpid"),
		})
	}).Resources
	for id, r := range s.resources {
		switch r.Type {
		case "AWS::CloudWatch::Alarm":
			a := alarm{id: id}
			stacktest.Reread(t, r.Properties, &a)
			if _, taken := s.alarms[a.AlarmName]; taken {
				t.Errorf("%s: two alarms are called %s", variant, a.AlarmName)
			}
			s.alarms[a.AlarmName] = a
		case "AWS::CloudWatch::Dashboard":
			if err := json.Unmarshal([]byte(stacktest.Text(r.Properties["DashboardBody"])), &s.dashboard); err != nil {
				t.Fatalf("%s: the dashboard is no JSON: %v", variant, err)
			}
		}
	}
	stacks[variant] = s
	return s
}

// each runs a test on each variant.
func each(t *testing.T, test func(*testing.T, *stack)) {
	for _, variant := range slices.Sorted(maps.Keys(variants)) {
		t.Run(variant, func(t *testing.T) { test(t, synth(t, variant)) })
	}
}

// rings says when an alarm rings, in one line.
func (a alarm) rings() string {
	what := a.Statistic + a.ExtendedStatistic
	period := a.Period
	for _, q := range a.Metrics {
		if q.ReturnData {
			what = q.Expression
		}
		if q.Expression == "" {
			period = q.MetricStat.Period
		}
	}
	operator := map[string]string{"GreaterThanThreshold": ">", "LessThanThreshold": "<"}[a.ComparisonOperator]
	return fmt.Sprintf("%s %s %g, %d of %d x %gs, none is %s", what, operator, a.Threshold, a.DatapointsToAlarm, a.EvaluationPeriods, period, a.TreatMissingData)
}

// wanted are the alarms that a system must have: when they ring, by what they look at.
func wanted(s *stack) map[series]string {
	const (
		never   = "Sum > 0, 1 of 1 x 60s, none is notBreaching"
		lasting = "Sum > 0, 3 of 5 x 60s, none is notBreaching"
	)
	all := map[series]string{}
	want := func(rings, namespace, name string, dimensions ...string) {
		var of []dimension
		for i := 0; i < len(dimensions); i += 2 {
			of = append(of, dimension{dimensions[i], dimensions[i+1]})
		}
		all[seriesOf(namespace, name, of)] = rings
	}
	for _, q := range s.system.Queues {
		if strings.Contains(q.Name, "-dlq") || strings.Contains(q.Name, "quarantine") || strings.Contains(q.Name, "failures") {
			want("Maximum > 0, 1 of 5 x 60s, none is notBreaching", "AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", q.Name)
		} else {
			want("Maximum > 60, 3 of 5 x 60s, none is notBreaching", "AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", q.Name)
		}
	}
	for _, f := range s.system.Functions {
		want(lasting, "AWS/Lambda", "Errors", "FunctionName", f.Name)
		want(lasting, "AWS/Lambda", "Throttles", "FunctionName", f.Name)
		if f.Command == "revoke" {
			want(never, "AWS/Lambda", "Errors", "FunctionName", f.Name)
		}
	}
	for _, m := range s.system.Streams {
		want("Maximum > 60000, 3 of 5 x 60s, none is notBreaching", "AWS/Lambda", "IteratorAge", "FunctionName", m.Function)
		want(never, "AWS/Lambda", "DestinationDeliveryFailures", "FunctionName", m.Function)
	}
	for _, x := range s.system.Topics {
		want("Sum > 0, 1 of 1 x 300s, none is notBreaching", "AWS/SNS", "NumberOfNotificationsFailed", "TopicName", x.Name)
		want("Sum > 0, 1 of 1 x 300s, none is notBreaching", "AWS/SNS", "NumberOfNotificationsFailedToRedriveToDlq", "TopicName", x.Name)
	}
	want(lasting, "AWS/ApiGateway", "5xx", "ApiId", "httpid")
	want(lasting, "AWS/ApiGateway", "ExecutionError", "ApiId", "socketid")
	want("Sum > 10, 3 of 5 x 60s, none is notBreaching", "AWS/ApiGateway", "IntegrationError", "ApiId", "socketid")
	own := "IOpsDashboard"
	if s.settings.Stage != "prod" {
		own += "-" + s.settings.Stage
	}
	want("p95 > 1000, 3 of 5 x 60s, none is notBreaching", own, "WriteToPostLatency", "Service", "fanout")
	want(never, own, "Posts", "Service", "fanout", "Verdict", "refused")
	for _, service := range []string{"fanout", "query", "sync"} {
		want(never, own, "CrossTenant", "Service", service)
	}
	if s.settings.Auth == topology.AuthTicket {
		want("Sum < 1, 5 of 5 x 60s, none is breaching", own, "CanarySuccess", "Service", "canary")
		want("Maximum > 1000, 3 of 5 x 60s, none is notBreaching", own, "CanaryLatency", "Service", "canary")
	}
	return all
}

// What is promised is watched: what is missing here is silent when it breaks.
func TestEachPromiseHasItsAlarm(t *testing.T) {
	each(t, func(t *testing.T, s *stack) {
		single := map[series]string{}
		for _, a := range s.alarms {
			if len(a.Metrics) == 0 {
				single[a.watches()[0]] = a.rings()
			}
		}
		want := wanted(s)
		for _, of := range slices.Sorted(maps.Keys(want)) {
			if single[of] != want[of] {
				t.Errorf("%s rings at %q, want %q", of, single[of], want[of])
			}
		}
		for _, of := range slices.Sorted(maps.Keys(single)) {
			if want[of] == "" {
				t.Errorf("%s has an alarm that nobody wanted", of)
			}
		}
	})
}

// What more than one metric tells.
func TestSharesAndRates(t *testing.T) {
	each(t, func(t *testing.T, s *stack) {
		posts := func(verdicts ...string) []series {
			var all []series
			for _, v := range verdicts {
				all = append(all, series(s.system.MetricsNamespace()+"/Posts/Service=fanout/Verdict="+v))
			}
			return all
		}
		runs := func(command string) series {
			i := slices.IndexFunc(s.system.Functions, func(f topology.Function) bool { return f.Command == command })
			return series("AWS/Lambda/Invocations/FunctionName=" + s.system.Functions[i].Name)
		}
		for what, want := range map[string]struct {
			metrics []series
			terms   []string
			rings   string
		}{
			"posts-failed": {
				posts("hung", "oversize", "refused", "spent", "delivered"),
				[]string{"bad = FILL(hung,0)+FILL(oversize,0)+FILL(refused,0)+FILL(spent,0)"},
				"IF(bad>=10,100*bad/(bad+FILL(delivered,0)),0) > 5, 3 of 5 x 60s, none is notBreaching",
			},
			"posts-throttled": {
				posts("paced", "slow", "delivered"),
				[]string{"bad = FILL(paced,0)+FILL(slow,0)"},
				"IF(bad>=10,100*bad/(bad+FILL(delivered,0)),0) > 5, 3 of 5 x 60s, none is notBreaching",
			},
			"account-rate": {
				append(posts("delivered", "closed", "newborn", "paced", "again", "slow", "hung"), runs("connect"), runs("sync"), "AWS/ApiGateway/Count/ApiId=httpid"),
				nil,
				"(FILL(delivered,0)+FILL(closed,0)+FILL(newborn,0)+FILL(paced,0)+FILL(again,0)+FILL(slow,0)+FILL(hung,0)+FILL(connect,0)+FILL(sync,0)+FILL(http,0))/60 > 8000, 3 of 5 x 60s, none is notBreaching",
			},
		} {
			a := s.alarms[s.settings.Named("iops-dashboard-"+what)]
			var terms []string
			for _, q := range a.Metrics {
				if q.Expression != "" && !q.ReturnData {
					terms = append(terms, q.ID+" = "+q.Expression)
				}
			}
			if got := a.watches(); !slices.Equal(got, want.metrics) || !slices.Equal(terms, want.terms) || a.rings() != want.rings {
				t.Errorf("%s: %v\n%q\n%s", what, got, terms, a.rings())
			}
		}
	})
}

var (
	metricID  = regexp.MustCompile(`^[a-z][a-zA-Z0-9_]*$`)
	operand   = regexp.MustCompile(`[a-z][a-zA-Z0-9_]*`)
	maxMetric = 10 // https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-limits.html
)

// CloudWatch refuses a term that it cannot read, when the stack is deployed.
func TestTermsCanBeRead(t *testing.T) {
	each(t, func(t *testing.T, s *stack) {
		for name, a := range s.alarms {
			known := map[string]bool{}
			looked := 0
			for i, q := range a.Metrics {
				if known[q.ID] || !metricID.MatchString(q.ID) {
					t.Errorf("%s: the id %q is taken, or not one", name, q.ID)
				}
				for _, id := range operand.FindAllString(q.Expression, -1) {
					if !known[id] {
						t.Errorf("%s: %s is not known in %s", name, id, q.Expression)
					}
				}
				if q.ReturnData != (i == len(a.Metrics)-1) {
					t.Errorf("%s: it does not look at its last term, or at another", name)
				}
				if q.Expression == "" {
					looked++
					if q.MetricStat.Stat != "Sum" {
						t.Errorf("%s: it adds up %s", name, q.MetricStat.Stat)
					}
				}
				known[q.ID] = true
			}
			if looked > maxMetric {
				t.Errorf("%s: %d metrics, more than an alarm can have", name, looked)
			}
			if (a.Statistic != "") == (a.ExtendedStatistic != "") && len(a.Metrics) == 0 {
				t.Errorf("%s: one statistic is wanted, not %q and %q", name, a.Statistic, a.ExtendedStatistic)
			}
		}
	})
}

// An alarm that rings nobody is none. That it is over is told too, but of what only happens.
func TestEveryAlarmRings(t *testing.T) {
	happens := regexp.MustCompile(`-(lost-records|lost|cross-tenant)$|^iops-dashboard-revoke-errors`)
	each(t, func(t *testing.T, s *stack) {
		for name, a := range s.alarms {
			if len(a.AlarmActions) != 1 || s.kind(a.AlarmActions[0]) != "AWS::SNS::Topic" {
				t.Errorf("%s rings %v", name, a.AlarmActions)
			}
			if past := happens.MatchString(strings.TrimSuffix(name, "-"+s.settings.Stage)); past != (len(a.OKActions) == 0) {
				t.Errorf("%s, when it is over, rings %v", name, a.OKActions)
			}
		}
	})
}

// kind is the type of the resource that a value refers to.
func (s *stack) kind(value any) string {
	reference, _ := value.(map[string]any)
	id, _ := reference["Ref"].(string)
	return s.resources[id].Type
}

// Names are what people search for, and what other alarms are built on.
func TestNamesOfAlarmsStay(t *testing.T) {
	base := []string{
		"account-rate", "authorize-errors", "authorize-throttles", "canary-errors", "canary-latency", "canary-silent", "canary-throttles",
		"connect-errors", "connect-throttles", "disconnect-errors", "disconnect-throttles", "failures-messages", "fanout-0-age",
		"fanout-0-dlq-messages", "fanout-0-errors", "fanout-0-subscription-dlq-messages", "fanout-0-throttles", "fanout-cross-tenant",
		"freshness", "http-5xx", "normalizer-errors", "normalizer-iterator-age", "normalizer-lost-records", "normalizer-throttles",
		"posts-failed", "posts-refused", "posts-throttled", "quarantine-messages", "query-cross-tenant", "query-errors", "query-throttles",
		"revoke-errors", "revoke-throttles", "sync-cross-tenant", "sync-errors", "sync-throttles", "tickets-errors", "tickets-throttles",
		"updates-lost", "updates-undelivered", "websocket-execution-errors", "websocket-integration-errors",
	}
	for variant, suffix := range map[string]string{"default": "", "existing": "", "stage": "-beta"} {
		var want []string
		for _, name := range base {
			want = append(want, "iops-dashboard-"+name+suffix)
		}
		got := slices.Sorted(maps.Keys(synth(t, variant).alarms))
		if slices.Sort(want); !slices.Equal(got, want) {
			t.Errorf("%s: the alarms are\n%q, want\n%q", variant, got, want)
		}
	}
}

// Two stages in one account watch what is their own.
func TestStagesDoNotMix(t *testing.T) {
	for _, a := range synth(t, "stage").alarms {
		for _, of := range a.watches() {
			if !strings.HasPrefix(string(of), "IOpsDashboard-beta/") && !strings.HasSuffix(string(of), "-beta") && !strings.HasSuffix(string(of), "id") {
				t.Errorf("%s watches %s", a.AlarmName, of)
			}
		}
	}
}

var written = regexp.MustCompile(`(Counter|Distribution)\((?:"([A-Za-z]+)"|([A-Za-z]+)), `)

// What no program writes would never ring. Their text is read, since infra imports no service.
func TestProgramsWriteWhatIsWatched(t *testing.T) {
	const services = "../../../services/"
	read := func(path string) string {
		content, err := os.ReadFile(services + path)
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	metrics, text := map[string]bool{}, ""
	for _, path := range []string{"internal/telemetry/fanout.go", "internal/telemetry/canary.go", "cmd/query/main.go", "cmd/sync/main.go"} {
		text += read(path)
	}
	for _, found := range written.FindAllStringSubmatch(text, -1) {
		metrics[found[2]+found[3]] = true
	}
	metrics["CrossTenant"] = strings.Contains(text, "telemetry.CrossTenant") && strings.Contains(read("internal/telemetry/telemetry.go"), `CrossTenant = "CrossTenant"`)
	verdicts := regexp.MustCompile(`(?s)verdictNames = .*?\{(.*?)\}`).FindStringSubmatch(read("fanout/verdict.go"))
	check := func(who, name string, dimensions map[string]string) {
		if !metrics[name] {
			t.Errorf("%s looks at %s, which nobody writes", who, name)
		}
		if service := dimensions["Service"]; !strings.Contains(read("cmd/"+service+"/main.go"), `telemetry.New("`+service+`")`) {
			t.Errorf("%s looks at %s, and no such service writes metrics", who, service)
		}
		if verdict, ok := dimensions["Verdict"]; ok && !strings.Contains(verdicts[1], `"`+verdict+`"`) {
			t.Errorf("%s looks at the verdict %s, which is none", who, verdict)
		}
	}
	s, watched := synth(t, "default"), 0
	for name, a := range s.alarms {
		for _, of := range a.watches() {
			parts := strings.Split(string(of), "/")
			if parts[0] != "IOpsDashboard" {
				continue
			}
			dimensions := map[string]string{}
			for _, part := range parts[2:] {
				key, value, _ := strings.Cut(part, "=")
				dimensions[key] = value
			}
			check(name, parts[1], dimensions)
			watched++
		}
	}
	for _, x := range s.dashboard.Widgets {
		for _, row := range x.Properties.Metrics {
			if row[0] == "IOpsDashboard" {
				check(x.Properties.Title, row[1].(string), map[string]string{row[2].(string): row[3].(string)})
				watched++
			}
		}
	}
	if watched < 30 {
		t.Errorf("only %d metrics of our own were seen", watched)
	}
}

// Nobody but CloudWatch rings, and for alarms of ours only. The mail address is asked for.
func TestBellLetsCloudWatchIn(t *testing.T) {
	for variant, mail := range map[string]string{"default": "", "stage": "ops@example.com"} {
		s := synth(t, variant)
		var allowed, refused, subscribed []string
		for _, r := range s.resources {
			switch r.Type {
			case "AWS::SNS::TopicPolicy":
				var p struct {
					PolicyDocument struct {
						Statement []struct {
							Effect, Action string
							Principal      any
							Condition      map[string]map[string]any
						}
					}
				}
				stacktest.Reread(t, r.Properties, &p)
				for _, x := range p.PolicyDocument.Statement {
					said := fmt.Sprintf("%s %v", x.Action, x.Principal)
					for _, test := range slices.Sorted(maps.Keys(x.Condition)) {
						for _, key := range slices.Sorted(maps.Keys(x.Condition[test])) {
							said += fmt.Sprintf(" %s %s %s", test, key, stacktest.Text(x.Condition[test][key]))
						}
					}
					if x.Effect == "Allow" {
						allowed = append(allowed, said)
					} else {
						refused = append(refused, said)
					}
				}
			case "AWS::SNS::Subscription":
				subscribed = append(subscribed, fmt.Sprint(r.Properties["Protocol"], " ", r.Properties["Endpoint"]))
			}
		}
		if want := []string{"sns:Publish map[Service:cloudwatch.amazonaws.com] ArnLike aws:SourceArn arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:iops-dashboard-* StringEquals aws:SourceAccount ${AWS::AccountId}"}; !slices.Equal(allowed, want) {
			t.Errorf("%s: it lets in %q", variant, allowed)
		}
		if want := []string{"sns:Publish * Bool aws:SecureTransport false"}; !slices.Equal(refused, want) {
			t.Errorf("%s: it refuses %q", variant, refused)
		}
		var want []string
		if mail != "" {
			want = []string{"email " + mail}
		}
		if !slices.Equal(subscribed, want) {
			t.Errorf("%s: it tells %q", variant, subscribed)
		}
	}
}

// The dashboard reads from left to right, and every alarm is on it once.
func TestDashboardReadsAsDataFlows(t *testing.T) {
	each(t, func(t *testing.T, s *stack) {
		var heads []string
		shown := map[string]int{}
		taken := map[[2]int]string{}
		for _, w := range s.dashboard.Widgets {
			what := w.Properties.Title + w.Properties.Markdown
			switch w.Type {
			case "text":
				head, _, _ := strings.Cut(w.Properties.Markdown, "\n")
				heads = append(heads, fmt.Sprint(w.X, ",", w.Y, " ", head))
			case "alarm":
				for _, a := range w.Properties.Alarms {
					shown[a]++
				}
				if len(w.Properties.Alarms) > 100 {
					t.Errorf("%s has %d alarms, and a widget holds 100", what, len(w.Properties.Alarms))
				}
			case "metric":
				if len(w.Properties.Metrics) == 0 {
					t.Errorf("%s is empty", what)
				}
				if said := fmt.Sprint(w.Properties.Metrics); strings.HasPrefix(what, "Posts by") && !strings.Contains(said, `'{"`+s.system.MetricsNamespace()+`",Service,Verdict} `) {
					t.Errorf("%s searches elsewhere: %s", what, said)
				}
			default:
				t.Errorf("%s is a %s", what, w.Type)
			}
			for x := w.X; x < w.X+w.Width; x++ {
				for y := w.Y; y < w.Y+w.Height; y++ {
					if over := taken[[2]int{x, y}]; over != "" || x >= 24 {
						t.Fatalf("%s lies over %q, or beside the grid", what, over)
					}
					taken[[2]int{x, y}] = what
				}
			}
		}
		want := []string{
			"0,0 ## 1 Writes", "3,0 ## 2 Streams", "6,0 ## 3 Normalizer", "9,0 ## 4 Topic", "12,0 ## 5 Queues", "15,0 ## 6 Fanout", "18,0 ## 7 Gateway",
			"21,0 ## 8 Browsers",
		}
		if !slices.Equal(heads, want) {
			t.Errorf("it reads %q", heads)
		}
		for name, a := range s.alarms {
			if n := shown["${"+a.id+".Arn}"]; n != 1 {
				t.Errorf("%s is on it %d times", name, n)
			}
		}
		if len(shown) != len(s.alarms) {
			t.Errorf("it shows %d alarms of %d", len(shown), len(s.alarms))
		}
	})
}
