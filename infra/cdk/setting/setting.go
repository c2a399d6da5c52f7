// Package setting reads what a deployment is asked to be: the context of the CDK, as cdk.json or -c name=value give it.
package setting

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/iops-dashboard/live/infra/topology"
)

// Setting is the name of one value of the context, what it means, and what it is where it is not given.
type Setting struct{ Name, Default, Text string }

// All are the settings that there are, in the order of their explanation, which scripts/deploy --help gives.
var All = []Setting{
	{"stage", topology.Production, "sets systems in one account and Region apart; names of any but prod end in -stage"},
	{"auth", string(topology.AuthTicket), "who may connect: ticket wants a signed-in user; open lets everybody in, and warns"},
	{"fanout", Lambda, "what posts to the browsers: lambda, or fargate (which needs Docker to deploy)"},
	{"shards", "1", "fanout queues, 1 to 16, each with its part of the audience"},
	{"previousShards", "", "shards before the last change, until the old queues are empty; shards if not given"},
	{"tasks", "4", "with fargate: the most tasks of a shard"},
	{"metricsTable", "", "ARN of a metrics table that is there already, in place of one of the system's own"},
	{"metricsStream", "", "ARN of its stream, with new and old images"},
	{"insightsTable", "", "ARN of an insights table that is there already"},
	{"insightsStream", "", "ARN of its stream"},
	{"issuer", "", "https address of an OpenID Connect issuer, in place of a Cognito user pool of the system's own"},
	{"audience", "", "whom its tokens are for: the client id of the page"},
	{"origins", "", "pages besides the site that may connect, as https://app.example.com, with commas between"},
	{"connect", "", "what the site may connect to, with commas between; scripts/deploy names the APIs here, else any API Gateway in the Region"},
	{"alarms", "", "mail address that gets alarms; nobody if not given"},
	{"architecture", "arm64", "of the functions: arm64 or x86_64"},
	{"apiLogRole", "create", "role by which API Gateway writes logs, one for an account and Region: create, or keep where there is one"},
}

// The stacks, as [Settings.Named] takes their names.
const (
	DataStack       = "IOpsDashboard-DataStack"
	SiteStack       = "IOpsDashboard-SiteStack"
	ExperienceStack = "IOpsDashboard-ExperienceStack"
	WatchStack      = "IOpsDashboard-WatchStack"
)

// Stacks are all of them, in the order in which they need each other.
var Stacks = []string{DataStack, SiteStack, ExperienceStack, WatchStack}

// What posts to the browsers.
const (
	Lambda  = "lambda"
	Fargate = "fargate"
)

// Table is a table that is there already.
type Table struct{ ARN, Stream string }

// Name is the table's own, from its ARN.
func (t Table) Name() string { return t.ARN[strings.LastIndex(t.ARN, "/")+1:] }

// Settings are the values of a deployment. Empty strings and zero tables are what was not given.
type Settings struct {
	Stage                  string
	Auth                   topology.Auth
	Fanout                 string
	Shards, PreviousShards int
	Tasks                  int
	Metrics, Insights      Table
	Issuer, Audience       string
	Origins, Connect       []string
	Alarms                 string
	Architecture           string
	KeepsLogRole           bool
}

var (
	tableARN  = regexp.MustCompile(`^arn:aws[a-z-]*:dynamodb:[a-z0-9-]+:\d{12}:table/[a-zA-Z0-9_.-]{3,255}$`)
	streamARN = regexp.MustCompile(`^arn:aws[a-z-]*:dynamodb:[a-z0-9-]+:\d{12}:table/[a-zA-Z0-9_.-]{3,255}/stream/[0-9T:.-]+$`)
	mail      = regexp.MustCompile(`^[^@\s]+@[^@\s]+\.[^@\s]+$`)
)

// Read takes the settings from the context: value returns what it holds by a name, or nothing. It reports all faults
// together, each with the name and what would be right.
func Read(value func(name string) string) (Settings, error) {
	r := reader{value: value}
	s := Settings{
		Stage:    r.matching("stage", topology.StageName, "up to 11 small letters and digits, the first a letter"),
		Auth:     topology.Auth(r.oneOf("auth", string(topology.AuthTicket), string(topology.AuthOpen))),
		Fanout:   r.oneOf("fanout", Lambda, Fargate),
		Shards:   r.number("shards", topology.Buckets),
		Tasks:    r.number("tasks", 100),
		Metrics:  r.table("metrics"),
		Insights: r.table("insights"),
		Issuer:   r.address("issuer"),
		Audience: r.text("audience"),
		Origins:  r.list("origins", origin, "an origin, as https://app.example.com"),
		Connect:  r.list("connect", source, "an origin, as https://… or wss://…"),
		Alarms:   r.optional("alarms", mail, "a mail address"),

		Architecture: r.oneOf("architecture", "arm64", "x86_64"),
		KeepsLogRole: r.oneOf("apiLogRole", "create", "keep") == "keep",
	}
	s.PreviousShards = s.Shards
	if r.text("previousShards") != "" {
		s.PreviousShards = r.number("previousShards", topology.Buckets)
	}
	r.names(s)
	// https://docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-pools-assign-domain-prefix.html
	ownPool := s.Auth == topology.AuthTicket && s.Issuer == ""
	r.check(!ownPool || !regexp.MustCompile("aws|amazon|cognito").MatchString(s.Stage), "stage is %q: users sign in at an address with it, and Cognito takes none with aws, amazon or cognito", s.Stage)
	r.check((s.Issuer == "") == (s.Audience == ""), "issuer and audience: give both, or neither for a user pool of the system's own")
	r.check(s.Issuer == "" || s.Auth == topology.AuthTicket, "issuer: nobody is asked for a token with auth=open")
	return s, errors.Join(r.faults...)
}

