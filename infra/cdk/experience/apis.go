package experience

import (
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigateway"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/jsii-runtime-go"

	"github.com/iops-dashboard/live/infra/topology"
)

// addAPIs makes both APIs, without routes: functions need their addresses, and routes need functions.
func (s *Stack) addAPIs() {
	s.socket = awsapigatewayv2.NewCfnApi(s, jsii.String("api-"+s.system.WebSocket.Name), &awsapigatewayv2.CfnApiProps{
		Name: &s.system.WebSocket.Name, ProtocolType: jsii.String("WEBSOCKET"), RouteSelectionExpression: jsii.String("$request.body.action"),
	})
	h := s.system.HTTP
	s.http = awsapigatewayv2.NewCfnApi(s, jsii.String("api-"+h.Name), &awsapigatewayv2.CfnApiProps{
		Name: &h.Name, ProtocolType: jsii.String("HTTP"),
		CorsConfiguration: &awsapigatewayv2.CfnApi_CorsProperty{
			AllowOrigins: jsii.Strings(s.origins()...), AllowHeaders: jsii.Strings(h.CORS.Headers...), ExposeHeaders: jsii.Strings(h.CORS.Expose...),
			AllowMethods: jsii.Strings(methods(h.Routes)...), MaxAge: jsii.Number(h.CORS.MaxAge.Seconds()),
		},
	})
}

