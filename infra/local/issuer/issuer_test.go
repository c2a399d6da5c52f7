package issuer_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/iops-dashboard/live/infra/local/issuer"
)

const (
	address  = "http://127.0.0.1:4321"
	audience = "iops-dashboard"
	page     = "http://127.0.0.1:5173"
)

func newIssuer(t *testing.T) *issuer.Issuer {
	t.Helper()
	i, err := issuer.New(address, audience, []string{page})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func get(t *testing.T, i http.Handler, path string, to any) {
	t.Helper()
	answer := httptest.NewRecorder()
	i.ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
	if err := json.Unmarshal(answer.Body.Bytes(), to); err != nil || answer.Code != 200 || answer.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%s: %d %s, %v", path, answer.Code, answer.Body, err)
	}
}

func ask(i http.Handler, form url.Values, origin string) *httptest.ResponseRecorder {
	request := httptest.NewRequest("POST", "/token", strings.NewReader(form.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if origin != "" {
		request.Header.Set("Origin", origin)
	}
	answer := httptest.NewRecorder()
	i.ServeHTTP(answer, request)
	return answer
}

func TestTokenRefuses(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	for name, tc := range map[string]struct {
		form   url.Values
		origin string
		status int
	}{
		"nobody":            {url.Values{}, page, 400},
		"an empty name":     {url.Values{"username": {""}}, "", 400},
		"a large form":      {url.Values{"username": {strings.Repeat("x", 5000)}}, "", 400},
		"another page":      {url.Values{"username": {"ada"}}, "https://evil.example", 403},
		"a page of no name": {url.Values{"username": {"ada"}}, "null", 403},
	} {
		answer := ask(i, tc.form, tc.origin)
		if answer.Code != tc.status || strings.Contains(answer.Body.String(), "access_token") || !strings.Contains(answer.Body.String(), `"error"`) {
			t.Errorf("%s: %d %s", name, answer.Code, answer.Body)
		}
	}
	for _, r := range []*http.Request{
		httptest.NewRequest("GET", "/token?username=ada", nil), httptest.NewRequest("POST", "/token?username=ada", nil), httptest.NewRequest("GET", "/", nil),
	} {
		answer := httptest.NewRecorder()
		i.ServeHTTP(answer, r)
		if answer.Code < 400 {
			t.Errorf("%s %s: %d", r.Method, r.URL, answer.Code)
		}
	}
}

// What anybody needs to verify a token is where OpenID Connect says, and the private key is not.
func TestTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		var configuration struct {
			Issuer, JWKS string
		}
		var raw map[string]any
		get(t, i, "/.well-known/openid-configuration", &raw)
		configuration.Issuer, _ = raw["issuer"].(string)
		configuration.JWKS, _ = raw["jwks_uri"].(string)
		if configuration.Issuer != address || configuration.JWKS != address+"/jwks.json" || raw["token_endpoint"] != address+"/token" {
			t.Errorf("configuration %v", raw)
		}
		var keys jose.JSONWebKeySet
		get(t, i, "/jwks.json", &keys)
		if len(keys.Keys) != 1 || !keys.Keys[0].IsPublic() || keys.Keys[0].Use != "sig" || keys.Keys[0].Algorithm != "RS256" {
			t.Fatalf("keys %v", keys.Keys)
		}
		for name, tc := range map[string]struct {
			form url.Values
			want map[string]any
		}{
			"as little as can be": {url.Values{"username": {"ada"}}, map[string]any{"sub": "ada", "tenant": "default"}},
			"a service of few types": {
				url.Values{"username": {"importer"}, "tenant": {"acme"}, "entity_types": {"student tutor"}, "service": {"true"}},
				map[string]any{"sub": "importer", "tenant": "acme", "entity_types": []any{"student", "tutor"}, "service": true},
			},
		} {
			answer := ask(i, tc.form, page)
			var got struct {
				Token   string `json:"access_token"`
				Type    string `json:"token_type"`
				Expires int    `json:"expires_in"`
			}
			if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil || answer.Code != 200 || got.Type != "Bearer" || got.Expires != 3600 ||
				answer.Header().Get("Cache-Control") != "no-store" || answer.Header().Get("Access-Control-Allow-Origin") != page {
				t.Fatalf("%s: %d %v %v", name, answer.Code, answer.Header(), err)
			}
			token, err := jwt.ParseSigned(got.Token, []jose.SignatureAlgorithm{jose.RS256})
			if err != nil {
				t.Fatal(err)
			}
			var known jwt.Claims
			var all map[string]any
			if err := token.Claims(&keys, &known, &all); err != nil {
				t.Fatal(err)
			}
			expected := jwt.Expected{Issuer: address, AnyAudience: jwt.Audience{audience}}
			for after, want := range map[time.Duration]error{0: nil, time.Hour: nil, time.Hour + 2*time.Second: jwt.ErrExpired, -2 * time.Second: jwt.ErrNotValidYet} {
				expected.Time = time.Now().Add(after)
				if err := known.ValidateWithLeeway(expected, 0); err != want {
					t.Errorf("%s: after %v: %v, want %v", name, after, err, want)
				}
			}
			if all["jti"] == "" || all["sid"] == "" || all["jti"] == all["sid"] {
				t.Errorf("%s: ids %v and %v", name, all["jti"], all["sid"])
			}
			for _, known := range []string{"iss", "aud", "iat", "nbf", "exp", "jti", "sid"} {
				delete(all, known)
			}
			if !reflect.DeepEqual(all, tc.want) {
				t.Errorf("%s: claims %v, want %v", name, all, tc.want)
			}
		}
	})
}
