package experience

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsapplicationautoscaling"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsecrassets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsecs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/jsii-runtime-go"

	"github.com/iops-dashboard/live/infra/topology"
)

// What a task has. All 9,000 posts a second that the account's quota leaves the fanout take 0.155 of a core, at 17.2 µs
// each (services/fanout/README.md): half a one leaves three times that for slower cores, reads of the registry and
// handshakes. The memory is the least that goes with it; 100,000 connections take 64 MiB.
const taskCPU, taskMemory = "512", "1024"

// network is where tasks run.
type network struct {
	subnets []*string
	group   *string // of security
	vpc     awsec2.Vpc
}

// addWorkers runs the workers of the topology as services of Fargate, in a network of their own.
func (s *Stack) addWorkers() {
	if len(s.system.Workers) == 0 {
		return
	}
	net := s.addNetwork()
	cluster := awsecs.NewCfnCluster(s, jsii.String("cluster"), &awsecs.CfnClusterProps{
		ClusterName:     jsii.String(s.props.Settings.Named("iops-dashboard")),
		ClusterSettings: []any{&awsecs.CfnCluster_ClusterSettingsProperty{Name: jsii.String("containerInsights"), Value: jsii.String("enabled")}},
	})
	images := map[string]awsecrassets.DockerImageAsset{}
	for _, w := range s.system.Workers {
		if images[w.Command] == nil {
			images[w.Command] = s.image(w.Command)
		}
		service := s.service(w, cluster, net, images[w.Command])
		s.scale(w, cluster, service)
	}
}

// addNetwork makes a network that lets nobody in. Its tasks have public addresses, since all that they call is public: a
// NAT gateway would cost by the hour and by the byte, more than a task, and make nothing safer. DynamoDB is reached
// without leaving AWS, which costs nothing.
func (s *Stack) addNetwork() network {
	name := jsii.String(s.props.Settings.Named("iops-dashboard"))
	vpc := awsec2.NewVpc(s, jsii.String("network"), &awsec2.VpcProps{
		VpcName: name, MaxAzs: jsii.Number(2), NatGateways: jsii.Number(0),
		IpAddresses: awsec2.IpAddresses_Cidr(jsii.String("10.0.0.0/20")), // room for all tasks that may be asked for: 100 for each of 16 shards
		SubnetConfiguration: &[]*awsec2.SubnetConfiguration{{
			Name: jsii.String("public"), SubnetType: awsec2.SubnetType_PUBLIC, MapPublicIpOnLaunch: jsii.Bool(false), // services ask for theirs
		}},
		GatewayEndpoints: &map[string]*awsec2.GatewayVpcEndpointOptions{
			"dynamodb": {Service: awsec2.GatewayVpcEndpointAwsService_DYNAMODB()},
		},
		RestrictDefaultSecurityGroup: jsii.Bool(false), // by a function of CloudFormation's; nothing is in that group
	})
	logs := s.logGroup("/vpc/"+*name, "log-network")
	role := s.role("network", "vpc-flow-logs.amazonaws.com", logs, nil)
	s.allow(role, []string{"logs:DescribeLogStreams"}, *logs.LogGroupArn())
	flow := awsec2.NewCfnFlowLog(s, jsii.String("flow-log"), &awsec2.CfnFlowLogProps{
		ResourceType: jsii.String("VPC"), ResourceId: vpc.VpcId(), TrafficType: jsii.String("ALL"), MaxAggregationInterval: jsii.Number(600),
		LogDestinationType: jsii.String("cloud-watch-logs"), LogGroupName: logs.LogGroupName(), DeliverLogsPermissionArn: role.RoleArn(),
	})
	flow.Node().AddDependency(role) // and its policy
	group := awsec2.NewCfnSecurityGroup(s, jsii.String("security-group"), &awsec2.CfnSecurityGroupProps{
		VpcId: vpc.VpcId(), GroupDescription: jsii.String("Workers: nobody comes in, and AWS is called by https"),
		SecurityGroupEgress: []any{&awsec2.CfnSecurityGroup_EgressProperty{
			IpProtocol: jsii.String("tcp"), FromPort: jsii.Number(443), ToPort: jsii.Number(443), CidrIp: jsii.String("0.0.0.0/0"),
			Description: jsii.String("The public endpoints of AWS"),
		}},
	})
	n := network{vpc: vpc, group: group.AttrGroupId()}
	for _, subnet := range *vpc.PublicSubnets() {
		n.subnets = append(n.subnets, subnet.SubnetId())
	}
	return n
}

// image is a command's, which the CDK builds and pushes when the stack is deployed.
func (s *Stack) image(command string) awsecrassets.DockerImageAsset {
	platform := map[string]awsecrassets.Platform{"arm64": awsecrassets.Platform_LINUX_ARM64(), "x86_64": awsecrassets.Platform_LINUX_AMD64()}
	return awsecrassets.NewDockerImageAsset(s, jsii.String("image-"+command), &awsecrassets.DockerImageAssetProps{
		Directory: jsii.String(s.props.Image(command)), Platform: platform[s.props.Settings.Architecture],
	})
}

