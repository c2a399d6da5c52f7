package issuer_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
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
	root     = page + "/"
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B
)

// browser goes to the issuer's pages, keeps its cookies, and follows no redirect.
type browser struct {
	t       *testing.T
	issuer  http.Handler
	cookies map[string]string
}

func newBrowser(t *testing.T, i *issuer.Issuer) *browser {
	return &browser{t: t, issuer: i, cookies: map[string]string{}}
}

func (b *browser) do(r *http.Request) *httptest.ResponseRecorder {
	b.t.Helper()
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	answer := httptest.NewRecorder()
	b.issuer.ServeHTTP(answer, r)
	for _, c := range answer.Result().Cookies() {
		if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Domain != "" {
			b.t.Errorf("cookie %v", c)
		}
		if b.cookies[c.Name] = c.Value; c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		}
	}
	return answer
}

func (b *browser) goTo(path string, query url.Values) *httptest.ResponseRecorder {
	b.t.Helper()
	return b.do(httptest.NewRequest("GET", path+"?"+query.Encode(), nil))
}

func (b *browser) post(query, form url.Values, origin string) *httptest.ResponseRecorder {
	b.t.Helper()
	r := httptest.NewRequest("POST", "/authorize?"+query.Encode(), strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	return b.do(r)
}

// signIn returns the code that the browser takes back to the page.
func (b *browser) signIn(form url.Values) string {
	b.t.Helper()
	return b.code(b.post(asking(), form, address))
}

func (b *browser) code(answer *httptest.ResponseRecorder) string {
	b.t.Helper()
	to := b.back(answer)
	if to.Get("code") == "" || to.Get("error") != "" {
		b.t.Fatalf("no code: %v", to)
	}
	return to.Get("code")
}

// back returns what the browser takes back to the page, which must be the one that asked.
func (b *browser) back(answer *httptest.ResponseRecorder) url.Values {
	b.t.Helper()
	path, query, _ := strings.Cut(answer.Header().Get("Location"), "?")
	values, err := url.ParseQuery(query)
	if answer.Code != http.StatusSeeOther || path != root || err != nil || values.Get("state") != "the state" || values.Get("iss") != address {
		b.t.Fatalf("%d to %q, %v", answer.Code, answer.Header().Get("Location"), err)
	}
	if answer.Header().Get("Cache-Control") != "no-store" {
		b.t.Errorf("a redirect with a code may be cached: %v", answer.Header())
	}
	return values
}

// asking is a request as it must be. More are parameters to change, each followed by its value; "" takes it out.
func asking(more ...string) url.Values {
	sum := sha256.Sum256([]byte(verifier))
	return with(url.Values{
		"response_type": {"code"}, "client_id": {audience}, "redirect_uri": {root}, "scope": {"openid"}, "state": {"the state"}, "nonce": {"the nonce"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}, more)
}

func with(form url.Values, more []string) url.Values {
	form = maps.Clone(form)
	for n := 0; n < len(more); n += 2 {
		if form.Set(more[n], more[n+1]); more[n+1] == "" {
			form.Del(more[n])
		}
	}
	return form
}

func redeeming(code string, more ...string) url.Values {
	return with(url.Values{
		"grant_type": {"authorization_code"}, "client_id": {audience}, "redirect_uri": {root}, "code": {code}, "code_verifier": {verifier},
	}, more)
}

func refreshing(token string, more ...string) url.Values {
	return with(url.Values{"grant_type": {"refresh_token"}, "client_id": {audience}, "refresh_token": {token}}, more)
}

var ada = url.Values{"username": {"ada"}, "tenant": {"acme"}, "entity_types": {"student  tutor"}}

type answered struct {
	Access      string `json:"access_token"`
	ID          string `json:"id_token"`
	Refresh     string `json:"refresh_token"`
	Type        string `json:"token_type"`
	Expires     int    `json:"expires_in"`
	Error       string
	Description string `json:"error_description"`
}

func redeem(t *testing.T, i http.Handler, form url.Values) (int, answered) {
	t.Helper()
	answer := ask(i, form, page)
	var got answered
	if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil || answer.Header().Get("Cache-Control") != "no-store" || (got.Error == "") != (got.Access != "") {
		t.Fatalf("%d %s, %v", answer.Code, answer.Body, err)
	}
	return answer.Code, got
}

func refuses(t *testing.T, i http.Handler, name string, form url.Values, want string) {
	t.Helper()
	if status, got := redeem(t, i, form); status != http.StatusBadRequest || got.Error != want {
		t.Errorf("%s: %d %s, want %s", name, status, got.Error, want)
	}
}

// Where the page is not known, nobody is sent anywhere: not even with an error.
func TestAuthorizeSendsNobodyToStrangers(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	b := newBrowser(t, i)
	b.signIn(ada) // a session must not help
	requests := map[string]url.Values{
		"no client": asking("client_id", ""), "another client": asking("client_id", "other"), "a long state": asking("state", strings.Repeat("x", 513)),
		"two clients": with(asking(), nil), "two redirect URIs": with(asking(), nil),
	}
	requests["two clients"].Add("client_id", "other")
	requests["two redirect URIs"].Add("redirect_uri", "https://evil.example/")
	for _, uri := range []string{
		"", page, page + "/callback", page + "//", page + "/?a=b", page + "/#", page + ".evil.example/", page + "@evil.example/", page + `/\evil.example/`,
		"http://127.0.0.1:51730/", "https://127.0.0.1:5173/", "HTTP://127.0.0.1:5173/", "https://evil.example/", "//evil.example/", "javascript:alert(1)//", "data:text/html,/", "/", address + "/",
	} {
		requests["redirect URI "+uri] = asking("redirect_uri", uri)
	}
	for name, query := range requests {
		for method, answer := range map[string]*httptest.ResponseRecorder{"GET": b.goTo("/authorize", query), "POST": b.post(query, ada, address)} {
			if answer.Code != http.StatusBadRequest || answer.Header().Get("Location") != "" || strings.Contains(answer.Body.String(), "evil") ||
				strings.Contains(answer.Body.String(), "<form") {
				t.Errorf("%s, %s: %d to %q: %s", method, name, answer.Code, answer.Header().Get("Location"), answer.Body)
			}
		}
	}
}

// The page learns what is wrong with its request, and gets no code, whether there is a session or not.
func TestAuthorizeTellsThePageWhatIsWrong(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	b := newBrowser(t, i)
	b.signIn(ada)
	for name, tc := range map[string]struct {
		query url.Values
		want  string
	}{
		"no response type":       {asking("response_type", ""), "unsupported_response_type"},
		"the implicit flow":      {asking("response_type", "token"), "unsupported_response_type"},
		"no scope":               {asking("scope", ""), "invalid_scope"},
		"another scope":          {asking("scope", "openids email"), "invalid_scope"},
		"no nonce":               {asking("nonce", ""), "invalid_request"},
		"a long nonce":           {asking("nonce", strings.Repeat("x", 513)), "invalid_request"},
		"no challenge":           {asking("code_challenge", ""), "invalid_request"},
		"no method":              {asking("code_challenge_method", ""), "invalid_request"},
		"the plain method":       {asking("code_challenge_method", "plain", "code_challenge", verifier), "invalid_request"},
		"a challenge of another": {asking("code_challenge", strings.Repeat("x", 42)), "invalid_request"},
	} {
		for method, answer := range map[string]*httptest.ResponseRecorder{"GET": b.goTo("/authorize", tc.query), "POST": b.post(tc.query, ada, address)} {
			if got := b.back(answer); got.Get("error") != tc.want || got.Has("code") {
				t.Errorf("%s, %s: %v, want %s", method, name, got, tc.want)
			}
		}
	}
	answer := b.goTo("/authorize", asking("state", ""))
	if to := answer.Header().Get("Location"); to != root+"?error=invalid_request&iss="+url.QueryEscape(address) {
		t.Errorf("without a state: to %q", to)
	}
	if got := newBrowser(t, i).back(newBrowser(t, i).goTo("/authorize", asking("prompt", "none"))); got.Get("error") != "login_required" {
		t.Errorf("nobody may be asked, and nobody is signed in: %v", got)
	}
}

func TestFormRefuses(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	twice := url.Values{"username": {"ada", "eve"}, "tenant": {"acme"}}
	for name, tc := range map[string]struct {
		form   url.Values
		origin string
		says   string
	}{
		"another page's":      {ada, "https://evil.example", "another page"},
		"the dashboard's own": {ada, page, "another page"},
		"a page of no name":   {ada, "null", "another page"},
		"no browser's":        {ada, "", "another page"},
		"a large one":         {url.Values{"username": {strings.Repeat("x", 5000)}}, address, "cannot be read"},
		"two names":           {twice, address, "cannot be read"},
		"no name":             {url.Values{"tenant": {"acme"}}, address, "user name has"},
		"a name of spaces":    {url.Values{"username": {" \t"}}, address, "user name has"},
		"a long name":         {url.Values{"username": {strings.Repeat("é", 129)}}, address, "user name has"},
		"no such tenant":      {url.Values{"username": {"ada"}, "tenant": {"a b"}}, address, "tenant has"},
		"a long tenant":       {url.Values{"username": {"ada"}, "tenant": {strings.Repeat("x", 65)}}, address, "tenant has"},
		"no such types":       {url.Values{"username": {"ada"}, "entity_types": {"student,tutor"}}, address, "Entity types are"},
	} {
		b := newBrowser(t, i)
		answer := b.post(asking(), tc.form, tc.origin)
		if answer.Code != http.StatusBadRequest || answer.Header().Get("Location") != "" || !strings.Contains(answer.Body.String(), tc.says) || len(b.cookies) > 0 {
			t.Errorf("%s: %d to %q: %s", name, answer.Code, answer.Header().Get("Location"), answer.Body)
		}
	}
}

func TestFormIsPlainAndSafe(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	b := newBrowser(t, i)
	const attack = `"><script>alert(1)</script><b a='`
	shown := b.goTo("/authorize", asking("state", attack, "login_hint", attack))
	again := b.post(asking(), url.Values{"username": {attack}, "tenant": {attack}, "entity_types": {attack}}, address)
	for name, answer := range map[string]*httptest.ResponseRecorder{"shown": shown, "again": again} {
		body := answer.Body.String()
		if strings.Contains(body, "<script") || strings.Contains(body, "<b ") || strings.Contains(body, "password\"") {
			t.Errorf("%s: %s", name, body)
		}
		for _, label := range []string{"User name", "Tenant", "Entity types", "<button>Sign in</button>", "believes any name"} {
			if !strings.Contains(body, label) {
				t.Errorf("%s: no %s in %s", name, label, body)
			}
		}
		h := answer.Header()
		start, end := strings.Index(body, "<style>")+len("<style>"), strings.Index(body, "</style>")
		sum := sha256.Sum256([]byte(body[start:end]))
		want := fmt.Sprintf("default-src 'none'; style-src 'sha256-%s'; form-action 'self' %s; base-uri 'none'; frame-ancestors 'none'", base64.StdEncoding.EncodeToString(sum[:]), page)
		if h.Get("Content-Security-Policy") != want {
			t.Errorf("%s: policy %s, want %s", name, h.Get("Content-Security-Policy"), want)
		}
		// With no-referrer, browsers would post the form with "Origin: null".
		if h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" ||
			h.Get("Referrer-Policy") != "same-origin" || h.Get("Access-Control-Allow-Origin") != "" || h.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%s: headers %v", name, h)
		}
	}
	if !strings.Contains(again.Body.String(), `value="&#34;&gt;&lt;script&gt;`) {
		t.Errorf("what was typed is gone: %s", again.Body)
	}
}

func TestCodesAreRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		b := newBrowser(t, i)
		for name, tc := range map[string]struct {
			more []string
			want string
		}{
			"no verifier":            {[]string{"code_verifier", ""}, "invalid_grant"},
			"a wrong verifier":       {[]string{"code_verifier", "x" + verifier[1:]}, "invalid_grant"},
			"the challenge":          {[]string{"code_verifier", asking().Get("code_challenge")}, "invalid_grant"},
			"no redirect URI":        {[]string{"redirect_uri", ""}, "invalid_grant"},
			"another redirect URI":   {[]string{"redirect_uri", "https://evil.example/"}, "invalid_grant"},
			"another code":           {[]string{"code", strings.Repeat("0", 32)}, "invalid_grant"},
			"no code":                {[]string{"code", ""}, "invalid_grant"},
			"no client":              {[]string{"client_id", ""}, "invalid_client"},
			"another client":         {[]string{"client_id", "other"}, "invalid_client"},
			"another grant":          {[]string{"grant_type", "client_credentials"}, "unsupported_grant_type"},
			"a code to refresh with": {[]string{"grant_type", "refresh_token"}, "invalid_grant"},
		} {
			refuses(t, i, name, redeeming(b.signIn(ada), tc.more...), tc.want)
		}
		burnt := b.signIn(ada)
		refuses(t, i, "a wrong verifier", redeeming(burnt, "code_verifier", "x"), "invalid_grant")
		refuses(t, i, "after a wrong verifier", redeeming(burnt), "invalid_grant")
		used := b.signIn(ada)
		if status, _ := redeem(t, i, redeeming(used)); status != http.StatusOK {
			t.Fatal(status)
		}
		refuses(t, i, "a used code", redeeming(used), "invalid_grant")
		twice := redeeming(b.signIn(ada))
		twice.Add("code", used)
		refuses(t, i, "two codes", twice, "invalid_request")
		old := b.signIn(ada)
		time.Sleep(time.Minute)
		refuses(t, i, "an old code", redeeming(old), "invalid_grant")
		codes := []string{b.signIn(ada)}
		for range 1000 {
			time.Sleep(time.Nanosecond) // the oldest is the one that goes
			codes = append(codes, b.code(b.goTo("/authorize", asking())))
		}
		refuses(t, i, "a code with a thousand after it", redeeming(codes[0]), "invalid_grant")
		for _, kept := range []string{codes[1], codes[1000]} {
			if status, _ := redeem(t, i, redeeming(kept)); status != http.StatusOK {
				t.Error("the thousand newest are not kept")
			}
		}
	})
}

func TestRefreshTokensAreRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		fresh := func() (*browser, string) {
			b := newBrowser(t, i)
			_, got := redeem(t, i, redeeming(b.signIn(ada)))
			return b, got.Refresh
		}
		_, token := fresh()
		refuses(t, i, "another client's", refreshing(token, "client_id", "other"), "invalid_client")
		refuses(t, i, "none", refreshing(""), "invalid_grant")
		refuses(t, i, "a token as a code", redeeming(token), "invalid_grant")
		if status, _ := redeem(t, i, refreshing(token)); status != http.StatusOK {
			t.Fatal(status)
		}
		refuses(t, i, "a used one", refreshing(token), "invalid_grant")
		b, token := fresh()
		b.goTo("/logout", url.Values{})
		refuses(t, i, "one of who signed out", refreshing(token), "invalid_grant")
		b, token = fresh()
		b.signIn(url.Values{"username": {"grace"}, "tenant": {"other"}})
		refuses(t, i, "one of who was here before", refreshing(token), "invalid_grant")
		_, token = fresh()
		time.Sleep(12 * time.Hour)
		refuses(t, i, "one of yesterday", refreshing(token), "invalid_grant")
	})
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		var configuration map[string]any
		get(t, i, "/.well-known/openid-configuration", &configuration)
		for name, want := range map[string]any{
			"authorization_endpoint": address + "/authorize", "token_endpoint": address + "/token", "end_session_endpoint": address + "/logout",
			"response_types_supported": []any{"code"}, "code_challenge_methods_supported": []any{"S256"}, "token_endpoint_auth_methods_supported": []any{"none"},
			"grant_types_supported": []any{"authorization_code", "refresh_token"}, "authorization_response_iss_parameter_supported": true,
		} {
			if !reflect.DeepEqual(configuration[name], want) {
				t.Errorf("%s is %v, want %v", name, configuration[name], want)
			}
		}
		b := newBrowser(t, i)
		status, first := redeem(t, i, redeeming(b.signIn(ada)))
		if status != http.StatusOK || first.Type != "Bearer" || first.Expires != 3600 {
			t.Fatalf("%d %+v", status, first)
		}
		want := map[string]any{"iss": address, "sub": "ada", "aud": audience, "tenant": "acme", "entity_types": []any{"student", "tutor"}}
		access, id := claimsOf(t, i, first.Access), claimsOf(t, i, first.ID)
		session := access["sid"]
		if session == "" || session != id["sid"] || access["jti"] == id["jti"] {
			t.Errorf("sessions %v and %v, tokens %v and %v", session, id["sid"], access["jti"], id["jti"])
		}
		for _, value := range b.cookies {
			if value == session {
				t.Error("a token tells the cookie")
			}
		}
		check(t, "access token", access, want)
		idWant := maps.Clone(want)
		idWant["nonce"], idWant["preferred_username"] = "the nonce", "ada"
		check(t, "ID token", id, idWant)

		// It goes on without a form: by the refresh token, and, after a reload, by the cookie.
		time.Sleep(2 * time.Hour)
		_, second := redeem(t, i, refreshing(first.Refresh))
		refreshed := claimsOf(t, i, second.ID)
		if refreshed["sid"] != session || second.Refresh == first.Refresh || second.Refresh == "" {
			t.Errorf("session %v, was %v", refreshed["sid"], session)
		}
		delete(idWant, "nonce")
		check(t, "refreshed ID token", refreshed, idWant)
		for _, prompt := range []string{"", "none"} {
			_, third := redeem(t, i, redeeming(b.code(b.goTo("/authorize", asking("prompt", prompt)))))
			if again := claimsOf(t, i, third.Access); again["sid"] != session {
				t.Errorf("session %v, was %v", again["sid"], session)
			}
		}
		if answer := b.goTo("/authorize", asking("prompt", "login")); answer.Code != http.StatusOK || !strings.Contains(answer.Body.String(), "<form") {
			t.Errorf("asked for: %d %s", answer.Code, answer.Body)
		}
		time.Sleep(10 * time.Hour)
		if answer := b.goTo("/authorize", asking()); answer.Code != http.StatusOK || !strings.Contains(answer.Body.String(), "<form") {
			t.Errorf("the next day: %d %s", answer.Code, answer.Body)
		}
	})
}

