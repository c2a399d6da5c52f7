package stub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awscredentials "github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const id = "Jx-TaE0_GjQFvSw="

// start serves a stub over HTTPS, and returns where it is and who trusts it.
func start(t *testing.T, settings Settings) (*Server, string, *http.Client) {
	t.Helper()
	certificate, pem, err := Certificate()
	if err != nil {
		t.Fatal(err)
	}
	l, err := Listen(&certificate)
	if err != nil {
		t.Fatal(err)
	}
	s := New()
	s.Reset(settings)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx, l) }()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s, "https://" + l.Addr().String() + "/prod", &http.Client{Transport: transport}
}

func frame(entity string, revision int, written time.Time) string {
	return fmt.Sprintf(`{"entity_type":"subject","entity_id":"%s","operation":"UPSERT","version":{"epoch":1,"revision":%d},"attributes":{},"written_at":"%s"}`,
		entity, revision, written.UTC().Format("2006-01-02T15:04:05.000Z"))
}

func post(t *testing.T, c *http.Client, endpoint, id, body string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint+"/@connections/"+strings.ReplaceAll(id, "=", "%3D"), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

func TestEachFateHasItsStatus(t *testing.T) {
	t.Parallel()
	for status, settings := range map[int]Settings{
		http.StatusOK:                  {},
		http.StatusGone:                {Gone: 1},
		http.StatusTooManyRequests:     {Throttled: 1},
		http.StatusInternalServerError: {Broken: 1},
		http.StatusForbidden:           {Verify: true},
	} {
		s, endpoint, client := start(t, settings)
		for range 2 { // the connection can be used again
			if got := post(t, client, endpoint, id, frame("a", 1, time.Now())); got != status {
				t.Errorf("%+v: status %d, want %d", settings, got, status)
			}
		}
		if r := s.Report(nil); r.Posts[status] != 2 || len(r.Posts) != 1 {
			t.Errorf("%+v: counted %v", settings, r.Posts)
		}
	}
}

func TestSilentConnectionsAreNeverAnswered(t *testing.T) {
	t.Parallel()
	s, endpoint, client := start(t, Settings{Silent: 1})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint+"/@connections/x", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	go func() { // gives up when the post has come
		for s.Report(nil).Posts[silence] == 0 && ctx.Err() == nil {
			runtime.Gosched()
		}
		cancel()
	}()
	answer, err := client.Do(r)
	if err == nil {
		_ = answer.Body.Close()
		t.Errorf("answered with %s", answer.Status)
	}
	if got := s.Report(nil).Posts; got[silence] != 1 || len(got) != 1 {
		t.Errorf("counted %v", got)
	}
}

func TestSharesAreOfTheConnections(t *testing.T) {
	t.Parallel()
	s := Settings{Gone: 0.1, Throttled: 0.1, Broken: 0.1, Silent: 0.1}
	count := map[int]int{}
	for n := range 10_000 {
		fate := s.fate(fmt.Appendf(nil, "connection-%d", n))
		count[fate]++
		if fate != s.fate(fmt.Appendf(nil, "connection-%d", n)) {
			t.Fatal("a connection has two fates")
		}
	}
	for _, fate := range []int{http.StatusGone, http.StatusTooManyRequests, http.StatusInternalServerError, silence} {
		if count[fate] < 800 || count[fate] > 1200 {
			t.Errorf("%d of 10,000 have fate %d, want about 1,000", count[fate], fate)
		}
	}
}

func TestQuota(t *testing.T) {
	t.Parallel()
	now := time.Unix(1795000000, 0)
	b := newBucket(10, 3, now)
	taken := func(at time.Time) (n int) {
		for b.take(at) {
			n++
		}
		return n
	}
	for _, tc := range []struct {
		after time.Duration
		want  int
	}{
		{0, 3}, {0, 0}, {99 * time.Millisecond, 0}, {100 * time.Millisecond, 1},
		{50 * time.Millisecond, 0}, // back in time
		{time.Hour, 3},
	} {
		if got := taken(now.Add(tc.after)); got != tc.want {
			t.Errorf("%d tokens after %s, want %d", got, tc.after, tc.want)
		}
	}

	s, endpoint, client := start(t, Settings{Rate: 0.001, Burst: 2})
	for _, want := range []int{200, 200, 429} {
		if got := post(t, client, endpoint, id, frame("a", 1, time.Now())); got != want {
			t.Errorf("status %d, want %d", got, want)
		}
	}
	if r := s.Report(nil); r.Posts[429] != 1 || r.Updates != 2 {
		t.Errorf("reports %+v", r)
	}
}

func TestVerificationAcceptsTheSDK(t *testing.T) {
	t.Parallel()
	s, endpoint, client := start(t, Settings{Verify: true})
	for name, secret := range map[string]string{"right": SecretAccessKey, "wrong": "another"} {
		api := apigatewaymanagementapi.New(apigatewaymanagementapi.Options{
			BaseEndpoint: &endpoint, Region: Region, HTTPClient: client, Retryer: aws.NopRetryer{},
			Credentials: awscredentials.NewStaticCredentialsProvider(AccessKeyID, secret, SessionToken),
		})
		for range 3 { // what the first answer says may change the next signature
			_, err := api.PostToConnection(t.Context(), &apigatewaymanagementapi.PostToConnectionInput{
				ConnectionId: aws.String(id), Data: []byte(frame("a", 1, time.Now())),
			})
			if (err == nil) != (name == "right") {
				t.Errorf("with the %s secret: %v", name, err)
			}
		}
	}
	if r := s.Report(map[string]int64{"a": 1}); r.Forged != 3 || r.Complete != 1 {
		t.Errorf("reports %+v", r)
	}
}

func TestVerificationRefusesWhatWasChanged(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, tc := range map[string]struct {
		at     time.Time
		change func(r *http.Request, body *string)
	}{
		"another body": {now, func(_ *http.Request, body *string) { *body += " " }},
		"another connection": {now, func(r *http.Request, _ *string) {
			r.URL.RawPath = strings.Replace(r.URL.RawPath, "Jx", "Jy", 1)
			r.URL.Path = strings.Replace(r.URL.Path, "Jx", "Jy", 1)
		}},
		"escaped once": {now, func(r *http.Request, _ *string) {
			r.URL.RawPath = strings.Replace(r.URL.RawPath, "%3D", "%253D", 1)
			r.URL.Path = strings.Replace(r.URL.Path, "=", "%3D", 1)
		}},
		"another header": {now, func(r *http.Request, _ *string) { r.Header.Set("Content-Type", "text/plain") }},
		"another time": {now, func(r *http.Request, _ *string) {
			r.Header.Set("X-Amz-Date", now.Add(time.Second).UTC().Format("20060102T150405Z"))
		}},
		"a token that is not ours": {now, func(r *http.Request, _ *string) { r.Header.Set("X-Amz-Security-Token", "other") }},
		"no authorization":         {now, func(r *http.Request, _ *string) { r.Header.Del("Authorization") }},
		"an hour ago":              {now.Add(-time.Hour), func(*http.Request, *string) {}},
		"an unsigned token": {now, func(r *http.Request, _ *string) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), ";x-amz-security-token", "", 1))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := verify(asSent(t, tc.at, func(*http.Request, *string) {}), tc.at); err != nil {
				t.Errorf("what was not changed: %v", err)
			}
			if err := verify(asSent(t, tc.at, tc.change), now); err == nil {
				t.Error("accepted")
			}
		})
	}
}

