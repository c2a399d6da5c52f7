package query_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/frame"
	"github.com/iops-dashboard/live/services/internal/identity"
	"github.com/iops-dashboard/live/services/internal/registry/memregistry"
	"github.com/iops-dashboard/live/services/internal/state"
	"github.com/iops-dashboard/live/services/internal/state/memstate"
	"github.com/iops-dashboard/live/services/internal/view"
	"github.com/iops-dashboard/live/services/query"
)

func TestRefuses(t *testing.T) {
	t.Parallel()
	const invalid, forbidden, unknown, missing = contracts.ErrorCodeInvalid, contracts.ErrorCodeForbidden, contracts.ErrorCodeUnauthenticated, contracts.ErrorCodeNotFound
	where := func(text string) func(*events.APIGatewayV2HTTPRequest) { return with("where", text) }
	for name, tc := range map[string]struct {
		request       events.APIGatewayV2HTTPRequest
		status        int
		code          contracts.ErrorCode
		pointer, rule string
	}{
		"no authorizer":         {metrics(func(r *events.APIGatewayV2HTTPRequest) { r.RequestContext.Authorizer = nil }), 401, unknown, "", ""},
		"another authorizer":    {metrics(func(r *events.APIGatewayV2HTTPRequest) { r.RequestContext.Authorizer.JWT = nil }), 401, unknown, "", ""},
		"no subject":            {insights(claim("sub", "")), 401, unknown, "", ""},
		"no session":            {insights(claim("sid", "")), 401, unknown, "", ""},
		"no tenant":             {entity("student", "stu_1", claim("custom:tenant", "")), 401, unknown, "", ""},
		"a claim by the way":    {metrics(claim("custom:tenant", ""), claim("tenant", "acme")), 401, unknown, "", ""},
		"a tenant like a key":   {metrics(claim("custom:tenant", "acme#student")), 401, unknown, "", ""},
		"types that are none":   {metrics(claim("entity_types", " ")), 403, forbidden, "", ""},
		"everything":            {metrics(claim("entity_types", "*")), 403, forbidden, "", ""},
		"another type":          {metrics(claim("entity_types", "tutor"), with("entity_type", "student")), 403, forbidden, "/entity_type", ""},
		"an entity of another":  {entity("student", "stu_1", claim("entity_types", "tutor")), 403, forbidden, "/type", ""},
		"no insights":           {insights(claim("entity_types", "[student tutor]")), 403, forbidden, "", ""},
		"nothing but insights":  {metrics(claim("entity_types", "insight")), 403, forbidden, "", ""},
		"no type that there is": {metrics(claim("entity_types", "classroom")), 403, forbidden, "", ""},

		"no route of ours":      {request("$default"), 500, contracts.ErrorCodeUnavailable, "", ""},
		"no route, and nobody":  {request("$default", claim("sub", "")), 401, unknown, "", ""},
		"no such entity":        {entity("student", "stu_1"), 404, missing, "", ""},
		"no id":                 {entity("student", ""), 404, missing, "", ""},
		"a long id":             {entity("student", strings.Repeat("x", 1025)), 404, missing, "", ""},
		"an id that is no text": {entity("student", "\xff"), 404, missing, "", ""},
		"an unknown type":       {entity("classroom", "stu_1"), 404, missing, "", ""},
		"an insight's key":      {entity("insight", "2026-11-22T10:00:00.123Z/insight#stu_1"), 404, missing, "", ""},
		"a key in the type":     {entity("student#1", "stu_1"), 404, missing, "", ""},

		"a misspelt parameter":   {metrics(with("wehre", "[]")), 400, invalid, "", "additionalProperties"},
		"another's parameter":    {insights(with("entity_type", "student")), 400, invalid, "", "additionalProperties"},
		"a type that is none":    {metrics(with("entity_type", "classroom")), 400, invalid, "/entity_type", "enum"},
		"insights as a type":     {metrics(with("entity_type", "insight")), 400, invalid, "/entity_type", "enum"},
		"everything as a type":   {metrics(with("entity_type", "*")), 400, invalid, "/entity_type", "enum"},
		"two types":              {metrics(with("entity_type", "student,tutor")), 400, invalid, "/entity_type", "enum"},
		"where without JSON":     {metrics(where("health_score<70")), 400, invalid, "/where", "syntax"},
		"where and more":         {metrics(where(`[]},{"entity_type":"*"`)), 400, invalid, "/where", "syntax"},
		"where is null":          {metrics(where(`null`)), 400, invalid, "/where", "type"},
		"where is an object":     {metrics(where(`{}`)), 400, invalid, "/where", "type"},
		"where is empty":         {metrics(where(`[]`)), 400, invalid, "/where", "minItems"},
		"where of nine":          {metrics(where("[" + strings.Repeat(`{"attribute":"health_score","operator":"lt","value":7},`, 8) + `{"attribute":"health_score","operator":"lt","value":7}]`)), 400, invalid, "/where", "maxItems"},
		"where of many bytes":    {metrics(where(`[{"attribute":"segment","operator":"eq","value":"` + strings.Repeat("x", 5000) + `"}]`)), 400, invalid, "", "size"},
		"where too deep":         {metrics(where(strings.Repeat("[", 40) + strings.Repeat("]", 40))), 400, invalid, "/where" + strings.Repeat("/0", 13), "depth"},
		"an attribute of nobody": {metrics(where(`[{"attribute":"salary","operator":"lt","value":7}]`)), 400, invalid, "/where/0/attribute", "enum"},
		"another's attribute":    {metrics(with("entity_type", "student"), where(`[{"attribute":"balance_status","operator":"eq","value":"balanced"}]`)), 400, invalid, "/where/0/attribute", "enum"},
		"no operator":            {metrics(where(`[{"attribute":"health_score","operator":"like","value":7}]`)), 400, invalid, "/where/0/operator", "enum"},
		"an order of texts":      {metrics(where(`[{"attribute":"segment","operator":"lt","value":"x"}]`)), 400, invalid, "/where/0/operator", "enum"},
		"a text for a number":    {metrics(where(`[{"attribute":"health_score","operator":"lt","value":"7"}]`)), 400, invalid, "/where/0/value", "type"},
		"an absurd number":       {metrics(where(`[{"attribute":"health_score","operator":"lt","value":1e999}]`)), 400, invalid, "/where/0/value", "number"},
		"a comparison with more": {metrics(where(`[{"attribute":"health_score","operator":"lt","value":7,"or":1}]`)), 400, invalid, "/where/0/or", "additionalProperties"},
		"a field of nobody":      {metrics(with("fields", "health_score,salary")), 400, invalid, "/fields/1", "enum"},
		"a field that is empty":  {metrics(with("fields", "health_score,")), 400, invalid, "/fields/1", "pattern"},
		"a field twice":          {entity("student", "stu_1", with("fields", "health_score,health_score")), 400, invalid, "/fields", "uniqueItems"},
		"since yesterday":        {insights(with("since", "yesterday")), 400, invalid, "/since", "type"},
		"since a day":            {insights(with("since", "2026-11-22", "min_risk", "7")), 400, invalid, "/since", "type"},
		"a risk in words":        {insights(with("since", "2026-11-22T10:00:00Z", "min_risk", "high")), 400, invalid, "/min_risk", "type"},
		"a risk as a text":       {insights(with("min_risk", `"80"`)), 400, invalid, "/min_risk", "type"},
		"a list of risks":        {insights(with("min_risk", `[80]`)), 400, invalid, "/min_risk", "type"},
		"a risk that is absurd":  {insights(with("min_risk", `1e999`)), 400, invalid, "/min_risk", "number"},
		"a cursor that is none":  {metrics(with("cursor", "*")), 400, invalid, "/cursor", "syntax"},
		"a short cursor":         {insights(with("cursor", "AAAA")), 400, invalid, "/cursor", "syntax"},
		"a forged cursor":        {metrics(with("cursor", "AAAAAAAAAAAAc3R1ZGVudApzdHVfMQ")), 400, invalid, "/cursor", "syntax"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			p := r.problem(t, r.ask(t, tc.request), tc.status, tc.code)
			pointer, rule := "", ""
			if p.Pointer != nil {
				pointer = *p.Pointer
			}
			if p.Rule != nil {
				rule = *p.Rule
			}
			if pointer != tc.pointer || rule != tc.rule || p.Detail == nil || p.RetryAfterMS != nil {
				t.Errorf("pointer %q, rule %q; want %q, %q: %+v", pointer, rule, tc.pointer, tc.rule, p)
			}
		})
	}
}

