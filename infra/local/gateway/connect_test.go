package gateway_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/iops-dashboard/live/infra/local/gateway"
)

func TestConfigReportsAllFaultsTogether(t *testing.T) {
	_, err := gateway.New(gateway.Config{
		Stage:          "a/b",
		Routes:         map[string]string{"$connect": ""},
		RouteSelection: "$request.header.action",
		Limits:         gateway.Limits{MaxFrame: -1, SendBytes: 10, IntegrationTimeout: -1},
		Disconnect:     gateway.Disconnect{Delay: -1},
	}, nil)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{"Stage", `"$connect" has no function`, "RouteSelection", "MaxFrame", "SendBytes", "IntegrationTimeout", "Delay", "Invoker"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("no word of %s in: %v", part, err)
		}
	}
}

func TestConnectRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		assumed gateway.Assumed
		connect gateway.InvokerFunc
		status  int
		body    string // "frame" stands for the internal server error frame
	}{
		"the function's 401":       {connect: replies(`{"statusCode":401,"body":"secret"}`), status: 401},
		"the function's 301":       {connect: replies(`{"statusCode":301}`), status: 301},
		"the function's 501":       {connect: replies(`{"statusCode":501}`), status: 501},
		"body shown if so assumed": {assumed: gateway.Assumed{RejectBody: true}, connect: replies(`{"statusCode":403,"headers":{"X-Why":1},"body":"no"}`), status: 403, body: "no"},
		"function error":           {connect: fails, status: 502, body: "frame"},
		"throttled":                {connect: throttled, status: 500, body: "frame"},
		"not a proxy response":     {connect: replies(`"hello"`), status: 502, body: "frame"},
		"no status":                {connect: replies(`{}`), status: 502, body: "frame"},
		"null":                     {connect: replies(`null`), status: 502, body: "frame"},
		"impossible status":        {connect: replies(`{"statusCode":101}`), status: 502, body: "frame"},
		"malformed, if so assumed": {assumed: gateway.Assumed{ConnectMalformedStatus: 500}, connect: replies(``), status: 500, body: "frame"},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, gateway.Config{Routes: allRoutes, Assumed: tc.assumed})
			r.host.set("connect", tc.connect)
			resp := r.upgrade("/prod", nil)
			body, _ := io.ReadAll(resp.Body)
			want := tc.body
			if want == "frame" {
				rc := r.event("connect").RequestContext
				want = failure("Internal server error", rc.ConnectionID, rc.RequestID)
			}
			if resp.StatusCode != tc.status || string(body) != want {
				t.Fatalf("got %d %s, want %d %s", resp.StatusCode, body, tc.status, want)
			}
			if err := r.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.noEvent("disconnect")
		})
	}
}

func TestConnectTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startPiped(t, gateway.Config{Routes: allRoutes})
		r.host.set("connect", hangs)
		began := time.Now()
		if resp := r.upgrade("/prod", nil); resp.StatusCode != http.StatusGatewayTimeout {
			t.Fatalf("status %d", resp.StatusCode)
		}
		if took := time.Since(began); took != 29*time.Second {
			t.Fatalf("timed out after %v", took)
		}
	})
}

func TestUpgradeRefusedBeforeConnectRuns(t *testing.T) {
	r := start(t, gateway.Config{Routes: allRoutes})
	for name, tc := range map[string]struct {
		target string
		edit   func(http.Header)
		status int
		kind   string
	}{
		"plain GET":      {"/prod", func(h http.Header) { h.Del("Upgrade"); h.Del("Connection") }, 426, "BadRequestException"},
		"version":        {"/prod", func(h http.Header) { h.Set("Sec-WebSocket-Version", "8") }, 400, "BadRequestException"},
		"key":            {"/prod", func(h http.Header) { h.Set("Sec-WebSocket-Key", "short") }, 400, "BadRequestException"},
		"long URL":       {"/prod?q=" + strings.Repeat("x", 4096), nil, 414, "BadRequestException"},
		"no stage":       {"/", nil, 403, "ForbiddenException"},
		"another stage":  {"/dev", nil, 403, "ForbiddenException"},
		"a path":         {"/prod/chat", nil, 403, "ForbiddenException"},
		"trailing slash": {"/prod/", nil, 403, "ForbiddenException"},
	} {
		t.Run(name, func(t *testing.T) {
			resp := r.upgrade(tc.target, tc.edit)
			if resp.StatusCode != tc.status || resp.Header.Get("X-Amzn-ErrorType") != tc.kind {
				t.Fatalf("got %d %s", resp.StatusCode, resp.Header.Get("X-Amzn-ErrorType"))
			}
			r.noEvent("connect")
		})
	}
}

func TestNewConnectionsAreThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startPiped(t, gateway.Config{Routes: allRoutes, Limits: gateway.Limits{ConnectsPerSecond: 2, ConnectBurst: 1}})
		r.open()
		if resp := r.upgrade("/prod", nil); resp.StatusCode != http.StatusTooManyRequests {
			t.Fatalf("status %d", resp.StatusCode)
		}
		r.noEvent("connect")
		<-time.After(500 * time.Millisecond)
		r.open()
	})
}

