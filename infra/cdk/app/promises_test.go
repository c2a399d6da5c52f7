package app_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iops-dashboard/live/infra/cdk/data"
	"github.com/iops-dashboard/live/infra/cdk/experience"
	"github.com/iops-dashboard/live/infra/cdk/site"
	"github.com/iops-dashboard/live/infra/cdk/watch"
	"github.com/iops-dashboard/live/infra/topology"
)

// promises are what every deployment keeps. Each is a function from the templates to what is wrong with them, so that
// TestPromisesFindWhatIsBroken can break each.
var promises = map[string]func(*cloud) []string{
	"what a template refers to is there":                resolves,
	"templates equal the topology":                      equalsTopology,
	"every queue has a place of rest":                   queuesRest,
	"what is delivered arrives":                         deliveriesArrive,
	"queues, topics and buckets want TLS":               tlsEverywhere,
	"what is kept is encrypted":                         encrypted,
	"each policy of a queue lets one sender in":         oneSenderEach,
	"no policy has an unexplained star":                 noUnexplainedStar,
	"each role is one deployable's":                     oneRoleEach,
	"the fanout posts and closes, and no more":          fanoutPostsAndCloses,
	"nothing but the site is public":                    onlyTheSiteIsPublic,
	"every function is logged, and made alike":          functionsAreAlike,
	"data is kept":                                      dataIsKept,
	"mappings give up in the end, and keep what it was": mappingsGiveUp,
	"nobody connects or asks without a ticket or token": nobodyComesUnasked,
	"access logs have no ticket":                        accessLogsHaveNoTicket,
	"clients are bounded":                               clientsAreBounded,
	"outputs are what users rely on":                    outputsStay,
	"names are what users rely on, and short enough":    namesStay,
	"stages do not mix":                                 stagesDoNotMix,
	"stacks fit into CloudFormation":                    stacksFit,
	"who invokes a function may":                        invokersMay,
	"pages may use the methods that routes have":        pagesMayAsk,
	"what is watched is there, and what rests is":       watchedIsThere,
}

func TestPromises(t *testing.T) {
	for _, variant := range names() {
		t.Run(variant, func(t *testing.T) {
			c := synth(t, variant)
			for _, promise := range slices.Sorted(maps.Keys(promises)) {
				for _, fault := range promises[promise](c) {
					t.Errorf("%s: %s", promise, fault)
				}
			}
		})
	}
}

func resolves(c *cloud) []string {
	_, faults := c.resolve()
	for stack := range c.templates {
		values, _ := c.outputs(stack)
		for name, value := range values {
			if strings.Contains(value, "?") {
				faults = append(faults, fmt.Sprintf("%s: output %s is %s", stack, name, value))
			}
		}
		for id, x := range c.templates[stack].Resources {
			for _, before := range x.DependsOn {
				if c.templates[stack].Resources[before] == nil {
					faults = append(faults, fmt.Sprintf("%s: %s waits for %s, which is not there", stack, id, before))
				}
			}
		}
	}
	return faults
}

// Messages that fail five times rest for 14 days, longer than their source keeps them, and come back no sooner than six
// times the time that their consumer may take. What rests is consumed by nobody.
func queuesRest(c *cloud) []string {
	var faults lines
	timeouts := map[string]time.Duration{} // of who consumes a queue, by its ARN
	functions := map[string]time.Duration{}
	for _, x := range c.of("AWS::Lambda::Function") {
		functions[x.text("FunctionName")] = x.seconds("Timeout")
	}
	for _, x := range c.of("AWS::Lambda::EventSourceMapping") {
		timeouts[x.text("EventSourceArn")] = 6 * functions[last(x.text("FunctionName"))]
	}
	for _, x := range c.of("AWS::ECS::TaskDefinition") {
		container := x.at("ContainerDefinitions", "0")
		for _, pair := range list(at(container, "Environment")) {
			if text(at(pair, "Name")) == "FANOUT_QUEUE_URL" { // a worker renews what it holds, until it is stopped
				stop, _ := time.ParseDuration(text(at(container, "StopTimeout")) + "s")
				timeouts[arn("sqs", last(text(at(pair, "Value"))))] = stop
			}
		}
	}
	queues := map[string]*resource{}
	for _, x := range c.of("AWS::SQS::Queue") {
		queues[arn("sqs", x.text("QueueName"))] = x
	}
	if len(queues) == 0 {
		faults.add("there is no queue")
	}
	for key, x := range queues {
		retention, consumer := x.seconds("MessageRetentionPeriod"), timeouts[key]
		target := x.text("RedrivePolicy", "deadLetterTargetArn")
		if target == "" {
			if retention != topology.DeadLetterRetention || consumer != 0 {
				faults.add("%s: no dead-letter queue, though it keeps messages for %s and may have a consumer", x, retention)
			}
			continue
		}
		rest := queues[target]
		switch {
		case rest == nil:
			faults.add("%s: its dead-letter queue %s is not there", x, target)
		case rest.seconds("MessageRetentionPeriod") <= retention:
			faults.add("%s: its dead-letter queue keeps messages for %s, no longer than it", x, rest.seconds("MessageRetentionPeriod"))
		case rest.at("RedrivePolicy") != nil:
			faults.add("%s: its dead-letter queue moves messages on", x)
		}
		if n := x.number("RedrivePolicy", "maxReceiveCount"); n < 5 {
			faults.add("%s: messages rest after %d receives", x, n)
		}
		if visibility := x.seconds("VisibilityTimeout"); consumer == 0 || visibility < consumer {
			faults.add("%s: messages come back after %s, its consumer may take %s", x, visibility, consumer)
		}
	}
	slices.Sort(faults)
	return faults
}

