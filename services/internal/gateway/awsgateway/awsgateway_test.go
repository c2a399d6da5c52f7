package awsgateway_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"go.uber.org/goleak"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/gateway"
	"github.com/iops-dashboard/live/services/internal/gateway/awsgateway"
	"github.com/iops-dashboard/live/services/internal/gateway/gatewaytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit is how long a post may take that is not to time out.
const limit = 10 * time.Second

func TestConformance(t *testing.T) {
	t.Parallel()
	gatewaytest.Run(t, func(t *testing.T) gatewaytest.Harness {
		s := gatewaytest.NewService()
		return s.Harness(serve(t, s))
	})
	gatewaytest.RunCloser(t, func(t *testing.T) gatewaytest.Harness {
		s := gatewaytest.NewService()
		return s.Harness(serve(t, s))
	})
}

func TestEveryAnswerHasAKind(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		want   fault.Kind
	}{
		"410 without a body":       {gatewaytest.Answer(410, "GoneException", ""), fault.Gone},
		"410 without a type":       {gatewaytest.Answer(410, "", ""), fault.Gone},
		"410 of a proxy":           {gatewaytest.Answer(410, "", "<html>"), fault.Gone},
		"429":                      {gatewaytest.Answer(429, "LimitExceededException", `{"message":"Limit Exceeded"}`), fault.Throttled},
		"429 without a type":       {gatewaytest.Answer(429, "", `{"message":"Too Many Requests"}`), fault.Throttled},
		"413":                      {gatewaytest.Answer(413, "PayloadTooLargeException", `{"message":"Payload too large"}`), fault.TooLarge},
		"400, not in the SDK":      {gatewaytest.Answer(400, "BadRequestException", `{"message":"Invalid connectionId: x"}`), fault.Denied},
		"403 of IAM":               {gatewaytest.Answer(403, "ForbiddenException", `{"message":"Forbidden"}`), fault.Denied},
		"403 of the router":        {gatewaytest.Answer(403, "MissingAuthenticationTokenException", `{"message":"Missing Authentication Token"}`), fault.Denied},
		"404":                      {gatewaytest.Answer(404, "", `{"message":"Not Found"}`), fault.Denied},
		"500":                      {gatewaytest.Answer(500, "InternalServerErrorException", `{"message":"Internal server error"}`), fault.Transient},
		"502 of a proxy":           {gatewaytest.Answer(502, "", "<html>Bad Gateway</html>"), fault.Transient},
		"503":                      {gatewaytest.Answer(503, "", `{"message":"Service Unavailable"}`), fault.Transient},
		"504":                      {gatewaytest.Answer(504, "", `{"message":"Endpoint request timed out"}`), fault.Transient},
		"408":                      {gatewaytest.Answer(408, "", ""), fault.Transient},
		"connection ends in reply": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, fault.Transient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int64
			g := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				_, _ = io.Copy(io.Discard, r.Body)
				tc.answer(w, r)
			}))
			err := g.Post(t.Context(), "Jx-TaE0_GjQFvSw=", gateway.NewFrame([]byte("{}")), limit)
			if err == nil || fault.KindOf(err) != tc.want {
				t.Errorf("%v, want kind %v", err, tc.want)
			}
			if calls.Load() != 1 {
				t.Errorf("posted %d times", calls.Load())
			}
		})
	}
}

func TestNobodyListensIsTransient(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	g := awsgateway.New(cfg(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}), server.URL)
	err := g.Post(t.Context(), "Jx-TaE0_GjQFvSw=", gateway.NewFrame([]byte("{}")), limit)
	if fault.KindOf(err) != fault.Transient || err == nil {
		t.Errorf("%v, want kind transient", err)
	}
	if text := err.Error(); strings.Contains(text, "Jx-TaE0") || !strings.Contains(text, "refused") {
		t.Errorf("the error tells %s", text)
	}
}

func TestEndedContextIsTransient(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g := serve(t, http.NotFoundHandler())
	if err := g.Post(ctx, "c=", gateway.NewFrame([]byte("{}")), limit); fault.KindOf(err) != fault.Transient || err == nil {
		t.Errorf("%v, want kind transient", err)
	}
}

func TestRequestIsWhatAPIGatewayWants(t *testing.T) {
	t.Parallel()
	g := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		// The stage stays in front, and the id's '=' is escaped.
		if got := r.URL.EscapedPath(); r.Method != http.MethodPost || got != "/prod/%40connections/Jx-TaE0_GjQFvSw%3D" && got != "/prod/@connections/Jx-TaE0_GjQFvSw%3D" {
			t.Errorf("%s %s", r.Method, got)
		}
		if auth := r.Header.Get("Authorization"); !strings.Contains(auth, "/us-east-1/execute-api/aws4_request") {
			t.Errorf("authorization %q", auth)
		}
	}))
	if err := g.Post(t.Context(), "Jx-TaE0_GjQFvSw=", gateway.NewFrame([]byte("{}")), limit); err != nil {
		t.Error(err)
	}
}

func serve(t *testing.T, h http.Handler) *awsgateway.Gateway {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return awsgateway.New(cfg(server.Client()), server.URL+"/prod")
}

func cfg(client *http.Client) aws.Config {
	return aws.Config{
		Region:      "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
		HTTPClient:  client,
	}
}