// Topology is the system that they ask for.
func (s Settings) Topology() topology.Topology {
	o := topology.Options{
		Shards: s.Shards, PreviousShards: s.PreviousShards, FanoutFunction: s.Fanout == Lambda, Instances: s.Tasks,
		Auth: s.Auth, Stage: s.Stage,
	}
	if s.Auth == topology.AuthTicket && s.Issuer == "" {
		o.ClaimPrefix = "custom:" // of the user pool
	}
	if s.Metrics.ARN != "" {
		o.MetricsTable = s.Metrics.Name()
	}
	if s.Insights.ARN != "" {
		o.InsightsTable = s.Insights.Name()
	}
	return topology.New(o)
}

// Warnings are what is asked for and may not be meant.
func (s Settings) Warnings() []string {
	var all []string
	if s.Auth == topology.AuthOpen {
		all = append(all, "auth=open: everybody who knows the address sees everything; it is for a first trial")
	}
	if s.Fanout == Fargate && s.Tasks == 1 {
		all = append(all, "tasks=1: nobody posts while the one task of a shard is replaced")
	}
	return all
}

// Named is the name of a stack or an export at this stage.
func (s Settings) Named(name string) string {
	if s.Stage == topology.Production {
		return name
	}
	return name + "-" + s.Stage
}

// SignInPrefix begins the domain at which an account's users sign in, where they have a pool of the system's own. Nobody
// else in the Region may have it, so it has the account in it.
func (s Settings) SignInPrefix(account string) string {
	return s.Named("iops-dashboard") + "-" + account
}

type reader struct {
	value  func(string) string
	faults []error
}

func (r *reader) check(ok bool, format string, args ...any) {
	if !ok {
		r.faults = append(r.faults, fmt.Errorf(format, args...))
	}
}

// text is the value, or its default.
func (r *reader) text(name string) string {
	if v := strings.TrimSpace(r.value(name)); v != "" {
		return v
	}
	i := slices.IndexFunc(All, func(s Setting) bool { return s.Name == name })
	return All[i].Default
}

func (r *reader) matching(name string, form *regexp.Regexp, want string) string {
	v := r.text(name)
	r.check(form.MatchString(v), "%s is %q: want %s", name, v, want)
	return v
}

func (r *reader) optional(name string, form *regexp.Regexp, want string) string {
	if r.text(name) == "" {
		return ""
	}
	return r.matching(name, form, want)
}

func (r *reader) oneOf(name string, known ...string) string {
	v := r.text(name)
	r.check(slices.Contains(known, v), "%s is %q: want %s", name, v, strings.Join(known, " or "))
	return v
}

func (r *reader) number(name string, most int) int {
	n, err := strconv.Atoi(r.text(name))
	r.check(err == nil && n >= 1 && n <= most, "%s is %q: want a number from 1 to %d", name, r.text(name), most)
	return n
}

// table reads a table and its stream, which belong together.
func (r *reader) table(kind string) Table {
	t := Table{
		ARN:    r.optional(kind+"Table", tableARN, "the ARN of a table, as arn:aws:dynamodb:us-east-1:123456789012:table/name"),
		Stream: r.optional(kind+"Stream", streamARN, "the ARN of a stream, as …:table/name/stream/2026-01-01T00:00:00.000"),
	}
	r.check((t.ARN == "") == (t.Stream == ""), "%sTable and %sStream: give both, or neither for a table of the system's own", kind, kind)
	r.check(t.ARN == "" || t.Stream == "" || strings.HasPrefix(t.Stream, t.ARN+"/stream/"), "%sStream: it is not the stream of %sTable", kind, kind)
	return t
}

// names sees that a table that is there already is taken for one of the system's, and by its name for no other.
func (r *reader) names(s Settings) {
	taken := map[string]string{} // the variable that carries a table's name, by the name
	for _, stage := range []string{topology.Production, s.Stage} {
		for _, t := range topology.New(topology.Options{Auth: topology.AuthTicket, Stage: stage}).Tables {
			taken[t.Name] = t.Variable
		}
	}
	metrics, insights := s.Metrics.Name(), s.Insights.Name()
	r.check(taken[metrics] == "" || taken[metrics] == "METRICS_TABLE", "metricsTable: %s is another table of the system", metrics)
	r.check(taken[insights] == "" || taken[insights] == "INSIGHTS_TABLE", "insightsTable: %s is another table of the system", insights)
	r.check(insights == "" || insights != metrics, "insightsTable: %s is the metrics table", insights)
}

func (r *reader) address(name string) string {
	v := r.text(name)
	u, err := url.Parse(v)
	r.check(v == "" || err == nil && u.Scheme == "https" && u.Host != "" && u.RawQuery == "" && u.Fragment == "", "%s is %q: want an address that begins with https://", name, v)
	return strings.TrimRight(v, "/")
}

func (r *reader) list(name string, form *regexp.Regexp, want string) []string {
	var all []string
	for _, v := range strings.FieldsFunc(r.text(name), func(c rune) bool { return c == ',' || c == ' ' }) {
		r.check(form.MatchString(v), "%s has %q: want %s", name, v, want)
		all = append(all, v)
	}
	return all
}

var (
	origin = regexp.MustCompile(`^https://[a-z0-9.-]+(:\d+)?$`)
	source = regexp.MustCompile(`^(https|wss)://[a-z0-9.-]+(:\d+)?$`)
)