// SNS and S3 may send to the queues that they are told to, whose keys they may use, and are told only once they may.
func deliveriesArrive(c *cloud) []string {
	var faults lines
	policies := c.resourcePolicies()
	check := func(from *resource, service, source, queue string) {
		made := false
		for _, s := range policies[queueURL(last(queue))] {
			if who, _ := services(s.principal); s.effect == "Allow" && slices.Equal(who, []string{service}) && slices.Contains(s.actions, "sqs:SendMessage") &&
				condition(s, "aws:SourceArn") == source && condition(s, "aws:SourceAccount") == account && subset([]string{queue}, s.resources) {
				made = slices.Contains(from.DependsOn, s.of.id)
				if !made {
					faults.add("%s: may be made before %s lets it send", from, queue)
				}
				made = true
			}
		}
		if !made {
			faults.add("%s: %s does not let %s send", from, queue, source)
		}
		for _, x := range c.of("AWS::SQS::Queue") {
			if arn("sqs", x.text("QueueName")) == queue && (x.at("KmsMasterKeyId") != nil || x.text("SqsManagedSseEnabled") != "true") {
				faults.add("%s: cannot use the key of %s", from, queue)
			}
		}
	}
	for _, x := range c.of("AWS::SNS::Subscription") {
		if x.text("Protocol") != "sqs" {
			continue
		}
		rest := x.text("RedrivePolicy", "deadLetterTargetArn")
		if rest == "" || rest == x.text("Endpoint") {
			faults.add("%s: what SNS cannot deliver is lost", x)
			continue
		}
		check(x, "sns.amazonaws.com", x.text("TopicArn"), x.text("Endpoint"))
		check(x, "sns.amazonaws.com", x.text("TopicArn"), rest)
	}
	for _, x := range c.of("AWS::S3::Bucket") {
		for _, q := range x.list("NotificationConfiguration", "QueueConfigurations") {
			if e := text(at(q, "Event")); e != "s3:ObjectCreated:*" {
				faults.add("%s: tells of %s", x, e)
			}
			check(x, "s3.amazonaws.com", "arn:aws:s3:::"+x.text("BucketName"), text(at(q, "Queue")))
		}
	}
	return faults
}

func encrypted(c *cloud) []string {
	var faults lines
	for _, x := range c.of("AWS::SQS::Queue") {
		if x.text("SqsManagedSseEnabled") != "true" && x.at("KmsMasterKeyId") == nil {
			faults.add("%s: not encrypted", x)
		}
	}
	for _, x := range c.of("AWS::S3::Bucket") {
		if text(at(x.at("BucketEncryption", "ServerSideEncryptionConfiguration", "0"), "ServerSideEncryptionByDefault", "SSEAlgorithm")) == "" {
			faults.add("%s: not encrypted", x)
		}
	}
	for _, x := range c.of("AWS::DynamoDB::Table") { // always encrypted; it can be the owner's key or the account's
		if x.text("SSESpecification", "SSEEnabled") == "false" {
			faults.add("%s: under a key that is not the account's, by name", x)
		}
	}
	return faults
}

