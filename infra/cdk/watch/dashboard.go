package watch

import (
	"encoding/json"
	"strconv"
)

// column is a part of the way of an update, and of the dashboard, which reads from left to right.
type column int

const (
	writes column = iota
	stream
	normalizer
	topic
	queues
	fanout
	gateway
	browsers

	columns = int(browsers) + 1
)

// heads say what each column is about. The first line is its title.
var heads = [columns]string{
	writes:     "## 1 Writes\nWriters change rows of the tables. Any writer will do.",
	stream:     "## 2 Streams\nEach change, in order. Its age is how far the normalizer is behind.",
	normalizer: "## 3 Normalizer\nRecord → version → event. What cannot be one goes to quarantine.",
	topic:      "## 4 Topic\nAn event for each change, to every queue that is subscribed.",
	queues:     "## 5 Queues\nWhat waits for the fanout, and what it could not deliver.",
	fanout:     "## 6 Fanout\nQueue → who watches → frames. From the write to the post: within a second.",
	gateway:    "## 7 Gateway\nPosts to connections, and what pages ask. All share one quota.",
	browsers:   "## 8 Browsers\nWhat pages ask, and what one sees: the canary's, each minute.",
}

// The grid of a dashboard is 24 wide:
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
const (
	gridWidth   = 24
	columnWidth = gridWidth / columns
	headHeight  = 4
	bellHeight  = 4
	graphHeight = 6
)

type widget struct {
	Type       string         `json:"type"`
	X          int            `json:"x"`
	Y          int            `json:"y"`
	Width      int            `json:"width"`
	Height     int            `json:"height"`
	Properties map[string]any `json:"properties"`
}

// graph is one widget with lines.
type graph struct {
	title   string
	lines   []line
	limit   float64 // drawn if it is not 0
	stacked bool
}

// line is a metric, or an expression.
type line struct {
	label      string
	metric     metric
	expression string
}

func (l line) row() []any {
	if l.expression != "" {
		return []any{map[string]any{"expression": l.expression, "label": l.label}}
	}
	row := []any{l.metric.namespace, l.metric.name}
	for _, d := range l.metric.dimensions {
		row = append(row, d.name, d.value)
	}
	return append(row, map[string]any{"stat": l.metric.statistic, "label": l.label})
}

// dashboard returns the body of the dashboard. Each column has its head, its alarms that ring, and its graphs.
func (w watched) dashboard(region string, alarms []alarm, arns []string) string {
	rung := [columns][]string{}
	for i, a := range alarms {
		rung[a.column] = append(rung[a.column], arns[i])
	}
	var all []widget
	for c, graphs := range w.graphs() {
		y := 0
		add := func(kind string, height int, properties map[string]any) {
			all = append(all, widget{kind, c * columnWidth, y, columnWidth, height, properties})
			y += height
		}
		add("text", headHeight, map[string]any{"markdown": heads[c]})
		if len(rung[c]) > 0 {
			add("alarm", bellHeight, map[string]any{
				"title": "Rings, of " + strconv.Itoa(len(rung[c])) + " alarms", "alarms": rung[c], "states": []string{"ALARM"}, "sortBy": "stateUpdatedTimestamp",
			})
		} else {
			y += bellHeight // so that graphs stand beside each other
		}
		for _, g := range graphs {
			add("metric", graphHeight, g.properties(region))
		}
	}
	body, err := json.Marshal(map[string]any{"start": "-PT3H", "periodOverride": "inherit", "widgets": all})
	if err != nil {
		panic(err) // texts and numbers always marshal
	}
	return string(body)
}

func (g graph) properties(region string) map[string]any {
	var rows [][]any
	for _, l := range g.lines {
		rows = append(rows, l.row())
	}
	properties := map[string]any{
		"title": g.title, "region": region, "view": "timeSeries", "stacked": g.stacked, "period": 60, "metrics": rows,
		"yAxis": map[string]any{"left": map[string]any{"min": 0}}, "legend": map[string]any{"position": "bottom"},
	}
	if g.limit > 0 {
		properties["annotations"] = map[string]any{"horizontal": []any{map[string]any{"label": "limit", "value": g.limit}}}
	}
	return properties
}

