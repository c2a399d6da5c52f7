package watch

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/iops-dashboard/live/infra/topology"
)

// alarm is one row of the table of alarms.
type alarm struct {
	what    string // its name, without what the names of the system have in common
	section string // of infra/RUNBOOK.md
	advice  string // what to do, in a sentence
	column  column // of the dashboard
	of      measure
	limit   float64
	below   bool // it rings below the limit, not above
	rhythm  rhythm
	missing missing
	past    bool // it tells of what has happened, and that it does not go on is no news
}

// rhythm is how many points, of the last so many, must be over the limit.
type rhythm struct {
	period     time.Duration
	points, of int
}

var (
	// atOnce is for what must never happen, and for what nobody tries again.
	atOnce = rhythm{time.Minute, 1, 1}
	// lasting passes over a deployment, a cold start and a retry. CloudWatch gets the numbers of the last minute late, so
	// that a term which fills gaps may take it for 0: the minutes before it decide.
	lasting = rhythm{time.Minute, 3, 5}
	// held rings with the first message that rests, and stays on while people look at it: who receives a message hides it
	// for the visibility timeout, for half a minute.
	held = rhythm{time.Minute, 1, 5}
	// reported is for SNS, which reports every five minutes:
	// https://docs.aws.amazon.com/sns/latest/dg/sns-monitoring-using-cloudwatch.html
	reported = rhythm{5 * time.Minute, 1, 1}
	// through wants silence in each of five minutes: one run in vain is no silence.
	through = rhythm{time.Minute, 5, 5}
)

// missing is what it means that CloudWatch has no value.
type missing string

const (
	// fine is for all that only counts while something happens: no write, no post, no call, and no value. What stands
	// still without a word is found by the canary. Of a queue that was empty and left alone for six hours there is no
	// value either; then the first message may be told of some minutes late:
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
	fine missing = "notBreaching"
	// wrong is for what must be told all the time.
	wrong missing = "breaching"
)

// The limits that are promises, or follow from one.
const (
	// promised is how old an update may be that a browser gets, in milliseconds: a second.
	promised = 1000
	// behind is how far the streams and the queues may be behind, in seconds, before somebody must look. After one failed
	// try they catch up by themselves, a stream at once, a queue within its visibility timeout: that does not last.
	behind = 60
	// bad is how much of the posts, in percent, may go wrong. It is also from where on the fanout takes throttled posts for
	// the account's: see services/fanout/pace.go.
	bad = 5
	// few posts a minute are no share of anything: one laptop that sleeps leaves a worker up to six hanging in its first
	// minute, of 2 s each, with pauses of 1, 5 and then 15 s.
	few = 10
	// refusals are how many handshakes and messages a minute may be answered with an error: a page that has too many
	// connections, or an old ticket, is told so, and tries again every half minute.
	refusals = 10
	// full is how much of the account's quota may be used, by the minute. The fanout is given nine tenths of it; it
	// conflates where that is not enough, so at eight tenths there is time to ask AWS for more.
	full = 0.8 * topology.DefaultRate
)

// watched is the system, and the ids of its APIs.
type watched struct {
	topology.Topology
	socket, http string
}

// short is a name without what the names of the system have in common.
func (w watched) short(name string) string {
	name = strings.TrimPrefix(name, prefix)
	if w.WebSocket.Stage != topology.Production {
		name = strings.TrimSuffix(name, "-"+w.WebSocket.Stage)
	}
	return name
}

// alarms is the table of alarms.
func (w watched) alarms() []alarm {
	return slices.Concat(
		w.ofStreams(), w.ofRests(), w.ofTopics(), w.ofQueues(), w.ofPosts(), w.ofTenants(), w.ofFunctions(), w.ofAPIs(), w.ofCanary(),
	)
}