// What heals by itself is worth another try, and the rest is not.
func TestAnOutageIsToldApart(t *testing.T) {
	t.Parallel()
	for kind, status := range map[fault.Kind]int{fault.Transient: 503, fault.Throttled: 503, fault.Denied: 500, fault.Internal: 500, fault.Invalid: 500} {
		for name, request := range map[string]events.APIGatewayV2HTTPRequest{"metrics": metrics(), "insights": insights(), "entity": entity("student", "stu_1")} {
			t.Run(name+" "+kind.String(), func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				failure := fault.Newf("state", kind, "secret insides")
				handler, err := query.New(query.Config{State: broken{r.table, failure}, Auth: identity.AuthOpen, Log: slog.New(slog.NewJSONHandler(r.log, nil))})
				if err != nil {
					t.Fatal(err)
				}
				r.handler = handler
				response := r.ask(t, request)
				p := r.problem(t, response, status, contracts.ErrorCodeUnavailable)
				seconds, err := strconv.Atoi(response.Headers["Retry-After"])
				switch {
				case status == 500:
					if p.RetryAfterMS != nil || response.Headers["Retry-After"] != "" {
						t.Errorf("try again after %v ms, %s s", p.RetryAfterMS, response.Headers["Retry-After"])
					}
				case err != nil || p.RetryAfterMS == nil || *p.RetryAfterMS < 1000 || *p.RetryAfterMS > 4001 || int64(seconds) != (*p.RetryAfterMS+999)/1000:
					t.Errorf("try again after %v ms, %s s", p.RetryAfterMS, response.Headers["Retry-After"])
				}
				if !strings.Contains(r.log.String(), kind.String()) || !strings.Contains(r.log.String(), `"level":"ERROR"`) {
					t.Errorf("the log is %s", r.log)
				}
			})
		}
	}
}