// service runs a worker. How many tasks there are is left to [Stack.scale], or each deployment would go back to one.
func (s *Stack) service(w topology.Worker, cluster awsecs.CfnCluster, net network, image awsecrassets.DockerImageAsset) awsecs.CfnService {
	logs := s.logGroup("/ecs/"+w.Name, "log-"+w.Name)
	s.roles[w.Name] = s.role(w.Name, "ecs-tasks.amazonaws.com", logs, w.Grants)
	starter := s.role(w.Name+"-start", "ecs-tasks.amazonaws.com", logs, nil)
	s.allow(starter, []string{"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}, *image.Repository().RepositoryArn())
	s.allow(starter, []string{"ecr:GetAuthorizationToken"}, "*") // it is for no resource
	service := awsecs.NewCfnService(s, jsii.String("service-"+w.Name), &awsecs.CfnServiceProps{
		ServiceName: &w.Name, Cluster: cluster.AttrArn(), TaskDefinition: s.task(w, image, starter.RoleArn(), logs).Ref(),
		LaunchType: jsii.String("FARGATE"), PlatformVersion: jsii.String("LATEST"), PropagateTags: jsii.String("SERVICE"),
		DeploymentConfiguration: &awsecs.CfnService_DeploymentConfigurationProperty{
			MinimumHealthyPercent: jsii.Number(100), MaximumPercent: jsii.Number(200),
			DeploymentCircuitBreaker: &awsecs.CfnService_DeploymentCircuitBreakerProperty{Enable: true, Rollback: true},
		},
		NetworkConfiguration: &awsecs.CfnService_NetworkConfigurationProperty{
			AwsvpcConfiguration: &awsecs.CfnService_AwsVpcConfigurationProperty{
				AssignPublicIp: jsii.String("ENABLED"), Subnets: &net.subnets, SecurityGroups: &[]*string{net.group},
			},
		},
	})
	// Without its way out or what it may do, the first task would fail, and the deployment with it.
	service.Node().AddDependency(net.vpc, s.roles[w.Name], starter)
	return service
}

// task is what a service runs. CloudWatch finds metrics in the lines of any log, also of this driver. What it does not take
// holds up no post: lines are dropped then. Such a driver cuts lines at 16 KB; those of metrics have 11 at most, ten
// distributions of 100 values (services/internal/telemetry).
func (s *Stack) task(w topology.Worker, image awsecrassets.DockerImageAsset, starter *string, logs awslogs.LogGroup) awsecs.CfnTaskDefinition {
	architecture := map[string]string{"arm64": "ARM64", "x86_64": "X86_64"}
	var environment []any
	values := *s.environment(w.Environment)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		environment = append(environment, &awsecs.CfnTaskDefinition_KeyValuePairProperty{Name: &name, Value: values[name]})
	}
	return awsecs.NewCfnTaskDefinition(s, jsii.String("task-"+w.Name), &awsecs.CfnTaskDefinitionProps{
		Family: &w.Name, Cpu: jsii.String(taskCPU), Memory: jsii.String(taskMemory), NetworkMode: jsii.String("awsvpc"),
		RequiresCompatibilities: jsii.Strings("FARGATE"),
		RuntimePlatform: &awsecs.CfnTaskDefinition_RuntimePlatformProperty{
			CpuArchitecture: jsii.String(architecture[s.props.Settings.Architecture]), OperatingSystemFamily: jsii.String("LINUX"),
		},
		TaskRoleArn: s.roles[w.Name].RoleArn(), ExecutionRoleArn: starter,
		ContainerDefinitions: []any{&awsecs.CfnTaskDefinition_ContainerDefinitionProperty{
			Name: &w.Command, Image: image.ImageUri(), Essential: true, Environment: environment,
			StopTimeout: jsii.Number(w.StopTimeout.Seconds()), ReadonlyRootFilesystem: true,
			LinuxParameters: &awsecs.CfnTaskDefinition_LinuxParametersProperty{
				Capabilities: &awsecs.CfnTaskDefinition_KernelCapabilitiesProperty{Drop: jsii.Strings("ALL")},
			},
			LogConfiguration: &awsecs.CfnTaskDefinition_LogConfigurationProperty{
				LogDriver: jsii.String("awslogs"),
				Options: map[string]*string{
					"awslogs-group": logs.LogGroupName(), "awslogs-region": s.Region(), "awslogs-stream-prefix": jsii.String("task"), "mode": jsii.String("non-blocking"),
				},
			},
		}},
	})
}

// When a worker needs more tasks, or fewer. Each posts at its part of the account's rate, so that more of them post more.
const (
	// A second is promised, and nothing that goes well keeps a message for more than two: a post that takes longer is
	// given up (services/fanout). Messages of half a minute come back.
	late, veryLate = 5, 30
	// A worker has 6,400 messages under way before it lets any wait.
	waiting, manyWaiting = 100, 1000
	// A task is missed soon and spared late: what one less can do shows only when it has gone.
	lateMinutes, calmMinutes = 2, 60
)

// scale adds tasks while messages of a worker's queue are late or wait, and takes one away after an hour without either.
func (s *Stack) scale(w topology.Worker, cluster awsecs.CfnCluster, service awsecs.CfnService) {
	target := awsapplicationautoscaling.NewCfnScalableTarget(s, jsii.String("scale-"+w.Name), &awsapplicationautoscaling.CfnScalableTargetProps{
		ServiceNamespace: jsii.String("ecs"), ScalableDimension: jsii.String("ecs:service:DesiredCount"),
		ResourceId:  jsii.String("service/" + *cluster.Ref() + "/" + *service.AttrName()),
		MinCapacity: jsii.Number(1), MaxCapacity: jsii.Number(w.Instances),
	})
	if w.Instances == 1 {
		return
	}
	const age, visible = "ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"
	queue := w.Environment["FANOUT_QUEUE_URL"].Name
	const pause = 2 * time.Minute // in which more tasks start, and metrics tell what came of it
	s.alarm("late-"+w.Name, "Messages of "+queue+" are late: more tasks are started.", late, lateMinutes,
		s.steps("late-"+w.Name, target, pause, above(0, veryLate-late, 1), above(veryLate-late, 0, 2)), measure("age", queue, age, true))
	s.alarm("waiting-"+w.Name, "Messages of "+queue+" wait: more tasks are started.", waiting, lateMinutes,
		s.steps("waiting-"+w.Name, target, pause, above(0, manyWaiting-waiting, 1), above(manyWaiting-waiting, 0, 2)), measure("visible", queue, visible, true))
	calm := fmt.Sprintf("IF(FILL(age, 0) < %d AND FILL(visible, 0) < %d, 1, 0)", late, waiting)
	s.alarm("calm-"+w.Name, "Messages of "+queue+" have been neither late nor waiting for an hour: a task is stopped, if there is more than one.", 1, calmMinutes,
		s.steps("calm-"+w.Name, target, calmMinutes*time.Minute, above(0, 0, -1)), measure("age", queue, age, false), measure("visible", queue, visible, false),
		&awscloudwatch.CfnAlarm_MetricDataQueryProperty{Id: jsii.String("calm"), Expression: &calm, ReturnData: true})
}

// steps is a policy that changes the number of tasks, and then waits before it does so again.
func (s *Stack) steps(id string, target awsapplicationautoscaling.CfnScalableTarget, pause time.Duration, steps ...any) *string {
	return awsapplicationautoscaling.NewCfnScalingPolicy(s, jsii.String("scaling-"+id), &awsapplicationautoscaling.CfnScalingPolicyProps{
		PolicyName: &id, PolicyType: jsii.String("StepScaling"), ScalingTargetId: target.Ref(),
		StepScalingPolicyConfiguration: &awsapplicationautoscaling.CfnScalingPolicy_StepScalingPolicyConfigurationProperty{
			AdjustmentType: jsii.String("ChangeInCapacity"), MetricAggregationType: jsii.String("Maximum"), Cooldown: jsii.Number(pause.Seconds()),
			StepAdjustments: steps,
		},
	}).Ref()
}

// above is a step: how many tasks more from so much above an alarm's threshold, and up to so much if that is not 0.
func above(from, to, tasks float64) any {
	step := awsapplicationautoscaling.CfnScalingPolicy_StepAdjustmentProperty{MetricIntervalLowerBound: &from, ScalingAdjustment: &tasks}
	if to > 0 {
		step.MetricIntervalUpperBound = &to
	}
	return &step
}

// alarm has an action taken when a threshold is reached in each of so many minutes. It tells nobody: nobody has to do
// anything. Where metrics are missing nothing changes.
func (s *Stack) alarm(id, text string, threshold, minutes float64, action *string, metrics ...any) {
	awscloudwatch.NewCfnAlarm(s, jsii.String("alarm-"+id), &awscloudwatch.CfnAlarmProps{
		AlarmDescription: jsii.String(text + " Nobody has to do anything."), Metrics: metrics,
		ComparisonOperator: jsii.String("GreaterThanOrEqualToThreshold"), Threshold: &threshold, EvaluationPeriods: &minutes,
		TreatMissingData: jsii.String("notBreaching"), AlarmActions: &[]any{action},
	})
}

// measure is the largest value of a queue's metric in each minute; judged, if it is what the threshold is for.
func measure(id, queue, metric string, judged bool) any {
	return &awscloudwatch.CfnAlarm_MetricDataQueryProperty{
		Id: &id, ReturnData: judged,
		MetricStat: &awscloudwatch.CfnAlarm_MetricStatProperty{
			Stat: jsii.String("Maximum"), Period: jsii.Number(60),
			Metric: &awscloudwatch.CfnAlarm_MetricProperty{
				Namespace: jsii.String("AWS/SQS"), MetricName: &metric,
				Dimensions: []any{&awscloudwatch.CfnAlarm_DimensionProperty{Name: jsii.String("QueueName"), Value: &queue}},
			},
		},
	}
}
