package topology

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The rules of AWS for names: a table has 3–255 characters, a queue at most 80.
var (
	tableName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{3,255}$`)
	queueName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,80}$`)
	// Not $default: such a route also takes what a browser asks before it sends a token, OPTIONS, and refuses it, where API
	// Gateway itself would answer: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html
	httpRoute = regexp.MustCompile(`^(GET|POST|PUT|PATCH|DELETE) (/([a-z0-9-]+|\{[a-z]+\}))*/([a-z0-9-]+|\{[a-z]+\+?\})$`)
)

// Validate reports every promise that t breaks, joined.
func (t Topology) Validate() error {
	v := validator{Topology: t}
	v.tables()
	v.queues()
	v.subscriptions()
	v.deployables()
	v.stores()
	v.streams()
	v.queueMappings()
	v.schedules()
	v.buckets()
	v.routes()
	v.access()
	v.throttles()
	v.check(StageName.MatchString(v.WebSocket.Stage), "stage %q: want up to 11 small letters and digits, the first a letter", v.WebSocket.Stage)
	return errors.Join(v.faults...)
}

type validator struct {
	Topology
	faults []error
}

func (v *validator) check(ok bool, format string, args ...any) {
	if !ok {
		v.faults = append(v.faults, fmt.Errorf(format, args...))
	}
}

func (v *validator) tables() {
	seen := map[string]bool{}
	for _, t := range v.Tables {
		v.check(!seen[t.Name], "table %s: there are two of that name", t.Name)
		seen[t.Name] = true
		v.check(tableName.MatchString(t.Name), "table %q: not a table name", t.Name)
		v.check(t.PartitionKey != "" && t.SortKey != "", "table %s: needs both keys", t.Name)
		v.check(t.Variable != "", "table %s: needs a variable", t.Name)
	}
}

func (v *validator) queues() {
	rests := map[string]bool{}
	for _, q := range v.Queues {
		rests[q.DeadLetter] = true
	}
	for _, s := range v.Subscriptions {
		rests[s.DeadLetter] = true
	}
	for _, q := range v.Queues {
		v.check(queueName.MatchString(q.Name), "queue %q: not a queue name", q.Name)
		v.check(q.Variable != "", "queue %s: needs a variable", q.Name)
		v.check(q.Visibility > 0 && q.Visibility <= 12*time.Hour, "queue %s: visibility %s is not within 12 hours", q.Name, q.Visibility)
		if q.DeadLetter == "" {
			v.check(q.Retention == DeadLetterRetention, "queue %s: a place of rest keeps messages for 14 days, not %s", q.Name, q.Retention)
			continue
		}
		v.check(!rests[q.Name], "queue %s: a dead-letter queue has no dead-letter queue, or looking at it would move messages on", q.Name)
		v.check(q.MaxReceives >= 5, "queue %s: %d receives are too few, AWS advises 5", q.Name, q.MaxReceives)
		d, ok := v.Queue(q.DeadLetter)
		v.check(ok, "queue %s: dead-letter queue %q does not exist", q.Name, q.DeadLetter)
		v.check(!ok || d.Retention > q.Retention, "queue %s: its dead-letter queue must keep messages longer", q.Name)
	}
}

func (v *validator) subscriptions() {
	for _, s := range v.Subscriptions {
		_, ok := v.Topic(s.Topic)
		v.check(ok, "subscription %s → %s: no such topic", s.Topic, s.Queue)
		q, ok := v.Queue(s.Queue)
		v.check(ok && q.DeadLetter != "", "subscription %s → %s: no such queue, or it has no dead-letter queue", s.Topic, s.Queue)
		_, ok = v.Queue(s.DeadLetter)
		v.check(ok && s.DeadLetter != q.DeadLetter, "subscription %s → %s: needs a dead-letter queue of its own", s.Topic, s.Queue)
	}
}

func (v *validator) deployables() {
	for _, f := range v.Functions {
		v.check(f.Timeout > 0 && f.Timeout <= 15*time.Minute, "function %s: timeout %s is not within 15 minutes", f.Name, f.Timeout)
		v.check(f.MemoryMB >= 128 && f.Concurrency > 0, "function %s: memory or concurrency missing", f.Name)
		v.environment(f.Name, f.Environment)
		v.grants(f.Name, f.Grants)
	}
	for _, w := range v.Workers {
		v.check(w.StopTimeout > 0 && w.Instances > 0, "worker %s: needs a stop timeout and a number of instances", w.Name)
		v.environment(w.Name, w.Environment)
		v.grants(w.Name, w.Grants)
		for _, r := range w.Environment {
			q, ok := v.Queue(r.Name)
			v.check(r.Kind != QueueURL || !ok || q.DeadLetter == "" || w.StopTimeout < q.Visibility,
				"worker %s: stops slower than messages of %s come back", w.Name, r.Name)
		}
	}
}

