package iam_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/infra/local/iam"
	"github.com/iops-dashboard/live/infra/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long anything here may take.
const patience = 30 * time.Second

const (
	queueURL = "http://127.0.0.1:1/000000000000/letters"
	topicARN = "arn:aws:sns:us-east-1:000000000000:news"
)

// granted is a system with one function, "reader", that has these grants.
func granted(grants ...topology.Grant) topology.Topology {
	return topology.Topology{Functions: []topology.Function{{Name: "reader", Grants: grants}}}
}

func on(kind topology.RefKind, name string, actions ...string) topology.Grant {
	return topology.Grant{On: topology.Ref{Kind: kind, Name: name}, Actions: actions}
}

// rig is a proxy in front of a server that says yes to everything.
type rig struct {
	authority *iam.Authority
	url       string
	reached   atomic.Int64 // requests that the server got
}

func newRig(t *testing.T, system topology.Topology, server http.HandlerFunc) *rig {
	t.Helper()
	r := &rig{authority: iam.New(system)}
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.reached.Add(1)
		if server != nil {
			server(w, q)
			return
		}
		_, _ = io.Copy(io.Discard, q.Body)
		if strings.Contains(q.Header.Get("Authorization"), "/sns/") {
			_, _ = io.WriteString(w, `<R><PublishResult/><PublishBatchResult/></R>`)
			return
		}
		_, _ = io.WriteString(w, `{}`)
	}))
	t.Cleanup(behind.Close)
	proxy, err := r.authority.Proxy(map[string]string{"dynamodb": behind.URL, "sns": behind.URL, "sqs": behind.URL}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	front := httptest.NewServer(proxy)
	t.Cleanup(front.Close)
	r.url = front.URL
	return r
}

// as is the configuration of a caller's clients.
func (r *rig) as(t *testing.T, caller string) aws.Config {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: &r.url, Credentials: credentials.NewStaticCredentialsProvider(caller, "secret", ""),
		HTTPClient: &http.Client{Transport: transport}, Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}
}

// clients call the servers with whatever is fit for the call.
type clients struct {
	dynamo *dynamodb.Client
	sns    *sns.Client
	sqs    *sqs.Client
}

func (r *rig) clients(t *testing.T, caller string) clients {
	cfg := r.as(t, caller)
	return clients{dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) { o.DisableValidateResponseChecksum = true }), sns.NewFromConfig(cfg), sqs.NewFromConfig(cfg)}
}

var (
	key   = map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "a"}}
	table = aws.String("rows")
)

// parts are the parts of a transaction, by the actions that they are judged by.
var parts = map[string]types.TransactWriteItem{
	"PutItem":            {Put: &types.Put{TableName: table, Item: key}},
	"UpdateItem":         {Update: &types.Update{TableName: table, Key: key, UpdateExpression: aws.String("SET a = b")}},
	"DeleteItem":         {Delete: &types.Delete{TableName: table, Key: key}},
	"ConditionCheckItem": {ConditionCheck: &types.ConditionCheck{TableName: table, Key: key, ConditionExpression: aws.String("attribute_exists(pk)")}},
}

