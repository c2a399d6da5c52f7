package experience

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/jsii-runtime-go"

	"github.com/iops-dashboard/live/infra/topology"
)

func (s *Stack) addFunctions() {
	architecture := map[string]awslambda.Architecture{"arm64": awslambda.Architecture_ARM_64(), "x86_64": awslambda.Architecture_X86_64()}
	for _, f := range s.system.Functions {
		logs := s.logGroup("/aws/lambda/"+f.Name, "log-"+f.Name)
		s.roles[f.Name] = s.role(f.Name, "lambda.amazonaws.com", logs, f.Grants)
		s.running[f.Name] = awslambda.NewFunction(s, jsii.String("function-"+f.Name), &awslambda.FunctionProps{
			FunctionName: &f.Name, Runtime: awslambda.Runtime_PROVIDED_AL2023(), Handler: jsii.String("bootstrap"),
			Code: awslambda.Code_FromAsset(jsii.String(s.props.Program(f.Command)), nil), Architecture: architecture[s.props.Settings.Architecture],
			Timeout: seconds(f.Timeout), MemorySize: jsii.Number(f.MemoryMB), Environment: s.environment(f.Environment),
			Role: s.roles[f.Name], LogGroup: logs,
		})
	}
}

func (s *Stack) environment(of map[string]topology.Ref) *map[string]*string {
	all := map[string]*string{}
	for name, r := range of {
		all[name] = s.resolve(r)
	}
	return &all
}

func (s *Stack) logGroup(name, id string) awslogs.LogGroup {
	return awslogs.NewLogGroup(s, &id, &awslogs.LogGroupProps{
		LogGroupName: &name, Retention: awslogs.RetentionDays_ONE_MONTH, RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
}

// role is that of one deployable: it may write its own log, and do what it was granted.
func (s *Stack) role(owner, service string, logs awslogs.LogGroup, grants []topology.Grant) awsiam.Role {
	role := awsiam.NewRole(s, jsii.String("role-"+owner), &awsiam.RoleProps{
		AssumedBy: awsiam.NewServicePrincipal(&service, nil), Description: jsii.String("What " + owner + " may do"),
	})
	s.allow(role, []string{"logs:CreateLogStream", "logs:PutLogEvents"}, *logs.LogGroupArn())
	for _, g := range grants {
		s.allow(role, g.IAM(), s.arns(g)...)
	}
	return role
}

func (s *Stack) allow(role awsiam.Role, actions []string, on ...string) {
	role.AddToPolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Actions: jsii.Strings(actions...), Resources: jsii.Strings(on...),
	}))
}

// addMappings feeds streams and queues to functions.
func (s *Stack) addMappings() {
	for _, m := range s.system.Streams {
		stream, store := s.tables[m.Table].TableStreamArn(), s.stores[m.Failures]
		role := s.roles[m.Function]
		// Lambda makes no mapping for a role that may not list the streams, too.
		s.allow(role, []string{"dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"}, *stream)
		s.allow(role, []string{"s3:PutObject"}, *store.ArnForObjects(jsii.String("aws/lambda/*")))
		s.allow(role, []string{"s3:ListBucket"}, *store.BucketArn())
		props := awslambda.CfnEventSourceMappingProps{
			FunctionName: s.running[m.Function].FunctionArn(), EventSourceArn: stream, StartingPosition: jsii.String("TRIM_HORIZON"),
			BatchSize: jsii.Number(m.BatchSize), MaximumBatchingWindowInSeconds: jsii.Number(m.Window.Seconds()),
			MaximumRetryAttempts: jsii.Number(m.Retries), MaximumRecordAgeInSeconds: jsii.Number(m.MaxAge.Seconds()),
			BisectBatchOnFunctionError: true, FunctionResponseTypes: jsii.Strings("ReportBatchItemFailures"),
			DestinationConfig: &awslambda.CfnEventSourceMapping_DestinationConfigProperty{
				OnFailure: &awslambda.CfnEventSourceMapping_OnFailureProperty{Destination: store.BucketArn()},
			},
		}
		if m.Filter != nil {
			props.FilterCriteria = &awslambda.CfnEventSourceMapping_FilterCriteriaProperty{
				Filters: []any{&awslambda.CfnEventSourceMapping_FilterProperty{Pattern: jsii.String(pattern(*m.Filter))}},
			}
		}
		s.mapping("mapping-"+m.Table, role, &props)
	}
	for _, m := range s.system.QueueMappings {
		queue, role := s.queues[m.Queue], s.roles[m.Function]
		s.allow(role, []string{"sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"}, *queue.QueueArn())
		f, _ := s.system.Function(m.Function)
		s.mapping("mapping-"+m.Queue, role, &awslambda.CfnEventSourceMappingProps{
			FunctionName: s.running[m.Function].FunctionArn(), EventSourceArn: queue.QueueArn(), BatchSize: jsii.Number(m.BatchSize),
			FunctionResponseTypes: jsii.Strings("ReportBatchItemFailures"),
			// Not a reserve of the account's: throttled invocations would count as receives, and good messages die of that.
			ScalingConfig: &awslambda.CfnEventSourceMapping_ScalingConfigProperty{MaximumConcurrency: jsii.Number(f.Concurrency)},
		})
	}
}

