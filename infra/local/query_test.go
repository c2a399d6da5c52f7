package local_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/infra/local"
	"github.com/iops-dashboard/live/infra/topology"
)

// reader asks the HTTP API, with its headers.
type reader struct {
	api    string
	header http.Header
}

// ask returns an answer as it comes.
func (r reader) ask(t *testing.T, path string, header ...string) (int, http.Header, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.api+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = r.header.Clone()
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, body
}

// get returns an answer, whose body has the contract of its kind, or that of a problem.
func (r reader) get(t *testing.T, path string, kind contracts.Kind, header ...string) (int, http.Header, []byte) {
	t.Helper()
	status, got, body := r.ask(t, path, header...)
	if status >= 400 {
		kind = contracts.KindProblemV1
	}
	if status == http.StatusNotModified {
		if len(body) > 0 {
			t.Errorf("%s: 304 with a body: %s", path, body)
		}
	} else if err := contracts.ValidateProducer(kind, body); err != nil {
		t.Errorf("%s: status %d, %v in %.300s", path, status, err, body)
	}
	return status, got, body
}

// unrouted sees that no route wants a path: the API itself answers.
func (r reader) unrouted(t *testing.T, path string) {
	t.Helper()
	if status, _, body := r.ask(t, path); status != http.StatusNotFound || string(body) != `{"message":"Not Found"}`+"\n" {
		t.Errorf("%s: status %d, %s", path, status, body)
	}
}

// metrics returns the pages of a query.
func (r reader) metrics(t *testing.T, query url.Values) (pages [][]contracts.UpdateV1, tag string) {
	t.Helper()
	for {
		status, header, body := r.get(t, "/metrics?"+query.Encode(), contracts.KindMetricsPageV1)
		var page contracts.MetricsPageV1
		if err := json.Unmarshal(body, &page); err != nil || status != http.StatusOK {
			t.Fatalf("status %d, %v: %.300s", status, err, body)
		}
		pages, tag = append(pages, page.Data), header.Get("ETag")
		if page.Next == nil {
			return pages, tag
		}
		query.Set("cursor", *page.Next)
	}
}

