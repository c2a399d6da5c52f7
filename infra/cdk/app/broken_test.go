package app_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// edit changes the first resource of a type whose properties have a text in them.
func (c *cloud) edit(t *testing.T, kind, with string, change func(x *resource)) {
	t.Helper()
	for _, stack := range slices.Sorted(maps.Keys(c.templates)) {
		for _, id := range slices.Sorted(maps.Keys(c.templates[stack].Resources)) {
			x := c.templates[stack].Resources[id]
			if content, err := json.Marshal(x.Properties); err != nil || x.Type != kind || !strings.Contains(string(content), with) {
				continue
			}
			before, _ := json.Marshal(x)
			change(x)
			if after, _ := json.Marshal(x); string(before) == string(after) && c.templates[stack].Resources[id] != nil {
				t.Fatalf("%s %s is as it was", kind, id)
			}
			return
		}
	}
	t.Fatalf("no %s has %s", kind, with)
}

// set puts a value, or nothing, where the path leads.
func set(x *resource, value any, path ...string) {
	final := path[len(path)-1]
	switch in := at(x.Properties, path[:len(path)-1]...).(type) {
	case map[string]any:
		if in[final] = value; value == nil {
			delete(in, final)
		}
	case []any:
		in[int(final[0]-'0')] = value
	}
}

// sets is an edit that sets one property.
func sets(kind, with string, value any, path ...string) func(*testing.T, *cloud) {
	return func(t *testing.T, c *cloud) {
		c.edit(t, kind, with, func(x *resource) { set(x, value, path...) })
	}
}

