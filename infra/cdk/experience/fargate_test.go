package experience_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"github.com/iops-dashboard/live/infra/cdk/data"
	"github.com/iops-dashboard/live/infra/cdk/experience"
	"github.com/iops-dashboard/live/infra/cdk/setting"
	"github.com/iops-dashboard/live/infra/cdk/stacktest"
	"github.com/iops-dashboard/live/infra/topology"
)

func TestMain(m *testing.M) { os.Exit(stacktest.Main(m)) }

type context map[string]string

// deployments are those with workers, by how they differ.
var deployments = map[string]context{
	"one shard":    {"fanout": "fargate"},
	"eight shards": {"fanout": "fargate", "shards": "8", "architecture": "x86_64"},
	"another":      {"fanout": "fargate", "stage": "dev", "tasks": "1"},
}

func forEach(t *testing.T, test func(t *testing.T, tpl stacktest.Template, system topology.Topology, s setting.Settings)) {
	for name, c := range deployments {
		t.Run(name, func(t *testing.T) {
			tpl, system, s := synth(t, c)
			test(t, tpl, system, s)
		})
	}
}

func TestEachWorkerIsAService(t *testing.T) {
	forEach(t, func(t *testing.T, tpl stacktest.Template, system topology.Topology, s setting.Settings) {
		services, tasks := stacktest.Of[service](t, tpl, "AWS::ECS::Service"), stacktest.Of[task](t, tpl, "AWS::ECS::TaskDefinition")
		if len(system.Workers) == 0 || len(services) != len(system.Workers) || len(tasks) != len(system.Workers) {
			t.Fatalf("%d services and %d tasks for %d workers", len(services), len(tasks), len(system.Workers))
		}
		machine := map[string]string{"arm64": "ARM64", "x86_64": "X86_64"}[s.Architecture]
		for _, w := range system.Workers {
			got, x := named(t, services, w.Name)
			if d := x.DeploymentConfiguration; d.MinimumHealthyPercent != 100 || d.MaximumPercent != 200 || !d.DeploymentCircuitBreaker.Enable || !d.DeploymentCircuitBreaker.Rollback {
				t.Errorf("%s: a deployment that fails may stop what runs: %+v", w.Name, d)
			}
			if x.DesiredCount != nil {
				t.Errorf("%s: each deployment would go back to %v tasks", w.Name, x.DesiredCount)
			}
			def := tasks[stacktest.ID(x.TaskDefinition)]
			if x.LaunchType != "FARGATE" || def.RuntimePlatform.CPUArchitecture != machine || len(def.ContainerDefinitions) != 1 {
				t.Fatalf("%s: its task on %s is %+v, want one container on %s", w.Name, x.LaunchType, def, machine)
			}
			c := def.ContainerDefinitions[0]
			if c.StopTimeout != w.StopTimeout.Seconds() || !c.ReadonlyRootFilesystem || !c.Essential || !slices.Equal(c.LinuxParameters.Capabilities.Drop, []string{"ALL"}) {
				t.Errorf("%s: %+v", w.Name, c)
			}
			if !strings.Contains(stacktest.Text(c.Image), ".dkr.ecr.") {
				t.Errorf("%s: its image is %q, not that of an asset", w.Name, stacktest.Text(c.Image))
			}
			values := map[string]string{}
			for _, pair := range c.Environment {
				values[pair.Name] = stacktest.Text(pair.Value)
			}
			if want := slices.Sorted(maps.Keys(w.Environment)); !slices.Equal(slices.Sorted(maps.Keys(values)), want) {
				t.Errorf("%s: it has %v, want %v", w.Name, slices.Sorted(maps.Keys(values)), want)
			}
			queues := stacktest.Of[struct{ QueueName string }](t, tpl, "AWS::SQS::Queue")
			for name, r := range w.Environment {
				switch {
				case r.Kind == topology.Literal && values[name] != r.Name:
					t.Errorf("%s: %s is %q, want %q", w.Name, name, values[name], r.Name)
				case r.Kind == topology.QueueURL && queues[stacktest.ID(values[name])].QueueName != r.Name:
					t.Errorf("%s: %s is %q, want %s", w.Name, name, values[name], r.Name)
				}
			}
			log := c.LogConfiguration
			groups := stacktest.Of[struct{ LogGroupName string }](t, tpl, "AWS::Logs::LogGroup")
			if log.LogDriver != "awslogs" || groups[stacktest.ID(log.Options["awslogs-group"])].LogGroupName != "/ecs/"+w.Name || log.Options["mode"] != "non-blocking" {
				t.Errorf("%s: it logs to %v", w.Name, log)
			}
			// The first task starts when the service does: what it needs must be there before.
			for what, kind := range map[string]string{"its way out": "AWS::EC2::Route", "what it may do": "AWS::IAM::Policy"} {
				if !slices.ContainsFunc(tpl.Resources[got].DependsOn, func(id string) bool { return tpl.Resources[id].Type == kind }) {
					t.Errorf("%s: it does not wait for %s", w.Name, what)
				}
			}
		}
	})
}

