// Package issuer signs people in and signs tokens for them, as an identity provider would, but asks for no password:
// who somebody says they are, they are. It must listen on loopback alone.
//
//	GET  /.well-known/openid-configuration   where the rest is
//	GET  /jwks.json                          its public key
//	GET  /authorize                          a form to sign in with, then back to the page with a code; whoever has a
//	                                         session gets the code at once (OAuth 2.1 authorization code, PKCE S256)
//	POST /token                              tokens, for a form with
//	                                           grant_type     authorization_code, with code, code_verifier, client_id
//	                                                          and redirect_uri; or
//	                                                          refresh_token, with refresh_token and client_id; or
//	                                                          absent or password, for scripts, with
//	                                           username       whom it is for; required
//	                                           tenant         whose data they may see; "default" if absent
//	                                           entity_types   what of it, with spaces between; all if absent
//	                                           service        "true" for a service, which has no page
//	GET  /logout                             ends the session, and goes to post_logout_redirect_uri
//
// Tokens are signed with RS256, by a key that lives as long as the Issuer, and are valid for an hour. Their claims are
// iss, sub, aud, iat, nbf, exp, jti, sid, tenant, and, where the form has them, entity_types and service; an ID token
// has preferred_username too, and the nonce that was sent. A code is good for a minute and once, a session for twelve
// hours, a refresh token once and as long as its session. Of each the newest thousand are kept, in memory.
//
// The one client is public, and its id is the audience of the tokens. Its redirect URI is the root of a page that may
// have tokens; after /logout it is the same.
//
// Not imitated: consent, client secrets, userinfo, revocation, registration, the end of all tokens of a code or a refresh
// token that comes twice.
package issuer

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	lifetime        = time.Hour // of a token
	codeLifetime    = time.Minute
	sessionLifetime = 12 * time.Hour
)

// Issuer is an http.Handler. It may be used concurrently.
type Issuer struct {
	url, audience string
	origins       []string
	key           jose.JSONWebKey // public
	signer        jose.Signer
	mux           *http.ServeMux

	codes     *vault[grant]
	refreshes *vault[string] // the keys of their sessions
	sessions  *vault[person]
}

// person is somebody who is signed in, or a service.
type person struct {
	session     string
	name        string
	tenant      string
	entityTypes []string
	service     bool
}

// New returns an issuer that will be served at url, without a slash at its end, whose tokens are for audience. Of
// pages only those of origins can have one.
func New(url, audience string, origins []string) (*Issuer, error) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	id := newID()
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: private, KeyID: id}}, (&jose.SignerOptions{}).WithType("JWT"),
	)
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	i := &Issuer{
		url: url, audience: audience, origins: origins, signer: signer, mux: http.NewServeMux(),
		key:   jose.JSONWebKey{Key: private.Public(), KeyID: id, Algorithm: string(jose.RS256), Use: "sig"},
		codes: newVault[grant](codeLifetime), refreshes: newVault[string](sessionLifetime), sessions: newVault[person](sessionLifetime),
	}
	i.mux.HandleFunc("GET /.well-known/openid-configuration", i.forPages(func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, map[string]any{
			"issuer": url, "jwks_uri": url + "/jwks.json",
			"authorization_endpoint": url + "/authorize", "token_endpoint": url + "/token", "end_session_endpoint": url + "/logout",
			"response_types_supported": []string{"code"}, "response_modes_supported": []string{"query"},
			"grant_types_supported":                 []string{"authorization_code", "refresh_token"},
			"code_challenge_methods_supported":      []string{"S256"},
			"token_endpoint_auth_methods_supported": []string{"none"},
			"scopes_supported":                      []string{"openid"}, "subject_types_supported": []string{"public"},
			"id_token_signing_alg_values_supported":          []string{string(jose.RS256)},
			"authorization_response_iss_parameter_supported": true,
		})
	}))
	i.mux.HandleFunc("GET /jwks.json", i.forPages(func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{i.key}})
	}))
	i.mux.HandleFunc("POST /token", i.forPages(i.token))
	i.mux.HandleFunc("GET /authorize", i.askToSignIn)
	i.mux.HandleFunc("POST /authorize", i.signIn)
	i.mux.HandleFunc("GET /logout", i.signOut)
	return i, nil
}