// broken is a table that is out of order.
type broken struct {
	*memstate.Table
	err error
}

func (b broken) Get(context.Context, state.Key) (state.Item, bool, error) {
	return state.Item{}, false, b.err
}

func (b broken) Page(context.Context, state.Range, string, int) (state.Page, error) {
	return state.Page{}, b.err
}

func (b broken) Latest(context.Context, state.Range, int) ([]state.Entry, string, error) {
	return nil, "", b.err
}

// crossed is a table that mixes up tenants.
type crossed struct{ *memstate.Table }

func (c crossed) Page(ctx context.Context, r state.Range, after string, limit int) (state.Page, error) {
	r.Tenant = "umbrella"
	return c.Table.Page(ctx, r, after, limit)
}

func (c crossed) Latest(ctx context.Context, r state.Range, limit int) ([]state.Entry, string, error) {
	r.Tenant = "umbrella"
	return c.Table.Latest(ctx, r, limit)
}

// Nothing crosses a tenant, even if the table is wrong.
func TestRowsOfAnotherTenantAreNotShown(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]events.APIGatewayV2HTTPRequest{"metrics": metrics(), "insights": insights()} {
		rows := 0
		r := newRig(t)
		handler, err := query.New(query.Config{
			State: crossed{r.table}, Auth: identity.AuthTicket, Claims: identity.Claims{Tenant: "custom:tenant", EntityTypes: "entity_types"},
			Revocations: r.registry, Log: slog.New(slog.NewJSONHandler(r.log, nil)), Crossed: func(n int) { rows += n },
		})
		if err != nil {
			t.Fatal(err)
		}
		r.handler = handler
		r.put(t, state.Key{Tenant: "umbrella", EntityType: "student", EntityID: "stu_1"}, `{"health_score":1}`)
		r.insight(t, "umbrella", "stu_1", 0, 50)
		r.problem(t, r.ask(t, request), 500, contracts.ErrorCodeUnavailable)
		if rows != 1 {
			t.Errorf("%s: %d rows were counted", name, rows)
		}
	}
}