func (v *validator) environment(owner string, env map[string]Ref) {
	for name, r := range env {
		v.check(v.exists(r), "%s: variable %s refers to %q, which does not exist", owner, name, r.Name)
	}
}

// exists reports whether the resource is there that r is about, if it is about one.
func (v *validator) exists(r Ref) (ok bool) {
	switch r.Kind {
	case Literal, CallbackURL, SocketURL, PageOrigins, TokenIssuer, TokenAudience:
		return true
	case TableName:
		_, ok = v.Table(r.Name)
	case TopicARN:
		_, ok = v.Topic(r.Name)
	case QueueURL:
		_, ok = v.Queue(r.Name)
	}
	return ok
}

// throttles sees that clients cannot use up what the fanout posts with: an account's APIs share one quota.
func (v *validator) throttles() {
	of := func(api string, t Throttle) int {
		v.check(t.Rate > 0 && t.Burst > 0, "%s: clients are not bounded", api)
		return t.Rate
	}
	clients := of(v.WebSocket.Name, v.WebSocket.Throttle) + of(v.HTTP.Name, v.HTTP.Throttle)
	v.check(clients <= DefaultRate-int(DefaultRate*fanoutShare), "clients may make %d requests a second, more than the fanout leaves of %d", clients, DefaultRate)
}

func (v *validator) stores() {
	for _, s := range v.Stores {
		q, ok := v.Queue(s.Queue)
		v.check(ok && q.DeadLetter == "", "store %s: nobody is told what it gets, or in a queue that moves it on", s.Name)
	}
}

func (v *validator) schedules() {
	for _, s := range v.Schedules {
		f, ok := v.Function(s.Function)
		v.check(ok, "schedule: no function %q", s.Function)
		v.check(s.Every >= time.Minute && f.Timeout <= s.Every, "schedule of %s: every %s, which is less than a minute or than what it may take", s.Function, s.Every)
	}
}

func (v *validator) streams() {
	for _, s := range v.Streams {
		t, ok := v.Table(s.Table)
		v.check(ok && t.Stream, "stream of %s: no such table, or it has no stream", s.Table)
		_, ok = v.Function(s.Function)
		v.check(ok, "stream of %s: no function %q", s.Table, s.Function)
		v.check(s.BatchSize > 0 && s.BatchSize <= 10_000, "stream of %s: batch size %d is not within 1–10,000", s.Table, s.BatchSize)
		v.check(s.Window >= 0 && s.Window <= 5*time.Minute, "stream of %s: window %s is not within 5 minutes", s.Table, s.Window)
		v.check(s.Retries >= 0 && s.Retries <= 10_000, "stream of %s: retries must be finite, or one bad record blocks its shard for a day", s.Table)
		_, ok = v.Store(s.Failures)
		v.check(ok, "stream of %s: no store %q for what is given up", s.Table, s.Failures)
		v.check(s.Filter == nil || s.Filter.Prefix != "" && (s.Filter.Attribute == t.PartitionKey || s.Filter.Attribute == t.SortKey),
			"stream of %s: its filter is no prefix of a key", s.Table)
		v.check(s.MaxAge >= time.Minute && s.MaxAge < 24*time.Hour, "stream of %s: records live for a day, so the age must be less", s.Table)
	}
}

func (v *validator) queueMappings() {
	for _, m := range v.QueueMappings {
		q, ok := v.Queue(m.Queue)
		v.check(ok && q.DeadLetter != "", "mapping of %s: no such queue, or it has no dead-letter queue", m.Queue)
		f, found := v.Function(m.Function)
		v.check(found, "mapping of %s: no function %q", m.Queue, m.Function)
		v.check(!ok || !found || q.Visibility >= 6*f.Timeout, "mapping of %s: its messages come back after %s, less than six times the timeout of %s", m.Queue, q.Visibility, f.Name)
		// Larger batches need a window: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
		v.check(m.BatchSize > 0 && m.BatchSize <= 10, "mapping of %s: batch size %d is not within 1–10", m.Queue, m.BatchSize)
	}
}

