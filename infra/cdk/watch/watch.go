// Package watch is IOpsDashboard-WatchStack: what tells people that the system does not keep its promises. It has an
// alarm for each promise, made from the topology, a topic that all of them ring, and a dashboard that reads as the data
// flows. It finds queues, functions and topics by their names, and needs nothing of another stack but the ids of the APIs.
package watch

import (
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/iops-dashboard/live/infra/cdk/setting"
	"github.com/iops-dashboard/live/infra/topology"
)

// prefix begins the name of everything that is the system's, alarms too.
const prefix = "iops-dashboard-"

// Props are what the stack is made of, besides the topology.
type Props struct {
	awscdk.StackProps
	Settings setting.Settings
	// SocketAPI and HTTPAPI are the ids of the APIs.
	SocketAPI, HTTPAPI *string
}

// New returns the stack.
func New(scope constructs.Construct, name string, system topology.Topology, props Props) awscdk.Stack {
	props.Description = jsii.String("IOps Dashboard: alarms, whom they tell, and a dashboard")
	s := awscdk.NewStack(scope, &name, &props.StackProps)
	w := watched{Topology: system, socket: *props.SocketAPI, http: *props.HTTPAPI}
	bell := addBell(s, props.Settings)
	alarms := w.alarms()
	var arns []string
	for _, a := range alarms {
		arns = append(arns, *addAlarm(s, props.Settings.Named(prefix+a.what), a, bell.TopicArn()).AttrArn())
	}
	awscloudwatch.NewCfnDashboard(s, jsii.String("dashboard"), &awscloudwatch.CfnDashboardProps{
		DashboardName: jsii.String(props.Settings.Named("iops-dashboard")), DashboardBody: jsii.String(w.dashboard(*s.Region(), alarms, arns)),
	})
	return s
}

// addBell makes the topic that alarms ring. CloudWatch is let in by name: a policy that only wants TLS takes the place of
// the one by which a topic lets everything of its account in. It has no key of its own: under the key that AWS manages
// for an account CloudWatch could not ring it, and what it carries is names and numbers.
func addBell(s awscdk.Stack, c setting.Settings) awssns.Topic {
	name := c.Named(prefix + "alarms")
	bell := awssns.NewTopic(s, jsii.String("alarms"), &awssns.TopicProps{TopicName: &name, EnforceSSL: jsii.Bool(true)})
	cloudwatch := "arn:" + *s.Partition() + ":cloudwatch:" + *s.Region() + ":" + *s.Account() + ":alarm:" + prefix + "*"
	bell.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("cloudwatch.amazonaws.com"), nil)},
		Actions:    jsii.Strings("sns:Publish"),
		Resources:  &[]*string{bell.TopicArn()},
		Conditions: &map[string]any{
			"ArnLike":      map[string]any{"aws:SourceArn": cloudwatch},
			"StringEquals": map[string]any{"aws:SourceAccount": s.Account()},
		},
	}))
	if c.Alarms != "" {
		awssns.NewCfnSubscription(s, jsii.String("mail"), &awssns.CfnSubscriptionProps{
			TopicArn: bell.TopicArn(), Protocol: jsii.String("email"), Endpoint: &c.Alarms,
		})
	}
	awscdk.NewCfnOutput(s, jsii.String("AlarmTopicARN"), &awscdk.CfnOutputProps{
		Value: bell.TopicArn(), Description: jsii.String("what rings for each alarm: subscribe whoever is on duty"),
	})
	return bell
}

// addAlarm makes an alarm that rings the bell.
func addAlarm(s awscdk.Stack, name string, a alarm, bell *string) awscloudwatch.CfnAlarm {
	props := awscloudwatch.CfnAlarmProps{
		AlarmName: &name, AlarmDescription: jsii.String(a.advice + " See infra/RUNBOOK.md#" + a.section + "."),
		Threshold: jsii.Number(a.limit), ComparisonOperator: jsii.String("GreaterThanThreshold"),
		EvaluationPeriods: jsii.Number(a.rhythm.of), DatapointsToAlarm: jsii.Number(a.rhythm.points),
		TreatMissingData: jsii.String(string(a.missing)), AlarmActions: &[]any{bell},
	}
	if a.below {
		props.ComparisonOperator = jsii.String("LessThanThreshold")
	}
	if !a.past {
		props.OkActions = &[]any{bell}
	}
	period := jsii.Number(a.rhythm.period.Seconds())
	if m := a.of.metrics[0]; len(a.of.terms) == 0 {
		props.Namespace, props.MetricName, props.Dimensions, props.Period = &m.namespace, &m.name, m.by(), period
		if strings.HasPrefix(m.statistic, "p") {
			props.ExtendedStatistic = &m.statistic
		} else {
			props.Statistic = &m.statistic
		}
	} else {
		props.Metrics = a.of.queries(period)
	}
	return awscloudwatch.NewCfnAlarm(s, jsii.String("alarm-"+a.what), &props)
}