// methods are those of the routes of an HTTP API, sorted.
func methods(routes map[string]string) []string {
	var all []string
	for key := range routes {
		method, _, _ := strings.Cut(key, " ")
		all = append(all, method)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (s *Stack) socketURL(scheme string) *string {
	return jsii.String(scheme + "://" + *s.socket.Ref() + ".execute-api." + *s.Region() + "." + *s.UrlSuffix() + "/" + s.system.WebSocket.Stage)
}

// addSocketRoutes has the functions answer what clients of the WebSocket API do.
func (s *Stack) addSocketRoutes() {
	w := s.system.WebSocket
	var authorizer awsapigatewayv2.CfnAuthorizer
	if w.Authorizer.Function != "" {
		authorizer = awsapigatewayv2.NewCfnAuthorizer(s, jsii.String("authorizer-"+w.Name), &awsapigatewayv2.CfnAuthorizerProps{
			ApiId: s.socket.Ref(), Name: &w.Authorizer.Function, AuthorizerType: jsii.String("REQUEST"),
			AuthorizerUri: s.invocation(w.Authorizer.Function), IdentitySource: jsii.Strings(w.Authorizer.Identity...),
		})
		s.permit(w.Authorizer.Function, "apigateway.amazonaws.com", "authorizer", s.invokes(s.socket, "authorizers/"+*authorizer.Ref()))
	}
	var routes []awsapigatewayv2.CfnRoute
	integrations := map[string]awsapigatewayv2.CfnIntegration{}
	for _, key := range slices.Sorted(maps.Keys(w.Routes)) {
		function := w.Routes[key]
		if integrations[function] == nil {
			integrations[function] = awsapigatewayv2.NewCfnIntegration(s, jsii.String("integration-socket-"+function), &awsapigatewayv2.CfnIntegrationProps{
				ApiId: s.socket.Ref(), IntegrationType: jsii.String("AWS_PROXY"), IntegrationUri: s.invocation(function),
			})
		}
		name := strings.TrimPrefix(key, "$")
		s.permit(function, "apigateway.amazonaws.com", name+"-route", s.invokes(s.socket, w.Stage+"/"+key))
		props := awsapigatewayv2.CfnRouteProps{
			ApiId: s.socket.Ref(), RouteKey: &key, AuthorizationType: jsii.String("NONE"),
			Target: jsii.String("integrations/" + *integrations[function].Ref()),
		}
		if key == "$connect" && authorizer != nil { // the one route that can have one
			props.AuthorizationType, props.AuthorizerId = jsii.String("CUSTOM"), authorizer.Ref()
		}
		routes = append(routes, awsapigatewayv2.NewCfnRoute(s, jsii.String("route-"+w.Name+"-"+name), &props))
	}
	logs := s.logGroup("/aws/apigateway/"+w.Name, "log-"+w.Name)
	stage := awsapigatewayv2.NewCfnStage(s, jsii.String("stage-"+w.Name), &awsapigatewayv2.CfnStageProps{
		ApiId: s.socket.Ref(), StageName: &w.Stage, AutoDeploy: true,
		DefaultRouteSettings: &awsapigatewayv2.CfnStage_RouteSettingsProperty{
			ThrottlingRateLimit: jsii.Number(w.Throttle.Rate), ThrottlingBurstLimit: jsii.Number(w.Throttle.Burst), DetailedMetricsEnabled: true,
		},
		AccessLogSettings: accessLog(logs, "connectionId", "eventType", "routeKey", "status", "error.message", "authorizer.error", "integration.error"),
	})
	for _, r := range routes {
		stage.AddResourceDependency(r, nil)
	}
	s.addLogRole(stage)
}

// addLogRole lets API Gateway write the log of a WebSocket API. It is one setting for an account and Region, and stays
// when the stack goes, since others may rely on it.
func (s *Stack) addLogRole(before awsapigatewayv2.CfnStage) {
	if s.props.Settings.KeepsLogRole {
		return
	}
	role := awsiam.NewRole(s, jsii.String("role-api-log"), &awsiam.RoleProps{
		AssumedBy: awsiam.NewServicePrincipal(jsii.String("apigateway.amazonaws.com"), nil), Description: jsii.String("How API Gateway writes logs"),
		ManagedPolicies: &[]awsiam.IManagedPolicy{
			awsiam.ManagedPolicy_FromAwsManagedPolicyName(jsii.String("service-role/AmazonAPIGatewayPushToCloudWatchLogs")),
		},
	})
	role.ApplyRemovalPolicy(awscdk.RemovalPolicy_RETAIN)
	account := awsapigateway.NewCfnAccount(s, jsii.String("api-account"), &awsapigateway.CfnAccountProps{CloudWatchRoleArn: role.RoleArn()})
	account.ApplyRemovalPolicy(awscdk.RemovalPolicy_RETAIN, nil)
	before.AddResourceDependency(account, nil)
}

// addHTTPRoutes has the functions answer what clients ask by HTTP.
func (s *Stack) addHTTPRoutes() {
	h := s.system.HTTP
	var authorizer awsapigatewayv2.CfnAuthorizer
	if h.JWT != (topology.JWT{}) {
		authorizer = awsapigatewayv2.NewCfnAuthorizer(s, jsii.String("authorizer-"+h.Name), &awsapigatewayv2.CfnAuthorizerProps{
			ApiId: s.http.Ref(), Name: jsii.String("tokens"), AuthorizerType: jsii.String("JWT"),
			IdentitySource: jsii.Strings("$request.header.Authorization"),
			JwtConfiguration: &awsapigatewayv2.CfnAuthorizer_JWTConfigurationProperty{
				Issuer: s.resolve(h.JWT.Issuer), Audience: &[]*string{s.resolve(h.JWT.Audience)},
			},
		})
	}
	integrations := map[string]awsapigatewayv2.CfnIntegration{}
	for _, key := range slices.Sorted(maps.Keys(h.Routes)) {
		function := h.Routes[key]
		if integrations[function] == nil {
			integrations[function] = awsapigatewayv2.NewCfnIntegration(s, jsii.String("integration-http-"+function), &awsapigatewayv2.CfnIntegrationProps{
				ApiId: s.http.Ref(), IntegrationType: jsii.String("AWS_PROXY"), IntegrationUri: s.running[function].FunctionArn(),
				PayloadFormatVersion: jsii.String("2.0"),
			})
		}
		name, source := routeName(key)
		s.permit(function, "apigateway.amazonaws.com", name+"-http", s.invokes(s.http, "$default/"+source))
		props := awsapigatewayv2.CfnRouteProps{
			ApiId: s.http.Ref(), RouteKey: &key, AuthorizationType: jsii.String("NONE"),
			Target: jsii.String("integrations/" + *integrations[function].Ref()),
		}
		if authorizer != nil {
			props.AuthorizationType, props.AuthorizerId = jsii.String("JWT"), authorizer.Ref()
		}
		awsapigatewayv2.NewCfnRoute(s, jsii.String("route-"+h.Name+"-"+name), &props)
	}
	logs := s.logGroup("/aws/apigateway/"+h.Name, "log-"+h.Name)
	awsapigatewayv2.NewCfnStage(s, jsii.String("stage-"+h.Name), &awsapigatewayv2.CfnStageProps{
		ApiId: s.http.Ref(), StageName: jsii.String("$default"), AutoDeploy: true,
		DefaultRouteSettings: &awsapigatewayv2.CfnStage_RouteSettingsProperty{
			ThrottlingRateLimit: jsii.Number(h.Throttle.Rate), ThrottlingBurstLimit: jsii.Number(h.Throttle.Burst), DetailedMetricsEnabled: true,
		},
		AccessLogSettings: accessLog(logs, "routeKey", "status", "authorizer.error", "integration.error", "responseLatency"),
	})
}

// routeName is a name for a route of an HTTP API, and what ARNs call it: the method and the path.
func routeName(key string) (name, source string) {
	method, path, _ := strings.Cut(key, " ")
	return strings.ToLower(method) + strings.NewReplacer("/", "-", "{", "", "}", "", "+", "").Replace(path), method + path
}

// invocation is the address by which API Gateway invokes a function.
func (s *Stack) invocation(function string) *string {
	return jsii.String("arn:" + *s.Partition() + ":apigateway:" + *s.Region() + ":lambda:path/2015-03-31/functions/" + *s.running[function].FunctionArn() + "/invocations")
}

// invokes is the part of an API that invokes a function.
func (s *Stack) invokes(api awsapigatewayv2.CfnApi, part string) *string {
	return s.FormatArn(&awscdk.ArnComponents{Service: jsii.String("execute-api"), Resource: api.Ref(), ResourceName: &part})
}

// accessLog has a line for each request with these properties of its context. None of them is a client's text: the query
// has the ticket in it, and bodies are nobody's business.
func accessLog(to awslogs.LogGroup, properties ...string) *awsapigatewayv2.CfnStage_AccessLogSettingsProperty {
	var fields []string
	for _, p := range append([]string{"requestId", "requestTime", "identity.sourceIp"}, properties...) {
		fields = append(fields, `"`+p+`":"$context.`+p+`"`)
	}
	return &awsapigatewayv2.CfnStage_AccessLogSettingsProperty{
		DestinationArn: to.LogGroupArn(), Format: jsii.String("{" + strings.Join(fields, ",") + "}"),
	}
}

// SocketAPI and HTTPAPI are the ids of the APIs, by which their metrics are found.
func (s *Stack) SocketAPI() *string { return s.socket.Ref() }

// HTTPAPI is the id of the HTTP API.
func (s *Stack) HTTPAPI() *string { return s.http.Ref() }
