package httpapi_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"go.uber.org/goleak"

	"github.com/iops-dashboard/live/infra/local/httpapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	audience = "iops-dashboard"
	page     = "https://app.example.com"
)

// rsaKey and ecKey are made once: an RSA key takes its time.
var (
	rsaKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	ecKey  = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// invoker is a Lambda host with one function.
type invoker func(ctx context.Context, payload []byte) ([]byte, string, error)

func (f invoker) Invoke(ctx context.Context, function string, payload []byte) ([]byte, string, error) {
	if function != "tickets" {
		return nil, "", errors.New("no such function")
	}
	return f(ctx, payload)
}

func replies(text string) invoker {
	return func(context.Context, []byte) ([]byte, string, error) { return []byte(text), "", nil }
}

// rig is an API whose tokens a server of the test's signs.
type rig struct {
	t       *testing.T
	url     string
	issuer  string
	fetches atomic.Int64
	down    atomic.Bool
	set     atomic.Pointer[jose.JSONWebKeySet]
	log     *bytes.Buffer
	client  *http.Client
}

func start(t *testing.T, function invoker) *rig {
	t.Helper()
	routes := map[string]string{"POST /tickets": "tickets", "GET /tickets": "tickets", "GET /lost": "lost"}
	r := &rig{t: t, log: &bytes.Buffer{}, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		r.fetches.Add(1)
		if r.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"jwks_uri": r.issuer + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(r.set.Load()) })
	issuer := httptest.NewServer(mux)
	t.Cleanup(issuer.Close)
	r.issuer = issuer.URL
	r.set.Store(&jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: rsaKey().Public(), KeyID: "rsa", Algorithm: "RS256", Use: "sig"},
		{Key: ecKey().Public(), KeyID: "ec", Algorithm: "ES256", Use: "sig"},
		{Key: ecKey().Public(), KeyID: "secret", Use: "enc"},
	}})
	api := httptest.NewServer(httpapi.New(httpapi.Config{
		Region: "us-east-1", Routes: routes,
		Origins: []string{page, "http://127.0.0.1:5173"}, Headers: []string{"authorization", "content-type"}, Expose: []string{"etag"}, MaxAge: 10 * time.Minute,
		Issuer: r.issuer, Audience: audience, Logger: slog.New(slog.NewJSONHandler(r.log, nil)),
	}, function))
	t.Cleanup(api.Close)
	r.url = api.URL
	return r
}

// token signs claims that are good but for what edit does.
func (r *rig) token(edit func(map[string]any)) string {
	return r.sign(jose.RS256, jose.JSONWebKey{Key: rsaKey(), KeyID: "rsa"}, edit)
}

func (r *rig) sign(algorithm jose.SignatureAlgorithm, key any, edit func(map[string]any)) string {
	r.t.Helper()
	now := time.Now()
	claims := map[string]any{
		"iss": r.issuer, "aud": audience, "sub": "ada", "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "nbf": now.Unix(), "jti": "j1",
	}
	if edit != nil {
		edit(claims)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		r.t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		r.t.Fatal(err)
	}
	return text
}

