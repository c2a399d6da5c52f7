// Package issuer signs tokens for users of this machine, as an identity provider would, but asks for no password:
// who it says somebody is, they are. It must listen on loopback alone.
//
//	GET  /.well-known/openid-configuration   where its keys are
//	GET  /jwks.json                          its public key
//	POST /token                              a token, for a form with
//	                                           username       whom it is for; required
//	                                           tenant         whose data they may see; "default" if absent
//	                                           entity_types   what of it, with spaces between; all if absent
//	                                           service        "true" for a service, which has no page
//
// Tokens are signed with RS256, by a key that lives as long as the Issuer, and are valid for an hour. Their claims are
// iss, sub, aud, iat, nbf, exp, jti, sid, tenant, and, where the form has them, entity_types and service.
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

// lifetime of a token.
const lifetime = time.Hour

// Issuer is an http.Handler. It may be used concurrently.
type Issuer struct {
	url, audience string
	origins       []string
	key           jose.JSONWebKey // public
	signer        jose.Signer
	mux           *http.ServeMux
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
		key: jose.JSONWebKey{Key: private.Public(), KeyID: id, Algorithm: string(jose.RS256), Use: "sig"},
	}
	i.mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, map[string]any{
			"issuer": url, "jwks_uri": url + "/jwks.json", "token_endpoint": url + "/token",
			"response_types_supported": []string{"token"}, "subject_types_supported": []string{"public"},
			"id_token_signing_alg_values_supported": []string{string(jose.RS256)},
		})
	})
	i.mux.HandleFunc("GET /jwks.json", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{i.key}})
	})
	i.mux.HandleFunc("POST /token", i.token)
	return i, nil
}

// ServeHTTP lets the pages of its origins read the answers.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Origin")
	if origin := r.Header.Get("Origin"); origin != "" {
		if !slices.Contains(i.origins, origin) {
			write(w, http.StatusForbidden, map[string]string{"error": "access_denied"})
			return
		}
		w.Header().Set("Access-Control-Allow-Origin", origin)
	}
	i.mux.ServeHTTP(w, r)
}

// claims are those of our own.
type claims struct {
	jwt.Claims
	Session     string   `json:"sid"`
	Tenant      string   `json:"tenant"`
	EntityTypes []string `json:"entity_types,omitempty"`
	Service     bool     `json:"service,omitempty"`
}

func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	if err := r.ParseForm(); err != nil || r.PostForm.Get("username") == "" {
		write(w, http.StatusBadRequest, map[string]string{"error": "invalid_request", "error_description": "send a form with a username"})
		return
	}
	now := time.Now()
	c := claims{
		Claims: jwt.Claims{
			Issuer: i.url, Subject: r.PostForm.Get("username"), Audience: jwt.Audience{i.audience}, ID: newID(),
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(lifetime)),
		},
		Session: newID(), Tenant: r.PostForm.Get("tenant"),
		EntityTypes: strings.Fields(r.PostForm.Get("entity_types")), Service: r.PostForm.Get("service") == "true",
	}
	if c.Tenant == "" {
		c.Tenant = "default"
	}
	text, err := jwt.Signed(i.signer).Claims(c).Serialize()
	if err != nil {
		write(w, http.StatusInternalServerError, map[string]string{"error": "server_error"})
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	write(w, http.StatusOK, map[string]any{"access_token": text, "token_type": "Bearer", "expires_in": int(lifetime.Seconds())})
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