// mixed is a table that mixes up types.
type mixed struct{ *memstate.Table }

func (m mixed) Page(ctx context.Context, r state.Range, after string, limit int) (state.Page, error) {
	r.EntityType = "tutor"
	return m.Table.Page(ctx, r, after, limit)
}

// Nothing is shown to who may not see it, even if the table is wrong.
func TestRowsOfAnotherTypeAreNotShown(t *testing.T) {
	t.Parallel()
	rows := 0
	r := newRig(t)
	r.put(t, state.Key{Tenant: "acme", EntityType: "tutor", EntityID: "tut_1"}, `{"avg_rating":4}`)
	handler, err := query.New(query.Config{
		State: mixed{r.table}, Auth: identity.AuthTicket, Claims: identity.Claims{Tenant: "custom:tenant", EntityTypes: "entity_types"},
		Revocations: r.registry, Log: slog.New(slog.NewJSONHandler(r.log, nil)), Crossed: func(n int) { rows += n },
	})
	if err != nil {
		t.Fatal(err)
	}
	r.handler = handler
	r.problem(t, r.ask(t, metrics(claim("entity_types", "student"))), 500, contracts.ErrorCodeUnavailable)
	if rows != 1 {
		t.Errorf("%d rows were counted", rows)
	}
}

func TestWhoMaySeeWhat(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, tenant := range []string{"acme", "umbrella", "default"} {
		for _, kind := range contracts.EntityTypes() {
			r.put(t, state.Key{Tenant: tenant, EntityType: string(kind), EntityID: tenant}, `{"health_score":7}`)
		}
		r.put(t, state.Key{Tenant: tenant, EntityType: "classroom", EntityID: tenant}, `{"health_score":7}`)
		r.insight(t, tenant, tenant, time.Hour, 80)
	}
	for name, tc := range map[string]struct {
		request events.APIGatewayV2HTTPRequest
		want    []string
	}{
		"all types":             {metrics(), []string{"region/acme", "student/acme", "subject/acme", "tutor/acme"}},
		"another tenant":        {metrics(claim("custom:tenant", "umbrella")), []string{"region/umbrella", "student/umbrella", "subject/umbrella", "tutor/umbrella"}},
		"a tenant without rows": {metrics(claim("custom:tenant", "acm")), []string{}},
		"one type":              {metrics(with("entity_type", "tutor")), []string{"tutor/acme"}},
		"one that they may":     {metrics(with("entity_type", "tutor"), claim("entity_types", "tutor subject")), []string{"tutor/acme"}},
		"those that they may":   {metrics(claim("entity_types", "[tutor subject insight]")), []string{"subject/acme", "tutor/acme"}},
		"an empty parameter":    {metrics(with("entity_type", "", "where", "", "fields", "", "cursor", "")), []string{"region/acme", "student/acme", "subject/acme", "tutor/acme"}},
	} {
		if got := names(r.metricsPage(t, tc.request).Data); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
	for tenant, want := range map[string]int{"acme": 1, "acm": 0} {
		page := r.insightsPage(t, insights(claim("custom:tenant", tenant), claim("entity_types", "insight")))
		if len(page.Data) != want || want > 0 && page.Data[0].InsightID.Pk != "insight#acme" {
			t.Errorf("%s: %+v", tenant, page.Data)
		}
	}
	open := newRig(t, func(c *query.Config) { c.State, c.Auth = r.table, identity.AuthOpen })
	// In an open system nobody is believed, for nobody has looked at the token.
	if got := names(open.metricsPage(t, metrics(with("entity_type", "tutor"))).Data); !slices.Equal(got, []string{"tutor/default"}) {
		t.Errorf("an open system shows %q", got)
	}
}

func TestAnEntity(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const id = "stu_1/é 😀?<&>"
	asked := func(edit ...func(*events.APIGatewayV2HTTPRequest)) events.APIGatewayV2HTTPResponse {
		return r.ask(t, entity("student", id, edit...))
	}
	reply := func(response events.APIGatewayV2HTTPResponse) contracts.UpdateV1 {
		return read[contracts.EntityReplyV1](t, contracts.KindEntityReplyV1, response).Data
	}
	version := r.put(t, student(id), `{"health_score":61.50,"segment":"at_risk"}`)
	r.put(t, state.Key{Tenant: "umbrella", EntityType: "student", EntityID: id}, `{"health_score":1}`)
	first := asked()
	want := contracts.UpdateV1{EntityType: "student", EntityID: id, Operation: "UPSERT", Version: version, WrittenAt: "2026-11-18T11:06:40.000Z"}
	got := reply(first)
	if string(got.Attributes) != `{"health_score":61.50,"segment":"at_risk"}` {
		t.Errorf("attributes %s", got.Attributes)
	}
	if got.Attributes = nil; !equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := reply(asked(with("fields", "segment"))); string(got.Attributes) != `{"segment":"at_risk"}` {
		t.Errorf("one field of %s", got.Attributes)
	}

	tag := first.Headers["ETag"]
	same := asked(ifNoneMatch(tag))
	if same.StatusCode != http.StatusNotModified || same.Body != "" || same.Headers["ETag"] != tag || same.Headers["Cache-Control"] != "private, no-cache" || same.Headers["Content-Type"] != "" {
		t.Errorf("what has not changed is %d, %v, %q", same.StatusCode, same.Headers, same.Body)
	}
	r.put(t, student(id), `{"health_score":61.50,"segment":"at_risk"}`)
	if other := asked(ifNoneMatch(tag)); other.StatusCode != http.StatusOK || reply(other).Version.Revision != 2 {
		t.Errorf("a new version is %d, %s", other.StatusCode, other.Body)
	}
	r.put(t, student(id), "")
	gone := asked(ifNoneMatch(tag))
	if got := reply(gone); got.Operation != "REMOVE" || got.Reason != "DELETED" || got.Version.Revision != 3 || got.Attributes != nil {
		t.Errorf("gone: %+v", got)
	}
	if again := asked(ifNoneMatch(gone.Headers["ETag"])); again.StatusCode != http.StatusNotModified {
		t.Errorf("still gone: %d", again.StatusCode)
	}
}

func equal(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// A browser that keeps answers must never take another's for its own.
func TestETags(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *query.Config) { c.PageRows = 2 })
	for _, tenant := range []string{"acme", "umbrella"} {
		for _, id := range []string{"a", "b", "c"} {
			r.put(t, state.Key{Tenant: tenant, EntityType: "student", EntityID: id}, `{"health_score":7}`)
		}
	}
	health := with("where", `[{"attribute":"health_score","operator":"eq","value":7}]`)
	first := r.metricsPage(t, metrics(with("entity_type", "student")))
	tags := map[string]string{}
	for name, request := range map[string]events.APIGatewayV2HTTPRequest{
		"a page":          metrics(with("entity_type", "student")),
		"its second page": metrics(with("entity_type", "student", "cursor", *first.Next)),
		"all types":       metrics(),
		"fewer types":     metrics(claim("entity_types", "student")),
		"a filter":        metrics(health, with("entity_type", "student")),
		"a field":         metrics(with("entity_type", "student", "fields", "segment")),
		"another tenant":  metrics(with("entity_type", "student"), claim("custom:tenant", "umbrella")),
		"an entity":       entity("student", "a"),
		"another's":       entity("student", "a", claim("custom:tenant", "umbrella")),
		"another entity":  entity("student", "b"),
		"insights":        insights(),
		"no insights":     insights(claim("custom:tenant", "umbrella")),
	} {
		tag := r.ask(t, request).Headers["ETag"]
		if other, ok := tags[tag]; ok || tag == "" {
			t.Errorf("%s and %s have the ETag %s", name, other, tag)
		}
		tags[tag] = name
		for sent, want := range map[string]int{
			tag: 304, strings.TrimPrefix(tag, "W/"): 304, `"x", ` + tag: 304, "*": 304, "": 200, `W/"x"`: 200, strings.Trim(tag, `W/"`): 200, tag + "x": 200,
		} {
			if got := r.ask(t, withHeader(request, sent)); got.StatusCode != want || (got.Body == "") != (want == 304) {
				t.Errorf("%s: If-None-Match: %s is answered by %d", name, sent, got.StatusCode)
			}
		}
	}
	before := r.ask(t, metrics(health)).Headers["ETag"]
	r.put(t, student("a"), `{"health_score":7}`)
	if after := r.ask(t, metrics(health)).Headers["ETag"]; after == before {
		t.Error("a new version keeps the ETag")
	}
}