// graphs are those of each column, from above.
func (w watched) graphs() [columns][]graph {
	var g [columns][]graph
	g[writes] = []graph{
		{title: "Written, units", lines: w.ofWritten("ConsumedWriteCapacityUnits")},
		{title: "Writes throttled", lines: w.ofWritten("WriteThrottleEvents")},
	}
	var records, ages, runs, failed, times []line
	readers := map[string]bool{}
	for _, s := range w.Streams {
		records = append(records, line{label: w.short(s.Table), expression: "SEARCH('{AWS/DynamoDB,Operation,StreamLabel,TableName} MetricName=\"ReturnedRecordsCount\" TableName=\"" + s.Table + "\"', 'Sum', 60)"})
		if readers[s.Function] {
			continue
		}
		readers[s.Function] = true
		ages = append(ages, line{label: w.short(s.Function), metric: lambda(s.Function, "IteratorAge", "Maximum")})
		runs = append(runs, line{label: "runs", metric: lambda(s.Function, "Invocations", "Sum")}, line{label: "throttled", metric: lambda(s.Function, "Throttles", "Sum")})
		failed = append(failed, line{label: "errors", metric: lambda(s.Function, "Errors", "Sum")})
		times = append(times, quantiles(lambda(s.Function, "Duration", ""))...)
	}
	g[stream] = []graph{{title: "Records read", lines: records}, {title: "Age, ms", lines: ages, limit: behind * 1000}}

	resting := map[column][]line{}
	for _, q := range w.Queues {
		if q.DeadLetter == "" {
			at := w.rest(q.Name).column
			resting[at] = append(resting[at], line{label: w.short(q.Name), metric: queued(q.Name, "ApproximateNumberOfMessagesVisible", "Maximum")})
		}
	}
	g[normalizer] = []graph{
		{title: "Runs", lines: runs}, {title: "Time of a run, ms", lines: times},
		{title: "Errors, and what rests", lines: append(failed, resting[normalizer]...)},
	}

	var events, refused []line
	for _, t := range w.Topics {
		events = append(events, line{label: "published", metric: published(t.Name, "NumberOfMessagesPublished")}, line{label: "delivered", metric: published(t.Name, "NumberOfNotificationsDelivered")})
		refused = append(refused, line{label: "undelivered", metric: published(t.Name, "NumberOfNotificationsFailed")}, line{label: "lost", metric: published(t.Name, "NumberOfNotificationsFailedToRedriveToDlq")})
	}
	g[topic] = []graph{{title: "Events", lines: events}, {title: "Refused, and what rests", lines: append(refused, resting[topic]...)}}

	var age, waiting []line
	for _, q := range w.Queues {
		if q.DeadLetter != "" {
			age = append(age, line{label: w.short(q.Name), metric: queued(q.Name, "ApproximateAgeOfOldestMessage", "Maximum")})
			waiting = append(waiting, line{label: w.short(q.Name), metric: queued(q.Name, "ApproximateNumberOfMessagesVisible", "Maximum")})
		}
	}
	g[queues] = []graph{{title: "Oldest message, s", lines: age, limit: behind}, {title: "Waiting", lines: waiting}, {title: "Dead letters", lines: resting[queues]}}

	g[fanout] = []graph{
		{title: "From write to post, ms", lines: quantiles(w.own("fanout", "WriteToPostLatency", "")), limit: promised},
		{title: "Stages, p95 ms", lines: []line{
			{label: "in the queue", metric: w.own("fanout", "QueueAge", "p95")}, {label: "until the read", metric: w.own("fanout", "ReadWait", "p95")},
			{label: "in the mailbox", metric: w.own("fanout", "MailboxWait", "p95")}, {label: "post", metric: w.own("fanout", "PostDuration", "p95")},
			{label: "deletion", metric: w.own("fanout", "SettleDuration", "p95")},
		}},
		{title: "Updates", lines: []line{{label: "posted", metric: w.own("fanout", "UpdatesPosted", "Sum")}, {label: "conflated", metric: w.own("fanout", "UpdatesConflated", "Sum")}}},
		{title: "Waiting at a time", lines: []line{{label: "mailboxes", metric: w.own("fanout", "MailboxDepth", "Maximum")}, {label: "messages", metric: w.own("fanout", "MessagesUnderWay", "Maximum")}}},
	}
	g[gateway] = []graph{
		{title: "Posts by verdict", stacked: true, lines: []line{{expression: "SEARCH('{\"" + w.MetricsNamespace() + "\",Service,Verdict} MetricName=\"Posts\" Service=\"fanout\"', 'Sum', 60)", label: "${PROP('Dim.Verdict')}"}}},
		{title: "WebSocket API", lines: []line{
			{label: "connects", metric: called(w.socket, "ConnectCount", "Sum")}, {label: "messages", metric: called(w.socket, "MessageCount", "Sum")},
			{label: "integration errors", metric: called(w.socket, "IntegrationError", "Sum")}, {label: "execution errors", metric: called(w.socket, "ExecutionError", "Sum")},
			{label: "client errors", metric: called(w.socket, "ClientError", "Sum")},
		}},
		{title: "HTTP API", lines: []line{
			{label: "requests", metric: called(w.http, "Count", "Sum")}, {label: "4xx", metric: called(w.http, "4xx", "Sum")}, {label: "5xx", metric: called(w.http, "5xx", "Sum")},
		}},
		{title: "Time of answers, p95 ms", lines: w.ofCallers("Duration", "p95")},
	}
	var crossed []line
	for _, service := range guarded {
		crossed = append(crossed, line{label: service, metric: w.own(service, "CrossTenant", "Sum")})
	}
	if w.hasCanary() {
		g[browsers] = []graph{
			{title: "Canary: write to frame, ms", lines: []line{{label: "latency", metric: w.own("canary", "CanaryLatency", "Maximum")}}, limit: promised},
			{title: "Canary: writes seen", lines: []line{{label: "seen", metric: w.own("canary", "CanarySuccess", "Sum")}}},
		}
	}
	g[browsers] = append(g[browsers],
		graph{title: "Questions of pages", lines: w.ofCallers("Invocations", "Sum")}, graph{title: "About to cross tenants", lines: crossed})
	return g
}

// quantiles are a metric's middle, and its slow end.
func quantiles(m metric) []line {
	var all []line
	for _, p := range []string{"p50", "p95", "p99"} {
		m.statistic = p
		all = append(all, line{label: p, metric: m})
	}
	return all
}

// ofWritten is a metric of each table that writers write to.
func (w watched) ofWritten(name string) []line {
	var all []line
	for _, s := range w.Streams {
		all = append(all, line{label: w.short(s.Table), metric: stored(s.Table, name)})
	}
	return all
}

// ofCallers is a metric of each function that answers pages.
func (w watched) ofCallers(name, statistic string) []line {
	var all []line
	for _, f := range w.Functions {
		if at, again := w.caller(f.Name); at == gateway && again {
			all = append(all, line{label: w.short(f.Name), metric: lambda(f.Name, name, statistic)})
		}
	}
	return all
}