// replaces is an edit of the text of the properties.
func replaces(kind, with, old, text string) func(*testing.T, *cloud) {
	return func(t *testing.T, c *cloud) {
		c.edit(t, kind, with, func(x *resource) {
			content, err := json.Marshal(x.Properties)
			if err != nil {
				t.Fatal(err)
			}
			x.Properties = nil
			decoder := json.NewDecoder(strings.NewReader(strings.Replace(string(content), old, text, 1)))
			decoder.UseNumber()
			if err := decoder.Decode(&x.Properties); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// removes takes a resource away.
func removes(kind, with string) func(*testing.T, *cloud) {
	return func(t *testing.T, c *cloud) {
		c.edit(t, kind, with, func(x *resource) { delete(c.templates[x.stack].Resources, x.id) })
	}
}

// adds puts a resource into the ExperienceStack.
func adds(kind string, properties map[string]any) func(*testing.T, *cloud) {
	return func(t *testing.T, c *cloud) {
		stack := c.settings.Named("IOpsDashboard-ExperienceStack")
		c.templates[stack].Resources["added"] = &resource{Type: kind, Properties: properties, stack: stack, id: "added"}
	}
}

// earlier has a resource made without waiting for others.
func earlier(kind, with string) func(*testing.T, *cloud) {
	return func(t *testing.T, c *cloud) {
		c.edit(t, kind, with, func(x *resource) { x.DependsOn = nil })
	}
}

const (
	fanoutQueue = `"iops-dashboard-fanout-0"`
	fanoutDLQ   = `"iops-dashboard-fanout-0-dlq"`
	normalizer  = `"iops-dashboard-normalizer"`
)

// broken are faults, each in one template, and which promise finds them.
var broken = []struct {
	promise, want string
	plant         func(*testing.T, *cloud)
	variant       string // default if not given
}{
	{promise: "what a template refers to is there", want: "there is no", plant: removes("AWS::SQS::Queue", fanoutDLQ)},
	{promise: "what a template refers to is there", want: "which no stack exports", plant: func(_ *testing.T, c *cloud) {
		clear(c.templates["IOpsDashboard-DataStack"].Outputs)
	}},

	{promise: "templates equal the topology", want: "lack: function", plant: sets("AWS::Lambda::Function", normalizer, json.Number("31"), "Timeout")},
	{promise: "templates equal the topology", want: "lack: iops-dashboard-normalizer has QUARANTINE_QUEUE_URL=https://sqs", plant: sets("AWS::Lambda::Function", normalizer, nil, "Environment", "Variables", "QUARANTINE_QUEUE_URL")},
	{promise: "templates equal the topology", want: "lacks: iops-dashboard-normalizer has SECRET=", plant: sets("AWS::Lambda::Function", normalizer, "x", "Environment", "Variables", "SECRET")},
	{promise: "templates equal the topology", want: "Command:connect", plant: func(t *testing.T, c *cloud) {
		c.edit(t, "AWS::Lambda::Function", normalizer, func(n *resource) {
			c.edit(t, "AWS::Lambda::Function", `"iops-dashboard-connect"`, func(x *resource) {
				x.Properties["Code"], n.Properties["Code"] = n.Properties["Code"], x.Properties["Code"]
			})
		})
	}},
	{promise: "templates equal the topology", want: "lack: iops-dashboard-normalizer may sns:Publish", plant: replaces("AWS::IAM::Policy", "sns:Publish", "sns:Publish", "sns:ListTopics")},
	{promise: "templates equal the topology", want: "lacks: iops-dashboard-normalizer may sns:ListTopics", plant: replaces("AWS::IAM::Policy", "sns:Publish", "sns:Publish", "sns:ListTopics")},
	{promise: "templates equal the topology", want: "lacks: queue {Name:another", plant: adds("AWS::SQS::Queue", map[string]any{"QueueName": "another"})},
	{promise: "templates equal the topology", want: "lack: route $disconnect", plant: removes("AWS::ApiGatewayV2::Route", `"$disconnect"`)},
	{promise: "templates equal the topology", want: "lack: route sync of iops-dashboard-websocket: iops-dashboard-sync", plant: replaces("AWS::ApiGatewayV2::Route", `"sync"`, "socketiopsdashboardsync", "socketiopsdashboardconnect")},
	{promise: "templates equal the topology", want: "lack: schedule {Function:iops-dashboard-canary Every:1m0s}", plant: sets("AWS::Events::Rule", "", "rate(5 minutes)", "ScheduleExpression")},
	{promise: "templates equal the topology", want: "lack: stream {Table:iops-dashboard-metrics", plant: sets("AWS::Lambda::EventSourceMapping", "tableiopsdashboardmetrics", json.Number("1000"), "BatchSize")},
	{promise: "templates equal the topology", want: "lack: mapping {Queue:iops-dashboard-fanout-0", plant: sets("AWS::Lambda::EventSourceMapping", "queueiopsdashboardfanout0", json.Number("5"), "BatchSize")},
	{promise: "templates equal the topology", want: "lack: table {Name:iops-dashboard-connections", plant: sets("AWS::DynamoDB::Table", `"iops-dashboard-connections"`, nil, "TimeToLiveSpecification")},
	{promise: "templates equal the topology", want: "lack: table {Name:iops-dashboard-metrics", plant: replaces("AWS::DynamoDB::Table", `"iops-dashboard-metrics"`, `"ALL"`, `"KEYS_ONLY"`)},
	{promise: "templates equal the topology", want: "lack: topic iops-dashboard-updates", plant: sets("AWS::SNS::Topic", `"iops-dashboard-updates"`, "other", "TopicName")},
	{promise: "templates equal the topology", want: "lack: subscription", plant: sets("AWS::SNS::Subscription", "", false, "RawMessageDelivery")},
	{promise: "templates equal the topology", want: "lack: store", plant: sets("AWS::S3::Bucket", "iops-dashboard-failures", nil, "NotificationConfiguration")},
	{promise: "templates equal the topology", want: "lack: WebSocket API", plant: sets("AWS::ApiGatewayV2::Stage", `"prod"`, json.Number("501"), "DefaultRouteSettings", "ThrottlingRateLimit")},
	{promise: "templates equal the topology", want: "lack: HTTP API", plant: sets("AWS::ApiGatewayV2::Api", "CorsConfiguration", []any{"authorization"}, "CorsConfiguration", "AllowHeaders")},
	{promise: "templates equal the topology", want: "lack: worker", variant: "fargate", plant: replaces("AWS::ECS::TaskDefinition", "FANOUT_QUEUE_URL", `"StopTimeout":20`, `"StopTimeout":30`)},
	{promise: "templates equal the topology", want: "lack: worker", variant: "fargate", plant: sets("AWS::ApplicationAutoScaling::ScalableTarget", "", json.Number("99"), "MaxCapacity")},
	{promise: "templates equal the topology", want: "has FANOUT_BUCKETS", variant: "fargate", plant: replaces("AWS::ECS::TaskDefinition", "FANOUT_QUEUE_URL", `"FANOUT_BUCKETS"`, `"BUCKETS"`)},
	{promise: "templates equal the topology", want: "lack: stream {Table:findings", variant: "existing", plant: replaces("AWS::Lambda::EventSourceMapping", "table/findings", "table/findings", "table/other")},

	{promise: "every queue has a place of rest", want: "no dead-letter queue", plant: sets("AWS::SQS::Queue", fanoutQueue, nil, "RedrivePolicy")},
	{promise: "every queue has a place of rest", want: "come back after 1m0s", plant: sets("AWS::SQS::Queue", fanoutQueue, json.Number("60"), "VisibilityTimeout")},
	{promise: "every queue has a place of rest", want: "no longer than it", plant: sets("AWS::SQS::Queue", fanoutDLQ, json.Number("345600"), "MessageRetentionPeriod")},
	{promise: "every queue has a place of rest", want: "rest after 2 receives", plant: sets("AWS::SQS::Queue", fanoutQueue, json.Number("2"), "RedrivePolicy", "maxReceiveCount")},
	{promise: "every queue has a place of rest", want: "its consumer may take", variant: "fargate", plant: sets("AWS::SQS::Queue", fanoutQueue, json.Number("10"), "VisibilityTimeout")},

	{promise: "what is delivered arrives", want: "may be made before", plant: earlier("AWS::SNS::Subscription", "queueiopsdashboardfanout0")},
	{promise: "what is delivered arrives", want: "may be made before", plant: earlier("AWS::S3::Bucket", "iops-dashboard-failures")},
	{promise: "what is delivered arrives", want: "cannot use the key", plant: sets("AWS::SQS::Queue", fanoutQueue, "alias/aws/sqs", "KmsMasterKeyId")},
	{promise: "what is delivered arrives", want: "does not let arn:aws:s3", plant: replaces("AWS::SQS::QueuePolicy", "s3.amazonaws.com", "sqs:SendMessage", "sqs:ReceiveMessage")},
	{promise: "what is delivered arrives", want: "cannot deliver is lost", plant: sets("AWS::SNS::Subscription", "queueiopsdashboardfanout0", nil, "RedrivePolicy")},

	{promise: "queues, topics and buckets want TLS", want: "iops-dashboard-fanout-0: may be used without TLS", plant: replaces("AWS::SQS::QueuePolicy", `queueiopsdashboardfanout0`, `"aws:SecureTransport":"false"`, `"aws:SecureTransport":"true"`)},
	{promise: "queues, topics and buckets want TLS", want: "iops-dashboard-updates: may be used without TLS", plant: removes("AWS::SNS::TopicPolicy", "topiciopsdashboardupdates")},
	{promise: "queues, topics and buckets want TLS", want: "may be used without TLS", plant: removes("AWS::S3::BucketPolicy", "storeiopsdashboardfailures")},
	{promise: "queues, topics and buckets want TLS", want: "of plain HTTP", plant: sets("AWS::CloudFront::Distribution", "", "allow-all", "DistributionConfig", "DefaultCacheBehavior", "ViewerProtocolPolicy")},

	{promise: "what is kept is encrypted", want: "iops-dashboard-fanout-0: not encrypted", plant: sets("AWS::SQS::Queue", fanoutQueue, false, "SqsManagedSseEnabled")},
	{promise: "what is kept is encrypted", want: "not encrypted", plant: sets("AWS::S3::Bucket", "iops-dashboard-failures", nil, "BucketEncryption")},

	{promise: "each policy of a queue lets one sender in", want: `of account ""`, plant: replaces("AWS::SQS::QueuePolicy", "sns.amazonaws.com", "aws:SourceAccount", "aws:SourceOrgID")},
	{promise: "each policy of a queue lets one sender in", want: `for ""`, plant: replaces("AWS::SQS::QueuePolicy", "sns.amazonaws.com", "aws:SourceArn", "aws:SourceVpc")},
	{promise: "each policy of a queue lets one sender in", want: "lets * in", plant: replaces("AWS::SQS::QueuePolicy", "sns.amazonaws.com", `{"Service":"sns.amazonaws.com"}`, `"*"`)},
	{promise: "each policy of a queue lets one sender in", want: `lambda:InvokeFunction for ""`, plant: sets("AWS::Lambda::Permission", "", nil, "SourceArn")},

	{promise: "no policy has an unexplained star", want: "dynamodb:* on", plant: replaces("AWS::IAM::Policy", "dynamodb:Query", "dynamodb:Query", "dynamodb:*")},
	{promise: "no policy has an unexplained star", want: "sns:Publish on *", plant: func(t *testing.T, c *cloud) {
		c.edit(t, "AWS::IAM::Policy", "sns:Publish", func(x *resource) {
			for _, s := range x.list("PolicyDocument", "Statement") {
				if text(at(s, "Action")) == "sns:Publish" {
					s.(map[string]any)["Resource"] = "*"
				}
			}
		})
	}},
	{promise: "no policy has an unexplained star", want: "/prod/*", plant: replaces("AWS::IAM::Policy", "/POST/@connections", "/POST/@connections", "/*/@connections")},

	{promise: "each role is one deployable's", want: "is used by 2", plant: func(t *testing.T, c *cloud) {
		c.edit(t, "AWS::Lambda::Function", normalizer, func(n *resource) {
			c.edit(t, "AWS::Lambda::Function", `"iops-dashboard-connect"`, func(x *resource) {
				x.Properties["Role"], n.Properties["Timeout"] = n.Properties["Role"], json.Number("29")
			})
		})
	}},
	{promise: "each role is one deployable's", want: "AWSLambdaBasicExecutionRole, which nobody", plant: sets("AWS::IAM::Role", "What iops-dashboard-normalizer may do", []any{"arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"}, "ManagedPolicyArns")},
	{promise: "each role is one deployable's", want: "is taken on by", plant: replaces("AWS::IAM::Role", "What iops-dashboard-normalizer may do", `{"Service":"lambda.amazonaws.com"}`, `{"AWS":"444455556666"}`)},

	{promise: "the fanout posts and closes, and no more", want: "may manage", plant: replaces("AWS::IAM::Policy", "roleiopsdashboardfanout0DefaultPolicy", "/POST/@connections", "/GET/@connections")},

	{promise: "nothing but the site is public", want: "AWS::Lambda::Url", plant: adds("AWS::Lambda::Url", map[string]any{"AuthType": "NONE"})},
	{promise: "nothing but the site is public", want: "without BlockPublicPolicy", plant: sets("AWS::S3::Bucket", "iops-dashboard-failures", false, "PublicAccessBlockConfiguration", "BlockPublicPolicy")},
	{promise: "nothing but the site is public", want: "users can change their own custom:tenant", plant: sets("AWS::Cognito::UserPoolClient", "", []any{"email", "custom:tenant"}, "WriteAttributes")},
	{promise: "nothing but the site is public", want: "everybody can sign up", plant: sets("AWS::Cognito::UserPool", "", false, "AdminCreateUserConfig", "AllowAdminCreateUserOnly")},
	{promise: "nothing but the site is public", want: "as everybody", plant: sets("AWS::CloudFront::Distribution", "", nil, "DistributionConfig", "Origins", "0", "OriginAccessControlId")},
	{promise: "nothing but the site is public", want: "lets somebody in", variant: "fargate", plant: sets("AWS::EC2::SecurityGroup", "", []any{map[string]any{"CidrIp": "0.0.0.0/0"}}, "SecurityGroupIngress")},

	{promise: "every function is logged, and made alike", want: "kept for ever", plant: sets("AWS::Logs::LogGroup", "/aws/lambda/iops-dashboard-normalizer", nil, "RetentionInDays")},
	{promise: "every function is logged, and made alike", want: "its log is", plant: sets("AWS::Lambda::Function", normalizer, nil, "LoggingConfig")},
	{promise: "every function is logged, and made alike", want: "runs provided.al2", plant: sets("AWS::Lambda::Function", normalizer, "provided.al2", "Runtime")},
	{promise: "every function is logged, and made alike", want: "write to its own files", variant: "fargate", plant: replaces("AWS::ECS::TaskDefinition", "", `"ReadonlyRootFilesystem":true`, `"ReadonlyRootFilesystem":false`)},

	{promise: "data is kept", want: "cannot be restored", plant: sets("AWS::DynamoDB::Table", `"iops-dashboard-metrics"`, false, "PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled")},
	{promise: "data is kept", want: "protected false", plant: sets("AWS::DynamoDB::Table", `"iops-dashboard-state"`, false, "DeletionProtectionEnabled")},
	{promise: "data is kept", want: "stays false", plant: func(t *testing.T, c *cloud) {
		c.edit(t, "AWS::DynamoDB::Table", `"iops-dashboard-state"`, func(x *resource) { x.DeletionPolicy = "Delete" })
	}},
	{promise: "data is kept", want: "users can be lost", plant: sets("AWS::Cognito::UserPool", "", "INACTIVE", "DeletionProtection")},

	{promise: "mappings give up in the end, and keep what it was", want: "tries for ever", plant: sets("AWS::Lambda::EventSourceMapping", "tableiopsdashboardmetrics", json.Number("-1"), "MaximumRetryAttempts")},
	{promise: "mappings give up in the end, and keep what it was", want: "not from the oldest", plant: sets("AWS::Lambda::EventSourceMapping", "tableiopsdashboardmetrics", "LATEST", "StartingPosition")},
	{promise: "mappings give up in the end, and keep what it was", want: "whole batch fails", plant: sets("AWS::Lambda::EventSourceMapping", "queueiopsdashboardfanout0", nil, "FunctionResponseTypes")},
	{promise: "mappings give up in the end, and keep what it was", want: "before its role may read", plant: earlier("AWS::Lambda::EventSourceMapping", "tableiopsdashboardmetrics")},
	{promise: "mappings give up in the end, and keep what it was", want: "no bucket that tells", plant: sets("AWS::Lambda::EventSourceMapping", "tableiopsdashboardmetrics", nil, "DestinationConfig")},

	{promise: "nobody connects or asks without a ticket or token", want: "route $connect of iops-dashboard-websocket asks NONE", plant: sets("AWS::ApiGatewayV2::Route", `"$connect"`, "NONE", "AuthorizationType")},
	{promise: "nobody connects or asks without a ticket or token", want: "route POST /tickets of iops-dashboard-http asks NONE", plant: sets("AWS::ApiGatewayV2::Route", "POST /tickets", "NONE", "AuthorizationType")},
	{promise: "nobody connects or asks without a ticket or token", want: "remembers for 300 s", plant: sets("AWS::ApiGatewayV2::Authorizer", "REQUEST", json.Number("300"), "AuthorizerResultTtlInSeconds")},
	{promise: "nobody connects or asks without a ticket or token", want: "lets pages of [*] ask", plant: sets("AWS::ApiGatewayV2::Api", "CorsConfiguration", []any{"*"}, "CorsConfiguration", "AllowOrigins")},
	{promise: "nobody connects or asks without a ticket or token", want: "trusts", plant: sets("AWS::ApiGatewayV2::Authorizer", "JWT", "http://login.example.com", "JwtConfiguration", "Issuer")},

	{promise: "access logs have no ticket", want: "logs $context.authorizer.principalId", plant: replaces("AWS::ApiGatewayV2::Stage", `"prod"`, "$context.connectionId", "$context.authorizer.principalId")},
	{promise: "access logs have no ticket", want: "logs requests whole", plant: sets("AWS::ApiGatewayV2::Stage", `"prod"`, true, "DefaultRouteSettings", "DataTraceEnabled")},
	{promise: "access logs have no ticket", want: "no access log", plant: sets("AWS::ApiGatewayV2::Stage", `"prod"`, nil, "AccessLogSettings")},

	{promise: "clients are bounded", want: "not bounded", plant: sets("AWS::ApiGatewayV2::Stage", `"prod"`, nil, "DefaultRouteSettings", "ThrottlingBurstLimit")},

	{promise: "outputs are what users rely on", want: "output WebSocketAPIEndpoint", plant: func(_ *testing.T, c *cloud) {
		all := c.templates["IOpsDashboard-ExperienceStack"].Outputs
		all["WebSocketAPIEndpoint"] = output{Value: all["WebSocketURL"].Value}
	}},
	{promise: "outputs are what users rely on", want: "IOpsDashboard-WebSocketURL is exported", plant: func(_ *testing.T, c *cloud) {
		all := c.templates["IOpsDashboard-ExperienceStack"].Outputs
		all["WebSocketURL"] = output{Value: all["WebSocketURL"].Value}
	}},

	{promise: "names are what users rely on, and short enough", want: "has no AWS::DynamoDB::Table iops-dashboard-connections", plant: sets("AWS::DynamoDB::Table", `"iops-dashboard-connections"`, "connections", "TableName")},
	{promise: "names are what users rely on, and short enough", want: "has 65 characters, of 64", plant: sets("AWS::Lambda::Function", normalizer, strings.Repeat("n", 65), "FunctionName")},
	{promise: "names are what users rely on, and short enough", want: "are both called", plant: sets("AWS::SQS::Queue", fanoutQueue, "iops-dashboard-quarantine", "QueueName")},

	{promise: "stacks fit into CloudFormation", want: "IOpsDashboard-DataStack: 501 resources", plant: func(_ *testing.T, c *cloud) {
		for i := len(c.templates["IOpsDashboard-DataStack"].Resources); i <= 500; i++ {
			c.templates["IOpsDashboard-DataStack"].Resources[strconv.Itoa(i)] = &resource{Type: "AWS::SNS::Topic"}
		}
	}},

	{promise: "who invokes a function may", want: "/prod/sync may not invoke iops-dashboard-sync", plant: removes("AWS::Lambda::Permission", "/prod/sync")},
	{promise: "who invokes a function may", want: "/$default/POST/tickets may not invoke", plant: replaces("AWS::Lambda::Permission", "POST/tickets", "/POST/tickets", "/tickets")},
	{promise: "who invokes a function may", want: "authorizers/", plant: removes("AWS::Lambda::Permission", "/authorizers/")},
	{promise: "who invokes a function may", want: ":rule/", plant: removes("AWS::Lambda::Permission", "events.amazonaws.com")},

	{promise: "who invokes a function may", want: "is repeated", plant: removes("AWS::Lambda::EventInvokeConfig", "")},

	{promise: "pages may use the methods that routes have", want: "refused by route $default", plant: sets("AWS::ApiGatewayV2::Route", "GET /metrics", "$default", "RouteKey")},
	{promise: "pages may use the methods that routes have", want: "pages may use [GET]", plant: sets("AWS::ApiGatewayV2::Api", "CorsConfiguration", []any{"GET"}, "CorsConfiguration", "AllowMethods")},
	{promise: "pages may use the methods that routes have", want: "pages may use [GET PATCH POST]", plant: sets("AWS::ApiGatewayV2::Api", "CorsConfiguration", []any{"GET", "PATCH", "POST"}, "CorsConfiguration", "AllowMethods")},
	{promise: "pages may use the methods that routes have", want: "pages may use [GET POST], and routes have [GET]", plant: removes("AWS::ApiGatewayV2::Route", "POST /tickets")},

	{promise: "what is watched is there, and what rests is", want: "watches QueueName elsewhere", plant: replaces("AWS::CloudWatch::Alarm", `"iops-dashboard-quarantine"`, `"iops-dashboard-quarantine"`, `"elsewhere"`)},
	{promise: "what is watched is there, and what rests is", want: "iops-dashboard-failures: messages rest there", plant: removes("AWS::CloudWatch::Alarm", `"iops-dashboard-failures"`)},
	{promise: "what is watched is there, and what rests is", want: "tells nobody", plant: sets("AWS::CloudWatch::Alarm", "", nil, "AlarmActions")},
	{promise: "what is watched is there, and what rests is", want: "watches TableName elsewhere", plant: replaces("AWS::CloudWatch::Dashboard", "", `\"iops-dashboard-metrics\"`, `\"elsewhere\"`)},

	{promise: "stages do not mix", want: "does not name its stage", variant: "stage", plant: sets("AWS::SQS::Queue", `"iops-dashboard-fanout-0-integration"`, "iops-dashboard-fanout-0", "QueueName")},
}

// Each promise finds what breaks it: a check that finds nothing proves nothing.
func TestPromisesFindWhatIsBroken(t *testing.T) {
	tried := map[string]bool{}
	for _, b := range broken {
		if b.variant == "" {
			b.variant = "default"
		}
		t.Run(b.promise+"/"+b.want, func(t *testing.T) {
			check := promises[b.promise]
			if check == nil {
				t.Fatal("no such promise")
			}
			tried[b.promise] = true
			c := synth(t, b.variant)
			b.plant(t, c)
			c.resolved = nil
			faults := check(c)
			if !slices.ContainsFunc(faults, func(f string) bool { return strings.Contains(f, b.want) }) {
				t.Errorf("found %q", faults)
			}
		})
	}
	for promise := range promises {
		if !tried[promise] {
			t.Errorf("nothing breaks the promise that %s", promise)
		}
	}
}