func (r *rig) do(method, path, body string, header http.Header) (int, http.Header, string) {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header = header.Clone()
	if request.Header == nil {
		request.Header = http.Header{}
	}
	response, err := r.client.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(text)
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

func TestTokensThatAreRefused(t *testing.T) {
	t.Parallel()
	r := start(t, func(context.Context, []byte) ([]byte, string, error) {
		t.Error("the function was asked")
		return nil, "", nil
	})
	set := func(name string, value any) string { return r.token(func(c map[string]any) { c[name] = value }) }
	unset := func(name string) string { return r.token(func(c map[string]any) { delete(c, name) }) }
	public, err := json.Marshal(jose.JSONWebKey{Key: rsaKey().Public(), KeyID: "rsa"})
	if err != nil {
		t.Fatal(err)
	}
	good := r.token(nil)
	head, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	encode := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	past, future := time.Now().Add(-time.Minute).Unix(), time.Now().Add(time.Minute).Unix()
	for name, header := range map[string]http.Header{
		"none":                        {},
		"an empty one":                {"Authorization": {""}},
		"only the scheme":             {"Authorization": {"Bearer "}},
		"another scheme":              {"Authorization": {"Basic " + good}},
		"no token":                    bearer("canary"),
		"two parts":                   bearer(head + "." + payload),
		"no signature":                bearer(head + "." + payload + "."),
		"algorithm none":              bearer(encode(`{"alg":"none","typ":"JWT"}`) + "." + payload + "."),
		"algorithm none with a kid":   bearer(encode(`{"alg":"none","kid":"rsa"}`) + "." + payload + "." + signature),
		"the public key as a secret":  bearer(r.sign(jose.HS256, jose.JSONWebKey{Key: public, KeyID: "rsa"}, nil)),
		"a strong hash, not ours":     bearer(r.sign(jose.RS512, jose.JSONWebKey{Key: rsaKey(), KeyID: "rsa"}, nil)),
		"other claims, one signature": bearer(head + "." + encode(`{"sub":"eve"}`) + "." + signature),
		"another's signature":         bearer(r.sign(jose.RS256, jose.JSONWebKey{Key: must(rsa.GenerateKey(rand.Reader, 2048)), KeyID: "rsa"}, nil)),
		"the key of another kind":     bearer(r.sign(jose.ES256, jose.JSONWebKey{Key: ecKey(), KeyID: "rsa"}, nil)),
		"a key for other things":      bearer(r.sign(jose.ES256, jose.JSONWebKey{Key: ecKey(), KeyID: "secret"}, nil)),
		"a key that there is not":     bearer(r.sign(jose.RS256, jose.JSONWebKey{Key: rsaKey(), KeyID: "other"}, nil)),
		"no key id":                   bearer(r.sign(jose.RS256, rsaKey(), nil)),
		"another issuer":              bearer(set("iss", "https://issuer.example")),
		"the issuer and a slash":      bearer(set("iss", r.issuer+"/")),
		"no issuer":                   bearer(unset("iss")),
		"another audience":            bearer(set("aud", "other")),
		"other audiences":             bearer(set("aud", []string{"other", audience + "-2"})),
		"no audience":                 bearer(unset("aud")),
		"another client":              bearer(r.token(func(c map[string]any) { delete(c, "aud"); c["client_id"] = "other" })),
		"a client beside audience":    bearer(r.token(func(c map[string]any) { c["aud"] = "other"; c["client_id"] = audience })),
		"expired":                     bearer(set("exp", past)),
		"no expiry":                   bearer(unset("exp")),
		"an expiry that is a text":    bearer(set("exp", "tomorrow")),
		"not yet valid":               bearer(set("nbf", future)),
		"issued in the future":        bearer(set("iat", future)),
	} {
		t.Run(name, func(t *testing.T) {
			status, headers, body := r.do("POST", "/tickets", "", header)
			if status != 401 || body != `{"message":"Unauthorized"}`+"\n" || headers.Get("WWW-Authenticate") == "" || headers.Get("Content-Type") != "application/json" {
				t.Errorf("status %d, %v, %s", status, headers, body)
			}
		})
	}
	if strings.Contains(r.log.String(), "canary") {
		t.Errorf("the log tells %s", r.log)
	}
}

func TestTokensThatAreGood(t *testing.T) {
	t.Parallel()
	r := start(t, replies(`{"statusCode":201}`))
	for name, header := range map[string]http.Header{
		"RS256":             bearer(r.token(nil)),
		"ES256":             bearer(r.sign(jose.ES256, jose.JSONWebKey{Key: ecKey(), KeyID: "ec"}, nil)),
		"without a scheme":  {"Authorization": {r.token(nil)}},
		"scheme in capital": {"Authorization": {"BEARER " + r.token(nil)}},
		"one audience of":   bearer(r.token(func(c map[string]any) { c["aud"] = []string{"other", audience} })),
		"by client":         bearer(r.token(func(c map[string]any) { delete(c, "aud"); c["client_id"] = audience })),
		"no nbf and iat":    bearer(r.token(func(c map[string]any) { delete(c, "nbf"); delete(c, "iat") })),
	} {
		if status, _, body := r.do("POST", "/tickets", "", header); status != 201 {
			t.Errorf("%s: status %d, %s", name, status, body)
		}
	}
	if n := r.fetches.Load(); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
}

// An issuer that changes its key is believed at once; one that is away is nobody's fault who asks.
func TestKeysThatChange(t *testing.T) {
	t.Parallel()
	r := start(t, replies(`{"statusCode":201}`))
	next := bearer(r.sign(jose.ES256, jose.JSONWebKey{Key: ecKey(), KeyID: "next"}, nil))
	r.down.Store(true)
	if status, _, body := r.do("POST", "/tickets", "", next); status != 500 || body != `{"message":"Internal Server Error"}`+"\n" {
		t.Errorf("without keys: status %d, %s", status, body)
	}
	r.down.Store(false)
	if status, _, _ := r.do("POST", "/tickets", "", next); status != 401 {
		t.Errorf("before the change: status %d", status)
	}
	r.set.Store(&jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: ecKey().Public(), KeyID: "next"}}})
	if status, _, _ := r.do("POST", "/tickets", "", next); status != 201 {
		t.Errorf("after the change: status %d", status)
	}
	if status, _, _ := r.do("POST", "/tickets", "", bearer(r.token(nil))); status != 401 {
		t.Errorf("with the old key: status %d", status)
	}
}

