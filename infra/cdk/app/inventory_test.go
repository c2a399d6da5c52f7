package app_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/iops-dashboard/live/infra/cdk/setting"
	"github.com/iops-dashboard/live/infra/topology"
)

// equalsTopology sees that the templates have all that the topology has, with its numbers, and nothing of these kinds
// besides: so what is deployed is what runs on one machine. Both are written as lines of the same form, a line a fact.
func equalsTopology(c *cloud) []string {
	return compare(c.wanted(), c.found(), "the topology has, and the templates lack: ", "the templates have, and the topology lacks: ")
}

// compare returns what only one of two sets of lines has.
func compare(want, got []string, lacks, has string) []string {
	count := map[string]int{}
	for _, line := range want {
		count[line]++
	}
	for _, line := range got {
		count[line]--
	}
	var faults []string
	for _, line := range slices.Sorted(maps.Keys(count)) {
		switch n := count[line]; {
		case n > 0:
			faults = append(faults, lacks+line)
		case n < 0:
			faults = append(faults, has+line)
		}
	}
	return faults
}

// lines are facts.
type lines []string

func (l *lines) add(format string, args ...any) { *l = append(*l, fmt.Sprintf(format, args...)) }

// environment has a line for each variable.
func (l *lines) environment(owner string, values map[string]string) {
	for name, value := range values {
		l.add("%s has %s=%s", owner, name, value)
	}
}

func (l *lines) stream(m topology.StreamMapping, always string) {
	filter := topology.KeyPrefix{}
	if m.Filter != nil {
		filter = *m.Filter
	}
	m.Filter = nil
	l.add("stream %+v, only %+v, %s", m, filter, always)
}

func (l *lines) routes(api string, routes map[string]string, authorization func(key string) string) {
	for key, function := range routes {
		l.add("route %s of %s: %s, asks %s", key, api, function, authorization(key))
	}
}

// wanted is what the topology has.
func (c *cloud) wanted() []string {
	var l lines
	system := c.settings.Topology()
	concurrency := map[string]int{}
	for _, m := range system.QueueMappings {
		f, _ := system.Function(m.Function)
		concurrency[m.Function] = f.Concurrency
		l.add("mapping %+v, names what failed", m)
		l.may(m.Function, arn("sqs", m.Queue), "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage")
	}
	for _, x := range system.Tables {
		if x.Variable = ""; !x.Brought {
			l.add("table %+v", x)
		}
	}
	for _, x := range system.Topics {
		l.add("topic %s", x.Name)
	}
	for _, x := range system.Queues {
		x.Variable = ""
		l.add("queue %+v", x)
	}
	for _, x := range system.Stores {
		l.add("store %+v", x)
	}
	for _, x := range system.Subscriptions {
		l.add("subscription %+v, raw", x)
	}
	for _, x := range system.Functions {
		l.environment(x.Name, c.values(x.Environment))
		l.granted(c, x.Name, x.Grants)
		l.logs(x.Name, "/aws/lambda/"+x.Name)
		// Concurrency that no queue feeds is one machine's bound: in the cloud it is the account's.
		x.Concurrency, x.Environment, x.Grants = concurrency[x.Name], nil, nil
		l.add("function %+v", x)
	}
	for _, x := range system.Workers {
		l.environment(x.Name, c.values(x.Environment))
		l.granted(c, x.Name, x.Grants)
		l.logs(x.Name, "/ecs/"+x.Name)
		x.Environment, x.Grants = nil, nil
		l.add("worker %+v", x)
	}
	for _, m := range system.Streams {
		l.stream(m, "split, names what failed, from the oldest")
		l.may(m.Function, c.streamARN(m.Table), "dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams")
		store := "arn:aws:s3:::" + bucketName(m.Failures)
		l.may(m.Function, store+"/aws/lambda/*", "s3:PutObject")
		l.may(m.Function, store, "s3:ListBucket")
	}
	for _, x := range system.Schedules {
		l.add("schedule %+v", x)
	}

	w := system.WebSocket
	l.routes(w.Name, w.Routes, func(key string) string {
		if key == "$connect" && w.Authorizer.Function != "" {
			return "CUSTOM"
		}
		return "NONE"
	})
	w.Routes, w.Lifetime = nil, 0 // AWS has one lifetime
	l.add("WebSocket API %+v", w)

	h := system.HTTP
	scheme := "NONE"
	if h.JWT != (topology.JWT{}) {
		scheme = "JWT"
		h.JWT.Issuer, h.JWT.Audience = c.literal(h.JWT.Issuer), c.literal(h.JWT.Audience)
	}
	l.routes(h.Name, h.Routes, func(string) string { return scheme })
	h.Routes, h.CORS.Origins = nil, c.literal(h.CORS.Origins)
	l.add("HTTP API %+v", h)
	return l
}

