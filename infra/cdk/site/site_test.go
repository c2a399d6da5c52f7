package site_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"github.com/iops-dashboard/live/infra/cdk/data"
	"github.com/iops-dashboard/live/infra/cdk/experience"
	"github.com/iops-dashboard/live/infra/cdk/setting"
	"github.com/iops-dashboard/live/infra/cdk/site"
	"github.com/iops-dashboard/live/infra/cdk/stacktest"
	"github.com/iops-dashboard/live/infra/topology"
)

func TestMain(m *testing.M) { os.Exit(stacktest.Main(m)) }

type context map[string]string

// What infra/local answers, CloudFront answers: see TestDashboardServesFilesAndElseThePage there. But for a name with a dot,
// which is a file here, present or not; there, a file is what is present.
func TestSiteServesFilesAndElseThePage(t *testing.T) {
	edge := newEdge(t, synth(t, nil), map[string]string{
		"/index.html": "the page", "/favicon.svg": "<svg/>", "/config.json": "{}", "/assets/app-1a2b.js": "code",
	})
	const immutable, fresh = "public, max-age=31536000, immutable", "no-cache"
	for uri, want := range map[string]answer{
		"/":                   {200, "the page", fresh},
		"/index.html":         {200, "the page", fresh},
		"/students/stu_1":     {200, "the page", fresh},
		"/students/":          {200, "the page", fresh},
		"/v1.2/students":      {200, "the page", fresh},
		"/assets":             {200, "the page", fresh},
		"/favicon.svg":        {200, "<svg/>", fresh},
		"/config.json":        {200, "{}", "no-store"},
		"/assets/app-1a2b.js": {200, "code", immutable},
		"/assets/app-gone.js": {404, "", ""},
		"/assets/":            {404, "", ""},
		"/assets/students":    {404, "", ""}, // not the page: a script would be HTML
		"/robots.txt":         {404, "", ""},
	} {
		if got := edge.get(t, uri); got != want {
			t.Errorf("%s: %+v, want %+v", uri, got, want)
		}
	}
}

// Whether there is a config.json is asked by pages that can do without: 404 is an answer, 403 and the page are none.
func TestMissingConfigurationIsSaidToBeMissing(t *testing.T) {
	edge := newEdge(t, synth(t, nil), map[string]string{"/index.html": "the page"})
	if got := edge.get(t, "/config.json"); got.status != 404 || got.body != "" {
		t.Errorf("%+v", got)
	}
}

func TestErrorsAreNotRemembered(t *testing.T) {
	d := distribution(t, synth(t, nil))
	kept := map[float64]float64{}
	for _, e := range d.CustomErrorResponses {
		if e.ErrorCachingMinTTL == nil || e.ResponsePagePath != "" {
			t.Errorf("%v: %+v, want no page and no time", e.ErrorCode, e)
			continue
		}
		kept[e.ErrorCode] = *e.ErrorCachingMinTTL
	}
	for _, code := range []float64{403, 404} {
		if ttl, ok := kept[code]; !ok || ttl != 0 {
			t.Errorf("%v is kept for %v s (said: %v): a file that is there now would be missing", code, ttl, ok)
		}
	}
}

func TestSiteIsReadByHTTPSOnly(t *testing.T) {
	d := distribution(t, synth(t, nil))
	for _, b := range append(d.CacheBehaviors, d.DefaultCacheBehavior) {
		if b.ViewerProtocolPolicy != "redirect-to-https" || !b.Compress || !slices.Equal(b.AllowedMethods, []string{"GET", "HEAD"}) {
			t.Errorf("%q: %+v", b.PathPattern, b)
		}
	}
	if d.HTTPVersion != "http2and3" || !d.IPV6Enabled || !d.Enabled || d.DefaultRootObject != "index.html" {
		t.Errorf("%+v", d)
	}
	if d.Logging.Bucket == nil || d.Logging.IncludeCookies {
		t.Errorf("logs: %+v", d.Logging)
	}
}

