package gateway_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	management "github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi"
	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi/types"
	"github.com/aws/smithy-go"

	"github.com/iops-dashboard/live/infra/local/gateway"
)

// never is an id of the right form that no connection has.
const never = "L0SM9cOFvHcCIhw="

func TestManagementRefusals(t *testing.T) {
	r := start(t, gateway.Config{Routes: allRoutes})
	_, id := r.open()
	for name, tc := range map[string]struct {
		method, path, body string
		status             int
		kind, text         string
	}{
		"malformed id":   {"POST", "/prod/@connections/nope", "x", 400, "BadRequestException", `{"message":"Invalid connectionId: nope"}`},
		"id with slash":  {"GET", "/prod/@connections/a%2Fb", "", 400, "BadRequestException", `{"message":"Invalid connectionId: a/b"}`},
		"no id":          {"DELETE", "/prod/@connections/", "", 400, "BadRequestException", `{"message":"Invalid connectionId: "}`},
		"unknown POST":   {"POST", "/prod/@connections/" + never, "x", 410, "GoneException", ""},
		"unknown GET":    {"GET", "/prod/@connections/" + never, "", 410, "GoneException", ""},
		"unknown DELETE": {"DELETE", "/prod/@connections/" + never, "", 410, "GoneException", ""},
		"no stage":       {"POST", "/@connections/" + id, "x", 403, "ForbiddenException", `{"message":"Forbidden"}`},
		"another stage":  {"POST", "/dev/@connections/" + id, "x", 403, "ForbiddenException", `{"message":"Forbidden"}`},
		"another method": {"PUT", "/prod/@connections/" + id, "x", 403, "ForbiddenException", `{"message":"Forbidden"}`},
		"POST to stage":  {"POST", "/prod", "x", 403, "ForbiddenException", `{"message":"Forbidden"}`},
		"too large":      {"POST", "/prod/@connections/" + id, strings.Repeat("x", 131073), 413, "PayloadTooLargeException", `{"message":"Payload Too Large"}`},
	} {
		t.Run(name, func(t *testing.T) {
			status, header, text := r.call(tc.method, tc.path, tc.body)
			if status != tc.status || header.Get("x-amzn-ErrorType") != tc.kind || text != tc.text {
				t.Fatalf("got %d %s %s", status, header.Get("x-amzn-ErrorType"), text)
			}
			if !idForm.MatchString(header.Get("x-amz-apigw-id")) || header.Get("x-amzn-RequestId") == "" {
				t.Errorf("headers %v", header)
			}
		})
	}
}

func TestPostGetDelete(t *testing.T) {
	r := start(t, gateway.Config{Routes: allRoutes})
	ws, id := r.open()
	escaped := strings.TrimSuffix(id, "=") + "%3D"
	largest := strings.Repeat("é", 65536)
	for _, tc := range []struct{ path, body string }{
		{"/prod/@connections/" + id, "plain"},
		{"/prod/@connections/" + escaped, ""},
		{"/prod/%40connections/" + escaped, largest},
	} {
		status, _, text := r.call(http.MethodPost, tc.path, tc.body)
		if status != http.StatusOK || text != "" {
			t.Fatalf("POST %s: %d %s", tc.path, status, text)
		}
		if got := r.read(ws); got != tc.body {
			t.Fatalf("client got %d bytes, want %d", len(got), len(tc.body))
		}
	}

	status, header, text := r.call(http.MethodGet, "/prod/@connections/"+escaped, "")
	if status != http.StatusOK || header.Get("Content-Type") != "application/json" {
		t.Fatalf("GET: %d %v", status, header)
	}
	samePaths(t, "GET", []byte(text), []string{"connectedAt", "identity", "identity.sourceIp", "identity.userAgent", "lastActiveAt"})

	if status, _, text := r.call(http.MethodDelete, "/prod/@connections/"+escaped, ""); status != http.StatusNoContent || text != "" {
		t.Fatalf("DELETE: %d %s", status, text)
	}
	if status := r.post(id, "late"); status != http.StatusGone {
		t.Fatalf("POST after DELETE: %d", status)
	}
	r.closedWith(ws, 1000, "Connection Closed Normally")
	r.disconnected(id, 1000, "Connection Closed Normally")
}

