package query_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"go.uber.org/goleak"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/identity"
	"github.com/iops-dashboard/live/services/internal/registry/memregistry"
	"github.com/iops-dashboard/live/services/internal/state"
	"github.com/iops-dashboard/live/services/internal/state/memstate"
	"github.com/iops-dashboard/live/services/query"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const epoch = 1_795_000_000_000

// tester is a test, or one run of a property.
type tester interface {
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// rig is a handler on a table in memory.
type rig struct {
	table    *memstate.Table
	registry *memregistry.Registry
	log      *bytes.Buffer
	handler  *query.Query
	sequence int
}

func newRig(t tester, edit ...func(*query.Config)) *rig {
	t.Helper()
	r := &rig{table: memstate.New(epoch), registry: &memregistry.Registry{}, log: &bytes.Buffer{}}
	c := query.Config{
		State: r.table, Auth: identity.AuthTicket, Claims: identity.Claims{Tenant: "custom:tenant", EntityTypes: "entity_types"},
		Revocations: r.registry, Log: slog.New(slog.NewJSONHandler(r.log, nil)),
	}
	for _, e := range edit {
		e(&c)
	}
	var err error
	if r.handler, err = query.New(c); err != nil {
		t.Fatal(err)
	}
	return r
}

// put writes an image of an entity or insight; an empty one removes it.
func (r *rig) put(t tester, k state.Key, image string) contracts.Version {
	t.Helper()
	r.sequence++
	c := state.Change{Key: k, At: state.Position{Label: "l", Sequence: fmt.Sprint(r.sequence)}, WrittenAt: time.UnixMilli(epoch)}
	if image != "" {
		c.Image = json.RawMessage(image)
	}
	result, err := r.table.Apply(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return result.Version
}

func student(id string) state.Key {
	return state.Key{Tenant: "acme", EntityType: "student", EntityID: id}
}

// insight writes one that was found so long ago.
func (r *rig) insight(t tester, tenant, entity string, ago time.Duration, risk int) contracts.InsightID {
	t.Helper()
	at := time.Now().Add(-ago).UTC().Format("2006-01-02T15:04:05.000Z")
	id := contracts.InsightID{Pk: "insight#" + entity, Sk: at}
	r.put(t, state.InsightKey(tenant, id), fmt.Sprintf(
		`{"entity_id":%q,"explanation":"why","prediction_type":"low_health_score","risk_band":%q,"risk_score":%d,"timestamp":%q}`,
		entity, contracts.RiskBandOf(float64(risk)), risk, at))
	return id
}

// request is that of lovelace, of acme.
func request(route string, edit ...func(*events.APIGatewayV2HTTPRequest)) events.APIGatewayV2HTTPRequest {
	r := events.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: route,
		Headers: map[string]string{"authorization": "Bearer canary", "x-forwarded-for": "192.0.2.1"},
		RequestContext: events.APIGatewayV2HTTPRequestContext{
			RequestID: "JKJaXmPLvHcESHA=", RouteKey: route,
			Authorizer: &events.APIGatewayV2HTTPRequestContextAuthorizerDescription{
				JWT: &events.APIGatewayV2HTTPRequestContextAuthorizerJWTDescription{
					Claims: map[string]string{"sub": "lovelace", "custom:tenant": "acme", "sid": "s1"},
				},
			},
		},
	}
	for _, e := range edit {
		e(&r)
	}
	return r
}

func metrics(edit ...func(*events.APIGatewayV2HTTPRequest)) events.APIGatewayV2HTTPRequest {
	return request("GET /metrics", edit...)
}

func insights(edit ...func(*events.APIGatewayV2HTTPRequest)) events.APIGatewayV2HTTPRequest {
	return request("GET /insights", edit...)
}

func entity(kind, id string, edit ...func(*events.APIGatewayV2HTTPRequest)) events.APIGatewayV2HTTPRequest {
	r := request("GET /entities/{type}/{id+}", edit...)
	r.PathParameters = map[string]string{"type": kind, "id": id}
	return r
}

// with sets parameters of the query string, each followed by its value.
func with(pairs ...string) func(*events.APIGatewayV2HTTPRequest) {
	return func(r *events.APIGatewayV2HTTPRequest) {
		if r.QueryStringParameters == nil {
			r.QueryStringParameters = map[string]string{}
		}
		for i := 0; i < len(pairs); i += 2 {
			r.QueryStringParameters[pairs[i]] = pairs[i+1]
		}
	}
}

// claim sets a claim; an empty one is not there.
func claim(name, value string) func(*events.APIGatewayV2HTTPRequest) {
	return func(r *events.APIGatewayV2HTTPRequest) {
		claims := r.RequestContext.Authorizer.JWT.Claims
		if claims[name] = value; value == "" {
			delete(claims, name)
		}
	}
}

func ifNoneMatch(tag string) func(*events.APIGatewayV2HTTPRequest) {
	return func(r *events.APIGatewayV2HTTPRequest) { r.Headers["if-none-match"] = tag }
}

func (r *rig) ask(t tester, request events.APIGatewayV2HTTPRequest) events.APIGatewayV2HTTPResponse {
	t.Helper()
	response, err := r.handler.Handle(context.Background(), request)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

// read returns a document that has its contract and the headers of an answer.
func read[T any](t tester, kind contracts.Kind, response events.APIGatewayV2HTTPResponse) T {
	t.Helper()
	var document T
	if response.StatusCode != http.StatusOK || response.Headers["Content-Type"] != "application/json" ||
		response.Headers["Cache-Control"] != "private, no-cache" || response.Headers["Vary"] != "Authorization" ||
		!strings.HasPrefix(response.Headers["ETag"], `W/"`) {
		t.Fatalf("status %d, headers %v, %.300s", response.StatusCode, response.Headers, response.Body)
	}
	if err := contracts.ValidateProducer(kind, []byte(response.Body)); err != nil {
		t.Fatalf("%v in %.300s", err, response.Body)
	}
	if err := json.Unmarshal([]byte(response.Body), &document); err != nil {
		t.Fatal(err)
	}
	return document
}

func (r *rig) metricsPage(t tester, request events.APIGatewayV2HTTPRequest) contracts.MetricsPageV1 {
	t.Helper()
	return read[contracts.MetricsPageV1](t, contracts.KindMetricsPageV1, r.ask(t, request))
}

func (r *rig) insightsPage(t tester, request events.APIGatewayV2HTTPRequest) contracts.InsightsPageV1 {
	t.Helper()
	return read[contracts.InsightsPageV1](t, contracts.KindInsightsPageV1, r.ask(t, request))
}

// allMetrics follows the cursors. It calls between before each page but the first.
func (r *rig) allMetrics(t tester, request events.APIGatewayV2HTTPRequest, between func(n int)) []contracts.UpdateV1 {
	t.Helper()
	var all []contracts.UpdateV1
	for n := 0; ; n++ {
		page := r.metricsPage(t, request)
		all = append(all, page.Data...)
		switch {
		case page.Next == nil:
			return all
		case n == 1000:
			t.Fatal("there is no end of pages")
		case between != nil:
			between(n)
		}
		with("cursor", *page.Next)(&request)
	}
}

func names(rows []contracts.UpdateV1) []string {
	out := []string{}
	for _, u := range rows {
		out = append(out, string(u.EntityType)+"/"+u.EntityID)
	}
	return out
}

// problem checks a refusal, which must tell nothing of the inside and be one line in the log.
func (r *rig) problem(t tester, response events.APIGatewayV2HTTPResponse, status int, code contracts.ErrorCode) contracts.ProblemV1 {
	t.Helper()
	var p contracts.ProblemV1
	if response.StatusCode != status || response.Headers["Content-Type"] != "application/problem+json" || response.Headers["Cache-Control"] != "no-store" {
		t.Errorf("status %d, headers %v, want %d: %.300s", response.StatusCode, response.Headers, status, response.Body)
	}
	if err := contracts.ValidateProducer(contracts.KindProblemV1, []byte(response.Body)); err != nil {
		t.Errorf("%v in %s", err, response.Body)
	}
	if err := json.Unmarshal([]byte(response.Body), &p); err != nil || p.Status != int64(status) || p.Code != code || p.Title != http.StatusText(status) || p.Instance == nil {
		t.Errorf("the problem is %s, want %s", response.Body, code)
	}
	if strings.Contains(response.Body, "insides") {
		t.Errorf("the answer tells %s", response.Body)
	}
	r.quiet(t)
	return p
}

// quiet sees that there is one line, which tells nothing of who asked, and for what.
func (r *rig) quiet(t tester) {
	t.Helper()
	if lines := strings.Count(r.log.String(), "\n"); lines != 1 {
		t.Errorf("%d lines: %s", lines, r.log)
	}
	for _, secret := range []string{"canary", "lovelace", "acme", "192.0.2.1", `"s1"`, "stu_"} {
		if strings.Contains(r.log.String(), secret) {
			t.Errorf("the log tells %q: %s", secret, r.log)
		}
	}
}
