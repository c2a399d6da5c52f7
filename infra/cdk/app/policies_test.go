package app_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/iops-dashboard/live/infra/topology"
)

// statement is one of a policy.
type statement struct {
	effect             string
	actions, resources []string
	principal          any
	conditions         any
	of                 *resource // the policy
}

func statements(of *resource, document any) []statement {
	var all []statement
	for _, s := range list(at(document, "Statement")) {
		all = append(all, statement{
			effect: text(at(s, "Effect")), actions: texts(at(s, "Action")), resources: texts(at(s, "Resource")),
			principal: at(s, "Principal"), conditions: at(s, "Condition"), of: of,
		})
	}
	return all
}

// statements are what a role may do; of the empty name, what all roles may.
func (c *cloud) statements(role string) []statement {
	var all []statement
	for _, x := range append(c.of("AWS::IAM::Policy"), c.of("AWS::IAM::ManagedPolicy")...) {
		if role == "" || slices.Contains(texts(x.at("Roles")), role) {
			all = append(all, statements(x, x.at("PolicyDocument"))...)
		}
	}
	for _, x := range c.of("AWS::IAM::Role") {
		for _, inline := range x.list("Policies") {
			if role == "" || x.id == role || x.text("RoleName") == role {
				all = append(all, statements(x, at(inline, "PolicyDocument"))...)
			}
		}
	}
	return all
}

// services are the services that a principal names, and whether it names anybody else.
func services(principal any) (all []string, others bool) {
	named, ok := principal.(map[string]any)
	if !ok {
		return nil, true // a star
	}
	for kind, who := range named {
		if kind == "Service" {
			all = append(all, texts(who)...)
		} else {
			others = true
		}
	}
	return all, others
}

// A star that a policy of a role has is one of these, each of which occurs. They are matched with "action on resource".
var stars = []struct{ pattern, reason string }{
	{`^execute-api:ManageConnections on arn:[^*]+/(POST|DELETE)/@connections/\*$`, "the ids of connections are known when they are open; API, stage and method are exact"},
	{`^logs:(CreateLogStream|PutLogEvents) on arn:[^*]+:log-group:[^*]+:\*$`, "the streams of one log, which the writer names"},
	{`^logs:DescribeLogStreams on arn:[^*]+:log-group:[^*]+:\*$`, "a flow log looks for its streams in one log"},
	{`^s3:PutObject on arn:[^*]+:iops-dashboard-failures[^*]*/aws/lambda/\*$`, "Lambda names the objects that it keeps; bucket and prefix are exact"},
	{`^ecr:GetAuthorizationToken on \*$`, "the action knows no resources"},
}

func noUnexplainedStar(c *cloud) []string {
	faults, _ := c.stars()
	return faults
}

// stars are those that nobody has explained, and the explanations that were needed.
func (c *cloud) stars() (faults []string, used map[string]bool) {
	used = map[string]bool{}
	for _, s := range c.statements("") {
		if s.effect != "Allow" {
			continue
		}
		if len(s.resources) == 0 || len(s.actions) == 0 {
			faults = append(faults, fmt.Sprintf("%s: a statement that does not name its actions and resources", s.of))
		}
		for _, a := range s.actions {
			for _, on := range s.resources {
				pair := a + " on " + on
				if !strings.Contains(pair, "*") {
					continue
				}
				if i := slices.IndexFunc(stars, func(x struct{ pattern, reason string }) bool { return regexp.MustCompile(x.pattern).MatchString(pair) }); i >= 0 {
					used[stars[i].pattern] = true
					continue
				}
				faults = append(faults, fmt.Sprintf("%s: %s has a star that nobody has explained", s.of, pair))
			}
		}
	}
	return faults, used
}

func TestEveryExplainedStarOccurs(t *testing.T) {
	used := map[string]bool{}
	for _, variant := range names() {
		_, some := synth(t, variant).stars()
		for pattern := range some {
			used[pattern] = true
		}
	}
	for _, x := range stars {
		if !used[x.pattern] {
			t.Errorf("no policy has %s any more: delete its explanation", x.pattern)
		}
	}
}

// managed are the policies of AWS that roles have, each with its reason.
var managed = map[string]string{
	"AmazonAPIGatewayPushToCloudWatchLogs": "API Gateway tries the role when it is set, and wants all that this policy has; only API Gateway may take it on",
}