// The distribution is what everybody may read. Where the tasks have addresses of their own, nobody reaches them.
func onlyTheSiteIsPublic(c *cloud) []string {
	faults := lines(c.none(
		"AWS::Lambda::Url", "AWS::ElasticLoadBalancing::LoadBalancer", "AWS::ElasticLoadBalancingV2::LoadBalancer", "AWS::EC2::Instance",
		"AWS::EC2::SecurityGroupIngress", "AWS::ApiGateway::RestApi", "AWS::Cognito::IdentityPool", "AWS::S3::AccessPoint", "AWS::ECR::PublicRepository",
		"AWS::EC2::EIP", "AWS::EC2::NatGateway",
	))
	for _, x := range c.of("AWS::S3::Bucket") {
		for _, way := range []string{"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"} {
			if x.text("PublicAccessBlockConfiguration", way) != "true" {
				faults.add("%s: without %s", x, way)
			}
		}
		if x.at("WebsiteConfiguration") != nil {
			faults.add("%s: is a website without TLS", x)
		}
	}
	for _, x := range c.of("AWS::EC2::SecurityGroup") {
		if len(x.list("SecurityGroupIngress")) > 0 {
			faults.add("%s: lets somebody in", x)
		}
	}
	for _, x := range c.of("AWS::CloudFront::Distribution") {
		if x.stack != c.settings.Named(site.Name) {
			faults.add("%s: a distribution that is not the site's", x)
		}
		for _, o := range x.list("DistributionConfig", "Origins") {
			if text(at(o, "OriginAccessControlId")) == "" {
				faults.add("%s: reads %s as everybody", x, text(at(o, "DomainName")))
			}
		}
	}
	if n := len(c.of("AWS::CloudFront::Distribution")); n != 1 {
		faults.add("%d distributions", n)
	}
	for _, x := range c.of("AWS::Cognito::UserPool") {
		if x.text("AdminCreateUserConfig", "AllowAdminCreateUserOnly") != "true" {
			faults.add("%s: everybody can sign up", x)
		}
	}
	for _, x := range c.of("AWS::Cognito::UserPoolClient") {
		for _, a := range texts(x.at("WriteAttributes")) {
			if strings.HasPrefix(a, "custom:") {
				faults.add("%s: users can change their own %s", x, a)
			}
		}
		if x.at("WriteAttributes") == nil {
			faults.add("%s: users can change all that is said of them", x)
		}
		for _, flow := range texts(x.at("AllowedOAuthFlows")) {
			if flow != "code" {
				faults.add("%s: allows the %s flow", x, flow)
			}
		}
	}
	return faults
}

// Every function is a program for Amazon Linux, in the asked architecture, and its log has an end.
func functionsAreAlike(c *cloud) []string {
	var faults lines
	groups := map[string]bool{}
	for _, x := range c.of("AWS::Logs::LogGroup") {
		groups[x.String()] = true
		if x.number("RetentionInDays") == 0 {
			faults.add("log %s: kept for ever", x)
		}
	}
	for _, x := range c.of("AWS::Lambda::Function") {
		if x.text("Runtime") != "provided.al2023" || !slices.Equal(texts(x.at("Architectures")), []string{c.settings.Architecture}) || x.text("Handler") != "bootstrap" {
			faults.add("%s: runs %s, %s on %v", x, x.text("Runtime"), x.text("Handler"), x.at("Architectures"))
		}
		if c.commands[x.text("Code", "S3Key")] == "" {
			faults.add("%s: its code is none of our programs", x)
		}
		if log := x.text("LoggingConfig", "LogGroup"); !groups[log] || log != "/aws/lambda/"+x.text("FunctionName") {
			faults.add("%s: its log is %q", x, log)
		}
	}
	for _, x := range c.of("AWS::ECS::TaskDefinition") {
		for _, container := range x.list("ContainerDefinitions") {
			if log := text(at(container, "LogConfiguration", "Options", "awslogs-group")); !groups[log] {
				faults.add("%s: its log is %q", x, log)
			}
			if text(at(container, "ReadonlyRootFilesystem")) != "true" || text(at(container, "Privileged")) == "true" {
				faults.add("%s: can write to its own files", x)
			}
		}
	}
	return faults
}