// may has a line for each action.
func (l *lines) may(owner, on string, actions ...string) {
	for _, a := range actions {
		if line := fmt.Sprintf("%s may %s on %s", owner, a, on); !slices.Contains(*l, line) {
			*l = append(*l, line)
		}
	}
}

func (l *lines) granted(c *cloud, owner string, grants []topology.Grant) {
	for _, g := range grants {
		switch name := g.On.Name; g.On.Kind {
		case topology.TableName:
			l.may(owner, c.tableARN(name), g.IAM()...)
		case topology.TopicARN:
			l.may(owner, arn("sns", name), g.IAM()...)
		case topology.QueueURL:
			l.may(owner, arn("sqs", name), g.IAM()...)
		case topology.CallbackURL:
			w := c.settings.Topology().WebSocket
			for _, method := range g.Actions {
				l.may(owner, arn("execute-api", w.Name+"/"+w.Stage+"/"+method+"/@connections/*"), g.IAM()...)
			}
		}
	}
}

func (l *lines) logs(owner, group string) {
	l.may(owner, arn("logs", "log-group:"+group+":*"), "logs:CreateLogStream", "logs:PutLogEvents")
}

func (c *cloud) values(environment map[string]topology.Ref) map[string]string {
	all := map[string]string{}
	for name, r := range environment {
		all[name] = c.literal(r).Name
	}
	return all
}

// literal is the text that a reference stands for.
func (c *cloud) literal(r topology.Ref) topology.Ref {
	w := c.settings.Topology().WebSocket
	switch r.Kind {
	case topology.TopicARN:
		r.Name = arn("sns", r.Name)
	case topology.QueueURL:
		r.Name = queueURL(r.Name)
	case topology.CallbackURL:
		r.Name = apiURL(w.Name) + "/" + w.Stage
	case topology.SocketURL:
		r.Name = strings.Replace(apiURL(w.Name), "https", "wss", 1) + "/" + w.Stage
	case topology.PageOrigins:
		r.Name = strings.Join(append([]string{"https://" + siteHost}, c.settings.Origins...), ",")
	case topology.TokenIssuer:
		if r.Name = c.settings.Issuer; r.Name == "" {
			r.Name = "https://cognito-idp." + region + "." + suffix + "/" + c.only("AWS::Cognito::UserPool")
		}
	case topology.TokenAudience:
		if r.Name = c.settings.Audience; r.Name == "" {
			r.Name = c.only("AWS::Cognito::UserPoolClient")
		}
	}
	return topology.Ref{Kind: topology.Literal, Name: r.Name}
}

// only is the id of the one resource of a type.
func (c *cloud) only(kind string) string {
	all := c.of(kind)
	if len(all) != 1 {
		return fmt.Sprintf("%d of %s", len(all), kind)
	}
	return all[0].id
}

func (c *cloud) tableARN(name string) string {
	for _, brought := range []string{c.settings.Metrics.ARN, c.settings.Insights.ARN} {
		if strings.HasSuffix(brought, "/"+name) {
			return brought
		}
	}
	return arn("dynamodb", "table/"+name)
}

func (c *cloud) streamARN(table string) string {
	switch table {
	case c.settings.Metrics.Name():
		return c.settings.Metrics.Stream
	case c.settings.Insights.Name():
		return c.settings.Insights.Stream
	}
	return c.tableARN(table) + "/stream/" + streamTag
}

func bucketName(store string) string { return store + "-" + account + "-" + region }

func storeName(bucketARN string) string {
	return strings.TrimSuffix(last(bucketARN), "-"+account+"-"+region)
}