func TestAcceptedPostsAreWrittenBeforeTheClose(t *testing.T) {
	r := start(t, gateway.Config{Routes: allRoutes, Limits: gateway.Limits{CloseWait: patience}})
	ws, id := r.open()
	for range 50 {
		if status := r.post(id, "x"); status != http.StatusOK {
			t.Fatal(status)
		}
	}
	r.call(http.MethodDelete, "/prod/@connections/"+id, "")
	for range 50 {
		r.read(ws)
	}
	r.closedWith(ws, 1000, "Connection Closed Normally")
}

func managementClient(r *rig) *management.Client {
	return management.New(management.Options{
		BaseEndpoint:     aws.String(r.base),
		Region:           "us-east-1",
		Credentials:      credentials.NewStaticCredentialsProvider("test", "test", ""),
		HTTPClient:       r.http,
		RetryMaxAttempts: 1,
	})
}

// The real client must see what it sees on AWS.
func TestSDKClient(t *testing.T) {
	r := start(t, gateway.Config{Routes: allRoutes})
	client := managementClient(r)
	ctx := t.Context()
	send := func(id string, data []byte) error {
		_, err := client.PostToConnection(ctx, &management.PostToConnectionInput{ConnectionId: &id, Data: data})
		return err
	}

	var gone *types.GoneException
	if err := send(never, []byte("x")); !errors.As(err, &gone) {
		t.Errorf("unknown id: %v", err)
	}
	var api smithy.APIError
	if err := send("nope", []byte("x")); !errors.As(err, &api) || api.ErrorCode() != "BadRequestException" || api.ErrorMessage() != "Invalid connectionId: nope" {
		t.Errorf("malformed id: %v", err)
	}
	_, id := r.open()
	var large *types.PayloadTooLargeException
	if err := send(id, make([]byte, 131073)); !errors.As(err, &large) {
		t.Errorf("too large: %v", err)
	}
	got, err := client.GetConnection(ctx, &management.GetConnectionInput{ConnectionId: &id})
	if err != nil || got.ConnectedAt == nil || got.LastActiveAt == nil || aws.ToString(got.Identity.SourceIp) != "127.0.0.1" {
		t.Errorf("GetConnection: %+v %v", got, err)
	}
	if err := send(id, []byte("x")); err != nil {
		t.Error(err)
	}
	if _, err := client.DeleteConnection(ctx, &management.DeleteConnectionInput{ConnectionId: &id}); err != nil {
		t.Error(err)
	}
	if err := send(id, []byte("x")); !errors.As(err, &gone) {
		t.Errorf("after delete: %v", err)
	}

	limited := start(t, gateway.Config{Limits: gateway.Limits{RequestsPerSecond: 1, RequestBurst: 1}})
	client = management.New(client.Options(), func(o *management.Options) { o.HTTPClient = limited.http })
	_ = send(never, []byte("x"))
	var throttled *types.LimitExceededException
	if err := send(never, []byte("x")); !errors.As(err, &throttled) {
		t.Errorf("throttled: %v", err)
	}
}

func TestRequestBucketIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startPiped(t, gateway.Config{Routes: allRoutes, Limits: gateway.Limits{RequestsPerSecond: 1, RequestBurst: 2}})
		ws, id := r.open()
		r.send(ws, "one")
		r.event("default")
		if status := r.post(id, "two"); status != http.StatusOK {
			t.Fatal(status)
		}
		status, header, text := r.call(http.MethodPost, "/prod/@connections/"+id, "three")
		if status != 429 || header.Get("x-amzn-ErrorType") != "LimitExceededException" || text != `{"message":"Too Many Requests"}` {
			t.Fatalf("got %d %v %s", status, header, text)
		}
		if got := r.read(ws); got != "two" {
			t.Fatal(got)
		}
		r.send(ws, "four")
		if got := r.read(ws); !strings.HasPrefix(got, `{"message": "Too Many Requests", "connectionId":"`+id+`", "requestId":"`) {
			t.Fatal(got)
		}
		r.noEvent("default")
		<-time.After(time.Second)
		if status := r.post(id, "five"); status != http.StatusOK {
			t.Fatal(status)
		}
	})
}