// Each call needs its one grant, and no other lets it through: not for another action, nor on another resource.
func TestEachCallNeedsItsGrant(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		call   func(context.Context, clients) error
		grant  topology.Grant
		denied iam.Call
		code   string
	}{
		"GetItem": {func(ctx context.Context, c clients) error {
			_, err := c.dynamo.GetItem(ctx, &dynamodb.GetItemInput{TableName: table, Key: key})
			return err
		}, on(topology.TableName, "rows", "GetItem"), iam.Call{Action: "dynamodb:GetItem", On: "rows"}, "AccessDeniedException"},
		"a table by its ARN": {func(ctx context.Context, c clients) error {
			_, err := c.dynamo.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String("arn:aws:dynamodb:us-east-1:000000000000:table/rows"), Key: key})
			return err
		}, on(topology.TableName, "rows", "GetItem"), iam.Call{Action: "dynamodb:GetItem", On: "rows"}, "AccessDeniedException"},
		"BatchGetItem": {func(ctx context.Context, c clients) error {
			_, err := c.dynamo.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{"rows": {Keys: []map[string]types.AttributeValue{key}}}})
			return err
		}, on(topology.TableName, "rows", "BatchGetItem"), iam.Call{Action: "dynamodb:BatchGetItem", On: "rows"}, "AccessDeniedException"},
		"BatchWriteItem": {func(ctx context.Context, c clients) error {
			_, err := c.dynamo.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{"rows": {{PutRequest: &types.PutRequest{Item: key}}}}})
			return err
		}, on(topology.TableName, "rows", "BatchWriteItem"), iam.Call{Action: "dynamodb:BatchWriteItem", On: "rows"}, "AccessDeniedException"},
		"a condition in a transaction": {func(ctx context.Context, c clients) error {
			_, err := c.dynamo.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{parts["ConditionCheckItem"]}})
			return err
		}, on(topology.TableName, "rows", "ConditionCheckItem"), iam.Call{Action: "dynamodb:ConditionCheckItem", On: "rows"}, "AccessDeniedException"},
		"Publish": {func(ctx context.Context, c clients) error {
			_, err := c.sns.Publish(ctx, &sns.PublishInput{TopicArn: aws.String(topicARN), Message: aws.String("a")})
			return err
		}, on(topology.TopicARN, "news", "Publish"), iam.Call{Action: "sns:Publish", On: "news"}, "AuthorizationError"},
		"PublishBatch": {func(ctx context.Context, c clients) error {
			_, err := c.sns.PublishBatch(ctx, &sns.PublishBatchInput{TopicArn: aws.String(topicARN), PublishBatchRequestEntries: []snstypes.PublishBatchRequestEntry{{Id: aws.String("0"), Message: aws.String("a&Action=Subscribe")}}})
			return err
		}, on(topology.TopicARN, "news", "Publish"), iam.Call{Action: "sns:Publish", On: "news"}, "AuthorizationError"},
		"SendMessage": {func(ctx context.Context, c clients) error {
			_, err := c.sqs.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: aws.String(queueURL), MessageBody: aws.String("a")}, unchecked)
			return err
		}, on(topology.QueueURL, "letters", "SendMessage"), iam.Call{Action: "sqs:SendMessage", On: "letters"}, "AccessDenied"},
		"ReceiveMessage": {func(ctx context.Context, c clients) error {
			_, err := c.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: aws.String(queueURL)}, unchecked)
			return err
		}, on(topology.QueueURL, "letters", "ReceiveMessage"), iam.Call{Action: "sqs:ReceiveMessage", On: "letters"}, "AccessDenied"},
		"DeleteMessageBatch": {func(ctx context.Context, c clients) error {
			_, err := c.sqs.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: aws.String(queueURL), Entries: []sqstypes.DeleteMessageBatchRequestEntry{{Id: aws.String("0"), ReceiptHandle: aws.String("r")}}})
			return err
		}, on(topology.QueueURL, "letters", "DeleteMessage"), iam.Call{Action: "sqs:DeleteMessage", On: "letters"}, "AccessDenied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.denied.Caller = "reader"
			otherAction, otherResource := tc.grant, tc.grant
			otherAction.Actions, otherResource.On.Name = []string{"Other"}, "others"
			for _, grants := range [][]topology.Grant{{tc.grant}, {otherAction, otherResource}, nil} {
				r := newRig(t, granted(grants...), nil)
				err := tc.call(t.Context(), r.clients(t, "reader"))
				if len(grants) == 1 {
					if err != nil || r.reached.Load() != 1 || len(r.authority.Denied()) > 0 || len(r.authority.Unused()) > 0 {
						t.Errorf("granted: %v, %d reached the server, denied %v, unused %v", err, r.reached.Load(), r.authority.Denied(), r.authority.Unused())
					}
					continue
				}
				api, ok := errors.AsType[smithy.APIError](err)
				if !ok || api.ErrorCode() != tc.code || !strings.Contains(api.ErrorMessage(), "reader is not authorized to perform: "+tc.denied.Action+" on resource: arn:aws:") || !strings.Contains(api.ErrorMessage(), tc.denied.On) {
					t.Errorf("with %v: %v", grants, err)
				}
				if got := r.authority.Denied(); !slices.Equal(got, []iam.Call{tc.denied}) || r.reached.Load() > 0 || len(r.authority.Unused()) != len(grants) {
					t.Errorf("with %v: denied %v, want %v; %d reached the server; unused %v", grants, got, tc.denied, r.reached.Load(), r.authority.Unused())
				}
			}
		})
	}
}

