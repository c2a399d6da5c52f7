package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/coder/websocket"

	"github.com/iops-dashboard/live/infra/local/gateway"
)

const methodARN = "arn:aws:execute-api:us-east-1:000000000000:local00000/prod/$connect"

var authorizer = gateway.Authorizer{Function: "authorize", Identity: []string{"route.request.querystring.ticket"}}

// policy is an authorizer's answer.
func policy(effect, resource, context string) string {
	return `{"principalId":"u1","policyDocument":{"Version":"2012-10-17","Statement":[{"Action":["execute-api:Invoke"],"Effect":"` +
		effect + `","Resource":["` + resource + `"]}]},"context":` + context + `}`
}

func failsWith(message string) gateway.InvokerFunc {
	return func(context.Context, string, []byte) ([]byte, string, error) {
		return []byte(`{"errorMessage":"` + message + `","errorType":"errorString"}`), "Unhandled", nil
	}
}

func TestAuthorizerRefuses(t *testing.T) {
	statements := func(text string) gateway.InvokerFunc {
		return replies(`{"principalId":"u1","policyDocument":{"Version":"2012-10-17","Statement":` + text + `}}`)
	}
	allow := `{"Action":"execute-api:Invoke","Effect":"Allow","Resource":"` + methodARN + `"}`
	for name, tc := range map[string]struct {
		target    string
		authorize gateway.InvokerFunc
		status    int
		unasked   bool
	}{
		"no ticket":                   {target: "/prod", authorize: replies(policy("Allow", methodARN, "{}")), status: 401, unasked: true},
		"an empty ticket":             {target: "/prod?ticket=", authorize: replies(policy("Allow", methodARN, "{}")), status: 401, unasked: true},
		"a ticket by another name":    {target: "/prod?Ticket=x", authorize: replies(policy("Allow", methodARN, "{}")), status: 401, unasked: true},
		"the last ticket is empty":    {target: "/prod?ticket=x&ticket=", authorize: replies(policy("Allow", methodARN, "{}")), status: 401, unasked: true},
		"Unauthorized":                {authorize: failsWith("Unauthorized"), status: 401},
		"unauthorized":                {authorize: failsWith("unauthorized"), status: 500},
		"Unauthorized, and more":      {authorize: failsWith("Unauthorized: no"), status: 500},
		"another failure":             {authorize: fails, status: 500},
		"throttled":                   {authorize: throttled, status: 500},
		"no JSON":                     {authorize: replies("Unauthorized"), status: 500},
		"null":                        {authorize: replies("null"), status: 500},
		"no principal":                {authorize: replies(`{"policyDocument":{"Statement":[` + allow + `]}}`), status: 500},
		"no policy":                   {authorize: replies(`{"principalId":"u1"}`), status: 500},
		"a simple response":           {authorize: replies(`{"isAuthorized":true}`), status: 500},
		"an object in the context":    {authorize: replies(policy("Allow", methodARN, `{"a":{}}`)), status: 500},
		"a list in the context":       {authorize: replies(policy("Allow", methodARN, `{"a":["b"]}`)), status: 500},
		"null in the context":         {authorize: replies(policy("Allow", methodARN, `{"a":null}`)), status: 500},
		"more than 8 KB":              {authorize: replies(policy("Allow", methodARN, `{"a":"`+strings.Repeat("x", 8192)+`"}`)), status: 500},
		"Deny":                        {authorize: replies(policy("Deny", methodARN, "{}")), status: 403},
		"no statement":                {authorize: statements(`[]`), status: 403},
		"an effect in lower case":     {authorize: replies(policy("allow", methodARN, "{}")), status: 403},
		"a REST API's resource":       {authorize: replies(policy("Allow", "arn:aws:execute-api:us-east-1:000000000000:local00000/prod/GET/*", "{}")), status: 403},
		"another stage":               {authorize: replies(policy("Allow", strings.Replace(methodARN, "/prod/", "/dev/", 1), "{}")), status: 403},
		"another route":               {authorize: replies(policy("Allow", strings.Replace(methodARN, "$connect", "$default", 1), "{}")), status: 403},
		"a resource like a pattern":   {authorize: replies(policy("Allow", "arn:aws:execute-api:us-east-1:000000000000:local0000./prod/.connect", "{}")), status: 403},
		"another action":              {authorize: statements(`[{"Action":"execute-api:ManageConnections","Effect":"Allow","Resource":"*"}]`), status: 403},
		"Deny stands against Allow":   {authorize: statements(`[` + allow + `,{"Action":"*","Effect":"Deny","Resource":"*"}]`), status: 403},
		"Deny of another is no Allow": {authorize: statements(`[{"Action":"*","Effect":"Deny","Resource":"other"}]`), status: 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, gateway.Config{Routes: allRoutes, Authorizer: authorizer})
			r.host.set("authorize", tc.authorize)
			if tc.target == "" {
				tc.target = "/prod?ticket=x"
			}
			resp := r.upgrade(tc.target, nil)
			var body struct{ Message string }
			if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || resp.StatusCode != tc.status {
				t.Errorf("got %d %v, want %d", resp.StatusCode, err, tc.status)
			}
			if want := map[int]string{401: "Unauthorized", 403: "Forbidden", 500: "Internal server error"}[tc.status]; body.Message != want {
				t.Errorf("message %q, want %q", body.Message, want)
			}
			if tc.unasked {
				r.noEvent("authorize")
			} else {
				r.raw("authorize")
			}
			if err := r.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.noEvent("connect")
			r.noEvent("disconnect")
		})
	}
}

func TestAuthorizerTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startPiped(t, gateway.Config{Routes: allRoutes, Authorizer: authorizer})
		r.host.set("authorize", hangs)
		began := time.Now()
		if resp := r.upgrade("/prod?ticket=x", nil); resp.StatusCode != http.StatusInternalServerError || time.Since(began) != 29*time.Second {
			t.Fatalf("status %d after %v", resp.StatusCode, time.Since(began))
		}
	})
}

func TestAuthorizerLetsIn(t *testing.T) {
	for name, text := range map[string]string{
		"its own resource": policy("Allow", methodARN, "{}"),
		"the stage":        policy("Allow", "arn:aws:execute-api:us-east-1:000000000000:local00000/prod/*", "{}"),
		"any character":    policy("Allow", strings.Replace(methodARN, "$connect", "$c?nnect", 1), "{}"),
		"all":              policy("Allow", "*", "{}"),
		"no context":       `{"principalId":"u1","policyDocument":{"Version":"2012-10-17","Statement":{"Action":"execute-api:*","Effect":"Allow","Resource":"*"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, gateway.Config{Routes: allRoutes, Authorizer: authorizer})
			r.host.set("authorize", replies(text))
			if resp := r.upgrade("/prod?ticket=x", nil); resp.StatusCode != http.StatusSwitchingProtocols {
				t.Errorf("status %d", resp.StatusCode)
			}
		})
	}
}

func TestHeaderAsIdentitySource(t *testing.T) {
	r := start(t, gateway.Config{Routes: allRoutes, Authorizer: gateway.Authorizer{
		Function: "authorize", Identity: []string{"route.request.header.X-Token"},
	}})
	r.host.set("authorize", replies(policy("Allow", methodARN, "{}")))
	if resp := r.upgrade("/prod", nil); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %d without the header", resp.StatusCode)
	}
	if resp := r.upgrade("/prod", func(h http.Header) { h.Set("x-token", "x") }); resp.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("status %d with it", resp.StatusCode)
	}
}

// The authorizer's event is that of $connect and a little more, and what it says is in each event after it.
func TestAuthorizerEventAndContext(t *testing.T) {
	var log bytes.Buffer
	r := start(t, gateway.Config{Routes: allRoutes, Authorizer: authorizer, Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	r.host.set("authorize", replies(policy("Allow", methodARN, `{"tenant":"acme","age":42,"half":0.5,"yes":true}`)))
	ws, _, err := websocket.Dial(t.Context(), r.base+"?ticket=canary", &websocket.DialOptions{
		HTTPClient: r.http, CompressionMode: websocket.CompressionContextTakeover,
		HTTPHeader: http.Header{"User-Agent": {"test/1"}, "Origin": {"https://app.example.com"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	asked := r.raw("authorize")
	more := append(slices.Clone(connectHeaders), "Connection", "Origin", "Upgrade", "content-length")
	samePaths(t, "the authorizer's event", asked, slices.Concat(
		slices.DeleteFunc(slices.Clone(inEvery), func(p string) bool { return p == "isBase64Encoded" }),
		under("headers", more...), under("multiValueHeaders", more...), []string{"type", "methodArn", "stageVariables"},
		under("queryStringParameters", "ticket"), under("multiValueQueryStringParameters", "ticket"),
	))
	var ev events.APIGatewayCustomAuthorizerRequestTypeRequest
	if err := json.Unmarshal(asked, &ev); err != nil {
		t.Fatal(err)
	}
	if ev.Type != "REQUEST" || ev.MethodArn != methodARN || ev.QueryStringParameters["ticket"] != "canary" ||
		ev.Headers["Origin"] != "https://app.example.com" || ev.Headers["Connection"] != "upgrade" || ev.Headers["Upgrade"] != "websocket" ||
		ev.Headers["content-length"] != "0" || ev.RequestContext.RequestID == "" {
		t.Errorf("the authorizer's event is %s", asked)
	}

	r.send(ws, "x")
	_ = ws.Close(websocket.StatusNormalClosure, "")
	id := connectionID(t, asked)
	for _, function := range []string{"connect", "default", "disconnect"} {
		rc := r.event(function).RequestContext
		said, _ := rc.Authorizer.(map[string]any)
		latency, ok := said["integrationLatency"].(float64)
		if rc.ConnectionID != id || said["principalId"] != "u1" || said["tenant"] != "acme" || said["age"] != "42" || said["half"] != "0.5" ||
			said["yes"] != "true" || !ok || latency < 0 || len(said) != 6 {
			t.Errorf("%s: connection %s, authorizer %v", function, rc.ConnectionID, said)
		}
	}
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), "canary") || strings.Contains(log.String(), id) || !strings.Contains(log.String(), "connection_id") {
		t.Errorf("the log tells the ticket, or the connection's id: %s", log.String())
	}
}

func TestAuthorizerConfig(t *testing.T) {
	for want, cfg := range map[string]gateway.Config{
		"Identity":    {Authorizer: gateway.Authorizer{Function: "authorize", Identity: []string{"querystring.ticket"}}},
		"no Function": {Authorizer: gateway.Authorizer{Identity: authorizer.Identity}},
		"Invoker":     {Authorizer: authorizer},
	} {
		if _, err := gateway.New(cfg, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want a word of %s", err, want)
		}
	}
}