// found is what the templates have. What watches the system, and what is of the site, is not of the topology.
func (c *cloud) found() []string {
	var l lines
	for _, x := range c.of("AWS::DynamoDB::Table") {
		l.add("table %+v", table(x))
		if x.text("BillingMode") != "PAY_PER_REQUEST" {
			l.add("table %s is paid for by %s", x, x.text("BillingMode"))
		}
	}
	for _, kind := range []string{"AWS::DynamoDB::GlobalTable", "AWS::Lambda::Url", "AWS::Lambda::Alias", "AWS::ApiGateway::RestApi", "AWS::Scheduler::Schedule", "AWS::Pipes::Pipe"} {
		for _, x := range c.of(kind) {
			l.add("%s %s", kind, x)
		}
	}
	watching := c.settings.Named(setting.WatchStack)
	for _, x := range c.of("AWS::SNS::Topic") {
		if x.stack != watching {
			l.add("topic %s", x)
		}
	}
	for _, x := range c.of("AWS::SQS::Queue") {
		l.add("queue %+v", topology.Queue{
			Name: x.text("QueueName"), Visibility: x.seconds("VisibilityTimeout"), Retention: x.seconds("MessageRetentionPeriod"),
			DeadLetter: last(x.text("RedrivePolicy", "deadLetterTargetArn")), MaxReceives: x.number("RedrivePolicy", "maxReceiveCount"),
		})
	}
	for _, x := range c.of("AWS::S3::Bucket") {
		if x.stack == c.settings.Named(setting.ExperienceStack) {
			l.add("store %+v", topology.Store{
				Name: storeName(x.text("BucketName")), Queue: last(x.text("NotificationConfiguration", "QueueConfigurations", "0", "Queue")),
			})
		}
	}
	for _, x := range c.of("AWS::SNS::Subscription") {
		if x.stack == watching {
			continue
		}
		form := "enveloped"
		if x.text("RawMessageDelivery") == "true" {
			form = "raw"
		}
		if x.at("FilterPolicy") != nil {
			form += ", filtered"
		}
		l.add("subscription %+v, %s", topology.Subscription{
			Topic: last(x.text("TopicArn")), Queue: last(x.text("Endpoint")), DeadLetter: last(x.text("RedrivePolicy", "deadLetterTargetArn")),
		}, form)
	}
	concurrency := c.foundMappings(&l)
	c.foundDeployables(&l, concurrency)
	for _, x := range c.of("AWS::Events::Rule") {
		for _, target := range x.list("Targets") {
			l.add("schedule %+v", topology.Schedule{Function: last(text(at(target, "Arn"))), Every: every(x.text("ScheduleExpression"))})
		}
	}
	c.foundAPIs(&l)
	return l
}

func table(x *resource) topology.Table {
	t := topology.Table{
		Name: x.text("TableName"), Stream: x.text("StreamSpecification", "StreamViewType") == "NEW_AND_OLD_IMAGES",
		Recovery: x.text("PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled") == "true",
		Kept:     x.text("DeletionProtectionEnabled") == "true",
	}
	if x.text("TimeToLiveSpecification", "Enabled") == "true" {
		t.TTL = x.text("TimeToLiveSpecification", "AttributeName")
	}
	kinds := map[string]string{}
	for _, a := range x.list("AttributeDefinitions") {
		kinds[text(at(a, "AttributeName"))] = text(at(a, "AttributeType"))
	}
	key := func(schema any, kind string) string {
		for _, k := range list(schema) {
			if text(at(k, "KeyType")) == kind {
				return text(at(k, "AttributeName"))
			}
		}
		return ""
	}
	// Keys are texts, unless it is said.
	textual := func(name string) string {
		if name != "" && kinds[name] != "S" {
			return name + " (" + kinds[name] + ")"
		}
		return name
	}
	t.PartitionKey, t.SortKey = textual(key(x.at("KeySchema"), "HASH")), textual(key(x.at("KeySchema"), "RANGE"))
	for _, i := range x.list("GlobalSecondaryIndexes") {
		index := topology.Index{Name: text(at(i, "IndexName")), PartitionKey: textual(key(at(i, "KeySchema"), "HASH")), SortKey: key(at(i, "KeySchema"), "RANGE")}
		index.SortKeyType = kinds[index.SortKey]
		if p := text(at(i, "Projection", "ProjectionType")); p != "ALL" {
			index.Name += " (" + p + ")"
		}
		t.Indexes = append(t.Indexes, index)
	}
	return t
}