func TestWorkersMayDoNoMoreThanIsGranted(t *testing.T) {
	forEach(t, func(t *testing.T, tpl stacktest.Template, system topology.Topology, _ setting.Settings) {
		services, tasks := stacktest.Of[service](t, tpl, "AWS::ECS::Service"), stacktest.Of[task](t, tpl, "AWS::ECS::TaskDefinition")
		log := []string{"logs:CreateLogStream", "logs:PutLogEvents"}
		for _, w := range system.Workers {
			_, x := named(t, services, w.Name)
			want := slices.Clone(log)
			for _, g := range w.Grants {
				want = append(want, g.IAM()...)
			}
			may(t, tpl, w.Name, tasks[stacktest.ID(x.TaskDefinition)].TaskRoleArn, want, func(_, on string) bool { return strings.HasSuffix(on, "/@connections/*") })
			may(t, tpl, w.Name+" while it starts", tasks[stacktest.ID(x.TaskDefinition)].ExecutionRoleArn,
				slices.Concat(log, []string{"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetAuthorizationToken", "ecr:GetDownloadUrlForLayer"}),
				func(action, on string) bool { return action == "ecr:GetAuthorizationToken" && on == "*" })
		}
		for _, flow := range stacktest.Of[flowLog](t, tpl, "AWS::EC2::FlowLog") {
			may(t, tpl, "the network", flow.DeliverLogsPermissionArn, append(slices.Clone(log), "logs:DescribeLogStreams"), func(string, string) bool { return false })
		}
	})
}