// What the topology keeps can be restored to any second, cannot be deleted by mistake, and stays when the stacks go. So
// stay what streams have given up, and the users.
func dataIsKept(c *cloud) []string {
	var faults lines
	stays := func(x *resource) bool {
		return (x.DeletionPolicy == "Retain" || x.DeletionPolicy == "RetainExceptOnCreate") && x.UpdateReplacePolicy == "Retain"
	}
	system := c.settings.Topology()
	kept := 0
	for _, x := range c.of("AWS::DynamoDB::Table") {
		t, _ := system.Table(x.text("TableName"))
		protected := x.text("DeletionProtectionEnabled") == "true"
		if t.Kept != (stays(x) && protected) || !t.Kept && (stays(x) || protected) {
			faults.add("table %s: stays %t, protected %t, and is kept %t", x, stays(x), protected, t.Kept)
		}
		if t.Kept && x.text("PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled") != "true" {
			faults.add("table %s: cannot be restored", x)
		}
		if t.Kept {
			kept++
		}
	}
	if kept == 0 {
		faults.add("no table is kept")
	}
	for _, x := range c.of("AWS::S3::Bucket") {
		if x.stack == c.settings.Named(experience.Name) && (!stays(x) || x.text("VersioningConfiguration", "Status") != "Enabled") {
			faults.add("bucket %s: what it keeps can be lost", x)
		}
	}
	for _, x := range c.of("AWS::Cognito::UserPool") {
		if !stays(x) || x.text("DeletionProtection") != "ACTIVE" {
			faults.add("user pool %s: users can be lost", x)
		}
	}
	return faults
}

// A batch of a stream that fails is split, tried a bounded number of times and for less than the day that its records
// live, and then kept with its payload. It starts at the oldest record. A queue's names what failed.
func mappingsGiveUp(c *cloud) []string {
	var faults lines
	buckets := map[string]bool{}
	for _, x := range c.of("AWS::S3::Bucket") {
		buckets["arn:aws:s3:::"+x.text("BucketName")] = len(x.list("NotificationConfiguration", "QueueConfigurations")) == 1
	}
	all := c.of("AWS::Lambda::EventSourceMapping")
	if len(all) == 0 {
		faults.add("there is no mapping")
	}
	for _, x := range all {
		if !slices.Equal(texts(x.at("FunctionResponseTypes")), []string{"ReportBatchItemFailures"}) {
			faults.add("%s: a whole batch fails with one record", x)
		}
		if len(x.DependsOn) == 0 || !slices.ContainsFunc(x.DependsOn, func(id string) bool {
			p := c.templates[x.stack].Resources[id]
			return p != nil && p.Type == "AWS::IAM::Policy"
		}) {
			faults.add("%s: may be made before its role may read", x)
		}
		if strings.Contains(x.text("EventSourceArn"), ":sqs:") {
			if n := x.number("ScalingConfig", "MaximumConcurrency"); n < 2 {
				faults.add("%s: concurrency %d, AWS wants at least 2", x, n)
			}
			continue
		}
		if n := x.number("MaximumRetryAttempts"); x.at("MaximumRetryAttempts") == nil || n < 0 {
			faults.add("%s: tries for ever", x)
		}
		if age := x.seconds("MaximumRecordAgeInSeconds"); age < time.Minute || age >= 24*time.Hour {
			faults.add("%s: tries records that are %s old", x, age)
		}
		if x.text("BisectBatchOnFunctionError") != "true" || x.text("StartingPosition") != "TRIM_HORIZON" {
			faults.add("%s: not split, or not from the oldest record", x)
		}
		if rest := x.text("DestinationConfig", "OnFailure", "Destination"); !buckets[rest] {
			faults.add("%s: what it gives up goes to %q, which is no bucket that tells", x, rest)
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(x.text("EventSourceArn"), strings.SplitAfter(x.text("EventSourceArn"), ":table/")[0]), "/")
		for _, m := range c.settings.Topology().Streams {
			if m.Table == name && m.Filter != nil && len(x.list("FilterCriteria", "Filters")) != 1 {
				faults.add("%s: reads all items of %s", x, name)
			}
		}
	}
	return faults
}

