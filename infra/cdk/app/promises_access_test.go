package app_test

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/iops-dashboard/live/infra/cdk/setting"
	"github.com/iops-dashboard/live/infra/topology"
)

// The distribution is what everybody may read. Where the tasks have addresses of their own, nobody reaches them.
func onlyTheSiteIsPublic(c *cloud) []string {
	faults := lines(c.none(
		"AWS::Lambda::Url", "AWS::ElasticLoadBalancing::LoadBalancer", "AWS::ElasticLoadBalancingV2::LoadBalancer", "AWS::EC2::Instance",
		"AWS::EC2::SecurityGroupIngress", "AWS::ApiGateway::RestApi", "AWS::Cognito::IdentityPool", "AWS::S3::AccessPoint", "AWS::ECR::PublicRepository",
		"AWS::EC2::EIP", "AWS::EC2::NatGateway",
	))
	for _, x := range c.of("AWS::S3::Bucket") {
		for _, way := range []string{"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"} {
			if x.text("PublicAccessBlockConfiguration", way) != "true" {
				faults.add("%s: without %s", x, way)
			}
		}
		if x.at("WebsiteConfiguration") != nil {
			faults.add("%s: is a website without TLS", x)
		}
	}
	for _, x := range c.of("AWS::EC2::SecurityGroup") {
		if len(x.list("SecurityGroupIngress")) > 0 {
			faults.add("%s: lets somebody in", x)
		}
	}
	for _, x := range c.of("AWS::CloudFront::Distribution") {
		if x.stack != c.settings.Named(setting.SiteStack) {
			faults.add("%s: a distribution that is not the site's", x)
		}
		for _, o := range x.list("DistributionConfig", "Origins") {
			if text(at(o, "OriginAccessControlId")) == "" {
				faults.add("%s: reads %s as everybody", x, text(at(o, "DomainName")))
			}
		}
	}
	if n := len(c.of("AWS::CloudFront::Distribution")); n != 1 {
		faults.add("%d distributions", n)
	}
	for _, x := range c.of("AWS::Cognito::UserPool") {
		if x.text("AdminCreateUserConfig", "AllowAdminCreateUserOnly") != "true" {
			faults.add("%s: everybody can sign up", x)
		}
	}
	for _, x := range c.of("AWS::Cognito::UserPoolClient") {
		for _, a := range texts(x.at("WriteAttributes")) {
			if strings.HasPrefix(a, "custom:") {
				faults.add("%s: users can change their own %s", x, a)
			}
		}
		if x.at("WriteAttributes") == nil {
			faults.add("%s: users can change all that is said of them", x)
		}
		for _, flow := range texts(x.at("AllowedOAuthFlows")) {
			if flow != "code" {
				faults.add("%s: allows the %s flow", x, flow)
			}
		}
	}
	return faults
}