// unchecked takes an answer that proves nothing.
func unchecked(o *sqs.Options) { o.DisableMessageChecksumValidation = true }

// An index is a resource of its own.
func TestIndexIsNoTable(t *testing.T) {
	t.Parallel()
	r := newRig(t, granted(on(topology.TableName, "rows", "Query")), nil)
	_, err := r.clients(t, "reader").dynamo.Query(t.Context(), &dynamodb.QueryInput{TableName: table, IndexName: aws.String("ByAge")})
	if got := r.authority.Denied(); err == nil || !slices.Equal(got, []iam.Call{{Caller: "reader", Action: "dynamodb:Query", On: "rows/index/ByAge"}}) {
		t.Errorf("%v, denied %v", err, got)
	}
}

func TestWithdrawnUntilRestored(t *testing.T) {
	t.Parallel()
	r := newRig(t, granted(on(topology.TableName, "rows", "GetItem", "Query")), nil)
	c := r.clients(t, "reader")
	get := func() error {
		_, err := c.dynamo.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: table, Key: key})
		return err
	}
	restore := r.authority.Withdraw("reader", "dynamodb:GetItem")
	fault, ok := errors.AsType[smithy.APIError](get())
	if !ok || fault.ErrorCode() != "AccessDeniedException" || r.reached.Load() > 0 {
		t.Errorf("withdrawn: %v, %d requests came through", fault, r.reached.Load())
	}
	if _, err := c.dynamo.Query(t.Context(), &dynamodb.QueryInput{TableName: table}); err != nil {
		t.Errorf("another action: %v", err)
	}
	if denied := r.authority.Denied(); len(denied) > 0 {
		t.Errorf("denied %v: nobody asked for more than was granted", denied)
	}
	restore()
	if err := get(); err != nil {
		t.Errorf("restored: %v", err)
	}
}

// A transaction is done only if each of its parts may be, and what it may not is told by name.
func TestTransactionsAreJudgedByTheirParts(t *testing.T) {
	t.Parallel()
	var names []string
	for name := range parts {
		names = append(names, name)
	}
	slices.Sort(names)
	some := rapid.SliceOfDistinct(rapid.SampledFrom(names), func(s string) string { return s })
	rapid.Check(t, func(rt *rapid.T) {
		may, does := some.Draw(rt, "may"), some.Filter(func(s []string) bool { return len(s) > 0 }).Draw(rt, "does")
		r := newRig(t, granted(on(topology.TableName, "rows", may...)), nil)
		var input dynamodb.TransactWriteItemsInput
		var want []iam.Call
		for _, name := range does {
			input.TransactItems = append(input.TransactItems, parts[name])
			if !slices.Contains(may, name) {
				want = append(want, iam.Call{Caller: "reader", Action: "dynamodb:" + name, On: "rows"})
			}
		}
		slices.SortFunc(want, func(a, b iam.Call) int { return strings.Compare(a.Action, b.Action) })
		_, err := r.clients(t, "reader").dynamo.TransactWriteItems(t.Context(), &input)
		if got := r.authority.Denied(); !slices.Equal(got, want) || (err == nil) != (len(want) == 0) || r.reached.Load() == 1 != (len(want) == 0) {
			rt.Errorf("%v, denied %v, want %v; %d reached the server", err, got, want, r.reached.Load())
		}
		if used := len(may) - len(r.authority.Unused()); len(want) == 0 && used != len(does) || len(want) > 0 && used != 0 {
			rt.Errorf("unused %v", r.authority.Unused())
		}
	})
}