func TestSignOut(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	for name, tc := range map[string]struct{ query, to string }{
		"to the page":            {"client_id=" + audience + "&post_logout_redirect_uri=" + url.QueryEscape(root), root},
		"with a state":           {"client_id=" + audience + "&state=a%26b&post_logout_redirect_uri=" + url.QueryEscape(root), root + "?state=a%26b"},
		"to nowhere":             {"", ""},
		"of another client":      {"client_id=other&post_logout_redirect_uri=" + url.QueryEscape(root), ""},
		"to a stranger":          {"client_id=" + audience + "&post_logout_redirect_uri=https://evil.example/", ""},
		"to a page and stranger": {"client_id=" + audience + "&post_logout_redirect_uri=" + url.QueryEscape(root) + "&post_logout_redirect_uri=https://evil.example/", ""},
	} {
		b := newBrowser(t, i)
		b.signIn(ada)
		stolen := maps.Clone(b.cookies)
		answer := b.do(httptest.NewRequest("GET", "/logout?"+tc.query, nil))
		if to := answer.Header().Get("Location"); to != tc.to || tc.to == "" && (answer.Code != http.StatusOK || strings.Contains(answer.Body.String(), "evil")) {
			t.Errorf("%s: %d to %q: %s", name, answer.Code, to, answer.Body)
		}
		if len(b.cookies) > 0 {
			t.Errorf("%s: cookies stay: %v", name, b.cookies)
		}
		b.cookies = stolen
		if got := b.back(b.goTo("/authorize", asking("prompt", "none"))); got.Get("error") != "login_required" {
			t.Errorf("%s: the session goes on: %v", name, got)
		}
	}
}

// claimsOf verifies a token, and returns what it says.
func claimsOf(t *testing.T, i http.Handler, text string) map[string]any {
	t.Helper()
	var keys jose.JSONWebKeySet
	get(t, i, "/jwks.json", &keys)
	token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := token.Claims(&keys, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func check(t *testing.T, name string, got, want map[string]any) {
	t.Helper()
	got = maps.Clone(got)
	for _, known := range []string{"iat", "nbf", "exp", "jti", "sid"} {
		delete(got, known)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %v, want %v", name, got, want)
	}
}
