// Package topology is the system as plain data: every table, topic, subscription, queue,
// function, worker and route, with its names, timeouts, batch sizes and retry counts.
//
// infra/local provisions and runs it on one machine, infra/cdk deploys it to AWS. Neither adds a
// resource or a number of its own, so that what is tested is what is deployed. [Topology.Validate]
// holds the promises that any such system must keep.
package topology

import (
	"maps"
	"strconv"
	"strings"
	"time"
)

// Topology is one system. Names are unique within their kind.
type Topology struct {
	Tables        []Table
	Topics        []Topic
	Queues        []Queue
	Stores        []Store
	Subscriptions []Subscription
	Functions     []Function
	Workers       []Worker
	Streams       []StreamMapping
	QueueMappings []QueueMapping
	Schedules     []Schedule
	WebSocket     WebSocketAPI
	HTTP          HTTPAPI
}

// Table is a DynamoDB table, on demand, with string keys.
type Table struct {
	Name         string
	Variable     string // the environment variable that carries its name
	PartitionKey string
	SortKey      string
	Indexes      []Index
	Stream       bool   // NEW_AND_OLD_IMAGES
	TTL          string // the attribute that holds an item's end in epoch seconds; empty for none
	Recovery     bool   // point-in-time recovery
	Kept         bool   // when the system is destroyed, and from being deleted by mistake
	Brought      bool   // it is there already, and somebody else's
}

// Index is a global secondary index that projects all attributes.
type Index struct {
	Name         string
	PartitionKey string
	SortKey      string
	SortKeyType  string // "S" or "N"
}

// Topic is a standard SNS topic.
type Topic struct {
	Name     string
	Variable string // carries its ARN
}

// Queue is a standard SQS queue.
type Queue struct {
	Name       string
	Variable   string // carries its URL
	Visibility time.Duration
	Retention  time.Duration
	// DeadLetter is the queue that a message moves to after MaxReceives. Empty on a queue that is
	// itself a place of rest.
	DeadLetter  string
	MaxReceives int
}

// Store keeps what the mappings of streams have given up, with its payload, for good: a bucket of S3, or a folder on one
// machine. Its names of objects are those of Lambda's failed-invocation records.
type Store struct {
	Name  string
	Queue string // is told of each object that is put into it, as S3 tells it
}

// Subscription delivers a topic's messages to a queue, raw: the body of the SQS message is the
// published body.
type Subscription struct {
	Topic      string
	Queue      string
	DeadLetter string // the queue for what SNS cannot deliver
}

// Function is a Lambda function, built from services/cmd/<Command>.
type Function struct {
	Name        string
	Command     string
	Timeout     time.Duration
	MemoryMB    int
	Concurrency int // the most environments at a time
	Environment map[string]Ref
	Grants      []Grant
}

// Worker is a process that runs until it is told to stop, built from services/cmd/<Command>.
type Worker struct {
	Name        string
	Command     string
	StopTimeout time.Duration // from SIGTERM to SIGKILL
	Instances   int           // the most that run at a time; one machine runs one
	Environment map[string]Ref
	Grants      []Grant
}

// StreamMapping feeds a table's stream to a function.
type StreamMapping struct {
	Table     string
	Function  string
	BatchSize int
	Window    time.Duration // how long a batch is gathered
	Retries   int           // of a batch that fails, after the first try
	MaxAge    time.Duration // of a record that is still tried
	Failures  string        // the store for what is given up
	Filter    *KeyPrefix    // which records are read; nil: all
	// A failing batch is split in two, the function names the records that failed, and what is
	// given up goes to the store with its payload. Always so; there is no switch.
}

// KeyPrefix is what a key attribute, a text, must begin with. Records of other items of the table are passed over.
type KeyPrefix struct{ Attribute, Prefix string }

// QueueMapping feeds a queue to a function, which names the messages that failed.
type QueueMapping struct {
	Queue     string
	Function  string
	BatchSize int
}

// Schedule invokes a function in a rhythm.
type Schedule struct {
	Function string
	Every    time.Duration
}

// WebSocketAPI is the API Gateway WebSocket API.
type WebSocketAPI struct {
	Name   string
	Stage  string
	Routes map[string]string // route key to function name
	// Lifetime is the longest that a connection may be open. AWS has [ConnectionLifetime], and no other.
	Lifetime time.Duration
	// Authorizer decides who connects; the zero value lets everybody in.
	Authorizer Authorizer
	Throttle   Throttle // of what clients do; posts to connections are not among it
}

