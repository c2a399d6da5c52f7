package issuer

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/iops-dashboard/live/contracts"
)

var (
	challengePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
	// What the services take for an entity type: a token with another would only be refused there.
	typePattern = regexp.MustCompile(`^[a-z][a-z_]{0,63}$`)
)

const (
	maxName      = 128 // characters
	maxParameter = 512 // bytes of a state or a nonce
)

// request is what a page asks of /authorize, once it is clear that the answer may go to it.
type request struct {
	redirectURI, state, nonce, challenge, prompt string
	problem                                      string // an error code of RFC 6749 or OpenID Connect
}

// read checks an authorization request. Where it cannot say to whom an answer may go, it returns why: then nobody is
// sent anywhere.
func (i *Issuer) read(query url.Values) (r request, why string) {
	switch {
	case !once(query):
		return r, "a parameter is given twice"
	case query.Get("client_id") != i.audience:
		return r, "the client is not known"
	case !i.isPage(query.Get("redirect_uri")):
		return r, "the redirect URI is not that of a page that may have tokens"
	}
	r = request{
		redirectURI: query.Get("redirect_uri"), state: query.Get("state"), nonce: query.Get("nonce"),
		challenge: query.Get("code_challenge"), prompt: query.Get("prompt"),
	}
	switch {
	case len(r.state) > maxParameter:
		return r, "the state is too long"
	case query.Get("response_type") != "code":
		r.problem = "unsupported_response_type"
	case !slices.Contains(strings.Fields(query.Get("scope")), "openid"):
		r.problem = "invalid_scope"
	case r.state == "" || r.nonce == "" || len(r.nonce) > maxParameter,
		query.Get("code_challenge_method") != "S256" || !challengePattern.MatchString(r.challenge):
		r.problem = "invalid_request"
	}
	return r, ""
}

// isPage reports whether a URI is the root of a page that may have tokens, to the letter.
func (i *Issuer) isPage(uri string) bool {
	origin, ok := strings.CutSuffix(uri, "/")
	return ok && slices.Contains(i.origins, origin)
}

// askToSignIn shows the form, or goes back to the page at once: with what is wrong, or with a code for whoever has a
// session.
func (i *Issuer) askToSignIn(w http.ResponseWriter, r *http.Request) {
	asked, why := i.read(r.URL.Query())
	if why != "" {
		i.refuse(w, why)
		return
	}
	key, isSignedIn := i.session(r)
	switch {
	case asked.problem != "":
		i.back(w, r, asked, "error", asked.problem)
	case isSignedIn && asked.prompt != "login":
		i.back(w, r, asked, "code", i.code(asked, key))
	case asked.prompt == "none":
		i.back(w, r, asked, "error", "login_required")
	default:
		i.show(w, http.StatusOK, formSheet(person{tenant: "default"}, ""), asked.redirectURI)
	}
}

// signIn takes the form, which is posted to the address that it was got from.
func (i *Issuer) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	asked, why := i.read(r.URL.Query())
	switch {
	case why != "":
	case r.Header.Get("Origin") != i.url: // another page could sign somebody in as somebody else
		why = "the form is another page's"
	case r.ParseForm() != nil || !once(r.PostForm):
		why = "the form cannot be read"
	case asked.problem != "":
		i.back(w, r, asked, "error", asked.problem)
		return
	}
	if why != "" {
		i.refuse(w, why)
		return
	}
	p := personOf(r.PostForm)
	p.name = strings.TrimSpace(p.name)
	p.service = false
	problem := ""
	switch {
	case p.name == "" || utf8.RuneCountInString(p.name) > maxName:
		problem = "A user name has 1 to 128 characters."
	case !contracts.TenantPattern.MatchString(p.tenant):
		problem = "A tenant has 1 to 64 letters, digits, and, but not in front, _ . -"
	case slices.ContainsFunc(p.entityTypes, func(s string) bool { return !typePattern.MatchString(s) }):
		problem = "Entity types are words like student and tutor, with spaces between."
	}
	if problem != "" {
		i.show(w, http.StatusBadRequest, formSheet(p, problem), asked.redirectURI)
		return
	}
	if old, ok := i.session(r); ok {
		i.sessions.take(old)
	}
	key := i.sessions.put(p)
	i.setCookie(w, key, int(sessionLifetime.Seconds()))
	i.back(w, r, asked, "code", i.code(asked, key))
}