// mapping is made after the policy of its role, without which Lambda refuses it.
func (s *Stack) mapping(id string, role awsiam.Role, props *awslambda.CfnEventSourceMappingProps) {
	awslambda.NewCfnEventSourceMapping(s, &id, props).Node().AddDependency(role)
}

// pattern is a filter as Lambda writes it.
func pattern(f topology.KeyPrefix) string {
	text, err := json.Marshal(map[string]any{"dynamodb": map[string]any{"Keys": map[string]any{
		f.Attribute: map[string]any{"S": []any{map[string]any{"prefix": f.Prefix}}},
	}}})
	if err != nil {
		panic(err) // maps of texts always marshal
	}
	return string(text)
}

// addSchedules invokes functions in their rhythm. A run that fails is not repeated: the next one comes soon.
func (s *Stack) addSchedules() {
	for _, x := range s.system.Schedules {
		function := s.running[x.Function]
		rule := awsevents.NewCfnRule(s, jsii.String("schedule-"+x.Function), &awsevents.CfnRuleProps{
			Description: jsii.String("Invokes " + x.Function), ScheduleExpression: jsii.String(rate(x.Every)),
			Targets: []any{&awsevents.CfnRule_TargetProperty{
				Id: jsii.String("function"), Arn: function.FunctionArn(),
				RetryPolicy: &awsevents.CfnRule_RetryPolicyProperty{MaximumRetryAttempts: jsii.Number(0), MaximumEventAgeInSeconds: jsii.Number(60)},
			}},
		})
		s.permit(x.Function, "events.amazonaws.com", "schedule", rule.AttrArn())
		// Lambda itself would run it twice more.
		awslambda.NewCfnEventInvokeConfig(s, jsii.String("retries-"+x.Function), &awslambda.CfnEventInvokeConfigProps{
			FunctionName: function.FunctionName(), Qualifier: jsii.String("$LATEST"), MaximumRetryAttempts: jsii.Number(0), MaximumEventAgeInSeconds: jsii.Number(60),
		})
	}
}

// rate is a rhythm as EventBridge writes it.
func rate(every time.Duration) string {
	minutes := int(every / time.Minute)
	if minutes == 1 {
		return "rate(1 minute)"
	}
	return "rate(" + strconv.Itoa(minutes) + " minutes)"
}

// permit lets one resource of this account, through its service, invoke a function.
func (s *Stack) permit(function, service, what string, from *string) {
	awslambda.NewCfnPermission(s, jsii.String("permission-"+function+"-"+what), &awslambda.CfnPermissionProps{
		Action: jsii.String("lambda:InvokeFunction"), FunctionName: s.running[function].FunctionArn(),
		Principal: &service, SourceArn: from, SourceAccount: s.Account(),
	})
}

func seconds(d time.Duration) awscdk.Duration {
	return awscdk.Duration_Seconds(jsii.Number(d.Seconds()))
}