func TestStrangersAndWhatCannotBeReadAreRefused(t *testing.T) {
	t.Parallel()
	const signed = "AWS4-HMAC-SHA256 Credential=reader/20261128/us-east-1/%s/aws4_request, SignedHeaders=host, Signature=00"
	for name, tc := range map[string]struct {
		authorization, target, body string
		status                      int
		denied                      []string // on what; strangers are refused before anybody looks at that
	}{
		"nobody":                 {"", "DynamoDB_20120810.GetItem", `{"TableName":"rows"}`, 400, nil},
		"a bearer":               {"Bearer reader", "DynamoDB_20120810.GetItem", `{"TableName":"rows"}`, 400, nil},
		"a stranger":             {strings.Replace(fmt.Sprintf(signed, "dynamodb"), "reader", "other", 1), "DynamoDB_20120810.GetItem", `{"TableName":"rows"}`, 400, nil},
		"another service":        {fmt.Sprintf(signed, "kms"), "TrentService.Decrypt", `{}`, 400, nil},
		"half a scope":           {"AWS4-HMAC-SHA256 Credential=reader/dynamodb, Signature=00", "DynamoDB_20120810.GetItem", `{"TableName":"rows"}`, 400, nil},
		"no JSON":                {fmt.Sprintf(signed, "dynamodb"), "DynamoDB_20120810.GetItem", `TableName=rows`, 400, []string{"*"}},
		"no table":               {fmt.Sprintf(signed, "dynamodb"), "DynamoDB_20120810.GetItem", `{}`, 400, []string{"*"}},
		"a part of no kind":      {fmt.Sprintf(signed, "dynamodb"), "DynamoDB_20120810.TransactWriteItems", `{"TransactItems":[{"Other":{"TableName":"rows"}}]}`, 400, []string{"rows"}},
		"no action":              {fmt.Sprintf(signed, "dynamodb"), "", `{"TableName":"rows"}`, 400, []string{"rows"}},
		"a statement in PartiQL": {fmt.Sprintf(signed, "dynamodb"), "DynamoDB_20120810.ExecuteStatement", `{"Statement":"SELECT * FROM rows"}`, 400, []string{"*"}},
		"no queue":               {fmt.Sprintf(signed, "sqs"), "AmazonSQS.SendMessage", `{}`, 403, []string{"*"}},
		"no topic":               {fmt.Sprintf(signed, "sns"), "", `Action=Publish`, 403, []string{"*"}},
		"no form":                {fmt.Sprintf(signed, "sns"), "", `Action=Publish&TopicArn=` + topicARN + `&%`, 403, []string{"*"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, granted(
				on(topology.TableName, "rows", "GetItem", "PutItem"), on(topology.QueueURL, "letters", "SendMessage"), on(topology.TopicARN, "news", "Publish"),
			), nil)
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url, strings.NewReader(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", tc.authorization)
			request.Header.Set("X-Amz-Target", tc.target)
			if status := do(t, request); status != tc.status || r.reached.Load() > 0 {
				t.Errorf("status %d, want %d; %d reached the server", status, tc.status, r.reached.Load())
			}
			var on []string
			for _, call := range r.authority.Denied() {
				on = append(on, call.On)
			}
			if !slices.Equal(on, tc.denied) {
				t.Errorf("denied is what was done on %q, want %q", on, tc.denied)
			}
		})
	}
}

func do(t *testing.T, request *http.Request) int {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response.StatusCode
}

func TestRequestsAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, granted(on(topology.TableName, "rows", "GetItem")), nil)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url, bytes.NewReader(make([]byte, 17<<20+1)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=reader/20261128/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=00")
	if status := do(t, request); status != http.StatusRequestEntityTooLarge || r.reached.Load() > 0 {
		t.Errorf("status %d, %d reached the server", status, r.reached.Load())
	}
}

