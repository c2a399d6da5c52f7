package watch

import (
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/jsii-runtime-go"
)

// metric is one of CloudWatch, and how its values in a period become one: Sum, Maximum, p95.
type metric struct {
	id              string // in terms; small letters
	namespace, name string
	statistic       string
	dimensions      []dimension
}

type dimension struct{ name, value string }

// measure is what an alarm looks at: a metric, or, if it has terms, what the last of them makes of the others.
type measure struct {
	metrics []metric
	terms   []term
}

// term is an expression of metric math, of metrics and earlier terms by their ids.
type term struct{ id, expression string }

// one is a measure of one metric.
func one(m metric) measure { return measure{metrics: []metric{m}} }

func lambda(function, name, statistic string) metric {
	return metric{namespace: "AWS/Lambda", name: name, statistic: statistic, dimensions: []dimension{{"FunctionName", function}}}
}

func queued(queue, name, statistic string) metric {
	return metric{namespace: "AWS/SQS", name: name, statistic: statistic, dimensions: []dimension{{"QueueName", queue}}}
}

func published(topic, name string) metric {
	return metric{namespace: "AWS/SNS", name: name, statistic: "Sum", dimensions: []dimension{{"TopicName", topic}}}
}

func called(api, name, statistic string) metric {
	return metric{namespace: "AWS/ApiGateway", name: name, statistic: statistic, dimensions: []dimension{{"ApiId", api}}}
}

func stored(table, name string) metric {
	return metric{namespace: "AWS/DynamoDB", name: name, statistic: "Sum", dimensions: []dimension{{"TableName", table}}}
}

// own is a metric that a program of the system writes, with the dimensions of services/internal/telemetry.
func (w watched) own(service, name, statistic string, more ...dimension) metric {
	return metric{
		namespace: w.MetricsNamespace(), name: name, statistic: statistic, dimensions: append([]dimension{{"Service", service}}, more...),
	}
}

// posts are the posts of the fanout that ended with a verdict, which is also the id.
func (w watched) posts(verdict string) metric {
	m := w.own("fanout", "Posts", "Sum", dimension{"Verdict", verdict})
	m.id = verdict
	return m
}

// sum adds metrics up, of which CloudWatch may have nothing in a period, or ever.
func sum(all ...metric) string {
	var parts []string
	for _, m := range all {
		parts = append(parts, "FILL("+m.id+",0)")
	}
	return strings.Join(parts, "+")
}

func (m metric) by() []any {
	var all []any
	for _, d := range m.dimensions {
		all = append(all, &awscloudwatch.CfnAlarm_DimensionProperty{Name: &d.name, Value: &d.value})
	}
	return all
}

// queries are the measure in the form of an alarm, which looks at the last of them.
func (m measure) queries(period *float64) []any {
	var all []any
	for _, x := range m.metrics {
		all = append(all, &awscloudwatch.CfnAlarm_MetricDataQueryProperty{
			Id: &x.id, ReturnData: false,
			MetricStat: &awscloudwatch.CfnAlarm_MetricStatProperty{
				Metric: &awscloudwatch.CfnAlarm_MetricProperty{Namespace: &x.namespace, MetricName: &x.name, Dimensions: x.by()},
				Period: period, Stat: &x.statistic,
			},
		})
	}
	for i, t := range m.terms {
		all = append(all, &awscloudwatch.CfnAlarm_MetricDataQueryProperty{
			Id: &t.id, Expression: &t.expression, ReturnData: jsii.Bool(i == len(m.terms)-1),
		})
	}
	return all
}
