package session_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/gateway"
	"github.com/iops-dashboard/live/services/internal/gateway/memgateway"
	"github.com/iops-dashboard/live/services/internal/registry"
	"github.com/iops-dashboard/live/services/internal/registry/memregistry"
	"github.com/iops-dashboard/live/services/session"
)

const id = "L0SM9cOFvHcCIhw="

func TestConnectRefuses(t *testing.T) {
	t.Parallel()
	failing := func(kind fault.Kind) func(*testBundle) {
		return func(b *testBundle) {
			b.registry.OnOpen = func(context.Context, string) error {
				return fault.Newf("registry.Open", kind, "secret insides")
			}
		}
	}
	for name, tc := range map[string]struct {
		auth    session.Auth
		prepare func(*testBundle)
		request func(*events.APIGatewayWebsocketProxyRequest)
		want    int
	}{
		"outage":        {prepare: failing(fault.Transient), want: 500},
		"throttled":     {prepare: failing(fault.Throttled), want: 500},
		"configuration": {prepare: failing(fault.Denied), want: 500},
		"unclassified":  {prepare: failing(fault.Internal), want: 500},
		"closed already": {prepare: func(b *testBundle) {
			if err := b.registry.Close(context.Background(), id); err != nil {
				b.t.Fatal(err)
			}
		}, want: 410},
		"open as another tenant's": {prepare: func(b *testBundle) {
			c := registry.Connection{ID: id, Tenant: "acme", ConnectedAt: time.Now()}
			if err := b.registry.Open(context.Background(), c); err != nil {
				b.t.Fatal(err)
			}
		}, want: 400},
		"no connection id": {request: func(r *events.APIGatewayWebsocketProxyRequest) { r.RequestContext.ConnectionID = "" }, want: 400},
		"no time":          {request: func(r *events.APIGatewayWebsocketProxyRequest) { r.RequestContext.ConnectedAt = 0 }, want: 400},
		"no authorizer":    {auth: session.AuthTicket, want: 401},
		"authorizer without a tenant": {auth: session.AuthTicket, request: func(r *events.APIGatewayWebsocketProxyRequest) {
			r.RequestContext.Authorizer = map[string]any{"principalId": "u1"}
		}, want: 401},
		"tenant that is not a text": {auth: session.AuthTicket, request: func(r *events.APIGatewayWebsocketProxyRequest) {
			r.RequestContext.Authorizer = map[string]any{"tenant": 7.0}
		}, want: 401},
		"tenant that would break a key":   {auth: session.AuthTicket, request: authorized("tenant", "acme#*"), want: 400},
		"permission of nobody knows when": {auth: session.AuthTicket, request: authorized("issued_at", "soon"), want: 401},
		"no subject":                      {auth: session.AuthTicket, request: authorized("subject", nil), want: 401},
		"no session":                      {auth: session.AuthTicket, request: authorized("session", ""), want: 401},
		"no entity types":                 {auth: session.AuthTicket, request: authorized("entity_types", nil), want: 401},
		"entity types that are no text":   {auth: session.AuthTicket, request: authorized("entity_types", []any{"student"}), want: 401},
		"entity types and everything":     {auth: session.AuthTicket, request: authorized("entity_types", "*,student"), want: 400},
		"entity types with an empty one":  {auth: session.AuthTicket, request: authorized("entity_types", "student,"), want: 400},
		"entity types that are unordered": {auth: session.AuthTicket, request: authorized("entity_types", "tutor,student"), want: 400},
		"contract without a major":        {request: says("METRIC_UPDATE"), want: 400},
		"contract of major 0":             {request: says("METRIC_UPDATE/0"), want: 400},
		"contract that is empty":          {request: says("METRIC_UPDATE/1,"), want: 400},
		"contract with a space":           {request: says("METRIC_UPDATE/1, INSIGHT_CREATED/1"), want: 400},
		"only a later major":              {request: says("INSIGHT_CREATED/1,METRIC_UPDATE/2"), want: 400},
		"17 contracts":                    {request: says("METRIC_UPDATE/1" + strings.Repeat(",METRIC_UPDATE/1", 16)), want: 400},
		"tenant from the client": {auth: session.AuthTicket, request: func(r *events.APIGatewayWebsocketProxyRequest) {
			r.QueryStringParameters = map[string]string{"tenant": "acme"}
			r.Headers = map[string]string{"tenant": "acme"}
		}, want: 401},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, tc.auth)
			if tc.prepare != nil {
				tc.prepare(b)
			}
			request := connect(t)
			if tc.request != nil {
				tc.request(&request)
			}
			before := len(b.watchers("default"))
			response, err := b.session.Connect(t.Context(), request)
			if err != nil || response.StatusCode != tc.want {
				t.Errorf("status %d, %v, want %d", response.StatusCode, err, tc.want)
			}
			if response.Body != "" || len(response.Headers) > 0 {
				t.Errorf("the answer tells %q, %v", response.Body, response.Headers)
			}
			if len(b.watchers("default")) != before {
				t.Error("a refused connection is registered")
			}
			b.oneLine("connect")
		})
	}
}