// What the server answers arrives as it is, and a server that is cut off looks like one.
func TestAnswersPassAsTheyAre(t *testing.T) {
	t.Parallel()
	r := newRig(t, granted(on(topology.TableName, "rows", "GetItem", "PutItem")), func(w http.ResponseWriter, q *http.Request) {
		if strings.HasSuffix(q.Header.Get("X-Amz-Target"), "PutItem") {
			panic(http.ErrAbortHandler)
		}
		body, _ := io.ReadAll(q.Body)
		w.Header().Set("X-Own", q.Header.Get("Authorization")[:16])
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write(append(body, '!'))
	})
	request := func(operation string) *http.Request {
		q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url, strings.NewReader(`{"TableName":"rows"}`))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=reader/20261128/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=00")
		q.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
		return q
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request("GetItem"))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil || response.StatusCode != http.StatusTeapot || string(body) != `{"TableName":"rows"}!` || response.Header.Get("X-Own") != "AWS4-HMAC-SHA256" {
		t.Errorf("status %d, %q, %v, %v", response.StatusCode, body, response.Header, err)
	}
	if response, err := client.Do(request("PutItem")); err == nil {
		_ = response.Body.Close()
		t.Errorf("the server was cut off, and the caller has status %d", response.StatusCode)
	}
}

// Who stops waiting, as for messages, does not keep the server waiting.
func TestWhoGoesIsGoneForTheServer(t *testing.T) {
	t.Parallel()
	asked, gone := make(chan struct{}), make(chan struct{})
	r := newRig(t, granted(on(topology.QueueURL, "letters", "ReceiveMessage")), func(_ http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		close(asked)
		<-q.Context().Done()
		close(gone)
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if _, err := r.clients(t, "reader").sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: aws.String(queueURL)}); err == nil {
		t.Error("no error")
	}
	select {
	case <-gone:
	case <-time.After(patience):
		t.Error("the server still waits")
	}
}

// Of the management API each method is a grant of its own. Who is no deployable is let through.
func TestGuard(t *testing.T) {
	t.Parallel()
	authority := iam.New(granted(on(topology.CallbackURL, "", "POST")))
	api := httptest.NewServer(authority.Guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	})))
	t.Cleanup(api.Close)
	r := &rig{url: api.URL}
	manage := apigatewaymanagementapi.NewFromConfig(r.as(t, "reader"))
	post := func(c *apigatewaymanagementapi.Client) error {
		_, err := c.PostToConnection(t.Context(), &apigatewaymanagementapi.PostToConnectionInput{ConnectionId: aws.String("L0SM9cOFvHcCIhw="), Data: []byte("{}")})
		return err
	}
	end := func(c *apigatewaymanagementapi.Client) error {
		_, err := c.DeleteConnection(t.Context(), &apigatewaymanagementapi.DeleteConnectionInput{ConnectionId: aws.String("L0SM9cOFvHcCIhw=")})
		return err
	}
	if len(authority.Unused()) != 1 {
		t.Errorf("unused %v", authority.Unused())
	}
	if err := post(manage); err != nil || len(authority.Unused()) > 0 {
		t.Errorf("%v, unused %v", err, authority.Unused())
	}
	err := end(manage)
	if api, ok := errors.AsType[smithy.APIError](err); !ok || api.ErrorCode() != "AccessDeniedException" || strings.Contains(api.ErrorMessage(), "L0SM9") {
		t.Errorf("%v", err)
	}
	if got := authority.Denied(); !slices.Equal(got, []iam.Call{{Caller: "reader", Action: "execute-api:ManageConnections", On: "DELETE"}}) {
		t.Errorf("denied %v", got)
	}
	if err := end(apigatewaymanagementapi.NewFromConfig(r.as(t, "somebody"))); err != nil {
		t.Errorf("somebody: %v", err)
	}
}
