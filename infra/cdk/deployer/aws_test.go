package main

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iops-dashboard/live/infra/cdk/setting"
)

const (
	account, region = "123456789012", "us-east-1"
	bucket          = "site-bucket"
	apiURL          = "https://def.execute-api.us-east-1.amazonaws.com"
	issuerURL       = "https://cognito-idp.us-east-1.amazonaws.com/pool"
)

func siteURL(a *fakeAWS) string { return a.page.URL }

func socketURL(a *fakeAWS) string { return strings.Replace(a.socket.URL, "http", "ws", 1) + "/prod" }

// fakeAWS speaks the calls that the steps make, and remembers them. It is the site, too, and tells the fake CDK what to do.
type fakeAWS struct {
	*httptest.Server
	t    *testing.T
	page *httptest.Server
	// socket is the WebSocket API.
	socket *httptest.Server
	// answer is what the CDK does besides what it is asked for.
	answer func(context.Context, cdkCall) cdkReply

	mu          sync.Mutex
	refused     map[string]refusal // by service
	bootstrap   string             // its version; empty for none
	rate        float64            // of API Gateway
	logRole     string
	quotas      map[string]float64
	concurrency int
	stacks      map[string]*fakeStack
	outputs     map[string]string // of every stack that is deployed
	calls       []cdkCall
	puts        []string
	objects     map[string]object
	times       map[string]time.Time // of objects; now if not there
	old         []string             // versions
	deleted     []string
	denyPut     string
	policy      string                                       // of the page
	discovery   string                                       // of an issuer
	visit       func(w http.ResponseWriter, r *http.Request) // of the WebSocket API, with a ticket; nil refuses
	openDoor    bool                                         // for who has none
	function    func(name string) (status int, functionError, payload string)
	invoked     []string
	rows        []fakeRow
	keepRows    bool   // whoever wants to delete them is refused
	written     func() // is called when the first one is
}

type fakeRow struct {
	id, tenant string
	removed    bool
}

type refusal struct {
	status int
	code   string
}

type fakeStack struct{ resources []fakeResource }

type fakeResource struct{ id, name, kind, policy string }

// stackContents is what a deployment makes, by the kind of the stack.
var stackContents = map[string][]fakeResource{
	setting.DataStack: {{"tablemetrics", "iops-dashboard-metrics", "AWS::DynamoDB::Table", "Retain"}},
	setting.SiteStack: {
		{"files", bucket, "AWS::S3::Bucket", "Delete"}, {"logs", "log-bucket", "AWS::S3::Bucket", "Retain"},
		{"distribution", "E2EXAMPLE", "AWS::CloudFront::Distribution", ""},
	},
	setting.ExperienceStack: {
		{"state", "iops-dashboard-state", "AWS::DynamoDB::Table", "Retain"}, {"connections", "iops-dashboard-connections", "AWS::DynamoDB::Table", "Delete"},
		{"users", "us-east-1_pool", "AWS::Cognito::UserPool", "RetainExceptOnCreate"}, {"queue", "https://sqs/fanout-0", "AWS::SQS::Queue", ""},
		{"role", "role-x", "AWS::IAM::Role", ""}, {"account", "account", "AWS::ApiGateway::Account", "Retain"},
	},
	setting.WatchStack: {{"alarm", "alarm", "AWS::CloudWatch::Alarm", ""}},
}