// Throttle bounds the requests that clients make of an API, of all routes and clients together.
type Throttle struct{ Rate, Burst int } // a second, and at once

// Authorizer is a REQUEST authorizer on $connect. Its result is never cached.
type Authorizer struct {
	Function string
	// Identity are the sources without which a client is refused unasked, as route.request.querystring.ticket.
	Identity []string
}

// HTTPAPI is the API Gateway HTTP API, with payload format 2.0.
type HTTPAPI struct {
	Name   string
	Routes map[string]string // method and path, as "GET /entities/{type}/{id+}", to function name
	CORS   CORS
	JWT    JWT // whose tokens every route wants; the zero value wants none

	Throttle Throttle
}

// CORS says which pages may call an HTTP API.
type CORS struct {
	Origins Ref      // with commas between
	Headers []string // that a page may send, in lower case
	Expose  []string // that a page may read, in lower case, besides those that any may
	MaxAge  time.Duration
}

// JWT is the authorizer of an HTTP API: who must have signed a token, and for whom.
type JWT struct{ Issuer, Audience Ref }

// Ref is the value of an environment variable, known only when the system is provisioned.
type Ref struct {
	Kind RefKind
	Name string // of the resource, or the text of a Literal
}

// RefKind says what a [Ref] stands for.
type RefKind int

const (
	Literal       RefKind = iota // the text itself
	TableName                    // the name of a table
	TopicARN                     // the ARN of a topic
	QueueURL                     // the URL of a queue
	CallbackURL                  // the management endpoint of the WebSocket API, with its stage
	SocketURL                    // where clients of the WebSocket API connect, with its stage
	PageOrigins                  // the origins of the pages that may connect, with commas between
	TokenIssuer                  // who signs the tokens of users: an address below which its keys are found
	TokenAudience                // for whom these tokens are
)

// Shared durations. A standard queue's dead letter keeps its first enqueue time, so a dead-letter
// queue must outlast its source by far (Amazon SQS Developer Guide, "Setting up a dead-letter
// queue's retention"). 14 days is the longest that SQS allows.
const (
	SourceRetention     = 4 * 24 * time.Hour
	DeadLetterRetention = 14 * 24 * time.Hour
)

// Buckets is the number of parts into which an audience is split. It is part of the registry's stored
// form, so it never changes.
const Buckets = 16

// Options choose among systems.
type Options struct {
	// Shards is how many fanout queues there are: each gets every update, and serves its part of the
	// audience. Defaults to 1.
	Shards int
	// PreviousShards is how many there were before. Until the messages from then are gone, which are in
	// the queues of then alone, a queue serves the parts that it had, too. Defaults to Shards.
	PreviousShards int
	// FanoutFunction has a Lambda function on each fanout queue, not a worker.
	FanoutFunction bool
	// Instances is how many of each shard's worker run at most, which share its rate. Defaults to 1.
	Instances int
	// MetricsTable and InsightsTable are the names of tables that are there already. Empty: the system brings its own.
	MetricsTable, InsightsTable string
	// Stage sets systems in one account apart. Defaults to Production, whose resources have the names that users
	// rely on; those of other stages end in -stage.
	Stage string
	// Auth says who may connect. Defaults to AuthOpen.
	Auth Auth
	// ClaimPrefix is what the names of a token's own claims begin with, as Cognito's custom: do. Empty: nothing.
	ClaimPrefix string
	// Lifetime is the longest that a connection may be open. Defaults to ConnectionLifetime; another is for
	// tests on one machine.
	Lifetime time.Duration
}

// Auth says who may connect.
type Auth string

// The ways to let clients in.
const (
	AuthOpen   Auth = "open"   // everybody
	AuthTicket Auth = "ticket" // who has got a ticket for a token
)

// Default is the system with one fanout queue, served by a worker.
func Default() Topology { return New(Options{}) }