func TestConnectRegisters(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		auth       session.Auth
		authorizer any
		tenant     string
	}{
		"open":                       {session.AuthOpen, nil, "default"},
		"open, whatever is claimed":  {session.AuthOpen, map[string]any{"tenant": "acme"}, "default"},
		"ticket, as authorizer says": {session.AuthTicket, authorizer(), "acme"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, tc.auth)
			request := connect(t)
			request.RequestContext.Authorizer = tc.authorizer
			for range 2 {
				response, err := b.session.Connect(t.Context(), request)
				if err != nil || response.StatusCode != 200 {
					t.Fatalf("status %d, %v", response.StatusCode, err)
				}
			}
			got := b.watchers(tc.tenant)
			if len(got) != 1 || got[0].ID != id || !got[0].ConnectedAt.Equal(time.UnixMilli(1707502303419)) {
				t.Errorf("watchers %v", got)
			}
		})
	}
}

// What the authorizer says is what the registry knows, and nothing that the client says.
func TestConnectKeepsTheIdentity(t *testing.T) {
	t.Parallel()
	for said, want := range map[string][]string{"*": nil, "student": {"student"}, "insight,student": {"insight", "student"}} {
		b := setup(t, session.AuthTicket)
		request := connect(t)
		authorized("entity_types", said)(&request)
		request.QueryStringParameters = map[string]string{"subject": "eve", "session": "e", "entity_types": "*", "ticket": "canary"}
		if response, err := b.session.Connect(t.Context(), request); err != nil || response.StatusCode != 200 {
			t.Fatalf("%s: status %d, %v", said, response.StatusCode, err)
		}
		status, err := b.registry.Subscribe(t.Context(), id, registry.Subscription{SyncID: 1})
		if err != nil || status.Tenant != "acme" || status.Subject != "ada" || status.Session != "s1" || !slices.Equal(status.EntityTypes, want) {
			t.Errorf("%s: %+v, %v", said, status, err)
		}
		for _, secret := range []string{"ada", "s1", "canary"} {
			if strings.Contains(b.log.String(), secret) {
				t.Errorf("the log tells %q: %s", secret, b.log.String())
			}
		}
	}
}

// authorizer is the context of a client that the authorizer let in.
func authorizer() map[string]any {
	return map[string]any{"principalId": "ada", "integrationLatency": 21.0, "tenant": "acme", "subject": "ada", "session": "s1", "entity_types": "*"}
}

// authorized is that, but for one value.
func authorized(name string, value any) func(*events.APIGatewayWebsocketProxyRequest) {
	return func(r *events.APIGatewayWebsocketProxyRequest) {
		said := authorizer()
		said[name] = value
		r.RequestContext.Authorizer = said
	}
}

func TestConnectKeepsTheEndOfThePermission(t *testing.T) {
	t.Parallel()
	const at = 1707502303419
	for said, want := range map[any]int64{nil: 0, strconv.Itoa(at + 1): at + 1, strconv.Itoa(at): -1, "0": -1, "soon": -1, "": -1} {
		b := setup(t, session.AuthTicket)
		request := connect(t)
		authorized("until", said)(&request)
		status := 200
		if want < 0 {
			status = 401
		}
		if response, err := b.session.Connect(t.Context(), request); err != nil || response.StatusCode != status {
			t.Errorf("%v: status %d, %v, want %d", said, response.StatusCode, err, status)
		}
		if _, err := b.registry.Subscribe(t.Context(), id, registry.Subscription{SyncID: 1}); want >= 0 && errors.Is(err, registry.ErrEnded) != (want > 0) {
			t.Errorf("%v: it ended: %v", said, err)
		}
	}
}