// ServeHTTP serves all of it.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) { i.mux.ServeHTTP(w, r) }

// forPages lets the pages of the issuer's origins read the answers, and no other page ask.
func (i *Issuer) forPages(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Origin")
		if origin := r.Header.Get("Origin"); origin != "" {
			if !slices.Contains(i.origins, origin) {
				write(w, http.StatusForbidden, oauthError{"access_denied", "a page of another origin"})
				return
			}
			w.Header().Set("Access-Control-Allow-Origin", origin)
		}
		next(w, r)
	}
}

// oauthError is the body of a refusal.
type oauthError struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// tokens is the body of an answer that has some.
type tokens struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"` // seconds
	IDToken      string `json:"id_token,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`
}

func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	if err := r.ParseForm(); err != nil || !once(r.PostForm) {
		write(w, http.StatusBadRequest, oauthError{"invalid_request", "send a short form, in which nothing is said twice"})
		return
	}
	var t tokens
	var refused *oauthError
	switch grantType := r.PostForm.Get("grant_type"); grantType {
	case "", "password":
		t, refused = i.believe(r.PostForm)
	case "authorization_code", "refresh_token":
		t, refused = i.redeem(grantType, r.PostForm)
	default:
		refused = &oauthError{"unsupported_grant_type", "not a grant of this issuer's"}
	}
	switch {
	case refused == nil:
		write(w, http.StatusOK, t)
	case refused.Error == "server_error":
		write(w, http.StatusInternalServerError, refused)
	default:
		write(w, http.StatusBadRequest, refused)
	}
}

// believe gives a script a token for whoever it says it is.
func (i *Issuer) believe(form map[string][]string) (tokens, *oauthError) {
	p := personOf(form)
	if p.name == "" {
		return tokens{}, &oauthError{"invalid_request", "send a form with a username"}
	}
	text, err := i.sign(p, idClaims{})
	if err != nil {
		return tokens{}, &oauthError{"server_error", "cannot sign"}
	}
	return tokens{AccessToken: text, TokenType: "Bearer", ExpiresIn: int(lifetime.Seconds())}, nil
}

// personOf reads a form. The name is empty if it has none.
func personOf(form map[string][]string) person {
	get := func(name string) string { return strings.Join(form[name], "") }
	p := person{
		session: newID(), name: get("username"), tenant: get("tenant"),
		entityTypes: strings.Fields(get("entity_types")), service: get("service") == "true",
	}
	if p.tenant == "" {
		p.tenant = "default"
	}
	return p
}

// claims are those of our own.
type claims struct {
	jwt.Claims
	Session     string   `json:"sid"`
	Tenant      string   `json:"tenant"`
	EntityTypes []string `json:"entity_types,omitempty"`
	Service     bool     `json:"service,omitempty"`
	idClaims
}

// idClaims are those of ID tokens only.
type idClaims struct {
	Nonce    string `json:"nonce,omitempty"`
	Username string `json:"preferred_username,omitempty"`
}

func (i *Issuer) sign(p person, more idClaims) (string, error) {
	now := time.Now()
	return jwt.Signed(i.signer).Claims(claims{
		Claims: jwt.Claims{
			Issuer: i.url, Subject: p.name, Audience: jwt.Audience{i.audience}, ID: newID(),
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(lifetime)),
		},
		Session: p.session, Tenant: p.tenant, EntityTypes: p.entityTypes, Service: p.service, idClaims: more,
	}).Serialize()
}

// once reports whether no parameter is given twice, of which another might be read than was checked (RFC 6749, 3.1).
func once(form map[string][]string) bool {
	for _, values := range form {
		if len(values) > 1 {
			return false
		}
	}
	return true
}

func write(w http.ResponseWriter, status int, document any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(document)
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