// asSent is a signed request as the stub reads it, after a change on the way.
func asSent(t *testing.T, at time.Time, change func(*http.Request, *string)) *request {
	t.Helper()
	body := frame("a", 1, at)
	r := httptest.NewRequest(http.MethodPost, "https://stub.test/prod/@connections/Jx-TaE0_GjQFvSw%3D", nil)
	r.ContentLength = int64(len(body))
	r.Header.Set("Content-Type", "application/octet-stream")
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(t.Context(), credentials, r, hex.EncodeToString(sum[:]), service, Region, at); err != nil {
		t.Fatal(err)
	}
	change(r, &body)
	var wire bytes.Buffer
	fmt.Fprintf(&wire, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", r.URL.EscapedPath(), r.Host, len(body))
	if err := r.Header.Write(&wire); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&wire, "\r\n%s", body)
	read, err := newRequestReader(&wire).next()
	if err != nil {
		t.Fatal(err)
	}
	return &read
}

func TestReportTellsWhoShowsTheFinalState(t *testing.T) {
	t.Parallel()
	s, endpoint, client := start(t, Settings{})
	now := time.Now()
	both := `{"data":[` + frame("a", 7, now.Add(-time.Second)) + "," + frame("b", 2, now.Add(-time.Second)) + "]}"
	post(t, client, endpoint, "one", both)
	post(t, client, endpoint, "one", frame("a", 6, now.Add(-time.Second))) // late, and harmless
	post(t, client, endpoint, "two", frame("a", 7, now.Add(-time.Second)))
	post(t, client, endpoint, "three", "not a frame")
	r := s.Report(map[string]int64{"a": 7, "b": 2})
	if r.Complete != 1 || r.Pairs != 3 || r.Connections != 2 || r.Updates != 4 || r.Unreadable != 1 {
		t.Errorf("reports %+v", r)
	}
	if r.AgeP50 < 1000 || r.AgeP99 > 60_000 || time.Since(time.Unix(0, r.Last)) > time.Minute {
		t.Errorf("ages %g and %g ms, last %d", r.AgeP50, r.AgeP99, r.Last)
	}
	s.Reset(Settings{})
	if r := s.Report(nil); r.Updates != 0 || len(r.Posts) != 0 {
		t.Errorf("after a reset: %+v", r)
	}
}

func TestNonsenseEndsTheConnection(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "POST\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
		"POST / HTTP/1.1\r\nContent-Length: 999999\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc", strings.Repeat("x", 9000),
	} {
		if _, err := newRequestReader(strings.NewReader(text)).next(); err == nil {
			t.Errorf("%.40q is read as a request", text)
		}
	}
}

func TestControl(t *testing.T) {
	t.Parallel()
	s := New()
	ask := func(path, body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.Control().ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
		return w
	}
	if w := ask("/reset", `{"latency":1}`); w.Code != http.StatusBadRequest {
		t.Errorf("a setting that does not exist: %d", w.Code)
	}
	if w := ask("/reset", `{"gone":1,"rate":5,"burst":5}`); w.Code != http.StatusNoContent || s.settings.Gone != 1 || s.quota == nil {
		t.Errorf("reset: %d, %+v", w.Code, s.settings)
	}
	var r Report
	if w := ask("/report", `{"a":1}`); json.Unmarshal(w.Body.Bytes(), &r) != nil || w.Code != http.StatusOK {
		t.Errorf("report: %d %s", w.Code, w.Body)
	}
}
