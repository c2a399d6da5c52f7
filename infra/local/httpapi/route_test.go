package httpapi_test

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"github.com/iops-dashboard/live/infra/local/httpapi"
)

func TestPathsWithParameters(t *testing.T) {
	t.Parallel()
	echo := invoker(func(_ context.Context, payload []byte) ([]byte, string, error) {
		answer, err := json.Marshal(map[string]any{"statusCode": 200, "body": string(payload)})
		return answer, "", err
	})
	routes := map[string]string{}
	for _, key := range []string{
		"GET /entities/{type}/{id}", "GET /entities/student/{id}", "GET /entities/{type}/all", "GET /entities/student", "POST /entities/{kind}/{id}", "GET /{a}",
		"GET /files/{of}/{path+}", "GET /files/{of}/all", "GET /files/{path+}", "GET /{of}/last",
	} {
		routes[key] = "tickets"
	}
	api := httptest.NewServer(httpapi.New(httpapi.Config{Routes: routes}, echo))
	t.Cleanup(api.Close)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	type params = map[string]string
	for target, want := range map[string]struct {
		route, path string
		parameters  params
	}{
		"GET /entities/tutor/tut_1":         {"GET /entities/{type}/{id}", "/entities/tutor/tut_1", params{"type": "tutor", "id": "tut_1"}},
		"GET /entities/student/stu_1":       {"GET /entities/student/{id}", "/entities/student/stu_1", params{"id": "stu_1"}},
		"GET /entities/student/all":         {"GET /entities/student/{id}", "/entities/student/all", params{"id": "all"}}, // from left to right
		"GET /entities/tutor/all":           {"GET /entities/{type}/all", "/entities/tutor/all", params{"type": "tutor"}},
		"GET /entities/student":             {"GET /entities/student", "/entities/student", nil},
		"POST /entities/student/stu_1":      {"POST /entities/{kind}/{id}", "/entities/student/stu_1", params{"kind": "student", "id": "stu_1"}},
		"GET /entities/tutor/a%20b%3F%25+é": {"GET /entities/{type}/{id}", "/entities/tutor/a b?%+é", params{"type": "tutor", "id": "a b?%+é"}},
		"GET /entities/%74utor/x?id=y":      {"GET /entities/{type}/{id}", "/entities/tutor/x", params{"type": "tutor", "id": "x"}},
		"GET /entities/{type}/{id}":         {"GET /entities/{type}/{id}", "/entities/{type}/{id}", params{"type": "{type}", "id": "{id}"}},
		"GET /x":                            {"GET /{a}", "/x", params{"a": "x"}},
		"GET /files/a/b":                    {"GET /files/{of}/{path+}", "/files/a/b", params{"of": "a", "path": "b"}},
		"GET /files/a/b/c%2Fd/":             {"GET /files/{of}/{path+}", "/files/a/b/c/d/", params{"of": "a", "path": "b/c/d/"}},
		"GET /files/a//b":                   {"GET /files/{of}/{path+}", "/files/a//b", params{"of": "a", "path": "/b"}},
		"GET /files/a/all":                  {"GET /files/{of}/all", "/files/a/all", params{"of": "a"}}, // before all that is greedy
		"GET /files/a":                      {"GET /files/{path+}", "/files/a", params{"path": "a"}},
		"GET /files/last":                   {"GET /{of}/last", "/files/last", params{"of": "files"}},
		"GET /files/":                       {},
		"GET /entities/tutor/a%2Fb":         {}, // a slash like any other
		"GET /entities/tutor/":              {},
		"GET /entities//x":                  {},
		"GET /entities/tutor/x/y":           {},
		"GET /":                             {},
		"PUT /entities/tutor/x":             {},
	} {
		method, path, _ := strings.Cut(target, " ")
		request, err := http.NewRequestWithContext(t.Context(), method, api.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if want.route == "" {
			if response.StatusCode != http.StatusNotFound {
				t.Errorf("%s: status %d, %s", target, response.StatusCode, body)
			}
			continue
		}
		var ev events.APIGatewayV2HTTPRequest
		if err := json.Unmarshal(body, &ev); err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s: status %d, %v", target, response.StatusCode, err)
		}
		if ev.RouteKey != want.route || ev.RequestContext.RouteKey != want.route || ev.RawPath != want.path || !maps.Equal(ev.PathParameters, want.parameters) {
			t.Errorf("%s: route %s, path %s, %v", target, ev.RouteKey, ev.RawPath, ev.PathParameters)
		}
	}
}