// ofStreams are those of functions that read streams. That they fail shows in the age only: a function that names the
// records which failed has no errors.
func (w watched) ofStreams() []alarm {
	readers := map[string]bool{}
	for _, s := range w.Streams {
		readers[s.Function] = true
	}
	var all []alarm
	for _, name := range slices.Sorted(maps.Keys(readers)) {
		all = append(all, alarm{
			what: w.short(name) + "-iterator-age", section: "late-records", column: stream,
			advice: "Find out why the function does not get on, before its records are too old to be tried.",
			of:     one(lambda(name, "IteratorAge", "Maximum")), limit: behind * 1000, rhythm: lasting, missing: fine,
		}, alarm{
			what: w.short(name) + "-lost-records", section: "lost-records", column: normalizer,
			advice: "Write the lost records' rows again, and mend what kept Lambda from storing them.",
			of:     one(lambda(name, "DestinationDeliveryFailures", "Sum")), rhythm: atOnce, missing: fine, past: true,
		})
	}
	return all
}

// ofRests are those of the places where messages rest. Not how many were sent is counted, but how many are there: what a
// queue moves to its dead-letter queue is not sent.
func (w watched) ofRests() []alarm {
	var all []alarm
	for _, q := range w.Queues {
		if q.DeadLetter != "" {
			continue
		}
		a := w.rest(q.Name)
		a.what, a.of = w.short(q.Name)+"-messages", one(queued(q.Name, "ApproximateNumberOfMessagesVisible", "Maximum"))
		a.rhythm, a.missing = held, fine
		all = append(all, a)
	}
	return all
}

// rest tells who puts messages into a place of rest, and so what to do with them.
func (w watched) rest(queue string) alarm {
	switch {
	case slices.ContainsFunc(w.Queues, func(q topology.Queue) bool { return q.DeadLetter == queue }):
		return alarm{
			section: "dead-letters", column: queues,
			advice: "Read why the updates could not be delivered, mend it, and move them back to their queue.",
		}
	case slices.ContainsFunc(w.Subscriptions, func(s topology.Subscription) bool { return s.DeadLetter == queue }):
		return alarm{
			section: "undelivered-events", column: topic,
			advice: "Mend what keeps the topic from the queue, and send the events to that queue, not to the topic.",
		}
	case slices.ContainsFunc(w.Stores, func(s topology.Store) bool { return s.Queue == queue }):
		return alarm{
			section: "given-up-records", column: normalizer,
			advice: "Mend what the normalizer failed at, and give it the stored records again.",
		}
	}
	return alarm{
		section: "quarantine", column: normalizer,
		advice: "Read the reason, have the writer correct the row, and delete the message.",
	}
}

// ofTopics are those of topics, and of all queues that are subscribed, other teams' too.
func (w watched) ofTopics() []alarm {
	var all []alarm
	for _, t := range w.Topics {
		all = append(all, alarm{
			what: w.short(t.Name) + "-undelivered", section: "undelivered-notifications", column: topic,
			advice: "Find the subscription whose queue refuses the events, and tell its owner.",
			of:     one(published(t.Name, "NumberOfNotificationsFailed")), rhythm: reported, missing: fine,
		}, alarm{
			what: w.short(t.Name) + "-lost", section: "lost-notifications", column: topic,
			advice: "Mend the subscription's dead-letter queue, and have the tables' rows of that time written again.",
			of:     one(published(t.Name, "NumberOfNotificationsFailedToRedriveToDlq")), rhythm: reported, missing: fine, past: true,
		})
	}
	return all
}

// ofQueues are those of queues that somebody works off.
func (w watched) ofQueues() []alarm {
	var all []alarm
	for _, q := range w.Queues {
		if q.DeadLetter == "" {
			continue
		}
		all = append(all, alarm{
			what: w.short(q.Name) + "-age", section: "old-messages", column: queues,
			advice: "See whether anybody works the queue off, and why that is too slow.",
			of:     one(queued(q.Name, "ApproximateAgeOfOldestMessage", "Maximum")), limit: behind, rhythm: lasting, missing: fine,
		})
	}
	return all
}

