package local

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/iops-dashboard/live/infra/topology"
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

// sources are the origins of the servers that the page talks to.
func (c pageConfig) sources() []string {
	servers := []string{c.WebSocketURL, c.APIURL}
	if c.SignIn != nil {
		servers = append(servers, c.SignIn.Issuer)
	}
	var all []string
	for _, server := range servers {
		if u, err := url.Parse(server); err == nil && u.Host != "" {
			all = append(all, u.Scheme+"://"+u.Host)
		}
	}
	return all
}

// dashboard serves the built page and its runtime configuration, with the headers that it gets
// in the cloud.
func dashboard(dist string, config pageConfig) http.Handler {
	files := http.FileServer(http.Dir(dist))
	policy := topology.PagePolicy(config.sources())
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