func newFakeAWS(t *testing.T) *fakeAWS {
	a := &fakeAWS{
		t: t, refused: map[string]refusal{}, bootstrap: "30", rate: 10_000, quotas: map[string]float64{"L-9ED1E49A": 500},
		concurrency: 1000, stacks: map[string]*fakeStack{}, objects: map[string]object{}, times: map[string]time.Time{},
		policy:   "connect-src 'self' https://*.execute-api.us-east-1.amazonaws.com",
		function: func(string) (int, string, string) { return http.StatusOK, "", "null" },
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /cdk", a.serveCDK)
	a.page = httptest.NewServer(http.HandlerFunc(a.servePage))
	a.socket = httptest.NewServer(http.HandlerFunc(a.serveSocket))
	mux.HandleFunc("GET /issuer/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, a.discovery) })
	mux.HandleFunc("/", a.serveAWS)
	a.Server = httptest.NewServer(mux)
	a.outputs = map[string]string{
		"WebSocketURL": socketURL(a), "ApiURL": apiURL, "SiteURL": siteURL(a), "SiteBucket": bucket, "TokenIssuer": issuerURL, "TokenClientId": "client",
		"SignInURL": "https://sign-in.example.com", "ExportsOutputRefX": "internal",
	}
	t.Cleanup(func() { a.Close(); a.page.Close(); a.socket.Close() })
	return a
}

// refuse has a service refuse all calls.
func (a *fakeAWS) refuse(service string, status int, code string) {
	a.refused[service] = refusal{status, code}
}

// deployAll has all stacks of a stage be there.
func (a *fakeAWS) deployAll(stage string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for stack, resources := range stackContents {
		name := setting.Settings{Stage: stage}.Named(stack)
		a.stacks[name] = &fakeStack{resources}
	}
}

func (a *fakeAWS) called() []cdkCall {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.calls)
}

// commands are what the CDK was asked for.
func (a *fakeAWS) commands() []string {
	var all []string
	for _, c := range a.called() {
		all = append(all, c.command())
	}
	return all
}

func (a *fakeAWS) uploads() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.puts)
}

func (a *fakeAWS) object(key string) object {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.objects[key]
}

func (a *fakeAWS) serveCDK(w http.ResponseWriter, r *http.Request) {
	var call cdkCall
	if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
		a.t.Error(err)
	}
	a.mu.Lock()
	a.calls = append(a.calls, call)
	a.mu.Unlock()
	reply := cdkReply{}
	if a.answer != nil {
		reply = a.answer(r.Context(), call)
	}
	if reply.Exit == 0 && !reply.Idle {
		switch command := call.command(); {
		case command == "diff":
			reply.Says += "what would change\n"
		case command == "deploy":
			a.deployAll("prod")
		case strings.HasPrefix(command, "destroy "):
			a.mu.Lock()
			delete(a.stacks, strings.TrimPrefix(command, "destroy "))
			a.mu.Unlock()
		case strings.HasPrefix(command, "deploy "):
			a.mu.Lock()
			a.policy = "connect-src 'self' " + originOf(socketURL(a)) + " " + apiURL
			a.mu.Unlock()
		}
	}
	_ = json.NewEncoder(w).Encode(reply)
}

func (a *fakeAWS) serveSocket(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Query().Has("ticket") && a.visit != nil:
		a.visit(w, r)
	case a.openDoor:
		quiet(w, r)
	default:
		w.WriteHeader(http.StatusUnauthorized)
	}
}

func (a *fakeAWS) servePage(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w.Header().Set("Content-Security-Policy", a.policy)
	file := strings.TrimPrefix(r.URL.Path, "/")
	if file == "" {
		file = "index.html"
	}
	if o, ok := a.objects[file]; ok {
		_, _ = w.Write(o.body)
		return
	}
	http.NotFound(w, r)
}

var scope = regexp.MustCompile(`Credential=[^/]+/\d+/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request`)