// ofPosts are those of what the fanout posts to connections. The freshness of few posts counts as that of many: a quiet
// system has the canary's.
func (w watched) ofPosts() []alarm {
	return []alarm{
		{
			what: "freshness", section: "late-updates", column: fanout,
			advice: "Find the stage that takes the time, from the left of the dashboard to the right.",
			of:     one(w.own("fanout", "WriteToPostLatency", "p95")), limit: promised, rhythm: lasting, missing: fine,
		},
		{
			what: "posts-refused", section: "refused-posts", column: gateway,
			advice: "Mend the fanout's permission or its address of the WebSocket API: nothing is delivered.",
			of:     one(w.posts("refused")), rhythm: atOnce, missing: fine,
		},
		{
			what: "posts-failed", section: "failed-posts", column: gateway,
			advice: "See whether API Gateway has an outage, or many readers are cut off.",
			of:     w.share("hung", "oversize", "refused", "spent"), limit: bad, rhythm: lasting, missing: fine,
		},
		{
			what: "posts-throttled", section: "throttled-posts", column: gateway,
			advice: "See what else uses up the account's requests, and ask AWS for more of them.",
			of:     w.share("paced", "slow"), limit: bad, rhythm: lasting, missing: fine,
		},
		{
			what: "account-rate", section: "account-rate", column: gateway,
			advice: "Ask AWS for a higher throttle rate of API Gateway before updates are conflated for want of it.",
			of:     w.requests(), limit: full, rhythm: lasting, missing: fine,
		},
	}
}

// share is how much of the posts, in percent, ended with these verdicts, of those and of the ones that were delivered; 0
// where they were few. Posts that say nothing of the way to the reader are left out: to closed and to new connections, and
// those that will be made again.
func (w watched) share(verdicts ...string) measure {
	var m measure
	for _, v := range verdicts {
		m.metrics = append(m.metrics, w.posts(v))
	}
	m.terms = []term{{"bad", sum(m.metrics...)}}
	delivered := w.posts("delivered")
	m.metrics = append(m.metrics, delivered)
	m.terms = append(m.terms, term{"share", "IF(bad>=" + strconv.Itoa(few) + ",100*bad/(bad+" + sum(delivered) + "),0)"})
	return m
}

// requests is how many requests a second the system makes of the quota that all APIs of the account and Region share, on
// average of a minute: the posts, by the fanout's own count, the runs of the functions behind the routes of the WebSocket
// API, and the requests of the HTTP API. The API's own MessageCount is not used: it counts posts that were delivered and
// what clients send alike, and posts that were refused not at all. An alarm can have ten metrics, so verdicts are left
// out that are rare or have an alarm of their own: interrupted, spent, split, oversize, refused. What others in the
// account use is not known.
func (w watched) requests() measure {
	var m measure
	for _, v := range []string{"delivered", "closed", "newborn", "paced", "again", "slow", "hung"} {
		m.metrics = append(m.metrics, w.posts(v))
	}
	for _, name := range w.clientRoutes() {
		x := lambda(name, "Invocations", "Sum")
		x.id = strings.ReplaceAll(w.short(name), "-", "_")
		m.metrics = append(m.metrics, x)
	}
	x := called(w.http, "Count", "Sum")
	x.id = "http"
	m.metrics = append(m.metrics, x)
	m.terms = []term{{"requests", "(" + sum(m.metrics...) + ")/60"}}
	return m
}

// clientRoutes are the functions that a client of the WebSocket API has run by a request: not by leaving.
func (w watched) clientRoutes() []string {
	functions := map[string]bool{}
	for key, name := range w.WebSocket.Routes {
		if key != "$disconnect" {
			functions[name] = true
		}
	}
	return slices.Sorted(maps.Keys(functions))
}

// guarded are the services that check once more, before they send something, that it is its reader's.
var guarded = []string{"fanout", "query", "sync"}

// ofTenants are those of that last check.
func (w watched) ofTenants() []alarm {
	var all []alarm
	for _, service := range guarded {
		all = append(all, alarm{
			what: service + "-cross-tenant", section: "crossed-tenants", column: browsers,
			advice: "Treat it as a security incident: keep the logs, and find out what mixed the tenants' rows.",
			of:     one(w.own(service, "CrossTenant", "Sum")), rhythm: atOnce, missing: fine, past: true,
		})
	}
	return all
}