// What a socket brings, the HTTP API shows, in the same version.
func TestQuery(t *testing.T) {
	t.Parallel()
	stack := start(t, local.Options{Origins: []string{page}})
	c := newClients(stack.Env())
	r := reader{api: c.env["API_URL"], header: http.Header{"Origin": {page}}}
	ws := c.connect(t)
	c.update(t, "tutor", "tut_1", row{"avg_rating": 4.5, "segment": "star", "home_address": "nobody's business"})
	sent := ws.waitFor(t, "tut_1")
	weak := url.Values{"entity_type": {"tutor"}, "where": {`[{"attribute":"avg_rating","operator":"ge","value":4.5}]`}, "fields": {"avg_rating"}}
	pages, tag := r.metrics(t, weak)
	if len(pages) != 1 || len(pages[0]) != 1 {
		t.Fatalf("pages %v", pages)
	}
	if got := pages[0][0]; got.EntityID != "tut_1" || got.Version != sent.Version || got.WrittenAt != sent.WrittenAt || string(got.Attributes) != `{"avg_rating":4.5}` {
		t.Errorf("got %+v, %s; the socket brought %+v", got, got.Attributes, sent)
	}

	path := "/metrics?" + weak.Encode()
	status, header, _ := r.get(t, path, contracts.KindMetricsPageV1, "If-None-Match", tag)
	if status != http.StatusNotModified || header.Get("ETag") != tag || header.Get("Access-Control-Allow-Origin") != page || header.Get("Access-Control-Expose-Headers") != "etag" {
		t.Errorf("unchanged: status %d, %v", status, header)
	}
	if _, header, _ := r.get(t, path, contracts.KindMetricsPageV1, "Origin", "https://evil.example"); header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a stranger may read: %v", header)
	}
	c.update(t, "tutor", "tut_1", row{"avg_rating": 4})
	sent = ws.waitFor(t, "tut_1")
	if status, _, body := r.get(t, path, contracts.KindMetricsPageV1, "If-None-Match", tag); status != http.StatusOK || strings.Contains(string(body), "tut_1") {
		t.Errorf("what matches no more: status %d, %s", status, body)
	}

	var reply contracts.EntityReplyV1
	one := func() (int, contracts.UpdateV1) {
		status, _, body := r.get(t, "/entities/tutor/tut%5f1", contracts.KindEntityReplyV1)
		reply = contracts.EntityReplyV1{}
		if err := json.Unmarshal(body, &reply); err != nil {
			t.Fatal(err)
		}
		return status, reply.Data
	}
	if status, got := one(); status != http.StatusOK || got.Version != sent.Version || string(got.Attributes) != `{"avg_rating":4,"segment":"star"}` {
		t.Errorf("the entity: status %d, %+v, %s", status, got, got.Attributes)
	}
	c.remove(t, "tutor", "tut_1")
	gone := ws.waitFor(t, "tut_1")
	if status, got := one(); status != http.StatusOK || got.Operation != gone.Operation || got.Reason != gone.Reason || got.Version != gone.Version {
		t.Errorf("removed: status %d, %+v; the socket brought %+v", status, got, gone)
	}

	c.update(t, "tutor", "tut/2 %;", row{"avg_rating": 3})
	ws.waitFor(t, "tut/2 %;")
	if status, _, body := r.get(t, "/entities/tutor/"+url.PathEscape("tut/2 %;"), contracts.KindEntityReplyV1); status != http.StatusOK || !strings.Contains(string(body), `"tut/2 %;"`) {
		t.Errorf("an id with a slash: status %d, %s", status, body)
	}
	c.remove(t, "tutor", "tut/2 %;")
	ws.waitFor(t, "tut/2 %;")

	found := contracts.InsightID{Pk: "insight#stu_1", Sk: time.Now().UTC().Format("2006-01-02T15:04:05.000Z")}
	c.find(t, row{"pk": found.Pk, "sk": found.Sk, "entity_id": "stu_1", "prediction_type": "low_health_score", "risk_score": 84, "timestamp": found.Sk})
	insight := ws.waitForInsight(t, found.Pk)
	for query, want := range map[string]int{"": 1, "?min_risk=84": 1, "?min_risk=84.5": 0, "?since=" + found.Sk: 1, "?since=2999-01-01T00:00:00Z": 0} {
		var page contracts.InsightsPageV1
		_, _, body := r.get(t, "/insights"+query, contracts.KindInsightsPageV1)
		if err := json.Unmarshal(body, &page); err != nil || len(page.Data) != want || want > 0 && (page.Data[0].InsightID != found || page.Data[0].Version != insight.Version) {
			t.Errorf("/insights%s: %s, %v", query, body, err)
		}
	}

	for path, want := range map[string]struct {
		status        int
		pointer, rule string
	}{
		"/metrics?where=" + url.QueryEscape(`[{"attribute":"salary","operator":"lt","value":7}]`): {400, "/where/0/attribute", "enum"},
		"/metrics?cursor=AAAA":     {400, "/cursor", "syntax"},
		"/insights?since=tomorrow": {400, "/since", "type"},
		"/entities/tutor/nobody":   {404, "", ""},
		"/metrics?where=" + url.QueryEscape(`[{"attribute":"segment","operator":"eq","value":"a`) + ";" + url.QueryEscape(`"}]`) + "&wehre=": {400, "", "additionalProperties"},
	} {
		status, header, body := r.get(t, path, "")
		var p contracts.ProblemV1
		if err := json.Unmarshal(body, &p); err != nil || status != want.status || header.Get("Content-Type") != "application/problem+json" ||
			want.rule != "" && (p.Pointer == nil || *p.Pointer != want.pointer || p.Rule == nil || *p.Rule != want.rule) {
			t.Errorf("%s: status %d, %s, %v", path, status, body, err)
		}
	}

	for _, path := range []string{"/nowhere", "/metrics/"} {
		r.unrouted(t, path)
	}

	ws.close(t) // it would be sent all that follows

	// More than a page has room for.
	const many = 1_010
	for n := 0; n < many; n += 25 {
		var puts []types.WriteRequest
		for i := n; i < min(n+25, many); i++ {
			item := rowKey("student", fmt.Sprintf("stu_%04d", i))
			item["health_score"] = attribute(i % 100)
			puts = append(puts, types.WriteRequest{PutRequest: &types.PutRequest{Item: item}})
		}
		out, err := c.dynamo.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{c.env["METRICS_TABLE"]: puts}})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.UnprocessedItems) > 0 {
			t.Fatal("the server is busy")
		}
	}
	eventually(t, "the rows to be in the state table", func() bool { return c.stateRows(t, "attribute_exists(image)") == many+1 })
	pages, _ = r.metrics(t, url.Values{})
	seen := map[string]bool{}
	for _, page := range pages {
		for _, u := range page {
			seen[u.EntityID] = true
		}
	}
	if len(pages) != 2 || len(pages[0]) != 1_000 || len(pages[1]) != many-1_000 || len(seen) != many {
		t.Errorf("%d pages, %d students", len(pages), len(seen))
	}

	stack.Close()
	if log := readLog(t, stack, "iops-dashboard-query"); !strings.Contains(log, `"rows":1000`) || strings.Contains(log, "tut_1") || strings.Contains(log, "salary") {
		t.Errorf("the log is %s", log)
	}
}