func withHeader(r events.APIGatewayV2HTTPRequest, tag string) events.APIGatewayV2HTTPRequest {
	r.Headers = map[string]string{"if-none-match": tag}
	return r
}

// A cursor is of one question, and of one tenant.
func TestCursors(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *query.Config) { c.PageRows = 1 })
	for _, tenant := range []string{"acme", "umbrella"} {
		for _, kind := range []string{"student", "tutor"} {
			for _, id := range []string{"a\nb", "c", "d"} {
				r.put(t, state.Key{Tenant: tenant, EntityType: kind, EntityID: id}, `{"health_score":7}`)
			}
		}
		r.insight(t, tenant, "a", time.Minute, 10)
		r.insight(t, tenant, "b", time.Hour, 10)
	}
	page := r.metricsPage(t, metrics(with("entity_type", "student")))
	cursor := with("cursor", *page.Next)
	for name, request := range map[string]events.APIGatewayV2HTTPRequest{
		"another type":   metrics(with("entity_type", "tutor"), cursor),
		"all types":      metrics(cursor),
		"a filter":       metrics(with("entity_type", "student", "where", `[{"attribute":"health_score","operator":"eq","value":7}]`), cursor),
		"a field":        metrics(with("entity_type", "student", "fields", "segment"), cursor),
		"another tenant": metrics(with("entity_type", "student"), claim("custom:tenant", "umbrella"), cursor),
		"insights":       insights(cursor),
		"a letter more":  metrics(with("entity_type", "student", "cursor", *page.Next+"A")),
		"a letter less":  metrics(with("entity_type", "student", "cursor", (*page.Next)[:len(*page.Next)-1])),
	} {
		r.log.Reset()
		if p := r.problem(t, r.ask(t, request), 400, contracts.ErrorCodeInvalid); p.Pointer == nil || *p.Pointer != "/cursor" {
			t.Errorf("%s: %+v", name, p)
		}
	}
	// Where it leads to may be gone.
	r.put(t, student("a\nb"), "")
	if got := names(r.allMetrics(t, metrics(with("entity_type", "student"), cursor), nil)); !slices.Equal(got, []string{"student/c", "student/d"}) {
		t.Errorf("behind it there are %q", got)
	}
	if got := r.insightsPage(t, insights()); got.Next == nil || len(*got.Next) > 2048 {
		t.Errorf("insights go on with %v", got.Next)
	}
}