func TestNo101BeforeConnectReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startPiped(t, gateway.Config{Routes: allRoutes})
		var statuses []int
		r.host.set("connect", func(ctx context.Context, _ string, payload []byte) ([]byte, string, error) {
			<-time.After(3 * time.Second)
			id := connectionID(t, payload)
			for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodDelete} {
				status, header, body := r.call(method, "/prod/@connections/"+id, "")
				statuses = append(statuses, status)
				if header.Get("X-Amzn-ErrorType") != "GoneException" || body != "" {
					t.Errorf("%s during $connect: %s %q", method, header.Get("X-Amzn-ErrorType"), body)
				}
			}
			return []byte(`{"statusCode":200}`), "", nil
		})
		began := time.Now()
		ws, id := r.open()
		if took := time.Since(began); took != 3*time.Second {
			t.Fatalf("101 after %v", took)
		}
		for _, status := range statuses {
			if status != http.StatusGone {
				t.Fatalf("statuses during $connect: %v", statuses)
			}
		}
		if status := r.post(id, "now"); status != http.StatusOK {
			t.Fatalf("status after 101: %d", status)
		}
		if got := r.read(ws); got != "now" {
			t.Fatalf("got %q", got)
		}
	})
}

func TestClientGoesDuringConnect(t *testing.T) {
	r := start(t, gateway.Config{Routes: allRoutes})
	returned := make(chan struct{})
	release := make(chan struct{})
	r.host.set("connect", func(ctx context.Context, _ string, _ []byte) ([]byte, string, error) {
		defer close(returned)
		<-release
		return []byte(`{"statusCode":200}`), "", ctx.Err() // a Lambda does not notice
	})
	conn, err := r.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "GET /prod HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	id := r.event("connect").RequestContext.ConnectionID
	_ = conn.Close()
	close(release)
	<-returned
	r.disconnected(id, 1006, "")
}

// A server that cannot upgrade shows it only after $connect has said yes: the row that $connect wrote must go again.
func TestUpgradeFailsAfterConnect(t *testing.T) {
	r := start(t, gateway.Config{Routes: allRoutes})
	req := httptest.NewRequest(http.MethodGet, "/prod", nil)
	req.Header = http.Header{"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
	r.ServeHTTP(httptest.NewRecorder(), req)
	id := r.event("connect").RequestContext.ConnectionID
	r.disconnected(id, 1006, "")
	if status := r.post(id, "x"); status != http.StatusGone || r.Open() != 0 {
		t.Fatalf("%d, %d open", status, r.Open())
	}
}

func TestConnectWithoutRoute(t *testing.T) {
	r := start(t, gateway.Config{})
	if resp := r.upgrade("/prod", nil); resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("status %d", resp.StatusCode)
	}
}

func TestSubprotocol(t *testing.T) {
	for name, tc := range map[string]struct {
		reply string
		want  string
	}{
		"none returned":   {`{"statusCode":200}`, ""},
		"one not offered": {`{"statusCode":200,"headers":{"Sec-WebSocket-Protocol":"other"}}`, ""},
		"picked":          {`{"statusCode":200,"headers":{"sec-websocket-protocol":"v2"}}`, "v2"},
		"picked in multi": {`{"statusCode":200,"multiValueHeaders":{"Sec-WebSocket-Protocol":["v1"]}}`, "v1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, gateway.Config{Routes: allRoutes})
			r.host.set("connect", replies(tc.reply))
			resp := r.upgrade("/prod", func(h http.Header) { h.Set("Sec-WebSocket-Protocol", "v1, v2") })
			if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-WebSocket-Protocol") != tc.want {
				t.Fatalf("got %d %q", resp.StatusCode, resp.Header.Get("Sec-WebSocket-Protocol"))
			}
			if got := r.event("connect").Headers["Sec-WebSocket-Protocol"]; got != "v1, v2" {
				t.Fatalf("event has %q", got)
			}
		})
	}
}

func TestOriginAndCompressionOfABrowser(t *testing.T) {
	r := start(t, gateway.Config{Routes: allRoutes})
	resp := r.upgrade("/prod", func(h http.Header) {
		h.Set("Origin", "http://elsewhere.test:5173")
		h.Set("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")
	})
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-WebSocket-Extensions") != "" {
		t.Fatalf("got %d %q", resp.StatusCode, resp.Header.Get("Sec-WebSocket-Extensions"))
	}
	ev := r.event("connect")
	if ev.Headers["Origin"] != "http://elsewhere.test:5173" || ev.Headers["Sec-WebSocket-Extensions"] == "" {
		t.Fatalf("headers %v", ev.Headers)
	}
	if _, _, err := websocket.Dial(t.Context(), r.base, &websocket.DialOptions{HTTPClient: r.http, Host: "other"}); err != nil {
		t.Fatal(err)
	}
}