func TestSlowReaderGets429AndDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startPiped(t, gateway.Config{Routes: allRoutes, Limits: gateway.Limits{SendFrames: 2, SendBytes: 2000, MaxPost: 1000}})
		slow, slowID := r.open()
		quick, quickID := r.open()

		kilo := strings.Repeat("x", 1000)
		for i, want := range []int{200, 200, 429} { // by bytes
			if status := r.post(slowID, kilo); status != want {
				t.Fatalf("post %d: %d, want %d", i, status, want)
			}
			synctest.Wait()
		}
		for range 20 {
			if status := r.post(quickID, kilo); status != http.StatusOK {
				t.Fatalf("quick: %d", status)
			}
			r.read(quick)
		}
		r.read(slow)
		r.read(slow)
		synctest.Wait()
		for i, want := range []int{200, 200, 200, 429} { // by frames: one being written, two queued
			if status := r.post(slowID, "x"); status != want {
				t.Fatalf("post %d: %d, want %d", i, status, want)
			}
			synctest.Wait()
		}
	})
}

func TestSlowReaderOnTCP(t *testing.T) {
	r := start(t, gateway.Config{Routes: allRoutes, Limits: gateway.Limits{SendBytes: 131072, SocketBuffer: 4096}})
	slow, slowID := r.open()
	quick, quickID := r.open()
	chunk := strings.Repeat("x", 65536)
	accepted := 0
	for r.post(slowID, chunk) == http.StatusOK {
		if accepted++; accepted > 1000 {
			t.Fatal("a reader that does not read was sent 64 MB")
		}
	}
	r.post(quickID, "hello")
	if got := r.read(quick); got != "hello" {
		t.Fatal(got)
	}
	for range accepted {
		r.read(slow)
	}
}

func TestInterceptWrapsTheManagementAPIOnly(t *testing.T) {
	held, release := make(chan struct{}), make(chan struct{})
	r := start(t, gateway.Config{Routes: allRoutes, Intercept: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.Method == http.MethodPost {
				close(held)
				<-release
			}
			next.ServeHTTP(w, req)
		})
	}})
	ws, id := r.open()
	status := make(chan int)
	go func() {
		resp, err := r.request(http.MethodPost, "/prod/@connections/"+id, "x")
		if err != nil {
			status <- 0
			return
		}
		_ = resp.Body.Close()
		status <- resp.StatusCode
	}()
	<-held
	if got, _, _ := r.call(http.MethodGet, "/prod/@connections/"+id, ""); got != http.StatusOK {
		t.Fatal(got)
	}
	close(release)
	if got := <-status; got != http.StatusOK {
		t.Fatal(got)
	}
	r.read(ws)
}

// Where signatures are wanted, who has none learns nothing of a connection, and does nothing to it.
func TestUnsignedRequestsAreRefused(t *testing.T) {
	r := start(t, gateway.Config{Routes: allRoutes, WantSignature: true})
	ws, id := r.open()
	for _, target := range []string{id, never, "nope"} {
		for _, method := range []string{"POST", "GET", "DELETE"} {
			status, header, text := r.call(method, "/prod/@connections/"+target, "x")
			if status != 403 || header.Get("x-amzn-ErrorType") != "MissingAuthenticationTokenException" || text != `{"message":"Missing Authentication Token"}` {
				t.Errorf("%s of %s: %d %s", method, target, status, text)
			}
		}
	}
	client := managementClient(r)
	if _, err := client.PostToConnection(t.Context(), &management.PostToConnectionInput{ConnectionId: &id, Data: []byte("signed")}); err != nil {
		t.Fatal(err)
	}
	if got := r.read(ws); got != "signed" {
		t.Errorf("the client got %q", got)
	}
}