// Anybody can make a cursor: what it leads to must be a place in the table all the same.
func TestCursorsThatSomebodyMade(t *testing.T) {
	t.Parallel()
	made := func(route, entityType, position string, types ...string) func(*events.APIGatewayV2HTTPRequest) {
		set, err := view.Compile([]contracts.ViewV1{{EntityType: contracts.ViewType(entityType)}})
		if err != nil {
			t.Fatal(err)
		}
		question := frame.Encode(append([]string{route, "acme", set.Spec()}, types...))
		sum := sha256.Sum256(append(question, "\n"+position...))
		return with("cursor", base64.RawURLEncoding.EncodeToString(append(sum[:9:9], position...)))
	}
	students := func(position string) events.APIGatewayV2HTTPRequest {
		return metrics(with("entity_type", "student"), made("GET /metrics", "student", position, "student"))
	}
	found := func(position string) events.APIGatewayV2HTTPRequest {
		return insights(made("GET /insights", "insight", position, "insight"))
	}
	for name, tc := range map[string]struct {
		request events.APIGatewayV2HTTPRequest
		good    bool
	}{
		"an id":                {students("student\na"), true},
		"the longest":          {students("student\n" + strings.Repeat("x", 1024)), true},
		"a longer one":         {students("student\n" + strings.Repeat("x", 1025)), false},
		"bytes":                {students("student\n\xff"), false},
		"another type":         {students("tutor\na"), false},
		"no type":              {students("\na"), false},
		"a place of insights":  {found("1795000000000\ninsight/a\tb"), true},
		"a time that is none":  {found("soon\ninsight/a\tb"), false},
		"bytes among insights": {found("1795000000000\n\xff"), false},
	} {
		r := newRig(t)
		response := r.ask(t, tc.request)
		if tc.good {
			if response.StatusCode != http.StatusOK {
				t.Errorf("%s: status %d, %s", name, response.StatusCode, response.Body)
			}
			continue
		}
		if p := r.problem(t, response, 400, contracts.ErrorCodeInvalid); p.Pointer == nil || *p.Pointer != "/cursor" {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// A page ends where the contract says, and also where nothing matches.
func TestPagesAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var reads atomic.Int64
	r.table.OnPage = func(context.Context, state.Range, int) error { reads.Add(1); return nil }
	for n := range 1001 {
		r.put(t, student(fmt.Sprintf("s%04d", n)), `{"health_score":7}`)
	}
	request := metrics(with("entity_type", "student"))
	page := r.metricsPage(t, request)
	if len(page.Data) != 1000 || page.Next == nil || reads.Load() != 1 {
		t.Fatalf("a page of %d by %d reads", len(page.Data), reads.Load())
	}
	if last := r.metricsPage(t, metrics(with("entity_type", "student", "cursor", *page.Next))); len(last.Data) != 1 || last.Next != nil {
		t.Errorf("the last page has %d", len(last.Data))
	}
	r.put(t, student("s1000"), "")
	if page := r.metricsPage(t, request); len(page.Data) != 1000 || page.Next != nil {
		t.Errorf("a page of %d, and a next one", len(page.Data))
	}

	few := newRig(t, func(c *query.Config) { c.State, c.PageReads = r.table, 400 })
	reads.Store(0)
	nothing := with("where", `[{"attribute":"health_score","operator":"gt","value":7}]`)
	pages := 0
	for request := metrics(nothing); ; pages++ {
		page := few.metricsPage(t, request)
		if len(page.Data) > 0 {
			t.Fatalf("%+v matches", page.Data)
		}
		if page.Next == nil {
			break
		}
		with("cursor", *page.Next)(&request)
	}
	if pages != 2 || reads.Load() > 8 {
		t.Errorf("%d pages with a next one, by %d reads", pages, reads.Load())
	}
}

// Insights are large: a page has as many as its contract has bytes for.
func TestPagesAreBoundedInBytes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	text := strings.Repeat("<&>", 1333)
	advice := strings.TrimSuffix(strings.Repeat(`"`+strings.Repeat("€", 500)+`",`, 8), ",")
	for n := range 150 {
		at := time.Now().Add(-time.Duration(n) * time.Minute).UTC().Format("2006-01-02T15:04:05.000Z")
		r.put(t, state.InsightKey("acme", contracts.InsightID{Pk: "insight#" + fmt.Sprint(n), Sk: at}), fmt.Sprintf(
			`{"entity_id":"%d","explanation":%q,"recommendations":[%s],"prediction_type":"p","risk_band":"info","risk_score":1,"timestamp":%q}`, n, text, advice, at))
	}
	seen := 0
	for request, pages := insights(), 0; ; pages++ {
		page := r.insightsPage(t, request)
		for _, u := range page.Data {
			if u.InsightID.Pk != "insight#"+fmt.Sprint(seen) {
				t.Fatalf("%s comes as number %d", u.InsightID.Pk, seen)
			}
			seen++
		}
		if page.Next == nil {
			if seen != 150 || pages != 2 {
				t.Errorf("%d insights, on %d pages", seen, pages+1)
			}
			return
		}
		if len(page.Data) < 60 {
			t.Errorf("a page of %d", len(page.Data))
		}
		with("cursor", *page.Next)(&request)
	}
}

func TestRowsThatCannotBeReadAreLeftOut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.put(t, student("good"), `{"health_score":7}`)
	r.put(t, student("large"), `{"x":"`+strings.Repeat("x", contracts.MaxEventBytes)+`"}`)
	r.put(t, state.Key{Tenant: "acme", EntityType: state.InsightType, EntityID: time.Now().UTC().Format(time.RFC3339)}, `{"timestamp":"2026-11-22T10:00:00Z"}`)
	r.insight(t, "acme", "stu_1", 0, 50)
	if got := names(r.metricsPage(t, metrics()).Data); !slices.Equal(got, []string{"student/good"}) {
		t.Errorf("got %q", got)
	}
	if !strings.Contains(r.log.String(), `"unreadable":1`) {
		t.Errorf("the log is %s", r.log)
	}
	if got := r.insightsPage(t, insights()); len(got.Data) != 1 {
		t.Errorf("got %+v", got.Data)
	}
	r.log.Reset()
	r.problem(t, r.ask(t, entity("student", "large")), 500, contracts.ErrorCodeUnavailable)
}