// Where tickets are wanted, nobody opens a socket without one, and nobody asks without a token. Of a WebSocket API only
// $connect can be authorised; its identity is the ticket, and is never remembered.
func nobodyComesUnasked(c *cloud) []string {
	var faults lines
	wanted := c.settings.Auth == topology.AuthTicket
	protocols := map[string]string{}
	for _, x := range c.of("AWS::ApiGatewayV2::Api") {
		protocols[x.text("Name")] = x.text("ProtocolType")
		if o := texts(x.at("CorsConfiguration", "AllowOrigins")); slices.Contains(o, "*") || x.text("CorsConfiguration", "AllowCredentials") == "true" {
			faults.add("%s: lets pages of %v ask", x, o)
		}
	}
	authorizers := map[string]*resource{}
	for _, x := range c.of("AWS::ApiGatewayV2::Authorizer") {
		authorizers[x.id] = x
		if n := x.number("AuthorizerResultTtlInSeconds"); n != 0 {
			faults.add("%s: remembers for %d s whom it let in", x, n)
		}
	}
	connects := 0
	for _, x := range c.of("AWS::ApiGatewayV2::Route") {
		key, scheme, by := x.text("RouteKey"), x.text("AuthorizationType"), authorizers[x.text("AuthorizerId")]
		socket := protocols[x.text("ApiId")] == "WEBSOCKET"
		want := "NONE"
		switch {
		case socket && key == "$connect":
			connects++
			if wanted {
				want = "CUSTOM"
			}
		case !socket && wanted:
			want = "JWT"
		}
		if scheme != want {
			faults.add("route %s of %s asks %s, want %s", key, x.text("ApiId"), scheme, want)
		}
		if (want != "NONE") != (by != nil) || by != nil && by.text("ApiId") != x.text("ApiId") {
			faults.add("route %s of %s: no authorizer, or one that is not its API's", key, x.text("ApiId"))
		}
	}
	if connects != 1 {
		faults.add("%d routes for $connect", connects)
	}
	for _, x := range authorizers {
		switch x.text("AuthorizerType") {
		case "REQUEST":
			if !slices.Equal(texts(x.at("IdentitySource")), []string{"route.request.querystring.ticket"}) {
				faults.add("%s: is asked about %v", x, x.at("IdentitySource"))
			}
		case "JWT":
			if issuer := x.text("JwtConfiguration", "Issuer"); !strings.HasPrefix(issuer, "https://") || x.text("JwtConfiguration", "Audience", "0") == "" {
				faults.add("%s: trusts %q for %v", x, issuer, x.at("JwtConfiguration", "Audience"))
			}
		default:
			faults.add("%s: of type %s", x, x.text("AuthorizerType"))
		}
	}
	return faults
}

// known are the properties of a request's context that a log may have: none of them is what a client wrote, and none is
// an address with a query.
var known = []string{
	"requestId", "requestTime", "identity.sourceIp", "connectionId", "eventType", "routeKey", "status", "responseLatency",
	"error.message", "error.messageString", "authorizer.error", "integration.error",
}

var contextVariable = regexp.MustCompile(`\$(context|util|request|stageVariables|input)\.?([a-zA-Z.]*)`)

func accessLogsHaveNoTicket(c *cloud) []string {
	var faults lines
	for _, x := range c.of("AWS::ApiGatewayV2::Stage") {
		format := x.text("AccessLogSettings", "Format")
		if format == "" || x.text("AccessLogSettings", "DestinationArn") == "" {
			faults.add("stage %s of %s: no access log", x.text("StageName"), x.text("ApiId"))
		}
		var line map[string]string
		if err := json.Unmarshal([]byte(format), &line); err != nil {
			faults.add("stage %s of %s: its log is not JSON: %v", x.text("StageName"), x.text("ApiId"), err)
		}
		for _, v := range contextVariable.FindAllStringSubmatch(format, -1) {
			if v[1] != "context" || !slices.Contains(known, v[2]) {
				faults.add("stage %s of %s: logs %s", x.text("StageName"), x.text("ApiId"), v[0])
			}
		}
		for _, settings := range append(x.list("RouteSettings"), x.at("DefaultRouteSettings")) {
			if level := text(at(settings, "LoggingLevel")); text(at(settings, "DataTraceEnabled")) == "true" || level == "INFO" {
				faults.add("stage %s of %s: logs requests whole", x.text("StageName"), x.text("ApiId"))
			}
		}
	}
	return faults
}