func TestWhatTheAPIAnswersItself(t *testing.T) {
	t.Parallel()
	const failure = `{"message":"Internal Server Error"}` + "\n"
	for name, tc := range map[string]struct {
		function     invoker
		method, path string
		body         string
		status       int
		want         string
	}{
		"no such path":     {method: "POST", path: "/nowhere", status: 404, want: `{"message":"Not Found"}` + "\n"},
		"no such method":   {method: "DELETE", path: "/tickets", status: 404, want: `{"message":"Not Found"}` + "\n"},
		"a slash more":     {method: "POST", path: "/tickets/", status: 404, want: `{"message":"Not Found"}` + "\n"},
		"two slashes":      {method: "POST", path: "//tickets", status: 404, want: `{"message":"Not Found"}` + "\n"},
		"no escape":        {method: "POST", path: "/tickets?where=%zz&x=1", status: 400, want: `{"message":"Bad Request"}` + "\n"},
		"half an escape":   {method: "POST", path: "/tickets?x=1&where=%2", status: 400, want: `{"message":"Bad Request"}` + "\n"},
		"no escaped name":  {method: "POST", path: "/tickets?%zz=1", status: 400, want: `{"message":"Bad Request"}` + "\n"},
		"a large body":     {method: "POST", path: "/tickets", body: strings.Repeat("x", 6<<20+1), status: 413, want: `{"message":"Request Entity Too Large"}` + "\n"},
		"no such function": {method: "GET", path: "/lost", status: 500, want: failure},
		"a failed function": {function: func(context.Context, []byte) ([]byte, string, error) {
			return []byte(`{"errorMessage":"canary"}`), "Unhandled", nil
		}, method: "POST", path: "/tickets", status: 500, want: failure},
		"no JSON":       {function: replies("canary"), method: "POST", path: "/tickets", status: 500, want: failure},
		"an odd status": {function: replies(`{"statusCode":42}`), method: "POST", path: "/tickets", status: 500, want: failure},
		"no base64":     {function: replies(`{"statusCode":200,"body":"*","isBase64Encoded":true}`), method: "POST", path: "/tickets", status: 500, want: failure},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.function == nil {
				tc.function = replies(`{"statusCode":200}`)
			}
			r := start(t, tc.function)
			status, _, body := r.do(tc.method, tc.path, tc.body, bearer(r.token(nil)))
			if status != tc.status || body != tc.want || strings.Contains(r.log.String(), "canary") {
				t.Errorf("status %d, %s; log %s", status, body, r.log)
			}
		})
	}
}

func TestFunctionTimesOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := httpapi.New(httpapi.Config{Routes: map[string]string{"GET /slow": "tickets"}}, invoker(func(ctx context.Context, _ []byte) ([]byte, string, error) {
			<-ctx.Done()
			return nil, "", ctx.Err()
		}))
		began, answer := time.Now(), httptest.NewRecorder()
		api.ServeHTTP(answer, httptest.NewRequest("GET", "/slow", nil))
		if answer.Code != 503 || time.Since(began) != 30*time.Second {
			t.Errorf("status %d after %v", answer.Code, time.Since(began))
		}
	})
}

