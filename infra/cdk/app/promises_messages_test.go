package app_test

import (
	"slices"
	"strings"
	"time"

	"github.com/iops-dashboard/live/infra/cdk/setting"
	"github.com/iops-dashboard/live/infra/topology"
)

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
		if x.stack == c.settings.Named(setting.ExperienceStack) && (!stays(x) || x.text("VersioningConfiguration", "Status") != "Enabled") {
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