func clientsAreBounded(c *cloud) []string {
	var faults lines
	rate := 0
	all := c.of("AWS::ApiGatewayV2::Stage")
	for _, x := range all {
		rate += x.number("DefaultRouteSettings", "ThrottlingRateLimit")
		if x.number("DefaultRouteSettings", "ThrottlingRateLimit") == 0 || x.number("DefaultRouteSettings", "ThrottlingBurstLimit") == 0 {
			faults.add("stage %s of %s: clients are not bounded", x.text("StageName"), x.text("ApiId"))
		}
		if x.text("DefaultRouteSettings", "DetailedMetricsEnabled") != "true" {
			faults.add("stage %s of %s: its routes are not measured", x.text("StageName"), x.text("ApiId"))
		}
	}
	if len(all) != 2 || rate > topology.DefaultRate/10 {
		faults.add("%d stages let clients make %d requests a second, a tenth of the quota is theirs", len(all), rate)
	}
	return faults
}

// outputsStay sees what users and other stacks rely on. Connections are posted to by https, and opened by wss.
func outputsStay(c *cloud) []string {
	var faults lines
	values, exports := c.outputs(c.settings.Named(experience.Name))
	w := c.settings.Topology().WebSocket
	host := strings.TrimPrefix(apiURL(w.Name), "https")
	want := map[string]string{
		"WebSocketURL": "wss" + host + "/" + w.Stage, "WebSocketAPIEndpoint": "https" + host + "/" + w.Stage,
		"ApiURL": apiURL(c.settings.Topology().HTTP.Name), "SiteURL": "https://" + siteHost,
	}
	for name, value := range want {
		if values[name] != value {
			faults.add("output %s is %q, want %q", name, values[name], value)
		}
	}
	export := "IOpsDashboard-WebSocketURL"
	if c.settings.Stage != topology.Production {
		export += "-" + c.settings.Stage
	}
	if exports[export] != want["WebSocketURL"] {
		faults.add("%s is exported as %q", export, exports[export])
	}
	if tokens := values["TokenIssuer"] != "" && values["TokenClientId"] != ""; tokens != (c.settings.Auth == topology.AuthTicket) {
		faults.add("who signs tokens is %q, for %q", values["TokenIssuer"], values["TokenClientId"])
	}
	return faults
}

// longest are the most characters of a name, by the type of the resource:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html,
// https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html, and so on.
var longest = map[string]int{
	"AWS::S3::Bucket": 63, "AWS::Lambda::Function": 64, "AWS::SQS::Queue": 80, "AWS::DynamoDB::Table": 255, "AWS::SNS::Topic": 256,
	"AWS::Logs::LogGroup": 512, "AWS::CloudWatch::Alarm": 255, "AWS::ApiGatewayV2::Api": 128, "AWS::ECS::Service": 255,
	"AWS::ECS::Cluster": 255, "AWS::Cognito::UserPoolDomain": 63, "AWS::IAM::Role": 64,
}

func namesStay(c *cloud) []string {
	var faults lines
	suffix := ""
	if c.settings.Stage != topology.Production {
		suffix = "-" + c.settings.Stage
	}
	for _, name := range []string{"IOpsDashboard-DataStack", "IOpsDashboard-ExperienceStack", "IOpsDashboard-SiteStack", "IOpsDashboard-WatchStack"} {
		own := c.settings.Metrics.ARN == "" || c.settings.Insights.ARN == "" || name != data.Name
		if _, ok := c.templates[name+suffix]; ok != own {
			faults.add("stack %s is there: %t", name+suffix, ok)
		}
	}
	if len(c.templates) > 4 {
		faults.add("%d stacks", len(c.templates))
	}
	has := func(kind, property, name, stack string) {
		for _, x := range c.of(kind) {
			if x.text(property) == name && x.stack == stack+suffix {
				return
			}
		}
		faults.add("%s has no %s %s", stack+suffix, kind, name)
	}
	for table, brought := range map[string]string{"iops-dashboard-metrics": c.settings.Metrics.ARN, "iops-dashboard-insights": c.settings.Insights.ARN} {
		if brought == "" {
			has("AWS::DynamoDB::Table", "TableName", table+suffix, data.Name)
		}
	}
	has("AWS::DynamoDB::Table", "TableName", "iops-dashboard-connections"+suffix, experience.Name)
	has("AWS::DynamoDB::Table", "TableName", "iops-dashboard-state"+suffix, experience.Name)
	has("AWS::ApiGatewayV2::Api", "Name", "iops-dashboard-websocket"+suffix, experience.Name)
	stage := c.settings.Stage
	has("AWS::ApiGatewayV2::Stage", "StageName", stage, experience.Name)

	seen := map[string]string{}
	all, _ := c.resolve()
	for _, x := range all {
		name, ok := x.Properties[nameOf[x.Type]].(string)
		if !ok {
			continue
		}
		if other, taken := seen[x.Type+name]; taken {
			faults.add("%s and %s/%s are both called %s", other, x.stack, x.id, name)
		}
		seen[x.Type+name] = x.stack + "/" + x.id
		if n, ok := longest[x.Type]; !ok || len(name) > n || name == "" {
			faults.add("%s %s has %d characters, of %d", x.Type, name, len(name), n)
		}
	}
	return faults
}