// Where tickets are wanted, nobody opens a socket without one, and nobody asks without a token. Of a WebSocket API only
// $connect can be authorised; its identity is the ticket, and is never remembered.
func nobodyComesUnasked(c *cloud) []string {
	var faults lines
	wanted := c.settings.Auth == topology.AuthTicket
	protocols := map[string]string{}
	for _, x := range c.of("AWS::ApiGatewayV2::Api") {
		protocols[x.text("Name")] = x.text("ProtocolType")
		if o := texts(x.at("CorsConfiguration", "AllowOrigins")); slices.Contains(o, "*") || x.text("CorsConfiguration", "AllowCredentials") == "true" {
			faults.add("%s: lets pages of %v ask", x, o)
		}
	}
	authorizers := map[string]*resource{}
	for _, x := range c.of("AWS::ApiGatewayV2::Authorizer") {
		authorizers[x.id] = x
		if n := x.number("AuthorizerResultTtlInSeconds"); n != 0 {
			faults.add("%s: remembers for %d s whom it let in", x, n)
		}
	}
	connects := 0
	for _, x := range c.of("AWS::ApiGatewayV2::Route") {
		key, scheme, by := x.text("RouteKey"), x.text("AuthorizationType"), authorizers[x.text("AuthorizerId")]
		socket := protocols[x.text("ApiId")] == "WEBSOCKET"
		want := "NONE"
		switch {
		case socket && key == "$connect":
			connects++
			if wanted {
				want = "CUSTOM"
			}
		case !socket && wanted:
			want = "JWT"
		}
		if scheme != want {
			faults.add("route %s of %s asks %s, want %s", key, x.text("ApiId"), scheme, want)
		}
		if (want != "NONE") != (by != nil) || by != nil && by.text("ApiId") != x.text("ApiId") {
			faults.add("route %s of %s: no authorizer, or one that is not its API's", key, x.text("ApiId"))
		}
	}
	if connects != 1 {
		faults.add("%d routes for $connect", connects)
	}
	for _, x := range authorizers {
		switch x.text("AuthorizerType") {
		case "REQUEST":
			if !slices.Equal(texts(x.at("IdentitySource")), []string{"route.request.querystring.ticket"}) {
				faults.add("%s: is asked about %v", x, x.at("IdentitySource"))
			}
		case "JWT":
			if issuer := x.text("JwtConfiguration", "Issuer"); !strings.HasPrefix(issuer, "https://") || x.text("JwtConfiguration", "Audience", "0") == "" {
				faults.add("%s: trusts %q for %v", x, issuer, x.at("JwtConfiguration", "Audience"))
			}
		default:
			faults.add("%s: of type %s", x, x.text("AuthorizerType"))
		}
	}
	return faults
}

// known are the properties of a request's context that a log may have: none of them is what a client wrote, and none is
// an address with a query.
var known = []string{
	"requestId", "requestTime", "identity.sourceIp", "connectionId", "eventType", "routeKey", "status", "responseLatency",
	"error.message", "error.messageString", "authorizer.error", "integration.error",
}

var contextVariable = regexp.MustCompile(`\$(context|util|request|stageVariables|input)\.?([a-zA-Z.]*)`)

func accessLogsHaveNoTicket(c *cloud) []string {
	var faults lines
	for _, x := range c.of("AWS::ApiGatewayV2::Stage") {
		format := x.text("AccessLogSettings", "Format")
		if format == "" || x.text("AccessLogSettings", "DestinationArn") == "" {
			faults.add("stage %s of %s: no access log", x.text("StageName"), x.text("ApiId"))
		}
		var line map[string]string
		if err := json.Unmarshal([]byte(format), &line); err != nil {
			faults.add("stage %s of %s: its log is not JSON: %v", x.text("StageName"), x.text("ApiId"), err)
		}
		for _, v := range contextVariable.FindAllStringSubmatch(format, -1) {
			if v[1] != "context" || !slices.Contains(known, v[2]) {
				faults.add("stage %s of %s: logs %s", x.text("StageName"), x.text("ApiId"), v[0])
			}
		}
		for _, settings := range append(x.list("RouteSettings"), x.at("DefaultRouteSettings")) {
			if level := text(at(settings, "LoggingLevel")); text(at(settings, "DataTraceEnabled")) == "true" || level == "INFO" {
				faults.add("stage %s of %s: logs requests whole", x.text("StageName"), x.text("ApiId"))
			}
		}
	}
	return faults
}

func clientsAreBounded(c *cloud) []string {
	var faults lines
	rate := 0
	all := c.of("AWS::ApiGatewayV2::Stage")
	for _, x := range all {
		rate += x.number("DefaultRouteSettings", "ThrottlingRateLimit")
		if x.number("DefaultRouteSettings", "ThrottlingRateLimit") == 0 || x.number("DefaultRouteSettings", "ThrottlingBurstLimit") == 0 {
			faults.add("stage %s of %s: clients are not bounded", x.text("StageName"), x.text("ApiId"))
		}
		if x.text("DefaultRouteSettings", "DetailedMetricsEnabled") != "true" {
			faults.add("stage %s of %s: its routes are not measured", x.text("StageName"), x.text("ApiId"))
		}
	}
	if len(all) != 2 || rate > topology.DefaultRate/10 {
		faults.add("%d stages let clients make %d requests a second, a tenth of the quota is theirs", len(all), rate)
	}
	return faults
}