// A ticket that was issued before the revocation of its owner lets nobody in.
func TestConnectByARevokedPermission(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, tc := range map[string]struct {
		said   any
		status int
	}{
		"before":          {strconv.FormatInt(now.Add(-time.Second).UnixMilli(), 10), 401},
		"nobody knows":    {nil, 401},
		"not as a text":   {float64(now.Add(time.Hour).UnixMilli()), 401},
		"long after that": {strconv.FormatInt(now.Add(time.Hour).UnixMilli(), 10), 200},
	} {
		b := setup(t, session.AuthTicket)
		if err := b.registry.Revoke(t.Context(), registry.Owner{Tenant: "acme", Session: "s1"}); err != nil {
			t.Fatal(err)
		}
		request := connect(t)
		authorized("issued_at", tc.said)(&request)
		if response, err := b.session.Connect(t.Context(), request); err != nil || response.StatusCode != tc.status {
			t.Errorf("%s: status %d, %v, want %d", name, response.StatusCode, err, tc.status)
		}
		if open := len(b.watchers("acme")) == 1; open != (tc.status == 200) {
			t.Errorf("%s: it has a row: %t", name, open)
		}
		b.oneLine("connect")
	}
}

func TestConnectWhereASubjectHasManyConnections(t *testing.T) {
	t.Parallel()
	heard, silent := 10*time.Second, registry.Silence+15*time.Second
	for name, tc := range map[string]struct {
		ages    []time.Duration // of what they said last
		listen  bool            // they never said a word
		moving  bool            // they are about to end
		service bool            // the one that connects
		script  error           // of the gateway, for the first
		without bool            // a gateway
		status  int
		closed  []int
	}{
		"room":                        {ages: []time.Duration{silent}, status: 200},
		"all were heard of":           {ages: []time.Duration{heard, heard}, status: 429},
		"one is silent":               {ages: []time.Duration{silent, heard}, status: 200, closed: []int{0}},
		"the longest silent":          {ages: []time.Duration{silent, silent + time.Minute}, status: 200, closed: []int{1}},
		"its socket has gone":         {ages: []time.Duration{silent, heard}, script: fault.New("planted", fault.Gone, nil), status: 200, closed: []int{0}},
		"the gateway is out of order": {ages: []time.Duration{silent, heard}, script: fault.New("planted", fault.Transient, nil), status: 500},
		"they only listen":            {ages: []time.Duration{silent, silent}, listen: true, status: 429},
		"they are about to end":       {ages: []time.Duration{heard, heard}, moving: true, status: 200},
		"it is a service":             {ages: []time.Duration{heard, heard}, service: true, status: 200},
		"nobody can close it":         {ages: []time.Duration{silent, heard}, without: true, status: 429},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, session.AuthTicket)
			b.registry.PerSubject = 2
			g := &memgateway.Gateway{}
			config := session.Config{Registry: b.registry, Auth: session.AuthTicket, Log: slog.New(slog.NewJSONHandler(b.log, nil)), Gateway: g}
			if tc.without {
				config.Gateway = nil
			}
			s, err := session.New(config)
			if err != nil {
				t.Fatal(err)
			}
			for n, age := range tc.ages {
				then := time.Now().Add(-age)
				b.registry.Now = func() time.Time { return then }
				c := registry.Connection{ID: fmt.Sprint("other", n), Tenant: "acme", Subject: "ada", Session: "s0", ConnectedAt: then}
				if tc.moving {
					c.ConnectedAt = c.ConnectedAt.Add(-registry.MoveAfter)
				}
				if err := b.registry.Open(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				if !tc.listen {
					if _, err := b.registry.Subscribe(t.Context(), c.ID, registry.Subscription{SyncID: 1, Views: map[string]string{registry.Everything: "all"}}); err != nil {
						t.Fatal(err)
					}
				}
				g.Open(c.ID)
			}
			b.registry.Now = nil
			g.Script("other0", tc.script)
			request := connect(t)
			request.RequestContext.ConnectedAt = time.Now().UnixMilli()
			request.RequestContext.Authorizer = authorizer()
			if tc.service {
				authorized("service", "true")(&request)
			}
			if response, err := s.Connect(t.Context(), request); err != nil || response.StatusCode != tc.status {
				t.Errorf("status %d, %v, want %d", response.StatusCode, err, tc.status)
			}
			var open []string
			for _, c := range b.watchers("acme") {
				open = append(open, c.ID)
			}
			for n := range tc.ages {
				gone := g.Post(t.Context(), fmt.Sprint("other", n), gateway.NewFrame(nil), time.Second) != nil
				if want := slices.Contains(tc.closed, n); gone != want || want == slices.Contains(open, fmt.Sprint("other", n)) {
					t.Errorf("connection %d: closed %t, registered are %v", n, gone, open)
				}
			}
			if slices.Contains(open, id) != (tc.status == 200) {
				t.Errorf("registered are %v", open)
			}
			b.oneLine("connect")
		})
	}
}

