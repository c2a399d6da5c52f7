package app_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/iops-dashboard/live/infra/cdk/setting"
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

// outputsStay sees what users and other stacks rely on. Connections are posted to by https, and opened by wss.
func outputsStay(c *cloud) []string {
	var faults lines
	values, exports := c.outputs(c.settings.Named(setting.ExperienceStack))
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
		own := c.settings.Metrics.ARN == "" || c.settings.Insights.ARN == "" || name != setting.DataStack
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
			has("AWS::DynamoDB::Table", "TableName", table+suffix, setting.DataStack)
		}
	}
	has("AWS::DynamoDB::Table", "TableName", "iops-dashboard-connections"+suffix, setting.ExperienceStack)
	has("AWS::DynamoDB::Table", "TableName", "iops-dashboard-state"+suffix, setting.ExperienceStack)
	has("AWS::ApiGatewayV2::Api", "Name", "iops-dashboard-websocket"+suffix, setting.ExperienceStack)
	stage := c.settings.Stage
	has("AWS::ApiGatewayV2::Stage", "StageName", stage, setting.ExperienceStack)

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
	if _, ok := c.templates[c.settings.Named(setting.WatchStack)]; !ok {
		faults.add("nobody watches this stage")
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