func (a *fakeAWS) serveAWS(w http.ResponseWriter, r *http.Request) {
	signed := scope.FindStringSubmatch(r.Header.Get("Authorization"))
	if signed == nil || signed[1] != region {
		a.t.Errorf("%s %s is not signed for %s: %q", r.Method, r.URL, region, r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusForbidden)
		return
	}
	service := signed[2]
	body, err := io.ReadAll(r.Body)
	if err != nil {
		a.t.Error(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if no, ok := a.refused[service]; ok {
		a.deny(w, service, no.status, no.code, "refused")
		return
	}
	switch service {
	case "sts":
		fmt.Fprintf(w, `<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::%s:user/ada</Arn><UserId>AIDA</UserId><Account>%s</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`, account, account)
	case "ssm":
		if a.bootstrap == "" {
			a.deny(w, service, http.StatusBadRequest, "ParameterNotFound", "")
			return
		}
		fmt.Fprintf(w, `{"Parameter":{"Name":"/cdk-bootstrap/hnb659fds/version","Type":"String","Value":%q,"Version":1}}`, a.bootstrap)
	case "apigateway":
		fmt.Fprintf(w, `{"cloudwatchRoleArn":%q,"throttleSettings":{"burstLimit":5000,"rateLimit":%g}}`, a.logRole, a.rate)
	case "servicequotas":
		a.serveQuota(w, r.Header.Get("X-Amz-Target"), body)
	case "dynamodb":
		a.serveDynamoDB(w, r.Header.Get("X-Amz-Target"), body)
	case "lambda":
		a.serveLambda(w, r.URL.Path)
	case "cloudformation":
		form, err := url.ParseQuery(string(body))
		if err != nil {
			a.t.Error(err)
		}
		a.serveCloudFormation(w, form)
	case "s3":
		a.serveS3(w, r, body)
	default:
		a.t.Errorf("nobody plays %s here: %s %s", service, r.Method, r.URL)
		w.WriteHeader(http.StatusNotFound)
	}
}

// deny answers as services do that speak XML or JSON.
func (a *fakeAWS) deny(w http.ResponseWriter, service string, status int, code, message string) {
	switch service {
	case "sts", "cloudformation":
		w.WriteHeader(status)
		fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>`, code, message)
	case "s3":
		w.WriteHeader(status)
		fmt.Fprintf(w, `<Error><Code>%s</Code><Message>%s</Message></Error>`, code, message)
	default:
		w.Header().Set("X-Amzn-Errortype", code)
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"__type":%q,"message":%q}`, code, message)
	}
}

func (a *fakeAWS) serveQuota(w http.ResponseWriter, target string, body []byte) {
	var in struct{ QuotaCode string }
	if err := json.Unmarshal(body, &in); err != nil {
		a.t.Error(err)
	}
	value, known := a.quotas[in.QuotaCode]
	if !known && strings.HasSuffix(target, ".GetServiceQuota") {
		a.deny(w, "servicequotas", http.StatusBadRequest, "NoSuchResourceException", "")
		return
	}
	if !known {
		value = 500 // as AWS has it
	}
	fmt.Fprintf(w, `{"Quota":{"QuotaCode":%q,"Value":%g}}`, in.QuotaCode, value)
}

func (a *fakeAWS) serveLambda(w http.ResponseWriter, path string) {
	if name, ok := strings.CutPrefix(path, "/2015-03-31/functions/"); ok {
		name = strings.TrimSuffix(name, "/invocations")
		a.invoked = append(a.invoked, name)
		status, functionError, payload := a.function(name)
		if status != http.StatusOK {
			a.deny(w, "lambda", status, "ResourceNotFoundException", payload)
			return
		}
		if functionError != "" {
			w.Header().Set("X-Amz-Function-Error", functionError)
		}
		_, _ = io.WriteString(w, payload)
		return
	}
	fmt.Fprintf(w, `{"AccountLimit":{"ConcurrentExecutions":%d,"UnreservedConcurrentExecutions":%d}}`, a.concurrency, a.concurrency)
}

func (a *fakeAWS) serveCloudFormation(w http.ResponseWriter, form url.Values) {
	name := form.Get("StackName")
	stack := a.stacks[name]
	if stack == nil {
		a.deny(w, "cloudformation", http.StatusBadRequest, "ValidationError", "Stack with id "+name+" does not exist")
		return
	}
	switch action := form.Get("Action"); action {
	case "DescribeStacks":
		var outputs strings.Builder
		for key, value := range a.outputs {
			fmt.Fprintf(&outputs, "<member><OutputKey>%s</OutputKey><OutputValue>%s</OutputValue></member>", key, value)
		}
		fmt.Fprintf(w, `<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>%s</StackName><CreationTime>2026-11-28T10:00:00Z</CreationTime><StackStatus>CREATE_COMPLETE</StackStatus><Outputs>%s</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>`, name, &outputs)
	case "ListStackResources":
		var all strings.Builder
		for _, r := range stack.resources {
			fmt.Fprintf(&all, "<member><LogicalResourceId>%s</LogicalResourceId><PhysicalResourceId>%s</PhysicalResourceId><ResourceType>%s</ResourceType><ResourceStatus>CREATE_COMPLETE</ResourceStatus><LastUpdatedTimestamp>2026-11-28T10:00:00Z</LastUpdatedTimestamp></member>", r.id, r.name, r.kind)
		}
		fmt.Fprintf(w, `<ListStackResourcesResponse><ListStackResourcesResult><StackResourceSummaries>%s</StackResourceSummaries></ListStackResourcesResult></ListStackResourcesResponse>`, &all)
	case "GetTemplate":
		resources := map[string]map[string]string{}
		for _, r := range stack.resources {
			resources[r.id] = map[string]string{"Type": r.kind}
			if r.policy != "" {
				resources[r.id]["DeletionPolicy"] = r.policy
			}
		}
		template, err := json.Marshal(map[string]any{"Resources": resources})
		if err != nil {
			a.t.Error(err)
		}
		fmt.Fprint(w, `<GetTemplateResponse><GetTemplateResult><TemplateBody>`)
		_ = xml.EscapeText(w, template)
		fmt.Fprint(w, `</TemplateBody></GetTemplateResult></GetTemplateResponse>`)
	default:
		a.t.Errorf("nobody plays %s here", action)
	}
}

func (a *fakeAWS) serveS3(w http.ResponseWriter, r *http.Request, body []byte) {
	of, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	query := r.URL.Query()
	switch {
	case of != bucket:
		a.t.Errorf("%s %s is about bucket %s", r.Method, r.URL, of)
	case r.Method == http.MethodPut:
		a.puts = append(a.puts, key)
		if key == a.denyPut {
			a.deny(w, "s3", http.StatusForbidden, "AccessDenied", "no")
			return
		}
		if rule := r.Header.Get("Cache-Control"); rule != "" { // which CloudFront says
			a.t.Errorf("%s is uploaded to be kept as %q", key, rule)
		}
		a.objects[key] = object{key: key, contentType: r.Header.Get("Content-Type"), body: body}
	case r.Method == http.MethodPost && query.Has("delete"):
		var in struct {
			Object []struct{ Key, VersionId string }
		}
		if err := xml.Unmarshal(body, &in); err != nil {
			a.t.Error(err)
		}
		for _, o := range in.Object {
			a.deleted = append(a.deleted, o.Key+o.VersionId)
			delete(a.objects, o.Key)
			a.old = slices.DeleteFunc(a.old, func(v string) bool { return v == o.Key+o.VersionId })
		}
		_, _ = io.WriteString(w, `<DeleteResult></DeleteResult>`)
	case query.Has("versions"):
		_, _ = io.WriteString(w, `<ListVersionsResult>`)
		for _, v := range a.old {
			fmt.Fprintf(w, `<Version><Key>%s</Key><VersionId>%s</VersionId></Version>`, v[:len(v)-1], v[len(v)-1:])
		}
		_, _ = io.WriteString(w, `</ListVersionsResult>`)
	default:
		_, _ = io.WriteString(w, `<ListBucketResult><IsTruncated>false</IsTruncated>`)
		for key := range a.objects {
			at, ok := a.times[key]
			if !ok {
				at = time.Now()
			}
			fmt.Fprintf(w, `<Contents><Key>%s</Key><LastModified>%s</LastModified></Contents>`, key, at.UTC().Format(time.RFC3339))
		}
		_, _ = io.WriteString(w, `</ListBucketResult>`)
	}
}

func (a *fakeAWS) serveDynamoDB(w http.ResponseWriter, target string, body []byte) {
	var in struct {
		Item, Key map[string]map[string]string
	}
	if err := json.Unmarshal(body, &in); err != nil {
		a.t.Error(err)
	}
	switch {
	case strings.HasSuffix(target, ".PutItem"):
		a.rows = append(a.rows, fakeRow{id: in.Item["entity_id"]["S"], tenant: in.Item["tenant"]["S"]})
		if a.written != nil && len(a.rows) == 1 {
			a.written()
		}
	case a.keepRows:
		a.deny(w, "dynamodb", http.StatusBadRequest, "AccessDeniedException", "no")
		return
	case strings.HasSuffix(target, ".DeleteItem"):
		for i, r := range a.rows {
			a.rows[i].removed = r.removed || r.id == in.Key["entity_id"]["S"]
		}
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	_, _ = io.WriteString(w, "{}")
}