// Every route, authorizer and schedule may invoke its function: API Gateway answers 500 where it may not, and nothing is
// in any log. What a schedule runs is run once.
func invokersMay(c *cloud) []string {
	var faults lines
	may := map[string]bool{}
	for _, x := range c.of("AWS::Lambda::Permission") {
		may[x.text("Principal")+" for "+x.text("SourceArn")+" may invoke "+last(x.text("FunctionName"))] = true
	}
	check := func(principal, source, function string) {
		if !may[principal+" for "+source+" may invoke "+function] {
			faults.add("%s may not invoke %s", source, function)
		}
	}
	once := map[string]bool{} // what is invoked by an event, and not again
	for _, x := range c.of("AWS::Lambda::EventInvokeConfig") {
		once[x.text("FunctionName")] = x.text("MaximumRetryAttempts") == "0"
	}
	functions, stages := map[string]string{}, map[string]string{}
	for _, x := range c.of("AWS::ApiGatewayV2::Integration") {
		functions["integrations/"+x.id] = invoked(x.text("IntegrationUri"))
	}
	for _, x := range c.of("AWS::ApiGatewayV2::Stage") {
		stages[x.text("ApiId")] = x.text("StageName")
	}
	for _, x := range c.of("AWS::ApiGatewayV2::Route") {
		// Of an HTTP API's route the source is the method and the path, as the route has them.
		check("apigateway.amazonaws.com", arn("execute-api", x.text("ApiId")+"/"+stages[x.text("ApiId")]+"/"+strings.Replace(x.text("RouteKey"), " ", "", 1)), functions[x.text("Target")])
	}
	for _, x := range c.of("AWS::ApiGatewayV2::Authorizer") {
		if uri := x.text("AuthorizerUri"); uri != "" {
			check("apigateway.amazonaws.com", arn("execute-api", x.text("ApiId")+"/authorizers/"+x.id), invoked(uri))
		}
	}
	for _, x := range c.of("AWS::Events::Rule") {
		for _, target := range x.list("Targets") {
			function := last(text(at(target, "Arn")))
			check("events.amazonaws.com", arn("events", "rule/"+x.id), function)
			if text(at(target, "RetryPolicy", "MaximumRetryAttempts")) != "0" || !once[function] {
				faults.add("%s: a run that fails is repeated", function)
			}
		}
	}
	return faults
}

// Pages may use the methods that routes have, and no others. API Gateway itself answers what a browser asks before it sends
// a token, unless there is a route that takes OPTIONS, as $default does.
func pagesMayAsk(c *cloud) []string {
	var faults lines
	for _, api := range c.of("AWS::ApiGatewayV2::Api") {
		if api.text("ProtocolType") != "HTTP" {
			continue
		}
		used := map[string]bool{}
		for _, x := range c.of("AWS::ApiGatewayV2::Route") {
			if x.text("ApiId") != api.text("Name") {
				continue
			}
			method, _, _ := strings.Cut(x.text("RouteKey"), " ")
			if used[method] = true; method == "$default" || method == "ANY" || method == "OPTIONS" {
				faults.add("%s: pages are refused by route %s", api, x.text("RouteKey"))
			}
		}
		want, got := slices.Sorted(maps.Keys(used)), texts(api.at("CorsConfiguration", "AllowMethods"))
		if slices.Sort(got); !slices.Equal(got, want) {
			faults.add("%s: pages may use %v, and routes have %v", api, got, want)
		}
	}
	return faults
}