func TestResponses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reply  string
		status int
		kind   string
		body   string
	}{
		"a response":      {`{"statusCode":201,"headers":{"content-type":"application/json","access-control-allow-origin":"*"},"cookies":["a=1","b=2"],"body":"{}"}`, 201, "application/json", "{}"},
		"no content type": {`{"statusCode":200,"body":"text"}`, 200, "text/plain;charset=UTF-8", "text"},
		"not modified":    {`{"statusCode":304,"headers":{"ETag":"x"}}`, 304, "", ""},
		"bytes":           {`{"statusCode":200,"body":"AAEC","isBase64Encoded":true}`, 200, "text/plain;charset=UTF-8", "\x00\x01\x02"},
		"other JSON":      {`{"a":1}`, 200, "application/json", `{"a":1}`},
		"a list":          {`[1]`, 200, "application/json", `[1]`},
	} {
		r := start(t, replies(tc.reply))
		status, header, body := r.do("POST", "/tickets", "", bearer(r.token(nil)))
		if status != tc.status || header.Get("Content-Type") != tc.kind || body != tc.body || header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: status %d, %v, %q", name, status, header, body)
		}
		if got := header.Values("Set-Cookie"); name == "a response" && !slices.Equal(got, []string{"a=1", "b=2"}) {
			t.Errorf("%s: cookies %v", name, got)
		}
	}
}

func TestEvent(t *testing.T) {
	t.Parallel()
	seen := make(chan []byte, 2)
	r := start(t, func(_ context.Context, payload []byte) ([]byte, string, error) {
		seen <- payload
		return []byte(`{"statusCode":200}`), "", nil
	})
	header := bearer(r.token(func(c map[string]any) {
		c["entity_types"], c["service"], c["exp"] = []string{"student", "tutor"}, true, int64(4102444800)
	}))
	header["X-Twice"] = []string{"a", "b"}
	header["Origin"] = []string{page}
	header["Cookie"] = []string{"a=1; b=2"}
	header["User-Agent"] = []string{"test/1"}
	r.do("POST", "/tickets?x=1&x=2&y=%26", `{"a":"é"}`, header)
	payload := <-seen
	var ev events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal(payload, &ev); err != nil {
		t.Fatal(err)
	}
	rc := ev.RequestContext
	if ev.Version != "2.0" || ev.RouteKey != "POST /tickets" || ev.RawPath != "/tickets" || ev.RawQueryString != "x=1&x=2&y=%26" || ev.Body != `{"a":"é"}` || ev.IsBase64Encoded ||
		!maps.Equal(ev.QueryStringParameters, map[string]string{"x": "1,2", "y": "&"}) || !slices.Equal(ev.Cookies, []string{"a=1", "b=2"}) ||
		ev.Headers["x-twice"] != "a,b" || ev.Headers["origin"] != page || ev.Headers["cookie"] != "" || ev.Headers["host"] == "" {
		t.Errorf("event %s", payload)
	}
	at, err := time.Parse("02/Jan/2006:15:04:05 +0000", rc.Time)
	if err != nil || at.Unix() != rc.TimeEpoch/1000 || rc.Stage != "$default" || rc.RouteKey != ev.RouteKey || len(rc.RequestID) != 16 || rc.APIID == "" ||
		rc.DomainName != rc.DomainPrefix+".execute-api.us-east-1.amazonaws.com" || rc.AccountID != "000000000000" || rc.HTTP.Method != "POST" ||
		rc.HTTP.Path != "/tickets" || rc.HTTP.SourceIP != "127.0.0.1" || rc.HTTP.UserAgent != "test/1" || rc.HTTP.Protocol != "HTTP/1.1" {
		t.Errorf("requestContext %+v, %v", rc, err)
	}
	claims := rc.Authorizer.JWT.Claims
	for name, want := range map[string]string{"sub": "ada", "aud": audience, "entity_types": "[student tutor]", "service": "true", "exp": "4102444800"} {
		if claims[name] != want {
			t.Errorf("claim %s is %q, want %q", name, claims[name], want)
		}
	}

	// Nothing that a page asks for may be lost on the way.
	for query, want := range map[string]map[string]string{
		"where=a;b&x=1":     {"where": "a;b", "x": "1"},
		"where=a%3Bb;x=1":   {"where": "a;b;x=1"},
		"x&y=&=z&&x=a=b&":   {"x": ",a=b", "y": "", "": "z"},
		"a+b=c+d%2B&%C3%A9": {"a b": "c d+", "é": ""},
	} {
		r.do("POST", "/tickets?"+query, "", bearer(r.token(nil)))
		var ev events.APIGatewayV2HTTPRequest
		if err := json.Unmarshal(<-seen, &ev); err != nil || ev.RawQueryString != query || !maps.Equal(ev.QueryStringParameters, want) {
			t.Errorf("%s: %q, %v", query, ev.QueryStringParameters, err)
		}
	}

	r.do("POST", "/tickets", "\xff", bearer(r.token(nil)))
	payload = <-seen
	if !bytes.Contains(payload, []byte(`"body":"/w==","isBase64Encoded":true`)) || bytes.Contains(payload, []byte("queryStringParameters")) || bytes.Contains(payload, []byte("cookies")) {
		t.Errorf("event %s", payload)
	}
}