// Each role is taken on by one service, for one function, task or other resource; each function has one of its own.
func oneRoleEach(c *cloud) []string {
	var faults []string
	users := map[string][]string{}
	use := func(role string, by *resource) {
		if role != "" {
			users[last(role)] = append(users[last(role)], by.String())
		}
	}
	for _, x := range c.of("AWS::Lambda::Function") {
		use(x.text("Role"), x)
	}
	for _, x := range c.of("AWS::ECS::TaskDefinition") {
		use(x.text("TaskRoleArn"), x)
		use(x.text("ExecutionRoleArn"), x)
	}
	for _, x := range c.of("AWS::EC2::FlowLog") {
		use(x.text("DeliverLogsPermissionArn"), x)
	}
	for _, x := range c.of("AWS::ApiGateway::Account") {
		use(x.text("CloudWatchRoleArn"), x)
	}
	for _, x := range c.of("AWS::IAM::Role") {
		if n := len(users[x.id]); n != 1 {
			faults = append(faults, fmt.Sprintf("role %s is used by %d: %v", x.id, n, users[x.id]))
		}
		trust := statements(x, x.at("AssumeRolePolicyDocument"))
		if len(trust) != 1 {
			faults = append(faults, fmt.Sprintf("role %s is taken on in %d ways", x.id, len(trust)))
			continue
		}
		if who, others := services(trust[0].principal); len(who) != 1 || others {
			faults = append(faults, fmt.Sprintf("role %s is taken on by %v", x.id, trust[0].principal))
		}
		for _, policy := range texts(x.at("ManagedPolicyArns")) {
			if managed[last(policy)] == "" {
				faults = append(faults, fmt.Sprintf("role %s has %s, which nobody has explained", x.id, policy))
			}
		}
	}
	for _, kind := range []string{"AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"} {
		for _, x := range c.of(kind) {
			if roles := texts(x.at("Roles")); len(roles) != 1 || x.at("Users") != nil || x.at("Groups") != nil {
				faults = append(faults, fmt.Sprintf("policy %s is that of %v", x, roles))
			}
		}
	}
	return append(faults, c.none("AWS::IAM::User", "AWS::IAM::AccessKey", "AWS::IAM::Group")...)
}

// none finds resources of types that nobody wants.
func (c *cloud) none(kinds ...string) []string {
	var faults []string
	for _, kind := range kinds {
		for _, x := range c.of(kind) {
			faults = append(faults, fmt.Sprintf("%s: a %s", x, kind))
		}
	}
	return faults
}