func TestALogLineTellsNobodysBusiness(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.put(t, student("stu_1"), `{"segment":"at_risk"}`)
	for _, request := range []events.APIGatewayV2HTTPRequest{
		metrics(with("where", `[{"attribute":"segment","operator":"eq","value":"stu_at_risk"}]`)), entity("student", "stu_1"), insights(with("min_risk", "80")),
		metrics(with("stu_secret", "canary")), metrics(with("where", `[{"attribute":"health_score","operator":"lt","value":7,"stu_secret":1}]`)), metrics(with("entity_type", "stu_canary")),
	} {
		r.log.Reset()
		r.ask(t, request)
		r.quiet(t)
		var line struct {
			Route  string
			Status int
		}
		if err := json.Unmarshal(r.log.Bytes(), &line); err != nil || line.Route != request.RouteKey || line.Status < 200 {
			t.Errorf("the line is %s, %v", r.log, err)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	table, log := memstate.New(epoch), slog.New(slog.DiscardHandler)
	for name, c := range map[string]query.Config{
		"no state":       {Auth: identity.AuthOpen, Log: log},
		"no log":         {State: table, Auth: identity.AuthOpen},
		"no auth":        {State: table, Log: log},
		"another auth":   {State: table, Auth: "maybe", Log: log},
		"no claims":      {State: table, Auth: identity.AuthTicket, Log: log, Revocations: &memregistry.Registry{}},
		"no types":       {State: table, Auth: identity.AuthTicket, Log: log, Revocations: &memregistry.Registry{}, Claims: identity.Claims{Tenant: "tenant"}},
		"no revocations": {State: table, Auth: identity.AuthTicket, Log: log, Claims: identity.Claims{Tenant: "tenant", EntityTypes: "types"}},
		"large pages":    {State: table, Auth: identity.AuthOpen, Log: log, PageRows: 1001},
		"less than one":  {State: table, Auth: identity.AuthOpen, Log: log, PageReads: -1},
	} {
		if _, err := query.New(c); err == nil {
			t.Errorf("New accepts %s", name)
		}
	}
}
