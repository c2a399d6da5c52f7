package awsgateway_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"go.uber.org/goleak"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/gateway"
	"github.com/iops-dashboard/live/services/internal/gateway/awsgateway"
	"github.com/iops-dashboard/live/services/internal/gateway/gatewaytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	gatewaytest.Run(t, func(t *testing.T) gatewaytest.Harness {
		s := &service{open: map[string]bool{}, frames: map[string][][]byte{}, fail: map[string]http.HandlerFunc{}}
		return gatewaytest.Harness{
			Gateway: serve(t, s),
			Open:    func(id string) { s.set(func() { s.open[id] = true }) },
			Close:   func(id string) { s.set(func() { s.open[id] = false }) },
			Fail:    func(id string, kind fault.Kind) { s.set(func() { s.fail[id] = answers[kind] }) },
			Frames: func(id string) [][]byte {
				s.mu.Lock()
				defer s.mu.Unlock()
				return s.frames[id]
			},
			Hang: func(id string) <-chan struct{} {
				waiting := make(chan struct{}, 1)
				s.set(func() {
					s.fail[id] = func(_ http.ResponseWriter, r *http.Request) {
						waiting <- struct{}{}
						<-r.Context().Done()
					}
				})
				return waiting
			},
		}
	})
}

func TestEveryAnswerHasAKind(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		want   fault.Kind
	}{
		"410 without a body":       {answer(410, "GoneException", ""), fault.Gone},
		"410 without a type":       {answer(410, "", ""), fault.Gone},
		"410 of a proxy":           {answer(410, "", "<html>"), fault.Gone},
		"429":                      {answer(429, "LimitExceededException", `{"message":"Limit Exceeded"}`), fault.Throttled},
		"429 without a type":       {answer(429, "", `{"message":"Too Many Requests"}`), fault.Throttled},
		"413":                      {answer(413, "PayloadTooLargeException", `{"message":"Payload too large"}`), fault.TooLarge},
		"400, not in the SDK":      {answer(400, "BadRequestException", `{"message":"Invalid connectionId: x"}`), fault.Denied},
		"403 of IAM":               {answer(403, "ForbiddenException", `{"message":"Forbidden"}`), fault.Denied},
		"403 of the router":        {answer(403, "MissingAuthenticationTokenException", `{"message":"Missing Authentication Token"}`), fault.Denied},
		"404":                      {answer(404, "", `{"message":"Not Found"}`), fault.Denied},
		"500":                      {answer(500, "InternalServerErrorException", `{"message":"Internal server error"}`), fault.Transient},
		"502 of a proxy":           {answer(502, "", "<html>Bad Gateway</html>"), fault.Transient},
		"503":                      {answer(503, "", `{"message":"Service Unavailable"}`), fault.Transient},
		"504":                      {answer(504, "", `{"message":"Endpoint request timed out"}`), fault.Transient},
		"408":                      {answer(408, "", ""), fault.Transient},
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
			err := g.Post(t.Context(), "Jx-TaE0_GjQFvSw=", gateway.NewFrame([]byte("{}")))
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
	err := g.Post(t.Context(), "Jx-TaE0_GjQFvSw=", gateway.NewFrame([]byte("{}")))
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
	if err := g.Post(ctx, "c=", gateway.NewFrame([]byte("{}"))); fault.KindOf(err) != fault.Transient || err == nil {
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
	if err := g.Post(t.Context(), "Jx-TaE0_GjQFvSw=", gateway.NewFrame([]byte("{}"))); err != nil {
		t.Error(err)
	}
}

// service answers like API Gateway, as far as posts go.
type service struct {
	mu     sync.Mutex
	open   map[string]bool
	frames map[string][][]byte
	fail   map[string]http.HandlerFunc
}

// answers are API Gateway's: status, type in a header, and a body that a 410 does not have.
var answers = map[fault.Kind]http.HandlerFunc{
	fault.Gone:      answer(410, "GoneException", ""),
	fault.Throttled: answer(429, "LimitExceededException", `{"message":"Limit Exceeded"}`),
	fault.TooLarge:  answer(413, "PayloadTooLargeException", `{"message":"Payload too large"}`),
	fault.Denied:    answer(400, "BadRequestException", `{"message":"Invalid connectionId: Jx-TaE0_GjQFvSw="}`),
	fault.Transient: answer(500, "InternalServerErrorException", `{"message":"Internal server error"}`),
}

func answer(status int, errorType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if errorType != "" {
			w.Header().Set("x-amzn-ErrorType", errorType)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func (s *service) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, id, _ := strings.Cut(r.URL.Path, "connections/")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	fail := s.fail[id]
	delete(s.fail, id)
	switch {
	case fail != nil:
		s.mu.Unlock()
		fail(w, r)
		return
	case !s.open[id]:
		answers[fault.Gone](w, r)
	case len(body) > gateway.MaxFrame:
		answers[fault.TooLarge](w, r)
	default:
		s.frames[id] = append(s.frames[id], body)
	}
	s.mu.Unlock()
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