// ofFunctions are those of each function. What fails once is tried again by the stream, the queue, the page or the
// schedule; what people invoke is not.
func (w watched) ofFunctions() []alarm {
	var all []alarm
	for _, f := range w.Functions {
		at, again := w.caller(f.Name)
		errors := alarm{
			what: w.short(f.Name) + "-errors", section: "function-errors", column: at,
			advice: "Read the function's log, and put back what was deployed last if that is the cause.",
			of:     one(lambda(f.Name, "Errors", "Sum")), rhythm: lasting, missing: fine,
		}
		if !again {
			errors.rhythm, errors.past = atOnce, true
		}
		all = append(all, errors, alarm{
			what: w.short(f.Name) + "-throttles", section: "throttled-functions", column: at,
			advice: "See what uses up the account's concurrency, and ask AWS for more of it.",
			of:     one(lambda(f.Name, "Throttles", "Sum")), rhythm: lasting, missing: fine,
		})
	}
	return all
}

// caller tells where in the flow a function is invoked, and whether it is invoked again by itself.
func (w watched) caller(function string) (at column, again bool) {
	switch {
	case slices.ContainsFunc(w.Streams, func(s topology.StreamMapping) bool { return s.Function == function }):
		return normalizer, true
	case slices.ContainsFunc(w.QueueMappings, func(m topology.QueueMapping) bool { return m.Function == function }):
		return fanout, true
	case slices.ContainsFunc(w.Schedules, func(s topology.Schedule) bool { return s.Function == function }):
		return browsers, true
	}
	routed := w.WebSocket.Authorizer.Function == function
	for _, routes := range []map[string]string{w.WebSocket.Routes, w.HTTP.Routes} {
		routed = routed || slices.Contains(slices.Collect(maps.Values(routes)), function)
	}
	return gateway, routed
}

// ofAPIs are those of the APIs. A WebSocket API does not tell an error of the client from one of ours.
func (w watched) ofAPIs() []alarm {
	const advice = "Find the route and the reason in the API's access log, then read its function's log."
	return []alarm{
		{
			what: w.short(w.HTTP.Name) + "-5xx", section: "api-errors", column: gateway, advice: advice,
			of: one(called(w.http, "5xx", "Sum")), rhythm: lasting, missing: fine,
		},
		{
			what: w.short(w.WebSocket.Name) + "-execution-errors", section: "api-errors", column: gateway, advice: advice,
			of: one(called(w.socket, "ExecutionError", "Sum")), rhythm: lasting, missing: fine,
		},
		{
			what: w.short(w.WebSocket.Name) + "-integration-errors", section: "api-errors", column: gateway, advice: advice,
			of: one(called(w.socket, "IntegrationError", "Sum")), limit: refusals, rhythm: lasting, missing: fine,
		},
	}
}

func (w watched) hasCanary() bool {
	return slices.ContainsFunc(w.Functions, func(f topology.Function) bool { return f.Command == "canary" })
}

// ofCanary are those of the page that sees its own write each minute, where there is one.
func (w watched) ofCanary() []alarm {
	if !w.hasCanary() {
		return nil
	}
	return []alarm{
		{
			what: "canary-silent", section: "silent-canary", column: browsers,
			advice: "Open the dashboard: if it is not live, follow a write from the left of the CloudWatch dashboard to the right.",
			of:     one(w.own("canary", "CanarySuccess", "Sum")), limit: 1, below: true, rhythm: through, missing: wrong,
		},
		{
			what: "canary-latency", section: "late-canary", column: browsers,
			advice: "Find the stage that takes the time, from the left of the dashboard to the right.",
			of:     one(w.own("canary", "CanaryLatency", "Maximum")), limit: promised, rhythm: lasting, missing: fine,
		},
	}
}