// Only CloudFront, and of it only this distribution, reads the files.
func TestBucketIsPrivate(t *testing.T) {
	tpl := synth(t, nil)
	d := distribution(t, tpl)
	if len(d.Origins) != 1 || tpl.Resources[stacktest.ID(d.Origins[0].OriginAccessControlID)].Type != "AWS::CloudFront::OriginAccessControl" {
		t.Fatalf("origins: %+v", d.Origins)
	}
	for name, x := range stacktest.Of[control](t, tpl, "AWS::CloudFront::OriginAccessControl") {
		if c := x.OriginAccessControlConfig; c.SigningBehavior != "always" || c.SigningProtocol != "sigv4" || c.OriginAccessControlOriginType != "s3" {
			t.Errorf("%s: %+v", name, c)
		}
	}
	files := stacktest.ID(d.Origins[0].DomainName)
	buckets := stacktest.Of[bucket](t, tpl, "AWS::S3::Bucket")
	for name, x := range buckets {
		if x.PublicAccessBlockConfiguration != (block{true, true, true, true}) || len(x.BucketEncryption.ServerSideEncryptionConfiguration) != 1 {
			t.Errorf("%s: %+v", name, x)
		}
		if allowed := grants(t, tpl, name, "Deny"); !slices.ContainsFunc(allowed, func(s statement) bool {
			return stacktest.Text(s.Action) == "s3:*" && fmt.Sprint(s.Condition) == "map[Bool:map[aws:SecureTransport:false]]"
		}) {
			t.Errorf("%s: lets in who does not use TLS: %+v", name, allowed)
		}
		if name == files {
			continue
		}
		if len(x.LifecycleConfiguration.Rules) == 0 || x.LifecycleConfiguration.Rules[0].ExpirationInDays == 0 {
			t.Errorf("%s: logs are kept for ever", name)
		}
	}
	x := buckets[files]
	if x.VersioningConfiguration.Status != "Enabled" || buckets[stacktest.ID(x.LoggingConfiguration.DestinationBucketName)].LifecycleConfiguration.Rules == nil {
		t.Errorf("the files: %+v", x)
	}
	self := "distribution/${" + distributionID(t, tpl) + "}"
	allowed := grants(t, tpl, files, "Allow")
	for _, s := range allowed {
		condition, _ := s.Condition["StringEquals"].(map[string]any)
		if stacktest.Text(s.Principal["Service"]) != "cloudfront.amazonaws.com" || !strings.HasSuffix(stacktest.Text(condition["aws:SourceArn"]), self) {
			t.Errorf("%+v: want this distribution only", s)
		}
	}
	want := []string{"s3:GetObject on ${" + files + ".Arn}/*", "s3:ListBucket on ${" + files + ".Arn}"}
	if got := actions(allowed); !slices.Equal(got, want) {
		t.Errorf("it may %v, want %v", got, want)
	}
}

// The log bucket takes lines from the bucket of the files, and not from others. Its ARN follows from its name, for the
// policy must be there before it.
func TestLogsTakeLinesOfTheFilesOnly(t *testing.T) {
	tpl := synth(t, context{"stage": "integration"})
	d := distribution(t, tpl)
	files := stacktest.ID(d.Origins[0].DomainName)
	name := place(stacktest.Text(stacktest.Of[bucket](t, tpl, "AWS::S3::Bucket")[files].BucketName))
	if len(name) > 63 {
		t.Errorf("%s has %d characters, more than S3 allows", name, len(name))
	}
	var from []string
	for _, s := range grants(t, tpl, stacktest.ID(d.Logging.Bucket), "Allow") {
		equals, _ := s.Condition["ArnEquals"].(map[string]any)
		from = append(from, stacktest.Text(s.Action)+" "+place(stacktest.Text(equals["aws:SourceArn"])))
	}
	if !slices.Equal(from, []string{"s3:PutObject arn:aws:s3:::" + name}) {
		t.Errorf("lines come by %v, want them from %s", from, name)
	}
	if !slices.ContainsFunc(tpl.Resources[files].DependsOn, func(id string) bool { return tpl.Resources[id].Type == "AWS::S3::BucketPolicy" }) {
		t.Error("S3 tries whether it may write to the log bucket, and may find that nobody has said so yet")
	}
}