// With tickets, a token says whose rows are shown, and of which types.
func TestQueryWithTokens(t *testing.T) {
	t.Parallel()
	stack := start(t, local.Options{Topology: unscheduled(topology.New(topology.Options{Auth: topology.AuthTicket})), Origins: []string{page}})
	v := &visitors{clients: newClients(stack.Env())}
	as := func(token string) reader {
		return reader{api: v.env["API_URL"], header: http.Header{"Origin": {page}, "Authorization": {"Bearer " + token}}}
	}
	for n := range 3 {
		v.update(t, "student", fmt.Sprint("stu_", n), row{"health_score": n, "tenant": "acme"})
	}
	v.update(t, "tutor", "tut_0", row{"avg_rating": 4, "tenant": "acme"})
	v.update(t, "student", "stu_default", row{"health_score": 50})
	eventually(t, "the rows to be in the state table", func() bool { return v.stateRows(t, "attribute_exists(image)") == 5 })

	count := func(r reader, query url.Values) int {
		pages, _ := r.metrics(t, query)
		n := 0
		for _, page := range pages {
			n += len(page)
		}
		return n
	}
	acme, other, some := as(v.token(t, "ada", "acme")), as(v.token(t, "bob", "umbrella")), as(v.token(t, "tom", "acme", "entity_types", "tutor"))
	if a, b, c := count(acme, url.Values{}), count(other, url.Values{}), count(some, url.Values{}); a != 4 || b != 0 || c != 1 {
		t.Errorf("acme sees %d entities, umbrella %d, and who may see tutors %d", a, b, c)
	}
	_, tag := acme.metrics(t, url.Values{})
	for name, tc := range map[string]struct {
		reader reader
		path   string
		status int
	}{
		"their own":         {acme, "/entities/student/stu_0", 200},
		"another tenant's":  {other, "/entities/student/stu_0", 404},
		"nobody's":          {acme, "/entities/student/stu_default", 404},
		"a type less":       {some, "/entities/student/stu_0", 403},
		"a type asked for":  {some, "/metrics?entity_type=student", 403},
		"no insights":       {some, "/insights", 403},
		"a tenant's key":    {as(v.token(t, "eve", "acme#*")), "/metrics", 401},
		"insights alone":    {as(v.token(t, "ivy", "acme", "entity_types", "insight")), "/metrics", 403},
		"types that are no": {as(v.token(t, "eve", "acme", "entity_types", "*")), "/metrics", 403},
	} {
		if status, _, _ := tc.reader.get(t, tc.path, contracts.KindEntityReplyV1); status != tc.status {
			t.Errorf("%s: status %d, want %d", name, status, tc.status)
		}
	}
	// What another tenant has kept is no answer to this one.
	if status, _, _ := other.get(t, "/metrics", contracts.KindMetricsPageV1, "If-None-Match", tag); status != http.StatusOK {
		t.Errorf("another tenant's ETag: status %d", status)
	}

	// Who is revoked reads no more, whatever the token says.
	v.invoke(t, "iops-dashboard-revoke", `{"tenant":"acme","subject":"ada"}`)
	for _, path := range []string{"/metrics", "/insights", "/entities/student/stu_0"} {
		if status, _, body := acme.get(t, path, ""); status != http.StatusUnauthorized {
			t.Errorf("%s, to who is revoked: status %d, %s", path, status, body)
		}
	}
	acme.unrouted(t, "/nowhere")
	if n := count(as(v.token(t, "grace", "acme")), url.Values{}); n != 4 {
		t.Errorf("who is not revoked sees %d entities", n)
	}

	// The API itself refuses a token that is none, and lets the page read why.
	for token, path := range map[string]string{"": "/metrics", strings.Repeat("A", 43): "/metrics", strings.Repeat("B", 43): "/insights"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, v.env["API_URL"]+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header = http.Header{"Origin": {page}, "Authorization": {"Bearer " + token}}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusUnauthorized || response.Header.Get("Access-Control-Allow-Origin") != page {
			t.Errorf("token %q: status %d, %v", token, response.StatusCode, response.Header)
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, v.env["API_URL"]+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = http.Header{"Origin": {page}, "Access-Control-Request-Method": {"GET"}, "Access-Control-Request-Headers": {"authorization,if-none-match"}}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if h := response.Header; response.StatusCode != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != page ||
		!strings.Contains(h.Get("Access-Control-Allow-Methods"), "GET") || !strings.Contains(h.Get("Access-Control-Allow-Headers"), "if-none-match") {
		t.Errorf("a page asks whether it may: status %d, %v", response.StatusCode, h)
	}

	stack.Close()
	log, err := os.ReadFile(filepath.Join(stack.LogDir(), "iops-dashboard-query.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range append(v.secrets, "stu_0", "acme") {
		if strings.Contains(string(log), secret) {
			t.Errorf("the log tells %.20s…", secret)
		}
	}
}