// Everything that has a name of its own has the stage in it, or two stages could not be in one account.
func stagesDoNotMix(c *cloud) []string {
	var faults lines
	if c.settings.Stage == topology.Production {
		return nil
	}
	all, _ := c.resolve()
	for _, x := range all {
		if name, ok := x.Properties[nameOf[x.Type]].(string); ok && !strings.Contains(name, c.settings.Stage) {
			faults.add("%s %s does not name its stage", x.Type, name)
		}
	}
	for stack := range c.templates {
		_, exports := c.outputs(stack)
		for export := range exports {
			if !strings.Contains(export, c.settings.Stage) {
				faults.add("%s exports %s, which does not name its stage", stack, export)
			}
		}
	}
	for _, x := range c.of("AWS::CloudWatch::Dashboard") {
		if !strings.Contains(x.text("DashboardName"), c.settings.Stage) {
			faults.add("dashboard %s does not name its stage", x.text("DashboardName"))
		}
	}
	if _, ok := c.templates[c.settings.Named(watch.Name)]; !ok {
		faults.add("nobody watches this stage")
	}
	return faults
}

// Every route, authorizer and schedule may invoke its function: API Gateway answers 500 where it may not, and nothing is
// in any log. What a schedule runs is run once.
func invokersMay(c *cloud) []string {
	var faults lines
	may := map[string]bool{}
	for _, x := range c.of("AWS::Lambda::Permission") {
		may[x.text("Principal")+" for "+x.text("SourceArn")+" may invoke "+last(x.text("FunctionName"))] = true
	}
	check := func(principal, source, function string) {
		if !may[principal+" for "+source+" may invoke "+function] {
			faults.add("%s may not invoke %s", source, function)
		}
	}
	once := map[string]bool{} // what is invoked by an event, and not again
	for _, x := range c.of("AWS::Lambda::EventInvokeConfig") {
		once[x.text("FunctionName")] = x.text("MaximumRetryAttempts") == "0"
	}
	functions, stages := map[string]string{}, map[string]string{}
	for _, x := range c.of("AWS::ApiGatewayV2::Integration") {
		functions["integrations/"+x.id] = invoked(x.text("IntegrationUri"))
	}
	for _, x := range c.of("AWS::ApiGatewayV2::Stage") {
		stages[x.text("ApiId")] = x.text("StageName")
	}
	for _, x := range c.of("AWS::ApiGatewayV2::Route") {
		// Of an HTTP API's route the source is the method and the path, as the route has them.
		check("apigateway.amazonaws.com", arn("execute-api", x.text("ApiId")+"/"+stages[x.text("ApiId")]+"/"+strings.Replace(x.text("RouteKey"), " ", "", 1)), functions[x.text("Target")])
	}
	for _, x := range c.of("AWS::ApiGatewayV2::Authorizer") {
		if uri := x.text("AuthorizerUri"); uri != "" {
			check("apigateway.amazonaws.com", arn("execute-api", x.text("ApiId")+"/authorizers/"+x.id), invoked(uri))
		}
	}
	for _, x := range c.of("AWS::Events::Rule") {
		for _, target := range x.list("Targets") {
			function := last(text(at(target, "Arn")))
			check("events.amazonaws.com", arn("events", "rule/"+x.id), function)
			if text(at(target, "RetryPolicy", "MaximumRetryAttempts")) != "0" || !once[function] {
				faults.add("%s: a run that fails is repeated", function)
			}
		}
	}
	return faults
}

