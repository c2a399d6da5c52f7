package lambdahost

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestInvokeAPI(t *testing.T) {
	h := newHostWith(t, Config{Region: "eu-central-1", Account: "123456789012", Functions: []Function{{Name: "fn"}}})
	server := httptest.NewServer(h.Handler())
	defer server.Close()
	const arn = "arn:aws:lambda:eu-central-1:123456789012:function:fn"
	tests := []struct {
		name, function, query, kind, body string

		status        int
		errorType     string // of a refused call
		functionError string
		want          string // in the body
	}{
		{name: "unknown", function: "nobody", status: 404, errorType: "ResourceNotFoundException", want: "Function not found: arn:aws:lambda:eu-central-1:123456789012:function:nobody"},
		{name: "other version", function: "fn", query: "?Qualifier=7", status: 404, errorType: "ResourceNotFoundException", want: arn + ":7"},
		{name: "other version in ARN", function: arn + ":7", status: 404, errorType: "ResourceNotFoundException"},
		{name: "other region", function: strings.Replace(arn, "eu-central-1", "us-east-1", 1), status: 404, errorType: "ResourceNotFoundException"},
		{name: "other account", function: "999999999999:function:fn", status: 404, errorType: "ResourceNotFoundException"},
		{name: "no body", function: "fn", status: 200, functionError: "Unhandled", want: `unknown mode \"\"`},
		{name: "not JSON", function: "fn", body: "{", status: 400, errorType: "InvalidRequestContentException"},
		{name: "too large", function: "fn", body: `"` + strings.Repeat("x", MaxPayload) + `"`, status: 413, errorType: "RequestTooLargeException"},
		{name: "too large for Event", function: "fn", kind: "Event", body: `"` + strings.Repeat("x", maxEvent) + `"`, status: 413, errorType: "RequestTooLargeException"},
		{name: "no such type", function: "fn", kind: "Maybe", status: 400, errorType: "InvalidParameterValueException"},
		{name: "dry run", function: "fn", kind: "DryRun", status: 204},
		{name: "function error", function: "fn", body: `{"mode":"error"}`, status: 200, functionError: "Unhandled", want: "it did not work"},
		{name: "name", function: "fn", kind: "RequestResponse", body: `{"mode":"echo","echo":{"a":[1]}}`, status: 200, want: `{"a":[1]}`},
		{name: "ARN", function: arn, body: `{"mode":"echo","echo":1}`, status: 200, want: "1"},
		{name: "encoded ARN", function: strings.ReplaceAll(arn, ":", "%3A"), body: `{"mode":"echo","echo":1}`, status: 200, want: "1"},
		{name: "qualified", function: "fn:$LATEST", body: `{"mode":"echo","echo":1}`, status: 200, want: "1"},
		{name: "partial ARN", function: "123456789012:function:fn", body: `{"mode":"echo","echo":1}`, status: 200, want: "1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/2015-03-31/functions/"+test.function+"/invocations"+test.query, strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("X-Amz-Invocation-Type", test.kind)
			response, err := server.Client().Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != test.status || response.Header.Get("X-Amzn-Errortype") != test.errorType || response.Header.Get("X-Amz-Function-Error") != test.functionError {
				t.Errorf("status %d, error %q, function error %q: %.300s", response.StatusCode, response.Header.Get("X-Amzn-Errortype"), response.Header.Get("X-Amz-Function-Error"), body)
			}
			if !strings.Contains(string(body), test.want) {
				t.Errorf("body %.300s, want %s", body, test.want)
			}
			if test.status == 200 && (response.Header.Get("X-Amz-Executed-Version") != "$LATEST" || response.Header.Get("X-Amzn-Requestid") == "") {
				t.Errorf("headers %v", response.Header)
			}
		})
	}

	t.Run("another operation", func(t *testing.T) {
		response, err := server.Client().Get(server.URL + "/2015-03-31/functions/fn")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode != 404 {
			t.Errorf("status %d", response.StatusCode)
		}
	})

	t.Run("trace and client context", func(t *testing.T) {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/2015-03-31/functions/fn/invocations", strings.NewReader(`{"mode":"context"}`))
		request.Header.Set("X-Amzn-Trace-Id", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1")
		request.Header.Set("X-Amz-Client-Context", base64.StdEncoding.EncodeToString([]byte("{\n\"custom\":{\"a\":\"b  c\"}}")))
		recorder := httptest.NewRecorder()
		h.Handler().ServeHTTP(recorder, request)
		var got struct {
			Trace  string
			Custom map[string]string
		}
		if err := json.Unmarshal(recorder.Body.Bytes(), &got); err != nil {
			t.Fatalf("%s: %v", recorder.Body, err)
		}
		if got.Trace != request.Header.Get("X-Amzn-Trace-Id") || got.Custom["a"] != "b  c" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestInvokeAPIThrottles(t *testing.T) {
	h, working := newWorkingHost(t, Function{Name: "fn"})
	post := func(kind, body string) *httptest.ResponseRecorder {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/2015-03-31/functions/fn/invocations", strings.NewReader(body))
		request.Header.Set("X-Amz-Invocation-Type", kind)
		recorder := httptest.NewRecorder()
		h.Handler().ServeHTTP(recorder, request)
		return recorder
	}
	if got := post("Event", `{"mode":"sleep","wait":"1s"}`); got.Code != 202 {
		t.Fatalf("Event: %d %s", got.Code, got.Body)
	}
	<-working
	if got := post("", `{"mode":"pid"}`); got.Code != 429 || got.Header().Get("X-Amzn-Errortype") != "TooManyRequestsException" {
		t.Errorf("while busy: %d %s", got.Code, got.Body)
	}
	if got := post("Event", `{"mode":"sleep","wait":"1ms"}`); got.Code != 202 {
		t.Fatalf("Event while busy: %d %s", got.Code, got.Body)
	}
	<-working // it waited for its turn
	eventually(t, "free", func() bool { return post("", `{"mode":"pid"}`).Code == 200 })
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"", "Event"} {
		if got := post(kind, `{}`); got.Code != 503 {
			t.Errorf("%q after Close: %d", kind, got.Code)
		}
	}
}
