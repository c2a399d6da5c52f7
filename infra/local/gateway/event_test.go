package gateway_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"sort"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/coder/websocket"

	"github.com/iops-dashboard/live/infra/local/gateway"
)

var idForm = regexp.MustCompile(`^[A-Za-z0-9_-]{15}=$`)

func connectionID(t *testing.T, payload []byte) string {
	t.Helper()
	var ev events.APIGatewayWebsocketProxyRequest
	if err := json.Unmarshal(payload, &ev); err != nil {
		t.Error(err)
	}
	return ev.RequestContext.ConnectionID
}

// paths returns every member of a JSON document as a dotted path, sorted. It fails on null.
func paths(t *testing.T, doc []byte) []string {
	t.Helper()
	var root any
	if err := json.Unmarshal(doc, &root); err != nil {
		t.Fatal(err)
	}
	var all []string
	var walk func(prefix string, v any)
	walk = func(prefix string, v any) {
		switch v := v.(type) {
		case nil:
			t.Errorf("%s is null", prefix)
		case map[string]any:
			for name, member := range v {
				all = append(all, prefix+name)
				walk(prefix+name+".", member)
			}
		}
	}
	walk("", root)
	sort.Strings(all)
	return all
}

func under(prefix string, names ...string) []string {
	all := []string{prefix}
	for _, n := range names {
		all = append(all, prefix+"."+n)
	}
	return all
}

// The members that the documented samples of each event type have.
var (
	inEvery = slices.Concat([]string{"isBase64Encoded"}, under("requestContext", "apiId", "connectedAt", "connectionId", "domainName",
		"eventType", "extendedRequestId", "identity", "identity.sourceIp", "identity.userAgent", "messageDirection", "requestId",
		"requestTime", "requestTimeEpoch", "routeKey", "stage"))
	connectHeaders = []string{"Host", "Sec-WebSocket-Extensions", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "User-Agent",
		"X-Amzn-Trace-Id", "X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto"}
	stubHeaders = []string{"Host", "X-Forwarded-For", "x-api-key", "x-restapi"}

	inConnect    = slices.Concat(inEvery, under("headers", connectHeaders...), under("multiValueHeaders", connectHeaders...))
	inQuery      = slices.Concat(under("queryStringParameters", "token"), under("multiValueQueryStringParameters", "token"))
	inMessage    = slices.Concat(inEvery, []string{"body", "requestContext.messageId"})
	inDisconnect = slices.Concat(inEvery, under("headers", stubHeaders...), under("multiValueHeaders", stubHeaders...),
		[]string{"requestContext.disconnectStatusCode", "requestContext.disconnectReason"})
)

func samePaths(t *testing.T, what string, doc []byte, want []string) {
	t.Helper()
	want = slices.Clone(want)
	sort.Strings(want)
	if got := paths(t, doc); !slices.Equal(got, want) {
		t.Errorf("%s has\n%v, want\n%v", what, got, want)
	}
}