// Pages may use the methods that routes have. API Gateway itself answers what a browser asks before it sends a token,
// unless there is a route that takes OPTIONS, as $default does.
func pagesMayAsk(c *cloud) []string {
	var faults lines
	for _, api := range c.of("AWS::ApiGatewayV2::Api") {
		if api.text("ProtocolType") != "HTTP" {
			continue
		}
		used := map[string]bool{}
		for _, x := range c.of("AWS::ApiGatewayV2::Route") {
			if x.text("ApiId") != api.text("Name") {
				continue
			}
			method, _, _ := strings.Cut(x.text("RouteKey"), " ")
			if used[method] = true; method == "$default" || method == "ANY" || method == "OPTIONS" {
				faults.add("%s: pages are refused by route %s", api, x.text("RouteKey"))
			}
		}
		want, got := slices.Sorted(maps.Keys(used)), texts(api.at("CorsConfiguration", "AllowMethods"))
		if slices.Sort(got); !slices.Equal(got, want) && !subset(want, got) {
			faults.add("%s: pages may use %v, and routes have %v", api, got, want)
		}
		if slices.ContainsFunc(got, func(m string) bool { return m == "*" || m == "DELETE" || m == "PUT" }) {
			faults.add("%s: pages may use %v", api, got)
		}
	}
	return faults
}

// Alarms and graphs find metrics by names, which are those of what is there. Each place of rest has an alarm on the
// messages in it, and every alarm on one tells somebody.
func watchedIsThere(c *cloud) []string {
	var faults lines
	there := map[string]map[string]bool{"QueueName": {}, "FunctionName": {}, "TopicName": {}, "TableName": {}, "ApiId": {}, "BucketName": {}}
	for kind, dimension := range map[string]string{
		"AWS::SQS::Queue": "QueueName", "AWS::Lambda::Function": "FunctionName", "AWS::SNS::Topic": "TopicName", "AWS::DynamoDB::Table": "TableName",
		"AWS::ApiGatewayV2::Api": "ApiId", "AWS::S3::Bucket": "BucketName",
	} {
		for _, x := range c.of(kind) {
			there[dimension][x.String()] = true
		}
	}
	for _, brought := range []string{c.settings.Metrics.Name(), c.settings.Insights.Name()} {
		there["TableName"][brought] = true
	}
	resting := map[string]bool{}
	check := func(of *resource, dimension, value string) {
		if known := there[dimension]; known != nil && !known[value] {
			faults.add("%s: watches %s %s, which is not there", of, dimension, value)
		}
	}
	for _, x := range c.of("AWS::CloudWatch::Alarm") {
		metrics := []any{map[string]any(x.Properties)}
		for _, m := range x.list("Metrics") {
			metrics = append(metrics, at(m, "MetricStat", "Metric"))
		}
		for _, m := range metrics {
			for _, d := range list(at(m, "Dimensions")) {
				name, value := text(at(d, "Name")), text(at(d, "Value"))
				check(x, name, value)
				if name == "QueueName" && text(at(m, "MetricName")) == "ApproximateNumberOfMessagesVisible" {
					resting[value] = true
				}
			}
		}
		if len(x.list("AlarmActions")) == 0 || x.text("ActionsEnabled") == "false" {
			faults.add("%s: tells nobody", x)
		}
	}
	for _, x := range c.of("AWS::SQS::Queue") {
		if x.at("RedrivePolicy") == nil && !resting[x.text("QueueName")] {
			faults.add("%s: messages rest there, and nobody is told", x)
		}
	}
	for _, x := range c.of("AWS::CloudWatch::Dashboard") {
		var body struct {
			Widgets []struct {
				Properties struct{ Metrics [][]any }
			}
		}
		if err := json.Unmarshal([]byte(x.text("DashboardBody")), &body); err != nil {
			faults.add("%s: %v", x, err)
		}
		for _, w := range body.Widgets {
			for _, m := range w.Properties.Metrics {
				for i := 2; i+1 < len(m); i += 2 { // namespace, metric, and pairs of dimensions
					check(x, text(m[i]), text(m[i+1]))
				}
			}
		}
	}
	if len(c.of("AWS::CloudWatch::Dashboard")) != 1 {
		faults.add("%d dashboards", len(c.of("AWS::CloudWatch::Dashboard")))
	}
	return faults
}

// The quotas of a stack: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
const (
	mostResources = 500
	mostOutputs   = 200
	mostBytes     = 1 << 20
)

func stacksFit(c *cloud) []string {
	var faults lines
	for name, stack := range c.templates {
		file, err := os.Stat(filepath.Join(c.folder, name+".template.json"))
		if err != nil || len(stack.Resources) > mostResources || len(stack.Outputs) > mostOutputs || file.Size() > mostBytes {
			faults.add("%s: %d resources, %d outputs, %v", name, len(stack.Resources), len(stack.Outputs), err)
		}
	}
	return faults
}