func TestBucketsWhenTheStackGoes(t *testing.T) {
	tpl := synth(t, nil)
	files := stacktest.ID(distribution(t, tpl).Origins[0].DomainName)
	for name := range stacktest.Of[any](t, tpl, "AWS::S3::Bucket") {
		want := map[bool]string{true: "Delete", false: "Retain"}[name == files]
		if got := tpl.Resources[name].DeletionPolicy; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for name, x := range tpl.Resources {
		if strings.HasPrefix(x.Type, "Custom::") || x.Type == "AWS::Lambda::Function" {
			t.Errorf("%s is a %s: files are published by scripts/deploy", name, x.Type)
		}
	}
}

// The page has one policy wherever it is served: see TestDashboardHeadersLetThePageTalkToItsOwnServersOnly of infra/local.
func TestPolicyIsThatOfThePage(t *testing.T) {
	got := policy(t, synth(t, context{"auth": "open", "connect": "https://a.example.com,wss://b.example.com"}))
	if want := topology.PagePolicy([]string{"https://a.example.com", "wss://b.example.com"}); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestPageMayConnectToItsServersOnly(t *testing.T) {
	const gateways = " https://*.execute-api.ap-southeast-1.amazonaws.com wss://*.execute-api.ap-southeast-1.amazonaws.com"
	const apis = " https://a.execute-api.ap-southeast-1.amazonaws.com wss://b.execute-api.ap-southeast-1.amazonaws.com"
	const pool = " https://cognito-idp.ap-southeast-1.amazonaws.com https://iops-dashboard-111122223333.auth.ap-southeast-1.amazoncognito.com"
	named := strings.ReplaceAll(strings.TrimSpace(apis), " ", ",")
	for _, c := range []struct {
		context context
		want    string
	}{
		{nil, gateways + pool},
		{context{"connect": named}, apis + pool},
		{context{"auth": "open"}, gateways},
		{context{"auth": "open", "connect": named}, apis},
		{context{"issuer": "https://login.example.com:8443/ops", "audience": "page"}, gateways + " https://login.example.com:8443"},
		{context{"issuer": "https://login.example.com", "audience": "page", "connect": named}, apis + " https://login.example.com"},
	} {
		got := directives(t, synth(t, c.context))["connect-src"]
		if want := "'self'" + c.want; got != want {
			t.Errorf("%v: connect-src is %q, want %q", c.context, got, want)
		}
		for _, source := range strings.Fields(got) {
			if source == "*" || strings.HasSuffix(source, ":") || strings.HasSuffix(source, "//*") {
				t.Errorf("%v: connect-src lets anything through by %s", c.context, source)
			}
		}
	}
}

// Where people sign in is made by another stack, which needs the site's address: so the site works it out by itself.
func TestPageMayConnectToWhereUsersSignIn(t *testing.T) {
	for _, stage := range []string{"prod", "dev"} {
		c := context{"stage": stage}
		settings := stacktest.Settings(t, c)
		system := settings.Topology()
		made := stacktest.Synth(t, func(a awscdk.App) awscdk.Stack {
			return experience.New(a, settings.Named(setting.ExperienceStack), system, experience.Props{
				Settings: settings, Data: data.New(a, settings.Named(setting.DataStack), system, awscdk.StackProps{}), SiteURL: jsii.String("https://site.example.com"),
				Program: stacktest.Assets{Folder: t.TempDir()}.Program,
			})
		})
		domains := stacktest.Of[struct{ Domain any }](t, made, "AWS::Cognito::UserPoolDomain")
		if len(domains) != 1 {
			t.Fatalf("%s: %d domains", stage, len(domains))
		}
		sources := strings.Fields(directives(t, synth(t, c))["connect-src"])
		for _, x := range domains {
			if want := "https://" + place(stacktest.Text(x.Domain)) + ".auth.ap-southeast-1.amazoncognito.com"; !slices.Contains(sources, want) {
				t.Errorf("%s: the page may connect to %v, not to %s", stage, sources, want)
			}
		}
	}
}

func TestHeaders(t *testing.T) {
	tpl := synth(t, nil)
	d := distribution(t, tpl)
	policies := stacktest.Of[headers](t, tpl, "AWS::CloudFront::ResponseHeadersPolicy")
	for _, b := range append(d.CacheBehaviors, d.DefaultCacheBehavior) {
		p, ok := policies[stacktest.ID(b.ResponseHeadersPolicyID)]
		if !ok {
			t.Errorf("%q: no headers", b.PathPattern)
			continue
		}
		s := p.ResponseHeadersPolicyConfig.SecurityHeadersConfig
		if !s.ContentSecurityPolicy.Override || !s.ContentTypeOptions.Override || s.ReferrerPolicy != (referrer{"no-referrer", true}) ||
			s.StrictTransportSecurity.AccessControlMaxAgeSec < 31_536_000 || !s.StrictTransportSecurity.Override {
			t.Errorf("%q: %+v", b.PathPattern, s)
		}
		items := p.ResponseHeadersPolicyConfig.CustomHeadersConfig.Items
		if len(items) != 1 || items[0].Header != "Permissions-Policy" || !strings.Contains(items[0].Value, "geolocation=()") {
			t.Errorf("%q: %+v", b.PathPattern, items)
		}
	}
}

// What belongs to the account, and not to a Region, has a name for each: two systems must fit into one account.
func TestSystemsFitIntoOneAccount(t *testing.T) {
	for _, stage := range []string{"prod", "integration"} {
		tpl := synth(t, context{"stage": stage})
		for name, x := range tpl.Resources {
			var given any
			switch x.Type {
			case "AWS::CloudFront::Function":
				given = x.Properties["Name"]
			case "AWS::CloudFront::OriginAccessControl":
				given = at(x.Properties, "OriginAccessControlConfig", "Name")
			case "AWS::CloudFront::ResponseHeadersPolicy":
				given = at(x.Properties, "ResponseHeadersPolicyConfig", "Name")
			default:
				continue
			}
			got := stacktest.Text(given)
			if !strings.HasSuffix(got, "-${AWS::Region}") || (stage != "prod") != strings.Contains(got, stage) || len(place(got)) > 64 {
				t.Errorf("%s: its name is %q", name, got)
			}
		}
	}
}

func TestOutputs(t *testing.T) {
	tpl := synth(t, nil)
	d := distributionID(t, tpl)
	files := stacktest.ID(distribution(t, tpl).Origins[0].DomainName)
	for name, want := range map[string]string{
		"SiteURL": "https://${" + d + ".DomainName}", "SiteBucket": "${" + files + "}", "DistributionId": "${" + d + "}",
	} {
		if got := stacktest.Text(tpl.Outputs[name].Value); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// edge answers as the distribution of a template does, with these files in its bucket.
type edge struct {
	d     config
	code  map[string]string // of functions, by logical id
	lists bool              // what is missing is said to be, not forbidden
	files map[string]string
}

type answer struct {
	status      int
	body, cache string
}

func newEdge(t *testing.T, tpl stacktest.Template, files map[string]string) edge {
	t.Helper()
	e := edge{d: distribution(t, tpl), code: map[string]string{}, files: files}
	for name, f := range stacktest.Of[function](t, tpl, "AWS::CloudFront::Function") {
		if f.FunctionConfig.Runtime != "cloudfront-js-2.0" || !f.AutoPublish || len(f.FunctionCode) > 10_240 {
			t.Errorf("%s: %+v", name, f)
		}
		e.code[name] = f.FunctionCode
	}
	for _, s := range grants(t, tpl, stacktest.ID(e.d.Origins[0].DomainName), "Allow") {
		e.lists = e.lists || stacktest.Text(s.Action) == "s3:ListBucket"
	}
	return e
}

func (e edge) get(t *testing.T, uri string) answer {
	t.Helper()
	b := e.d.DefaultCacheBehavior
	for _, x := range e.d.CacheBehaviors {
		if prefix, ok := strings.CutSuffix(x.PathPattern, "*"); ok && strings.HasPrefix(uri, prefix) {
			b = x
			break
		}
	}
	request := map[string]any{"method": "GET", "uri": uri, "headers": map[string]any{}, "querystring": map[string]any{}, "cookies": map[string]any{}}
	if out, ran := e.run(t, b, "viewer-request", map[string]any{"request": request}); ran {
		request = out
	}
	key, _ := request["uri"].(string)
	body, ok := e.files[key]
	if !ok {
		return answer{status: map[bool]int{true: 404, false: 403}[e.lists]}
	}
	response := map[string]any{"statusCode": 200, "headers": map[string]any{}}
	if out, ran := e.run(t, b, "viewer-response", map[string]any{"request": request, "response": response}); ran {
		response = out
	}
	cache, _ := at(response, "headers", "cache-control", "value").(string)
	return answer{200, body, cache}
}

// run runs the function of a behaviour for an event, if it has one, as it is deployed, in Node.
func (e edge) run(t *testing.T, b behaviour, kind string, event map[string]any) (map[string]any, bool) {
	t.Helper()
	for _, f := range b.FunctionAssociations {
		if f.EventType != kind {
			continue
		}
		code, ok := e.code[stacktest.ID(f.FunctionARN)]
		if !ok {
			t.Fatalf("%s: no function %s", kind, stacktest.Text(f.FunctionARN))
		}
		input, err := json.Marshal(map[string]any{"code": code, "event": event})
		if err != nil {
			t.Fatal(err)
		}
		const host = `const { code, event } = JSON.parse(require("fs").readFileSync(0));
			process.stdout.write(JSON.stringify(new Function('"use strict";' + code + "\nreturn handler;")()(event)));`
		node := exec.CommandContext(t.Context(), "node", "-e", host)
		node.Stdin = strings.NewReader(string(input))
		output, err := node.Output()
		if err != nil {
			t.Fatalf("%s: %v: %s", kind, err, fault(err))
		}
		var out map[string]any
		if err := json.Unmarshal(output, &out); err != nil {
			t.Fatalf("%s: %v: %s", kind, err, output)
		}
		return out, true
	}
	return nil, false
}

func fault(err error) []byte {
	if exit, ok := err.(*exec.ExitError); ok {
		return exit.Stderr
	}
	return nil
}

// policy is the Content-Security-Policy, with all that is known only when it is deployed in place.
func policy(t *testing.T, tpl stacktest.Template) string {
	t.Helper()
	for _, p := range stacktest.Of[headers](t, tpl, "AWS::CloudFront::ResponseHeadersPolicy") {
		return place(stacktest.Text(p.ResponseHeadersPolicyConfig.SecurityHeadersConfig.ContentSecurityPolicy.ContentSecurityPolicy))
	}
	t.Fatal("no policy")
	return ""
}

// directives are those of the policy.
func directives(t *testing.T, tpl stacktest.Template) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, part := range strings.Split(policy(t, tpl), "; ") {
		name, sources, _ := strings.Cut(part, " ")
		all[name] = sources
	}
	return all
}

// synths are the templates by the settings: nobody changes them.
var synths = map[string]stacktest.Template{}

// synth is the template of a site.
func synth(t *testing.T, c context) stacktest.Template {
	t.Helper()
	if tpl, ok := synths[fmt.Sprint(c)]; ok {
		return tpl
	}
	settings := stacktest.Settings(t, c)
	tpl := stacktest.Synth(t, func(a awscdk.App) awscdk.Stack {
		return site.New(a, settings.Named(setting.SiteStack), site.Props{Settings: settings})
	})
	synths[fmt.Sprint(c)] = tpl
	return tpl
}

// The properties that tests look at, as the template has them. What may be worked out only when it is deployed is any.
type (
	config struct {
		Enabled           bool
		IPV6Enabled       bool   `json:"IPV6Enabled"`
		HTTPVersion       string `json:"HttpVersion"`
		DefaultRootObject string
		Origins           []struct {
			DomainName            any
			OriginAccessControlID any `json:"OriginAccessControlId"`
		}
		DefaultCacheBehavior behaviour
		CacheBehaviors       []behaviour
		CustomErrorResponses []struct {
			ErrorCode          float64
			ErrorCachingMinTTL *float64
			ResponsePagePath   string
		}
		Logging struct {
			Bucket         any
			IncludeCookies bool
		}
	}
	behaviour struct {
		PathPattern, ViewerProtocolPolicy string
		Compress                          bool
		AllowedMethods                    []string
		ResponseHeadersPolicyID           any `json:"ResponseHeadersPolicyId"`
		FunctionAssociations              []struct {
			EventType   string
			FunctionARN any
		}
	}
	function struct {
		FunctionCode   string
		AutoPublish    bool
		FunctionConfig struct{ Runtime string }
	}
	control struct {
		OriginAccessControlConfig struct {
			OriginAccessControlOriginType, SigningBehavior, SigningProtocol string
		}
	}
	referrer struct {
		ReferrerPolicy string
		Override       bool
	}
	headers struct {
		ResponseHeadersPolicyConfig struct {
			SecurityHeadersConfig struct {
				ContentSecurityPolicy struct {
					ContentSecurityPolicy any
					Override              bool
				}
				ContentTypeOptions      struct{ Override bool }
				ReferrerPolicy          referrer
				StrictTransportSecurity struct {
					AccessControlMaxAgeSec float64
					Override               bool
				}
			}
			CustomHeadersConfig struct {
				Items []struct{ Header, Value string }
			}
		}
	}
	block  struct{ BlockPublicAcls, BlockPublicPolicy, IgnorePublicAcls, RestrictPublicBuckets bool }
	bucket struct {
		BucketName                     any
		PublicAccessBlockConfiguration block
		BucketEncryption               struct{ ServerSideEncryptionConfiguration []any }
		VersioningConfiguration        struct{ Status string }
		LoggingConfiguration           struct{ DestinationBucketName any }
		LifecycleConfiguration         struct {
			Rules []struct{ ExpirationInDays float64 }
		}
	}
	statement struct {
		Effect           string
		Principal        map[string]any
		Action, Resource any
		Condition        map[string]any
	}
)

func (s *statement) UnmarshalJSON(content []byte) error {
	var raw struct {
		Effect                      string
		Principal, Action, Resource any
		Condition                   map[string]any
	}
	if err := json.Unmarshal(content, &raw); err != nil {
		return err
	}
	*s = statement{Effect: raw.Effect, Action: raw.Action, Resource: raw.Resource, Condition: raw.Condition}
	s.Principal, _ = raw.Principal.(map[string]any) // or a star
	return nil
}

// grants are the statements of a bucket's policy.
func grants(t *testing.T, tpl stacktest.Template, bucket, effect string) (all []statement) {
	t.Helper()
	for _, p := range stacktest.Of[struct {
		Bucket         any
		PolicyDocument struct{ Statement []statement }
	}](t, tpl, "AWS::S3::BucketPolicy") {
		for _, s := range p.PolicyDocument.Statement {
			if stacktest.ID(p.Bucket) == bucket && s.Effect == effect {
				all = append(all, s)
			}
		}
	}
	return all
}

// actions are what statements permit on what.
func actions(all []statement) (lines []string) {
	for _, s := range all {
		for _, action := range stacktest.Texts(s.Action) {
			for _, on := range stacktest.Texts(s.Resource) {
				lines = append(lines, action+" on "+on)
			}
		}
	}
	slices.Sort(lines)
	return lines
}

func distribution(t *testing.T, tpl stacktest.Template) config {
	t.Helper()
	return stacktest.Of[struct{ DistributionConfig config }](t, tpl, "AWS::CloudFront::Distribution")[distributionID(t, tpl)].DistributionConfig
}

func distributionID(t *testing.T, tpl stacktest.Template) string {
	t.Helper()
	for name := range stacktest.Of[any](t, tpl, "AWS::CloudFront::Distribution") {
		return name
	}
	t.Fatal("no distribution")
	return ""
}

// at is what is found by these names, one in the other.
func at(value any, names ...string) any {
	for _, name := range names {
		m, _ := value.(map[string]any)
		value = m[name]
	}
	return value
}

// place puts in what is the deployment's place.
func place(text string) string {
	return strings.NewReplacer(
		"${AWS::AccountId}", "111122223333", "${AWS::Region}", "ap-southeast-1", "${AWS::URLSuffix}", "amazonaws.com", "${AWS::Partition}", "aws",
	).Replace(text)
}