// What no route wants is refused by the API, whoever asks, and pages may ask whether they may all the same.
func TestNoSuchRoute(t *testing.T) {
	t.Parallel()
	r := start(t, func(context.Context, []byte) ([]byte, string, error) {
		t.Error("a function was asked")
		return nil, "", nil
	})
	for _, target := range []string{"POST /nowhere", "DELETE /tickets", "POST /tickets/", "POST //tickets", "OPTIONS /tickets", "GET /"} {
		method, path, _ := strings.Cut(target, " ")
		for _, header := range []http.Header{bearer(r.token(nil)), nil} {
			if status, _, body := r.do(method, path, "", header); status != 404 || body != `{"message":"Not Found"}`+"\n" {
				t.Errorf("%s: status %d, %s", target, status, body)
			}
		}
	}
	ask := http.Header{"Origin": {page}, "Access-Control-Request-Method": {"POST"}}
	if status, header, _ := r.do("OPTIONS", "/nowhere", "", ask); status != 204 || header.Get("Access-Control-Allow-Methods") != "GET,POST" {
		t.Errorf("a page asks whether it may: %d, %v", status, header)
	}
}

func TestWithoutAnIssuerEverybodyMayAsk(t *testing.T) {
	t.Parallel()
	api := httpapi.New(httpapi.Config{Routes: map[string]string{"GET /open": "tickets"}}, invoker(func(_ context.Context, payload []byte) ([]byte, string, error) {
		if bytes.Contains(payload, []byte("authorizer")) {
			t.Errorf("event %s", payload)
		}
		return []byte(`{"statusCode":204}`), "", nil
	}))
	answer := httptest.NewRecorder()
	api.ServeHTTP(answer, httptest.NewRequest("GET", "/open", nil))
	if answer.Code != 204 {
		t.Errorf("status %d", answer.Code)
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	r := start(t, replies(`{"statusCode":201}`))
	ask := func(origin string) http.Header {
		return http.Header{"Origin": {origin}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"authorization"}}
	}
	status, header, _ := r.do("OPTIONS", "/tickets", "", ask(page))
	if status != 204 || header.Get("Access-Control-Allow-Origin") != page || header.Get("Access-Control-Allow-Methods") != "GET,POST" ||
		header.Get("Access-Control-Allow-Headers") != "authorization,content-type" || header.Get("Access-Control-Max-Age") != "600" || header.Get("Vary") != "Origin" {
		t.Errorf("a page that may: %d %v", status, header)
	}
	for _, origin := range []string{"https://evil.example", "null", page + ".evil.example", strings.ToUpper(page), page + ":443"} {
		status, header, _ := r.do("OPTIONS", "/tickets", "", ask(origin))
		if status != 204 || header.Get("Access-Control-Allow-Origin") != "" || header.Get("Access-Control-Allow-Methods") != "" {
			t.Errorf("%s: %d %v", origin, status, header)
		}
	}
	if status, _, _ := r.do("OPTIONS", "/tickets", "", nil); status != 404 {
		t.Errorf("OPTIONS that asks nothing: %d", status)
	}
	varied := start(t, replies(`{"statusCode":200,"headers":{"vary":"Authorization"}}`))
	if _, header, _ := varied.do("POST", "/tickets", "", bearer(varied.token(nil))); !slices.Equal(header.Values("Vary"), []string{"Origin", "Authorization"}) {
		t.Errorf("Vary: %v", header.Values("Vary"))
	}
	// The page must be able to read why it is refused.
	status, header, _ = r.do("POST", "/tickets", "", http.Header{"Origin": {page}})
	if status != 401 || header.Get("Access-Control-Allow-Origin") != page {
		t.Errorf("a refusal: %d %v", status, header)
	}
	token := bearer(r.token(nil))
	token.Set("Origin", page)
	if status, header, _ := r.do("POST", "/tickets", "", token); status != 201 || header.Get("Access-Control-Allow-Origin") != page || header.Get("Access-Control-Expose-Headers") != "etag" {
		t.Errorf("an answer: %d %v", status, header)
	}
}