// buckets sees that every part of the audience is served.
func (v *validator) buckets() {
	served := map[string]bool{}
	serve := func(command string, environment map[string]Ref) {
		if command == "fanout" {
			for _, b := range strings.Split(environment["FANOUT_BUCKETS"].Name, ",") {
				served[b] = true
			}
		}
	}
	for _, w := range v.Workers {
		serve(w.Command, w.Environment)
	}
	for _, f := range v.Functions {
		serve(f.Command, f.Environment)
	}
	for b := range Buckets {
		v.check(served[strconv.Itoa(b)], "bucket %d: nobody serves it", b)
	}
}

func (v *validator) routes() {
	for key, name := range v.WebSocket.Routes {
		f, ok := v.Function(name)
		v.check(ok, "route %s: no function %q", key, name)
		v.check(f.Timeout <= integrationTime, "route %s: API Gateway does not wait for %s, only %s", key, f.Timeout, integrationTime)
	}
	for _, key := range []string{"$connect", "$disconnect", "$default", "sync"} {
		v.check(v.WebSocket.Routes[key] != "", "route %s is missing", key)
	}
	lifetime := v.WebSocket.Lifetime
	v.check(lifetime > 0 && lifetime <= ConnectionLifetime, "WebSocket API %s: a lifetime of %s, more than %s or none", v.WebSocket.Name, lifetime, ConnectionLifetime)
}

// access sees that where tickets are wanted, nobody comes in without one, and there is where to get one.
func (v *validator) access() {
	authorizer := v.WebSocket.Authorizer
	for _, f := range v.Functions {
		auth, ok := f.Environment["AUTH"]
		known := auth.Name == string(AuthOpen) || auth.Name == string(AuthTicket)
		v.check(!ok || known, "function %s: AUTH is %q, want %s or %s", f.Name, auth.Name, AuthOpen, AuthTicket)
		v.check(!ok || !known || (auth.Name == string(AuthTicket)) == (authorizer.Function != ""),
			"function %s: AUTH is %s, which needs an authorizer if it is %s, and none if not", f.Name, auth.Name, AuthTicket)
	}
	for key, name := range v.HTTP.Routes {
		f, ok := v.Function(name)
		v.check(ok, "route %s: no function %q", key, name)
		v.check(httpRoute.MatchString(key), "route %s: want a method and a path, as POST /tickets", key)
		v.check(f.Timeout < httpTime, "route %s: an HTTP API waits for less than %s, and its function may take %s", key, httpTime, f.Timeout)
	}
	if authorizer.Function == "" {
		v.check(v.HTTP.JWT == (JWT{}), "HTTP API %s: it wants a token, and there is nobody who gives one", v.HTTP.Name)
		return
	}
	f, ok := v.Function(authorizer.Function)
	v.check(ok, "authorizer: no function %q", authorizer.Function)
	v.check(len(authorizer.Identity) > 0, "authorizer: without an identity source it is asked about everybody")
	connect, _ := v.Function(v.WebSocket.Routes["$connect"])
	v.check(f.Timeout+connect.Timeout <= handshakeTime, "authorizer: with $connect it may take %s, more than %s", f.Timeout+connect.Timeout, handshakeTime)
	v.check(v.HTTP.JWT != (JWT{}), "HTTP API %s: it must want a token", v.HTTP.Name)
	v.check(v.HTTP.Routes["POST /tickets"] != "", "route POST /tickets is missing: nobody could get a ticket")
}

// Table returns the table of that name.
func (t Topology) Table(name string) (Table, bool) {
	return find(t.Tables, func(x Table) bool { return x.Name == name })
}

// Topic returns the topic of that name.
func (t Topology) Topic(name string) (Topic, bool) {
	return find(t.Topics, func(x Topic) bool { return x.Name == name })
}

// Queue returns the queue of that name.
func (t Topology) Queue(name string) (Queue, bool) {
	return find(t.Queues, func(x Queue) bool { return x.Name == name })
}

// Function returns the function of that name.
func (t Topology) Function(name string) (Function, bool) {
	return find(t.Functions, func(x Function) bool { return x.Name == name })
}

func find[T any](all []T, match func(T) bool) (T, bool) {
	for _, x := range all {
		if match(x) {
			return x, true
		}
	}
	var none T
	return none, false
}

// Store returns the store of that name.
func (t Topology) Store(name string) (Store, bool) {
	return find(t.Stores, func(x Store) bool { return x.Name == name })
}