// The fanout posts to connections, and with tickets closes them when they end, of one stage of one API. It does nothing
// else with any API.
func fanoutPostsAndCloses(c *cloud) []string {
	w := c.settings.Topology().WebSocket
	connections := func(method string) string {
		return arn("execute-api", w.Name+"/"+w.Stage+"/"+method+"/@connections/*")
	}
	want := []string{connections("POST")}
	if c.settings.Auth == topology.AuthTicket {
		want = []string{connections("DELETE"), connections("POST")}
	}
	var faults []string
	shards := 0
	check := func(owner *resource, command, role string) {
		if command != "fanout" {
			return
		}
		shards++
		var got []string
		for _, s := range c.statements(last(role)) {
			if slices.ContainsFunc(s.actions, func(a string) bool { return strings.HasPrefix(a, "execute-api:") || strings.HasPrefix(a, "*") }) {
				got = append(got, s.resources...)
				if !slices.Equal(s.actions, []string{"execute-api:ManageConnections"}) {
					faults = append(faults, fmt.Sprintf("%s may %v", owner, s.actions))
				}
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			faults = append(faults, fmt.Sprintf("%s may manage %v, want %v", owner, got, want))
		}
	}
	for _, x := range c.of("AWS::Lambda::Function") {
		check(x, c.commands[x.text("Code", "S3Key")], x.text("Role"))
	}
	for _, x := range c.of("AWS::ECS::Service") {
		if task := c.task(x); task != nil {
			image := task.text("ContainerDefinitions", "0", "Image")
			check(x, c.commands[image[strings.LastIndex(image, ":")+1:]], task.text("TaskRoleArn"))
		}
	}
	if want := max(c.settings.Shards, c.settings.PreviousShards); shards != want {
		faults = append(faults, fmt.Sprintf("%d shards post, want %d", shards, want))
	}
	return faults
}

// resourcePolicies are those of queues, topics and buckets, by what they are of: an address of a queue, an ARN of a topic,
// a name of a bucket.
func (c *cloud) resourcePolicies() map[string][]statement {
	all := map[string][]statement{}
	for kind, property := range map[string]string{"AWS::SQS::QueuePolicy": "Queues", "AWS::SNS::TopicPolicy": "Topics", "AWS::S3::BucketPolicy": "Bucket"} {
		for _, x := range c.of(kind) {
			for _, of := range texts(x.at(property)) {
				all[of] = append(all[of], statements(x, x.at("PolicyDocument"))...)
			}
		}
	}
	return all
}

// Who sends to a queue, publishes to a topic or writes to a bucket by its policy is a service, on behalf of one resource
// of this account, or of the system's alarms.
func oneSenderEach(c *cloud) []string {
	var faults []string
	alarms := arn("cloudwatch", "alarm:iops-dashboard-*")
	for of, all := range c.resourcePolicies() {
		for _, s := range all {
			if s.effect != "Allow" {
				continue
			}
			who, others := services(s.principal)
			if others || len(who) != 1 {
				faults = append(faults, fmt.Sprintf("%s: lets %v in", of, s.principal))
				continue
			}
			source, owner := condition(s, "aws:SourceArn"), condition(s, "aws:SourceAccount")
			// The ARN of a distribution names its account, of which CloudFront says nothing else; alarms are many.
			if source == "" || strings.Contains(source, "*") && source != alarms || owner != account && !strings.HasPrefix(source, "arn:aws:cloudfront::"+account+":") {
				faults = append(faults, fmt.Sprintf("%s: lets %s in for %q of account %q", of, who[0], source, owner))
			}
			if slices.ContainsFunc(s.actions, func(a string) bool { return strings.Contains(a, "*") }) {
				faults = append(faults, fmt.Sprintf("%s: lets %s do %v", of, who[0], s.actions))
			}
		}
	}
	for _, x := range c.of("AWS::Lambda::Permission") {
		source := x.text("SourceArn")
		if !strings.HasSuffix(x.text("Principal"), "."+suffix) || x.text("Action") != "lambda:InvokeFunction" || source == "" || strings.Contains(source, "*") || x.text("SourceAccount") != account {
			faults = append(faults, fmt.Sprintf("%s: lets %s %s for %q of account %q", x, x.text("Principal"), x.text("Action"), source, x.text("SourceAccount")))
		}
	}
	slices.Sort(faults)
	return faults
}

// condition is the one value that a key must have.
func condition(s statement, key string) string {
	for _, operator := range []string{"ArnEquals", "ArnLike", "StringEquals"} {
		if all := texts(at(s.conditions, operator, key)); len(all) == 1 {
			return all[0]
		}
	}
	return ""
}

// Nobody reads or writes queues, topics and buckets without TLS.
func tlsEverywhere(c *cloud) []string {
	var faults []string
	policies := c.resourcePolicies()
	check := func(of *resource, key, action string, resources ...string) {
		for _, s := range policies[key] {
			_, everybody := services(s.principal)
			if s.effect == "Deny" && everybody && text(at(s.conditions, "Bool", "aws:SecureTransport")) == "false" &&
				slices.ContainsFunc(s.actions, func(a string) bool { return a == action || strings.HasSuffix(a, ":*") }) && subset(resources, s.resources) {
				return
			}
		}
		faults = append(faults, fmt.Sprintf("%s: may be used without TLS", of))
	}
	for _, x := range c.of("AWS::SQS::Queue") {
		check(x, queueURL(x.String()), "sqs:*", arn("sqs", x.text("QueueName")))
	}
	for _, x := range c.of("AWS::SNS::Topic") {
		topic := arn("sns", x.id)
		if name := x.text("TopicName"); name != "" {
			topic = arn("sns", name)
		}
		check(x, topic, "sns:Publish", topic)
	}
	for _, x := range c.of("AWS::S3::Bucket") {
		name := x.id
		if given := x.text("BucketName"); given != "" {
			name = given
		}
		check(x, name, "s3:*", "arn:aws:s3:::"+name, "arn:aws:s3:::"+name+"/*")
	}
	for _, x := range c.of("AWS::CloudFront::Distribution") {
		behaviors := append(x.list("DistributionConfig", "CacheBehaviors"), x.at("DistributionConfig", "DefaultCacheBehavior"))
		for _, b := range behaviors {
			if p := text(at(b, "ViewerProtocolPolicy")); p != "redirect-to-https" && p != "https-only" {
				faults = append(faults, fmt.Sprintf("%s: %q of plain HTTP", x, p))
			}
		}
	}
	return faults
}

func subset(some, all []string) bool {
	return !slices.ContainsFunc(some, func(x string) bool { return !slices.Contains(all, x) })
}