// signOut ends the session, and goes to where the page wants to be after that, if it is a page that may have tokens.
func (i *Issuer) signOut(w http.ResponseWriter, r *http.Request) {
	if key, ok := i.session(r); ok {
		i.sessions.take(key)
	}
	i.setCookie(w, "", -1)
	query := r.URL.Query()
	to, state := query.Get("post_logout_redirect_uri"), query.Get("state")
	if !once(query) || query.Get("client_id") != i.audience || !i.isPage(to) || len(state) > maxParameter {
		i.show(w, http.StatusOK, sheet{Title: "You are signed out", Text: "You may close this page."}, "")
		return
	}
	if state != "" {
		to += "?" + url.Values{"state": {state}}.Encode()
	}
	secure(w, "")
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// code makes a code for the session with that key.
func (i *Issuer) code(asked request, session string) string {
	return i.codes.put(grant{session: session, redirectURI: asked.redirectURI, challenge: asked.challenge, nonce: asked.nonce})
}

// back sends the browser to the page that asked.
func (i *Issuer) back(w http.ResponseWriter, r *http.Request, asked request, name, value string) {
	answer := url.Values{name: {value}, "iss": {i.url}}
	if asked.state != "" {
		answer.Set("state", asked.state)
	}
	secure(w, asked.redirectURI)
	http.Redirect(w, r, asked.redirectURI+"?"+answer.Encode(), http.StatusSeeOther)
}

// session returns the key of the session of whoever asks.
func (i *Issuer) session(r *http.Request) (string, bool) {
	cookie, err := r.Cookie(i.cookieName())
	if err != nil {
		return "", false
	}
	_, ok := i.sessions.get(cookie.Value)
	return cookie.Value, ok
}

// cookieName has the port, which a browser does not look at when it chooses what cookies to send.
func (i *Issuer) cookieName() string {
	return "issuer-session-" + i.url[strings.LastIndex(i.url, ":")+1:]
}

func (i *Issuer) setCookie(w http.ResponseWriter, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: i.cookieName(), Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// sheet is a page of the issuer's.
type sheet struct {
	Title, Text, Problem      string
	Form                      bool
	Name, Tenant, EntityTypes string
}

func formSheet(p person, problem string) sheet {
	return sheet{
		Title: "Sign in", Text: "This is the issuer of tokens of this machine. It asks for no password, and believes any name.",
		Problem: problem, Form: true, Name: p.name, Tenant: p.tenant, EntityTypes: strings.Join(p.entityTypes, " "),
	}
}

func (i *Issuer) refuse(w http.ResponseWriter, why string) {
	i.show(w, http.StatusBadRequest, sheet{Title: "This sign-in cannot go on", Text: "It was not asked for as it must be: " + why + "."}, "")
}

func (i *Issuer) show(w http.ResponseWriter, status int, s sheet, redirectURI string) {
	secure(w, redirectURI)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = page.Execute(w, s)
}

// secure sets the headers of what a browser shows, or is sent on by. The form may be posted here, and lead to
// redirectURI: browsers look at where a redirect goes, too.
func secure(w http.ResponseWriter, redirectURI string) {
	h := w.Header()
	h.Set("Content-Security-Policy", strings.Join([]string{
		"default-src 'none'", "style-src '" + styleHash + "'", strings.TrimSpace("form-action 'self' " + strings.TrimSuffix(redirectURI, "/")),
		"base-uri 'none'", "frame-ancestors 'none'",
	}, "; "))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	// With no-referrer, a browser would send the form with "Origin: null".
	h.Set("Referrer-Policy", "same-origin")
}

const style = `
:root { color-scheme: light dark; --back: #f6f7f9; --sheet: #fff; --text: #14181f; --soft: #556070; --line: #c5ccd6; --main: #0f6b66; --on: #fff; --bad: #b0261e }
@media (prefers-color-scheme: dark) {
  :root { --back: #0e1116; --sheet: #151a21; --text: #e7ebf0; --soft: #9ba6b5; --line: #465160; --main: #63cdc4; --on: #06201e; --bad: #ff938a }
}
* { box-sizing: border-box }
body { margin: 0; min-height: 100dvh; display: grid; place-items: center; padding: 16px; background: var(--back); color: var(--text); font: 15px/1.5 Inter, system-ui, "Liberation Sans", sans-serif }
main { width: 100%; max-width: 420px; padding: 32px; border: 1px solid color-mix(in srgb, var(--line) 60%, transparent); border-radius: 14px; background: var(--sheet) }
h1 { margin: 0 0 8px; font-size: 22px; line-height: 1.3 }
p { margin: 0 0 20px; color: var(--soft) }
p[role=alert] { color: var(--bad) }
label { display: block; margin-bottom: 16px; font-weight: 600 }
small { font-weight: 400; font-size: 13px; color: var(--soft) }
input { display: block; width: 100%; margin-top: 4px; padding: 9px 12px; border: 1px solid var(--line); border-radius: 8px; background: transparent; color: inherit; font: inherit; font-weight: 400 }
button { width: 100%; margin-top: 8px; padding: 10px; border: 0; border-radius: 8px; background: var(--main); color: var(--on); font: inherit; font-weight: 600; cursor: pointer }
:focus-visible { outline: 2px solid var(--main); outline-offset: 2px }
`

var styleHash = func() string {
	sum := sha256.Sum256([]byte(style))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}()

var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>` + style + `</style>
</head>
<body>
<main>
<h1>{{.Title}}</h1>
<p>{{.Text}}</p>
{{- if .Problem}}
<p role="alert">{{.Problem}}</p>
{{- end}}
{{- if .Form}}
<form method="post">
<label>User name <input name="username" value="{{.Name}}" required maxlength="128" autocomplete="username" autocapitalize="none" spellcheck="false" autofocus></label>
<label>Tenant <input name="tenant" value="{{.Tenant}}" required maxlength="64" autocomplete="organization" autocapitalize="none" spellcheck="false"></label>
<label>Entity types <small>(with spaces between; none: all)</small> <input name="entity_types" value="{{.EntityTypes}}" autocomplete="off" autocapitalize="none" spellcheck="false"></label>
<button>Sign in</button>
</form>
{{- end}}
</main>
</body>
</html>
`))
