// Package experience is IOpsDashboard-ExperienceStack: all that is between the tables that writers write to and the
// browsers, as the topology has it.
package experience

import (
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/iops-dashboard/live/infra/cdk/data"
	"github.com/iops-dashboard/live/infra/cdk/setting"
	"github.com/iops-dashboard/live/infra/cdk/table"
	"github.com/iops-dashboard/live/infra/topology"
)

// Props are what the stack is made of, besides the topology.
type Props struct {
	awscdk.StackProps
	Settings setting.Settings
	// Data has the tables of the system's own; nil if all were brought.
	Data *data.Stack
	// SiteURL is the origin of the dashboard: https, and no slash at its end.
	SiteURL *string
	// Program returns the path of the zip that runs a command in Lambda, and Image the folder of a container's.
	Program, Image func(command string) string
}

// Stack is the system in the cloud.
type Stack struct {
	awscdk.Stack
	system  topology.Topology
	props   Props
	tables  map[string]awsdynamodb.ITable // by name, as all here
	topics  map[string]awssns.Topic
	queues  map[string]awssqs.Queue
	stores  map[string]awss3.Bucket
	roles   map[string]awsiam.Role
	running map[string]awslambda.Function

	socket, http     awsapigatewayv2.CfnApi
	issuer, audience *string // of tokens; nil where nobody is asked for one
	signIn           *string // where users sign in, if the pool is the system's own
}

// New returns the stack.
func New(scope constructs.Construct, name string, system topology.Topology, props Props) *Stack {
	props.Description = jsii.String("IOps Dashboard: from the tables' streams to the browsers")
	s := &Stack{
		system: system, props: props,
		tables: map[string]awsdynamodb.ITable{}, topics: map[string]awssns.Topic{}, queues: map[string]awssqs.Queue{},
		stores: map[string]awss3.Bucket{}, roles: map[string]awsiam.Role{}, running: map[string]awslambda.Function{},
	}
	awscdk.NewStack_Override(s, scope, &name, &props.StackProps)
	s.addTables()
	s.addTopics()
	s.addQueues()
	s.addSubscriptions()
	s.addStores()
	s.addAPIs()
	s.addUsers()
	s.addFunctions()
	s.addMappings()
	s.addSchedules()
	s.addWorkers()
	s.addSocketRoutes()
	s.addHTTPRoutes()
	s.addOutputs()
	return s
}

// addTables makes the tables that the system itself writes to, and finds the others.
func (s *Stack) addTables() {
	for _, t := range s.system.Tables {
		switch {
		case data.Owns(t):
			s.tables[t.Name] = s.props.Data.Tables[t.Name]
		case t.Brought:
			brought := s.brought(t.Name)
			s.tables[t.Name] = awsdynamodb.Table_FromTableAttributes(s, jsii.String("table-"+t.Name), &awsdynamodb.TableAttributes{
				TableArn: &brought.ARN, TableStreamArn: &brought.Stream,
			})
		default:
			s.tables[t.Name] = table.New(s, t)
		}
	}
}

func (s *Stack) brought(name string) setting.Table {
	if s.props.Settings.Metrics.Name() == name {
		return s.props.Settings.Metrics
	}
	return s.props.Settings.Insights
}

// resolve returns the value of a variable of the environment.
func (s *Stack) resolve(r topology.Ref) *string {
	switch r.Kind {
	case topology.TopicARN:
		return s.topics[r.Name].TopicArn()
	case topology.QueueURL:
		return s.queues[r.Name].QueueUrl()
	case topology.CallbackURL:
		return s.socketURL("https")
	case topology.SocketURL:
		return s.socketURL("wss")
	case topology.PageOrigins:
		return jsii.String(strings.Join(s.origins(), ","))
	case topology.TokenIssuer:
		return s.issuer
	case topology.TokenAudience:
		return s.audience
	default: // a literal, or a table, whose name is the same everywhere
		return &r.Name
	}
}

// origins are those of the pages that may connect.
func (s *Stack) origins() []string {
	return append([]string{*s.props.SiteURL}, slices.Clone(s.props.Settings.Origins)...)
}

// arns are the resources of a grant: of the management API, those of its methods.
func (s *Stack) arns(g topology.Grant) []string {
	switch g.On.Kind {
	case topology.TableName:
		return []string{*s.tables[g.On.Name].TableArn()}
	case topology.TopicARN:
		return []string{*s.topics[g.On.Name].TopicArn()}
	case topology.QueueURL:
		return []string{*s.queues[g.On.Name].QueueArn()}
	}
	var all []string
	for _, method := range g.Actions {
		all = append(all, *s.FormatArn(&awscdk.ArnComponents{
			Service: jsii.String("execute-api"), Resource: s.socket.Ref(),
			ResourceName: jsii.String(s.system.WebSocket.Stage + "/" + method + "/@connections/*"),
		}))
	}
	return all
}

func (s *Stack) output(name, text string, value *string) awscdk.CfnOutput {
	return awscdk.NewCfnOutput(s, &name, &awscdk.CfnOutputProps{Value: value, Description: &text})
}

// addOutputs tells what clients, the site and operators need to know.
func (s *Stack) addOutputs() {
	s.output("WebSocketURL", "where clients connect: VITE_WEBSOCKET_URL", s.socketURL("wss")).
		SetExportName(jsii.String(s.props.Settings.Named("IOpsDashboard-WebSocketURL")))
	s.output("WebSocketAPIEndpoint", "where connections are posted to: WEBSOCKET_API_ENDPOINT", s.socketURL("https"))
	s.output("ApiURL", "where clients ask, and get tickets: VITE_API_URL", s.http.AttrApiEndpoint())
	s.output("SiteURL", "where the dashboard is", s.props.SiteURL)
	for _, t := range s.system.Topics {
		s.output("TopicARN", "where other teams subscribe a queue of theirs", s.topics[t.Name].TopicArn())
	}
	if s.issuer != nil {
		s.output("TokenIssuer", "who signs the tokens of users", s.issuer)
		s.output("TokenClientId", "for whom these tokens are", s.audience)
	}
	if s.signIn != nil {
		s.output("SignInURL", "where users sign in", s.signIn)
	}
}
