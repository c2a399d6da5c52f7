package httpapi

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

var (
	errNoKeys    = errors.New("the issuer's keys cannot be had")
	errNotSigned = errors.New("no token, or no signature of the issuer's")
	errNotValid  = errors.New("not the issuer's, not for this audience, or not now")
)

// algorithms are those that a token may be signed with. What its own header says is not to be trusted: "none", and
// a public key taken for a shared secret, are no signatures.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.ES256}

// verify returns the claims of the token in an Authorization header, with or without "Bearer", as text. Its error is
// errNoKeys, or says why the token is refused.
func (a *API) verify(ctx context.Context, header string) (map[string]string, error) {
	text := header
	if scheme, rest, ok := strings.Cut(header, " "); ok && strings.EqualFold(scheme, "Bearer") {
		text = rest
	}
	token, err := jwt.ParseSigned(text, algorithms)
	if err != nil || len(token.Headers) != 1 || token.Headers[0].KeyID == "" {
		return nil, errNotSigned
	}
	key, err := a.keys.get(ctx, token.Headers[0].KeyID)
	if err != nil {
		return nil, err
	}
	var all map[string]any
	var known struct {
		jwt.Claims
		ClientID string `json:"client_id"`
	}
	if key == nil || token.Claims(key, &known, &all) != nil {
		return nil, errNotSigned
	}
	if len(known.Audience) == 0 && known.ClientID != "" { // as in Cognito's access tokens
		known.Audience = jwt.Audience{known.ClientID}
	}
	expected := jwt.Expected{Issuer: a.config.Issuer, AnyAudience: jwt.Audience{a.config.Audience}, Time: time.Now()}
	if known.Expiry == nil || known.ValidateWithLeeway(expected, 0) != nil {
		return nil, errNotValid
	}
	claims := map[string]string{}
	for name, value := range all {
		claims[name] = textOf(value)
	}
	return claims, nil
}

// textOf is a claim as a function sees it.
func textOf(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []any:
		var parts []string
		for _, part := range v {
			parts = append(parts, textOf(part))
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
	return fmt.Sprint(value)
}

// keys are the public keys of an issuer, by their ids. It may be used concurrently.
type keys struct {
	issuer string
	client *http.Client

	mu    sync.Mutex
	known map[string]any
}

func newKeys(issuer string) *keys {
	return &keys{issuer: issuer, client: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}}
}

// get returns the key of that id, or nil if the issuer has none.
func (k *keys) get(ctx context.Context, id string) (any, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key, ok := k.known[id]; ok {
		return key, nil
	}
	var configuration struct {
		JWKS string `json:"jwks_uri"`
	}
	var set jose.JSONWebKeySet
	err := k.fetch(ctx, strings.TrimSuffix(k.issuer, "/")+"/.well-known/openid-configuration", &configuration)
	if err == nil {
		err = k.fetch(ctx, configuration.JWKS, &set)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoKeys, err)
	}
	k.known = map[string]any{}
	for _, key := range set.Keys {
		if key.IsPublic() && (key.Use == "" || key.Use == "sig") {
			k.known[key.KeyID] = key.Key
		}
	}
	return k.known[id], nil
}

func (k *keys) fetch(ctx context.Context, url string, to any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := k.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	return json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(to)
}

// newID is a request id in the form of AWS's: 16 characters that end with "=".
func newID() string {
	var b [11]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.URLEncoding.EncodeToString(b[:])
}