// every is the rhythm of a rate; 0 if it is none.
func every(expression string) time.Duration {
	var n int
	var unit string
	if _, err := fmt.Sscanf(strings.TrimSuffix(expression, ")"), "rate(%d %s", &n, &unit); err != nil {
		return 0
	}
	return time.Duration(n) * map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}[strings.TrimSuffix(unit, "s")]
}

// foundMappings returns how many environments each queue's function may have.
func (c *cloud) foundMappings(l *lines) map[string]int {
	concurrency := map[string]int{}
	for _, x := range c.of("AWS::Lambda::EventSourceMapping") {
		source, function := x.text("EventSourceArn"), last(x.text("FunctionName"))
		form := "does not name what failed"
		if slices.Equal(texts(x.at("FunctionResponseTypes")), []string{"ReportBatchItemFailures"}) {
			form = "names what failed"
		}
		if x.text("Enabled") == "false" {
			form += ", off"
		}
		if strings.Contains(source, ":sqs:") {
			concurrency[function] = x.number("ScalingConfig", "MaximumConcurrency")
			l.add("mapping %+v, %s", topology.QueueMapping{Queue: last(source), Function: function, BatchSize: x.number("BatchSize")}, form)
			continue
		}
		if x.text("BisectBatchOnFunctionError") == "true" {
			form = "split, " + form
		}
		if x.text("StartingPosition") == "TRIM_HORIZON" {
			form += ", from the oldest"
		}
		name, _, _ := strings.Cut(source[strings.Index(source, ":table/")+len(":table/"):], "/stream/")
		l.stream(topology.StreamMapping{
			Table: name, Function: function, BatchSize: x.number("BatchSize"), Window: x.seconds("MaximumBatchingWindowInSeconds"),
			Retries: x.number("MaximumRetryAttempts"), MaxAge: x.seconds("MaximumRecordAgeInSeconds"),
			Failures: storeName(x.text("DestinationConfig", "OnFailure", "Destination")), Filter: prefix(x),
		}, form)
	}
	return concurrency
}

// prefix is what a mapping reads; nil if it reads all.
func prefix(x *resource) *topology.KeyPrefix {
	filters := x.list("FilterCriteria", "Filters")
	if len(filters) == 0 {
		return nil
	}
	var pattern struct {
		Dynamodb struct {
			Keys map[string]struct{ S []map[string]string }
		}
	}
	if err := json.Unmarshal([]byte(text(at(filters[0], "Pattern"))), &pattern); err != nil || len(filters) > 1 || len(pattern.Dynamodb.Keys) != 1 {
		return &topology.KeyPrefix{Attribute: "another form", Prefix: fmt.Sprint(filters)}
	}
	for name, condition := range pattern.Dynamodb.Keys {
		if len(condition.S) == 1 && len(condition.S[0]) == 1 {
			return &topology.KeyPrefix{Attribute: name, Prefix: condition.S[0]["prefix"]}
		}
	}
	return &topology.KeyPrefix{Attribute: "another form", Prefix: fmt.Sprint(filters)}
}

func (c *cloud) foundDeployables(l *lines, concurrency map[string]int) {
	for _, x := range c.of("AWS::Lambda::Function") {
		name := x.text("FunctionName")
		environment, _ := x.at("Environment", "Variables").(map[string]any)
		for variable, value := range environment {
			l.add("%s has %s=%s", x, variable, text(value))
		}
		l.allowed(c, name, x.text("Role"))
		l.add("function %+v", topology.Function{
			Name: name, Command: c.commands[x.text("Code", "S3Key")], Timeout: x.seconds("Timeout"), MemoryMB: x.number("MemorySize"),
			Concurrency: concurrency[name],
		})
		if x.at("ReservedConcurrentExecutions") != nil {
			l.add("%s reserves %s", x, x.text("ReservedConcurrentExecutions"))
		}
	}
	for _, x := range c.of("AWS::ECS::Service") {
		name := x.text("ServiceName")
		task := c.task(x)
		if task == nil || len(task.list("ContainerDefinitions")) != 1 {
			l.add("%s has no task of one container", name)
			continue
		}
		container := task.at("ContainerDefinitions", "0")
		for _, pair := range list(at(container, "Environment")) {
			l.add("%s has %s=%s", name, text(at(pair, "Name")), text(at(pair, "Value")))
		}
		l.allowed(c, name, task.text("TaskRoleArn"))
		image := text(at(container, "Image"))
		stop, _ := time.ParseDuration(text(at(container, "StopTimeout")) + "s")
		most := 0
		for _, s := range c.of("AWS::ApplicationAutoScaling::ScalableTarget") {
			if strings.HasSuffix(s.text("ResourceId"), "/"+name) {
				most = s.number("MaxCapacity")
			}
		}
		l.add("worker %+v", topology.Worker{Name: name, Command: c.commands[image[strings.LastIndex(image, ":")+1:]], StopTimeout: stop, Instances: most})
	}
}