func TestEventShapes(t *testing.T) {
	r := start(t, gateway.Config{Routes: allRoutes, APIID: "abcd1234", Region: "eu-west-1"})
	ws, _, err := websocket.Dial(t.Context(), r.base+"?token=a&token=b%20c", &websocket.DialOptions{
		HTTPClient:      r.http,
		CompressionMode: websocket.CompressionContextTakeover,
		HTTPHeader:      http.Header{"User-Agent": {"test/1"}, "X-Forwarded-For": {"192.0.2.7"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	connect := r.raw("connect")
	body := "{\r\n\"a\": \"<é>\" }"
	r.send(ws, body)
	message := r.raw("default")
	_ = ws.Close(4001, "bye")
	disconnect := r.raw("disconnect")

	samePaths(t, "CONNECT", connect, slices.Concat(inConnect, inQuery))
	samePaths(t, "MESSAGE", message, inMessage)
	samePaths(t, "DISCONNECT", disconnect, inDisconnect)

	var c, m, d events.APIGatewayWebsocketProxyRequest
	for doc, ev := range map[*events.APIGatewayWebsocketProxyRequest][]byte{&c: connect, &m: message, &d: disconnect} {
		if err := json.Unmarshal(ev, doc); err != nil {
			t.Fatal(err)
		}
	}
	if c.QueryStringParameters["token"] != "b c" || !slices.Equal(c.MultiValueQueryStringParameters["token"], []string{"a", "b c"}) {
		t.Errorf("query %v %v", c.QueryStringParameters, c.MultiValueQueryStringParameters)
	}
	if c.Headers["X-Forwarded-For"] != "192.0.2.7, 127.0.0.1" || c.Headers["Host"] != "gateway.test" ||
		!regexp.MustCompile(`^Root=1-[0-9a-f]{8}-[0-9a-f]{24}$`).MatchString(c.Headers["X-Amzn-Trace-Id"]) {
		t.Errorf("headers %v", c.Headers)
	}
	if m.Body != body {
		t.Errorf("body %q", m.Body)
	}
	if id, ok := m.RequestContext.MessageID.(string); !ok || !idForm.MatchString(id) {
		t.Errorf("messageId %v", m.RequestContext.MessageID)
	}
	if d.RequestContext.DisconnectStatusCode != 4001 || *d.RequestContext.DisconnectReason != "bye" {
		t.Errorf("disconnect %v", d.RequestContext)
	}
	requests := map[string]bool{}
	for key, ev := range map[string]events.APIGatewayWebsocketProxyRequest{"$connect CONNECT": c, "$default MESSAGE": m, "$disconnect DISCONNECT": d} {
		rc := ev.RequestContext
		requests[rc.RequestID] = true
		at, err := time.Parse("02/Jan/2006:15:04:05 +0000", rc.RequestTime)
		switch {
		case rc.RouteKey+" "+rc.EventType != key, rc.MessageDirection != "IN", rc.Stage != "prod", rc.APIID != "abcd1234",
			rc.DomainName != "abcd1234.execute-api.eu-west-1.amazonaws.com":
			t.Errorf("%s: %+v", key, rc)
		case rc.ConnectionID != c.RequestContext.ConnectionID, rc.ConnectedAt != c.RequestContext.ConnectedAt:
			t.Errorf("%s is of another connection: %+v", key, rc)
		case rc.RequestID != rc.ExtendedRequestID, !idForm.MatchString(rc.RequestID), !idForm.MatchString(rc.ConnectionID):
			t.Errorf("%s ids: %+v", key, rc)
		case err != nil, at.Unix() != rc.RequestTimeEpoch/1000, rc.RequestTimeEpoch < rc.ConnectedAt:
			t.Errorf("%s times: %+v %v", key, rc, err)
		case rc.Identity.SourceIP != "127.0.0.1", rc.Identity.UserAgent != "test/1":
			t.Errorf("%s identity: %+v", key, rc.Identity)
		}
	}
	if len(requests) != 3 {
		t.Errorf("request ids repeat: %v", requests)
	}
}

func TestEventLeavesOutWhatDoesNotApply(t *testing.T) {
	r := start(t, gateway.Config{Routes: allRoutes})
	r.upgrade("/prod", func(h http.Header) {
		h["User-Agent"] = nil // net/http would send its own
		h.Set("Sec-WebSocket-Extensions", "x")
	})
	want := slices.DeleteFunc(slices.Clone(inConnect), func(p string) bool {
		return p == "requestContext.identity.userAgent" || p == "headers.User-Agent" || p == "multiValueHeaders.User-Agent"
	})
	samePaths(t, "CONNECT", r.raw("connect"), want)
}

func TestStageVariables(t *testing.T) {
	r := start(t, gateway.Config{Routes: allRoutes, StageVariables: map[string]string{"colour": "blue"}})
	ws, _, err := websocket.Dial(t.Context(), r.base, &websocket.DialOptions{HTTPClient: r.http})
	if err != nil {
		t.Fatal(err)
	}
	r.send(ws, "x")
	_ = ws.CloseNow()
	for _, function := range []string{"connect", "default", "disconnect"} {
		if got := r.event(function).StageVariables["colour"]; got != "blue" {
			t.Errorf("%s has %q", function, got)
		}
	}
}