// New is the system with these options.
func New(o Options) Topology {
	const (
		metrics     = "iops-dashboard-metrics"
		insights    = "iops-dashboard-insights"
		state       = "iops-dashboard-state"
		connections = "iops-dashboard-connections"
		updates     = "iops-dashboard-updates"
		quarantine  = "iops-dashboard-quarantine"
		failures    = "iops-dashboard-failures"
		normalizer  = "iops-dashboard-normalizer"
		connect     = "iops-dashboard-connect"
		disconnect  = "iops-dashboard-disconnect"
	)
	if o.Auth == "" {
		o.Auth = AuthOpen
	}
	if o.Lifetime == 0 {
		o.Lifetime = ConnectionLifetime
	}
	if o.Stage == "" {
		o.Stage = Production
	}
	session := map[string]Ref{
		"CONNECTIONS_TABLE": {TableName, connections},
		"AUTH":              {Literal, string(o.Auth)},
	}
	connecting := maps.Clone(session)
	connecting["WEBSOCKET_API_ENDPOINT"] = Ref{CallbackURL, ""}
	// Both tables feed one function, which knows their records apart by the name of the table.
	stream := func(table string, filter *KeyPrefix) StreamMapping {
		return StreamMapping{Table: table, Function: normalizer, BatchSize: 100, Retries: 50, MaxAge: 6 * time.Hour, Failures: failures, Filter: filter}
	}
	t := Topology{
		Tables: []Table{
			{
				Name: metrics, Variable: "METRICS_TABLE", PartitionKey: "entity_id", SortKey: "entity_type",
				Indexes: []Index{
					{Name: "EntityTypeHealthIndex", PartitionKey: "entity_type", SortKey: "health_score", SortKeyType: "N"},
					{Name: "LastUpdatedIndex", PartitionKey: "entity_type", SortKey: "last_updated", SortKeyType: "S"},
				},
				Stream: true, Recovery: true, Kept: true,
			},
			{Name: insights, Variable: "INSIGHTS_TABLE", PartitionKey: "pk", SortKey: "sk", Stream: true, TTL: "ttl", Recovery: true, Kept: true},
			{Name: state, Variable: "STATE_TABLE", PartitionKey: "pk", SortKey: "sk", TTL: "expires_at", Recovery: true, Kept: true},
			{Name: connections, Variable: "CONNECTIONS_TABLE", PartitionKey: "pk", SortKey: "sk", TTL: "expires_at"},
		},
		Topics: []Topic{{Name: updates, Variable: "TOPIC_ARN"}},
		Queues: []Queue{
			{Name: quarantine, Variable: "QUARANTINE_QUEUE_URL", Visibility: 30 * time.Second, Retention: DeadLetterRetention},
			{Name: failures, Variable: "FAILURES_QUEUE_URL", Visibility: 30 * time.Second, Retention: DeadLetterRetention},
		},
		Stores: []Store{{Name: failures, Queue: failures}},
		Functions: []Function{
			{
				Name: normalizer, Command: "normalizer", Timeout: 30 * time.Second, MemoryMB: 256, Concurrency: 4, // two for each stream
				Environment: map[string]Ref{
					"METRICS_TABLE":        {TableName, metrics},
					"INSIGHTS_TABLE":       {TableName, insights},
					"STATE_TABLE":          {TableName, state},
					"TOPIC_ARN":            {TopicARN, updates},
					"QUARANTINE_QUEUE_URL": {QueueURL, quarantine},
				},
			},
			// A handshake must end well before the fanout believes that a connection is absent (10 s).
			{Name: connect, Command: "connect", Timeout: 5 * time.Second, MemoryMB: 128, Concurrency: 8, Environment: connecting},
			{Name: disconnect, Command: "disconnect", Timeout: 5 * time.Second, MemoryMB: 128, Concurrency: 8, Environment: session},
		},
		// A table that was brought may hold items of other kinds, which are nobody's insights.
		Streams: []StreamMapping{stream(metrics, nil), stream(insights, &KeyPrefix{Attribute: "pk", Prefix: "insight#"})},
		WebSocket: WebSocketAPI{
			Name:     "iops-dashboard-websocket",
			Routes:   map[string]string{"$connect": connect, "$disconnect": disconnect},
			Throttle: Throttle{Rate: 500, Burst: 500}, // as many as may connect in a second: see DefaultRate
		},
	}
	t.addSync(connections, state, o.Lifetime)
	t.addQuery(connections, state, o.Auth)
	if o.Auth == AuthTicket {
		t.addAccess(connections)
		t.nameClaims(o.ClaimPrefix)
		t.addCanary(metrics)
	}
	shards := max(o.Shards, 1)
	before := shards
	if o.PreviousShards > 0 {
		before = o.PreviousShards
	}
	for shard := range max(shards, before) {
		t.addShard(updates, connections, shard, serves(shard, shards, before), o)
	}
	t.shareRates()
	t.atStage(o.Stage)
	t.bring(map[string]string{"METRICS_TABLE": o.MetricsTable, "INSIGHTS_TABLE": o.InsightsTable})
	t.permitAll()
	return t
}