// task is what a service runs.
func (c *cloud) task(service *resource) *resource {
	for _, x := range c.of("AWS::ECS::TaskDefinition") {
		if x.id == service.text("TaskDefinition") {
			return x
		}
	}
	return nil
}

// allowed has a line for each thing that a role may do.
func (l *lines) allowed(c *cloud, owner, role string) {
	for _, s := range c.statements(last(role)) {
		for _, on := range s.resources {
			l.may(owner, on, s.actions...)
		}
	}
}

func (c *cloud) foundAPIs(l *lines) {
	integrations, authorizers := map[string]string{}, map[string]*resource{}
	for _, x := range c.of("AWS::ApiGatewayV2::Integration") {
		integrations[x.id] = invoked(x.text("IntegrationUri"))
	}
	for _, x := range c.of("AWS::ApiGatewayV2::Authorizer") {
		authorizers[x.text("ApiId")] = x
	}
	for _, api := range c.of("AWS::ApiGatewayV2::Api") {
		id := api.text("Name")
		routes, schemes := map[string]string{}, map[string]string{}
		for _, x := range c.of("AWS::ApiGatewayV2::Route") {
			if x.text("ApiId") == id {
				key := x.text("RouteKey")
				routes[key], schemes[key] = integrations[strings.TrimPrefix(x.text("Target"), "integrations/")], x.text("AuthorizationType")
			}
		}
		l.routes(id, routes, func(key string) string { return schemes[key] })
		var stage string
		var throttle topology.Throttle
		for _, x := range c.of("AWS::ApiGatewayV2::Stage") {
			if x.text("ApiId") == id {
				stage += x.text("StageName")
				throttle = topology.Throttle{Rate: x.number("DefaultRouteSettings", "ThrottlingRateLimit"), Burst: x.number("DefaultRouteSettings", "ThrottlingBurstLimit")}
			}
		}
		authorizer := authorizers[id]
		if api.text("ProtocolType") == "WEBSOCKET" {
			w := topology.WebSocketAPI{Name: id, Stage: stage, Throttle: throttle}
			if authorizer != nil {
				w.Authorizer = topology.Authorizer{Function: invoked(authorizer.text("AuthorizerUri")), Identity: texts(authorizer.at("IdentitySource"))}
			}
			l.add("WebSocket API %+v", w)
			continue
		}
		h := topology.HTTPAPI{Name: id, Throttle: throttle, CORS: topology.CORS{
			Origins: topology.Ref{Name: strings.Join(texts(api.at("CorsConfiguration", "AllowOrigins")), ",")},
			Headers: texts(api.at("CorsConfiguration", "AllowHeaders")), Expose: texts(api.at("CorsConfiguration", "ExposeHeaders")),
			MaxAge: api.seconds("CorsConfiguration", "MaxAge"),
		}}
		if authorizer != nil {
			h.JWT = topology.JWT{
				Issuer:   topology.Ref{Name: authorizer.text("JwtConfiguration", "Issuer")},
				Audience: topology.Ref{Name: strings.Join(texts(authorizer.at("JwtConfiguration", "Audience")), ",")},
			}
		}
		if stage != "$default" {
			l.add("stage %s of %s", stage, id)
		}
		l.add("HTTP API %+v", h)
	}
}

// invoked is the function that an address or an ARN invokes.
func invoked(uri string) string { return last(strings.TrimSuffix(uri, "/invocations")) }