func TestConnectKeepsTheContracts(t *testing.T) {
	t.Parallel()
	for said, want := range map[string][]string{
		"":                nil,
		"METRIC_UPDATE/1": {"METRIC_UPDATE/1"},
		"METRIC_UPDATE/2,METRIC_UPDATE/1,METRIC_UPDATE/2": {"METRIC_UPDATE/1", "METRIC_UPDATE/2"},
		"FORECAST/7,INSIGHT_CREATED/1":                    {"FORECAST/7", "INSIGHT_CREATED/1"}, // a newer client's
	} {
		b := setup(t, session.AuthOpen)
		request := connect(t)
		says(said)(&request)
		response, err := b.session.Connect(t.Context(), request)
		if err != nil || response.StatusCode != 200 {
			t.Fatalf("%s: status %d, %v", said, response.StatusCode, err)
		}
		if got := b.watchers("default"); len(got) != 1 || !slices.Equal(got[0].Contracts, want) {
			t.Errorf("%s: watchers %v", said, got)
		}
	}
}

func says(contracts string) func(*events.APIGatewayWebsocketProxyRequest) {
	return func(r *events.APIGatewayWebsocketProxyRequest) {
		r.QueryStringParameters = map[string]string{"contracts": contracts}
	}
}

func TestDisconnect(t *testing.T) {
	t.Parallel()
	b := setup(t, session.AuthOpen)
	if _, err := b.session.Connect(t.Context(), connect(t)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		response, err := b.session.Disconnect(t.Context(), disconnect(t))
		if err != nil || response.StatusCode != 200 {
			t.Errorf("status %d, %v", response.StatusCode, err)
		}
	}
	if got := b.watchers("default"); len(got) != 0 {
		t.Errorf("watchers %v", got)
	}
}

func TestDisconnectBeforeConnect(t *testing.T) {
	t.Parallel()
	b := setup(t, session.AuthOpen)
	if _, err := b.session.Disconnect(t.Context(), disconnect(t)); err != nil {
		t.Fatal(err)
	}
	response, err := b.session.Connect(t.Context(), connect(t))
	if err != nil || response.StatusCode != 410 {
		t.Errorf("status %d, %v", response.StatusCode, err)
	}
	if got := b.watchers("default"); len(got) != 0 {
		t.Errorf("watchers %v", got)
	}
}

func TestDisconnectTellsOfItsFailure(t *testing.T) {
	t.Parallel()
	b := setup(t, session.AuthOpen)
	b.registry.OnClose = func(context.Context, string) error { return fault.New("registry.Close", fault.Transient, nil) }
	response, err := b.session.Disconnect(t.Context(), disconnect(t))
	if fault.KindOf(err) != fault.Transient || response.StatusCode != 200 {
		t.Errorf("status %d, %v", response.StatusCode, err)
	}
	b.oneLine("disconnect")

	b = setup(t, session.AuthOpen)
	if _, err := b.session.Disconnect(t.Context(), events.APIGatewayWebsocketProxyRequest{}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("without an id: %v", err)
	}
}

