package local

import (
	"encoding/json"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// dashboard serves the built page and its runtime configuration, with the headers that it gets
// in the cloud.
func dashboard(dist, webSocketURL string) http.Handler {
	files := http.FileServer(http.Dir(dist))
	origin := webSocketURL[:strings.LastIndex(webSocketURL, "/")]
	policy := strings.Join([]string{
		"default-src 'self'", "connect-src 'self' " + origin, "img-src 'self' data:",
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
			_ = json.NewEncoder(w).Encode(map[string]string{"webSocketUrl": webSocketURL})
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