// serves lists the buckets of a shard: bucket b belongs to shard b mod K, by the number of shards now and
// by that before.
func serves(shard, shards, before int) string {
	var buckets []string
	for b := range Buckets {
		if b%shards == shard || b%before == shard {
			buckets = append(buckets, strconv.Itoa(b))
		}
	}
	return strings.Join(buckets, ",")
}

const (
	// fanoutVisibility is renewed by the worker while it works.
	fanoutVisibility = 30 * time.Second
	// fanoutTimeout is how long the function may take for a batch.
	fanoutTimeout = 25 * time.Second
	// DefaultRate is API Gateway's quota of requests a second for an account and Region, which all its
	// APIs share: https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
	DefaultRate = 10_000
	// fanoutShare is how much of that the fanout may use.
	fanoutShare = 0.9
	// fanoutFunctions is how many environments of a shard's function run at a time.
	fanoutFunctions = 2
)

// addShard adds a fanout queue with its places of rest, its subscription, and who serves it.
func (t *Topology) addShard(topic, connections string, shard int, buckets string, o Options) {
	name := "iops-dashboard-fanout-" + strconv.Itoa(shard)
	suffix := ""
	if shard > 0 {
		suffix = "_" + strconv.Itoa(shard)
	}
	dead, subscription := name+"-dlq", name+"-subscription-dlq"
	visibility := fanoutVisibility
	if o.FanoutFunction {
		// Six times the function's timeout, as AWS advises:
		// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
		visibility = 6 * fanoutTimeout
	}
	t.Queues = append(t.Queues,
		Queue{
			Name: name, Variable: "FANOUT_QUEUE_URL" + suffix, Visibility: visibility, Retention: SourceRetention,
			DeadLetter: dead, MaxReceives: 5,
		},
		Queue{Name: dead, Variable: "FANOUT_DLQ_URL" + suffix, Visibility: 30 * time.Second, Retention: DeadLetterRetention},
		Queue{Name: subscription, Variable: "FANOUT_SUBSCRIPTION_DLQ_URL" + suffix, Visibility: 30 * time.Second, Retention: DeadLetterRetention},
	)
	t.Subscriptions = append(t.Subscriptions, Subscription{Topic: topic, Queue: name, DeadLetter: subscription})
	environment := map[string]Ref{
		"CONNECTIONS_TABLE":      {TableName, connections},
		"FANOUT_QUEUE_URL":       {QueueURL, name},
		"FANOUT_DLQ_URL":         {QueueURL, dead},
		"FANOUT_VISIBILITY":      {Literal, visibility.String()},
		"FANOUT_BUCKETS":         {Literal, buckets},
		"WEBSOCKET_API_ENDPOINT": {CallbackURL, ""},
	}
	if !o.FanoutFunction {
		t.Workers = append(t.Workers, Worker{
			Name: name, Command: "fanout", StopTimeout: 20 * time.Second, Instances: max(o.Instances, 1), Environment: environment,
		})
		return
	}
	t.Functions = append(t.Functions, Function{
		Name: name, Command: "fanout", Timeout: fanoutTimeout, MemoryMB: 512, Concurrency: fanoutFunctions, Environment: environment,
	})
	t.QueueMappings = append(t.QueueMappings, QueueMapping{Queue: name, Function: name, BatchSize: 10})
}

// shareRates gives each process of the fanout its part of the account's quota.
func (t *Topology) shareRates() {
	var environments []map[string]Ref
	n := 0
	for _, w := range t.Workers {
		environments = append(environments, w.Environment)
		n += w.Instances
	}
	for _, f := range t.Functions {
		if f.Command == "fanout" {
			environments = append(environments, f.Environment)
			n += f.Concurrency
		}
	}
	for _, e := range environments {
		e["FANOUT_RATE"] = Ref{Literal, strconv.Itoa(int(DefaultRate*fanoutShare) / n)}
	}
}