func TestLogsHideTheConnection(t *testing.T) {
	t.Parallel()
	b := setup(t, session.AuthOpen)
	request := connect(t)
	request.QueryStringParameters = map[string]string{"ticket": "canary"}
	if _, err := b.session.Connect(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if _, err := b.session.Disconnect(t.Context(), disconnect(t)); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{id, "canary", "192.0.2.1"} {
		if strings.Contains(b.log.String(), secret) {
			t.Errorf("the log tells %q: %s", secret, b.log.String())
		}
	}
}

func TestAuthMustBeChosen(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	for _, config := range []session.Config{
		{Registry: &memregistry.Registry{}, Log: log},
		{Registry: &memregistry.Registry{}, Log: log, Auth: "Open"},
		{Log: log, Auth: session.AuthOpen},
	} {
		if _, err := session.New(config); err == nil {
			t.Errorf("New accepts %+v", config)
		}
	}
}

type testBundle struct {
	t        *testing.T
	session  *session.Session
	registry *memregistry.Registry
	log      *bytes.Buffer
}

func setup(t *testing.T, auth session.Auth) *testBundle {
	t.Helper()
	if auth == "" {
		auth = session.AuthOpen
	}
	b := &testBundle{t: t, registry: &memregistry.Registry{}, log: &bytes.Buffer{}}
	var err error
	b.session, err = session.New(session.Config{
		Registry: b.registry, Auth: auth, Log: slog.New(slog.NewJSONHandler(b.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *testBundle) watchers(tenant string) []registry.Connection {
	b.t.Helper()
	var all []registry.Connection
	for page, err := range b.registry.Watching(b.t.Context(), registry.Query{Tenant: tenant}) {
		if err != nil {
			b.t.Fatal(err)
		}
		for _, w := range page {
			all = append(all, registry.Connection{ID: w.ID, Tenant: w.Tenant, ConnectedAt: w.ConnectedAt, Contracts: w.Contracts})
		}
	}
	return all
}

func (b *testBundle) oneLine(msg string) {
	b.t.Helper()
	lines := strings.Split(strings.TrimSpace(b.log.String()), "\n")
	var line map[string]any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &line); err != nil || len(lines) != 1 || line["msg"] != msg {
		b.t.Errorf("log: %s", b.log)
	}
}

func connect(t *testing.T) events.APIGatewayWebsocketProxyRequest {
	return request(t, `{
		"headers": {"Host": "example.com", "X-Forwarded-For": "192.0.2.1"},
		"requestContext": {
			"routeKey": "$connect", "eventType": "CONNECT", "messageDirection": "IN",
			"extendedRequestId": "R1koeHsUtjMFbRw=", "requestId": "R1koeHsUtjMFbRw=",
			"requestTime": "09/Feb/2024:18:11:43 +0000", "requestTimeEpoch": 1707502303420,
			"stage": "prod", "connectedAt": 1707502303419,
			"identity": {"sourceIp": "192.0.2.1"},
			"domainName": "abcd1234.execute-api.us-east-1.amazonaws.com",
			"connectionId": "`+id+`", "apiId": "abcd1234"
		},
		"isBase64Encoded": false
	}`)
}

func disconnect(t *testing.T) events.APIGatewayWebsocketProxyRequest {
	return request(t, `{
		"headers": {"Host": "example.com", "x-api-key": "", "X-Forwarded-For": "", "x-restapi": ""},
		"requestContext": {
			"routeKey": "$disconnect", "eventType": "DISCONNECT", "messageDirection": "IN",
			"disconnectStatusCode": 1005, "disconnectReason": "Client-side close frame status not set",
			"requestId": "R1kpABCUtjMFbRw=", "stage": "prod", "connectedAt": 1707502303419,
			"connectionId": "`+id+`", "apiId": "abcd1234"
		},
		"isBase64Encoded": false
	}`)
}

func request(t *testing.T, document string) events.APIGatewayWebsocketProxyRequest {
	t.Helper()
	var r events.APIGatewayWebsocketProxyRequest
	if err := json.Unmarshal([]byte(document), &r); err != nil {
		t.Fatal(err)
	}
	return r
}
