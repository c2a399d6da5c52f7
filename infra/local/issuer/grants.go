package issuer

import (
	"crypto/sha256"
	"encoding/base64"
	"net/url"
)

// grant is what a code stands for.
type grant struct {
	session     string // its key
	redirectURI string
	challenge   string
	nonce       string
}

// redeem gives tokens for a code or a refresh token, which is used up also by a request that gets none for it.
func (i *Issuer) redeem(grantType string, form url.Values) (tokens, *oauthError) {
	if form.Get("client_id") != i.audience {
		return tokens{}, &oauthError{"invalid_client", "not a client of this issuer's"}
	}
	var session, nonce string
	switch grantType {
	case "authorization_code":
		g, ok := i.codes.take(form.Get("code"))
		if !ok || form.Get("redirect_uri") != g.redirectURI || challengeOf(form.Get("code_verifier")) != g.challenge {
			return tokens{}, &oauthError{"invalid_grant", "the code is not known, was used, has expired, or is another page's"}
		}
		session, nonce = g.session, g.nonce
	case "refresh_token":
		session, _ = i.refreshes.take(form.Get("refresh_token"))
	}
	p, ok := i.sessions.get(session)
	if !ok {
		return tokens{}, &oauthError{"invalid_grant", "the session has ended"}
	}
	access, err := i.sign(p, idClaims{})
	if err != nil {
		return tokens{}, &oauthError{"server_error", "cannot sign"}
	}
	id, err := i.sign(p, idClaims{Nonce: nonce, Username: p.name})
	if err != nil {
		return tokens{}, &oauthError{"server_error", "cannot sign"}
	}
	return tokens{
		AccessToken: access, TokenType: "Bearer", ExpiresIn: int(lifetime.Seconds()), IDToken: id, RefreshToken: i.refreshes.put(session),
	}, nil
}

// challengeOf is RFC 7636's S256.
func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