// may sees that a role may do these actions, and with a star only what is meant.
func may(t *testing.T, tpl stacktest.Template, owner string, role any, want []string, meant func(action, on string) bool) {
	t.Helper()
	var got []string
	for _, p := range stacktest.Of[policy](t, tpl, "AWS::IAM::Policy") {
		if !slices.ContainsFunc(p.Roles, func(r any) bool { return stacktest.ID(r) == stacktest.ID(role) }) {
			continue
		}
		for _, s := range p.PolicyDocument.Statement {
			for _, action := range stacktest.Texts(s.Action) {
				got = append(got, action)
				for _, on := range stacktest.Texts(s.Resource) {
					if strings.Contains(action, "*") || strings.Contains(on, "*") && !meant(action, on) {
						t.Errorf("%s may %s on %s", owner, action, on)
					}
				}
			}
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(slices.Compact(got), slices.Compact(want)) {
		t.Errorf("%s may %v, want %v", owner, got, want)
	}
	if given := tpl.Resources[stacktest.ID(role)].Properties["ManagedPolicyArns"]; given != nil {
		t.Errorf("%s may what %v say", owner, given)
	}
}

func TestNobodyComesIntoTheNetwork(t *testing.T) {
	forEach(t, func(t *testing.T, tpl stacktest.Template, _ topology.Topology, _ setting.Settings) {
		groups := stacktest.Of[securityGroup](t, tpl, "AWS::EC2::SecurityGroup")
		if len(groups) != 1 || len(stacktest.Of[any](t, tpl, "AWS::EC2::SecurityGroupIngress")) > 0 {
			t.Errorf("%d security groups, or rules for coming in", len(groups))
		}
		for _, g := range groups {
			if len(g.SecurityGroupIngress) > 0 || len(g.SecurityGroupEgress) != 1 || g.SecurityGroupEgress[0] != (rule{"tcp", 443, 443, "0.0.0.0/0"}) {
				t.Errorf("%+v: want only https, outwards", g)
			}
		}
		subnets := stacktest.Of[subnet](t, tpl, "AWS::EC2::Subnet")
		zones := map[string]bool{}
		for name, x := range subnets {
			zones[fmt.Sprint(x.AvailabilityZone)] = true
			if x.MapPublicIPOnLaunch {
				t.Errorf("%s: gives public addresses unasked", name)
			}
		}
		if len(subnets) != 2 || len(zones) != 2 {
			t.Errorf("%d subnets in %d zones", len(subnets), len(zones))
		}
		if n := stacktest.Of[any](t, tpl, "AWS::EC2::NatGateway"); len(n) > 0 {
			t.Errorf("%d NAT gateways, which cost by the hour and by the byte", len(n))
		}
		endpoints := stacktest.Of[struct{ ServiceName any }](t, tpl, "AWS::EC2::VPCEndpoint")
		if len(endpoints) != 1 {
			t.Errorf("%d endpoints", len(endpoints))
		}
		for _, e := range endpoints {
			if !strings.HasSuffix(stacktest.Text(e.ServiceName), ".dynamodb") {
				t.Errorf("an endpoint of %s", stacktest.Text(e.ServiceName))
			}
		}
		flows := stacktest.Of[flowLog](t, tpl, "AWS::EC2::FlowLog")
		for network := range stacktest.Of[any](t, tpl, "AWS::EC2::VPC") {
			if !slices.ContainsFunc(slices.Collect(maps.Values(flows)), func(f flowLog) bool { return stacktest.ID(f.ResourceID) == network && f.TrafficType == "ALL" }) {
				t.Errorf("%s: nobody notes what passes", network)
			}
		}
		for name, x := range stacktest.Of[service](t, tpl, "AWS::ECS::Service") {
			n := x.NetworkConfiguration.AwsvpcConfiguration
			if len(n.Subnets) != 2 || len(n.SecurityGroups) != 1 || groups[stacktest.ID(n.SecurityGroups[0])].SecurityGroupEgress == nil || n.AssignPublicIP != "ENABLED" {
				t.Errorf("%s runs in %+v", name, n)
			}
		}
		for name, x := range stacktest.Of[cluster](t, tpl, "AWS::ECS::Cluster") {
			if !slices.Contains(x.ClusterSettings, nameValue{"containerInsights", "enabled"}) {
				t.Errorf("%s: no insights: %+v", name, x)
			}
		}
	})
}

func TestWorkersScaleWithTheirQueue(t *testing.T) {
	forEach(t, func(t *testing.T, tpl stacktest.Template, system topology.Topology, _ setting.Settings) {
		targets, policies, alarms := stacktest.Of[target](t, tpl, "AWS::ApplicationAutoScaling::ScalableTarget"), stacktest.Of[scaling](t, tpl, "AWS::ApplicationAutoScaling::ScalingPolicy"), stacktest.Of[alarm](t, tpl, "AWS::CloudWatch::Alarm")
		services := stacktest.Of[service](t, tpl, "AWS::ECS::Service")
		for _, w := range system.Workers {
			own, _ := named(t, services, w.Name)
			var bounds string
			for name, x := range targets {
				if strings.HasSuffix(stacktest.Text(x.ResourceID), "/${"+own+".Name}") {
					bounds = name
					if x.MinCapacity != 1 || x.MaxCapacity != w.Instances || x.ServiceNamespace != "ecs" || x.ScalableDimension != "ecs:service:DesiredCount" {
						t.Errorf("%s: %+v, want 1 to %d tasks", w.Name, x, w.Instances)
					}
				}
			}
			if bounds == "" {
				t.Fatalf("%s: nobody bounds its tasks", w.Name)
			}
			// What changes the number of tasks, by the metrics that it goes by.
			changes := map[string][]step{}
			for name, p := range policies {
				if stacktest.ID(p.ScalingTargetID) != bounds {
					continue
				}
				for _, a := range alarms {
					if len(a.AlarmActions) == 1 && stacktest.ID(a.AlarmActions[0]) == name {
						changes[strings.Join(a.metrics(t, w.Environment["FANOUT_QUEUE_URL"].Name), ", ")] = p.StepScalingPolicyConfiguration.StepAdjustments
						if a.TreatMissingData != "notBreaching" || p.StepScalingPolicyConfiguration.Cooldown < 60 {
							t.Errorf("%s: tasks change where nothing is known, or before the last change shows: %+v", w.Name, a)
						}
					}
				}
			}
			const age, visible = "ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"
			more := func(by string) bool {
				n := 0.0
				for _, s := range changes[by] { // each larger than the one before
					if s.ScalingAdjustment <= n {
						return false
					}
					n = s.ScalingAdjustment
				}
				return len(changes[by]) == 2
			}
			less := changes[age+", "+visible]
			if w.Instances == 1 {
				if len(changes) > 0 {
					t.Errorf("%s: one task, and %v", w.Name, changes)
				}
				continue
			}
			if len(changes) != 3 || !more(age) || !more(visible) || len(less) != 1 || less[0].ScalingAdjustment != -1 {
				t.Errorf("%s: tasks change so: %+v", w.Name, changes)
			}
		}
	})
}

func TestWithoutWorkersThereIsNoNetwork(t *testing.T) {
	tpl, _, _ := synth(t, context{"fanout": "lambda"})
	for name, x := range tpl.Resources {
		for _, service := range []string{"AWS::EC2::", "AWS::ECS::", "AWS::ApplicationAutoScaling::"} {
			if strings.HasPrefix(x.Type, service) {
				t.Errorf("%s is a %s", name, x.Type)
			}
		}
	}
}

// synths are the templates by the settings: each takes a second, and nobody changes it.
var synths = map[string]stacktest.Template{}

// synth is the stack of a deployment.
func synth(t *testing.T, c context) (stacktest.Template, topology.Topology, setting.Settings) {
	t.Helper()
	settings := stacktest.Settings(t, c)
	system := settings.Topology()
	if made, ok := synths[fmt.Sprint(c)]; ok {
		return made, system, settings
	}
	assets := stacktest.Assets{Folder: t.TempDir()}
	made := stacktest.Synth(t, func(a awscdk.App) awscdk.Stack {
		return experience.New(a, settings.Named(setting.ExperienceStack), system, experience.Props{
			Settings: settings, Data: data.New(a, settings.Named(setting.DataStack), system, awscdk.StackProps{}), SiteURL: jsii.String("https://site.example.com"),
			Program: assets.Program, Image: assets.Image,
		})
	})
	synths[fmt.Sprint(c)] = made
	return made, system, settings
}

// The properties that tests look at, as the template has them. What may be worked out only when it is deployed is any.
type (
	service struct {
		ServiceName             string
		TaskDefinition          any
		LaunchType              string
		DesiredCount            any
		DeploymentConfiguration struct {
			MinimumHealthyPercent, MaximumPercent float64
			DeploymentCircuitBreaker              struct{ Enable, Rollback bool }
		}
		NetworkConfiguration struct {
			AwsvpcConfiguration struct {
				AssignPublicIP          string `json:"AssignPublicIp"`
				Subnets, SecurityGroups []any
			}
		}
	}
	task struct {
		TaskRoleArn, ExecutionRoleArn any
		RuntimePlatform               struct {
			CPUArchitecture string `json:"CpuArchitecture"`
		}
		ContainerDefinitions []struct {
			Image                             any
			Essential, ReadonlyRootFilesystem bool
			StopTimeout                       float64
			LinuxParameters                   struct{ Capabilities struct{ Drop []string } }
			Environment                       []struct {
				Name  string
				Value any
			}
			LogConfiguration struct {
				LogDriver string
				Options   map[string]any
			}
		}
	}
	cluster   struct{ ClusterSettings []nameValue }
	nameValue struct{ Name, Value string }
	policy    struct {
		Roles          []any
		PolicyDocument struct {
			Statement []struct{ Action, Resource any }
		}
	}
	securityGroup struct {
		SecurityGroupIngress []any
		SecurityGroupEgress  []rule
	}
	rule struct {
		IPProtocol       string `json:"IpProtocol"`
		FromPort, ToPort float64
		CidrIP           string `json:"CidrIp"`
	}
	subnet struct {
		AvailabilityZone    any
		MapPublicIPOnLaunch bool `json:"MapPublicIpOnLaunch"`
	}
	flowLog struct {
		ResourceID               any `json:"ResourceId"`
		TrafficType              string
		DeliverLogsPermissionArn any
	}
	target struct {
		ResourceID                          any `json:"ResourceId"`
		MinCapacity, MaxCapacity            int
		ServiceNamespace, ScalableDimension string
	}
	scaling struct {
		ScalingTargetID                any `json:"ScalingTargetId"`
		StepScalingPolicyConfiguration struct {
			Cooldown        float64
			StepAdjustments []step
		}
	}
	step  struct{ ScalingAdjustment float64 }
	alarm struct {
		AlarmActions     []any
		TreatMissingData string
		Metrics          []struct {
			MetricStat *struct {
				Metric struct {
					Namespace, MetricName string
					Dimensions            []nameValue
				}
			}
		}
	}
)

// metrics are what an alarm goes by, which must be those of one queue.
func (a alarm) metrics(t *testing.T, queue string) []string {
	t.Helper()
	var names []string
	for _, m := range a.Metrics {
		if m.MetricStat == nil {
			continue // worked out of the others
		}
		x := m.MetricStat.Metric
		if x.Namespace != "AWS/SQS" || !slices.Equal(x.Dimensions, []nameValue{{"QueueName", queue}}) {
			t.Errorf("an alarm goes by %+v, which is not of %s", x, queue)
		}
		names = append(names, x.MetricName)
	}
	return names
}

func named(t *testing.T, all map[string]service, name string) (string, service) {
	t.Helper()
	for id, x := range all {
		if x.ServiceName == name {
			return id, x
		}
	}
	t.Fatalf("no service %s", name)
	return "", service{}
}
