package local

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// pageConfig is what the page learns at run time, from config.json.
type pageConfig struct {
	WebSocketURL string  `json:"webSocketUrl"`
	APIURL       string  `json:"apiUrl"`
	SignIn       *signIn `json:"signIn,omitempty"` // nil: everybody may connect
}

// signIn says where users get tokens: by OpenID Connect, from this issuer, as this client.
type signIn struct {
	Issuer   string `json:"issuer"`
	ClientID string `json:"clientId"`
}

// sources are the origins of the servers that the page talks to, as a policy names them.
func (c pageConfig) sources() string {
	servers := []string{c.WebSocketURL, c.APIURL}
	if c.SignIn != nil {
		servers = append(servers, c.SignIn.Issuer)
	}
	text := "'self'"
	for _, server := range servers {
		if u, err := url.Parse(server); err == nil && u.Host != "" {
			text += " " + u.Scheme + "://" + u.Host
		}
	}
	return text
}

// dashboard serves the built page and its runtime configuration, with the headers that it gets
// in the cloud.
func dashboard(dist string, config pageConfig) http.Handler {
	files := http.FileServer(http.Dir(dist))
	policy := strings.Join([]string{
		"default-src 'self'", "connect-src " + config.sources(), "img-src 'self' data:",
		// Emotion, which MUI styles with, inserts style elements.
		"style-src 'self' 'unsafe-inline'",
		"base-uri 'none'", "frame-ancestors 'none'", "form-action 'none'", "object-src 'none'",
	}, "; ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		name := path.Clean("/" + r.URL.Path)
		if name == "/config.json" {
			h.Set("Content-Type", "application/json")
			h.Set("Cache-Control", "no-store")
			_ = json.NewEncoder(w).Encode(config)
			return
		}
		info, err := os.Stat(filepath.Join(dist, filepath.FromSlash(name)))
		isFile := err == nil && info.Mode().IsRegular()
		switch asset := strings.HasPrefix(name, "/assets/"); {
		case asset && !isFile:
			http.NotFound(w, r)
			return
		case asset:
			h.Set("Cache-Control", "public, max-age=31536000, immutable") // names carry a hash
		default:
			h.Set("Cache-Control", "no-cache")
			if !isFile {
				name = "/" // any other path is the page's own
			}
		}
		r.URL.Path = name
		files.ServeHTTP(w, r)
	})
}
